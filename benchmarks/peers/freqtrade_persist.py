"""Run by freqtrade's own interpreter: seconds to make one Trade with its entry Order durable, as its trading loop does
when an order was placed: one commit. The median of the rounds, each the mean of so many.

    PYTHON freqtrade_persist.py FOLDER ROUNDS EACH
"""

import statistics
import sys
import time
from datetime import UTC, datetime

from freqtrade.persistence import Order, Trade, init_db


def one_order(number):
    now = datetime.now(UTC)
    trade = Trade(
        pair="SPY/USD",
        base_currency="SPY",
        stake_currency="USD",
        stake_amount=5872.0,
        amount=10.0,
        amount_requested=10.0,
        fee_open=0.0,
        fee_close=0.0,
        open_rate=587.2,
        open_rate_requested=587.2,
        open_date=now,
        exchange="alpaca",
        strategy="Bench",
        timeframe=1,
    )
    trade.orders.append(
        Order(
            ft_order_side="buy",
            ft_pair="SPY/USD",
            ft_is_open=True,
            ft_amount=10.0,
            ft_price=587.2,
            order_id=f"order-{number}",
            status="open",
            symbol="SPY/USD",
            order_type="limit",
            side="buy",
            price=587.2,
            amount=10.0,
            filled=0.0,
            remaining=10.0,
            cost=0.0,
            order_date=now,
        )
    )
    Trade.session.add(trade)
    Trade.commit()


def main():
    folder, rounds, each = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    init_db(f"sqlite:///{folder}/freqtrade.sqlite")
    one_order(0)
    taken = []
    for turn in range(rounds):
        started = time.perf_counter()
        for number in range(each):
            one_order(1 + turn * each + number)
        taken.append((time.perf_counter() - started) / each)
    print(statistics.median(taken))


main()
