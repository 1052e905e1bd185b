"""From a strategy's wish to its recorded answer, against alpaca-py's bare `submit_order` on the same exchange.

Ours checks the wish, commits the intent, sends, and commits the answer, on SQLite with every commit synced; the anchor
sends and parses. Orders are limits far below the market, so that nothing fills while we measure.

    python -m benchmarks.submit
"""

import sys
import tempfile
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path

from alpaca.trading.client import TradingClient
from alpaca.trading.enums import OrderSide, TimeInForce
from alpaca.trading.requests import LimitOrderRequest

from benchmarks.commit import NOW, Desk
from benchmarks.timing import Result, interleaved
from gambler_ai.broker.alpaca import AlpacaGateway
from gambler_ai.broker.endpoint import check_endpoint
from gambler_ai.clock import ExchangeClock
from gambler_ai.domain.orders import Order, OrderStatus, Side, Wish
from gambler_ai.domain.risk import Limits
from gambler_ai.operations.rehearsal import Rehearsal
from gambler_ai.trading.order_desk import DeskRules, OrderDesk

ROUNDS, EACH = 30, 20
BAR, GOAL = 1.6, 1.3
NO_LIMIT = 1_000_000_000
FAR_BELOW = Decimal("1.00")
SHARED_SECRET = "benchmark-only-no-secret"


class NeverStopped:
    sends_nothing = False

    def is_set(self) -> bool:
        return False


def ours(url: str, folder: Path) -> tuple[Callable[[], None], Callable[[], None]]:
    """The whole order road on a fresh database, and how to close it."""
    clock = ExchangeClock()
    clock.observe(NOW)
    gateway = AlpacaGateway(check_endpoint(url), "PKBENCHOURS", SHARED_SECRET, clock, max_posts_per_minute=NO_LIMIT)
    desk = Desk(f"sqlite:///{folder / 'ours.db'}", folder, account_id=gateway.account().account_id)
    limits = Limits(max_open_orders=NO_LIMIT)
    road = OrderDesk(desk.state, gateway, clock, NeverStopped(), limits, DeskRules(), dict)
    numbers = count()

    def one_order() -> None:
        wish = Wish("SPY", Side.BUY, Decimal(1), type="limit", limit_price=FAR_BELOW, reason="benchmark")
        placed = road.place(desk.session, wish, f"bar:{next(numbers)}:0", NOW + timedelta(hours=1))
        assert isinstance(placed, Order), placed
        assert placed.status is OrderStatus.WORKING, placed
        desk.state.book.orders.clear()  # as if finished long ago: a real book holds few open orders

    def close() -> None:
        desk.close()
        gateway.close()

    return one_order, close


def bare(url: str) -> Callable[[], None]:
    client = TradingClient("PKBENCHBARE", SHARED_SECRET, paper=True, url_override=url)
    numbers = count()

    def one_order() -> None:
        client.submit_order(
            LimitOrderRequest(
                symbol="SPY",
                qty=1,
                side=OrderSide.BUY,
                time_in_force=TimeInForce.DAY,
                limit_price=float(FAR_BELOW),
                client_order_id=f"bare-{next(numbers)}",
            )
        )

    return one_order


def measure(folder: Path, rounds: int = ROUNDS, each: int = EACH) -> Result:
    with Rehearsal(folder, "synthetic:7", NOW, speed="manual") as stage:
        url = f"http://{stage.address}"
        place, close = ours(url, folder)
        try:
            median = interleaved({"ours": place, "anchor": bare(url)}, rounds=rounds, each=each)
        finally:
            close()
    return Result("submit (sqlite)", median["ours"], median["anchor"], BAR, GOAL)


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="bench-submit-") as name:
        result = measure(Path(name))
    print(result)
    return 0 if result.holds else 1


if __name__ == "__main__":
    sys.exit(main())
