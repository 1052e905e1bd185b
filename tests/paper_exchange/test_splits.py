"""A split changes shares and prices at one moment, so that nobody is richer or poorer for it."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from gambler_ai.paper_exchange.exchange import Exchange
from gambler_ai.paper_exchange.lab_trading import corporate_action
from gambler_ai.paper_exchange.shelf import Shelf
from gambler_ai.paper_exchange.synthetic import Synthetic

from .rig import FRIDAY_OPEN, Desk, wall


def split(desk: Desk, ratio: str, symbol: str = "AAA") -> None:
    corporate_action(desk.exchange, {"type": "split", "symbol": symbol, "ratio": ratio})


def equity(desk: Desk) -> Decimal:
    return Decimal(desk.get("/v2/account")["equity"])


@pytest.mark.parametrize("ratio", ["4", "0.1", "3"])
def test_equity_is_the_same_before_and_after_and_with_the_next_bars(ratio: str) -> None:
    desk = Desk(Exchange.open(":memory:", Synthetic(7), FRIDAY_OPEN + timedelta(minutes=30), wall, 0, 0))
    desk.order(symbol="SPY", qty="20")
    before, whole = equity(desk), desk.get("/v2/stocks/SPY/bars/latest")["bar"]["c"]
    split(desk, ratio, "SPY")
    assert abs(equity(desk) - before) < Decimal("0.5")
    desk.pass_time(minutes=1)
    assert abs(equity(desk) - before) < 30, "a minute of the market, and no more"
    bar = desk.get("/v2/stocks/SPY/bars/latest")["bar"]
    assert abs(bar["c"] * float(ratio) / whole - 1) < 0.005
    assert bar["l"] <= min(bar["o"], bar["c"]) <= max(bar["o"], bar["c"]) <= bar["h"]
    position = desk.get("/v2/positions/SPY")
    assert abs(Decimal(position["change_today"])) < Decimal("0.05"), "yesterday's close is of the new shares, too"


def test_what_was_before_a_split_stays_as_it_was(desk: Desk) -> None:
    asked = {"timeframe": "1Min", "start": "2026-11-20"}
    desk.pass_time(minutes=2)
    before = desk.get("/v2/stocks/AAA/bars", **asked)["bars"]
    split(desk, "4")
    assert desk.get("/v2/stocks/AAA/bars", **asked)["bars"] == before
    assert desk.get("/v2/stocks/AAA/quotes/latest")["quote"]["bp"] == 24.99
    desk.pass_time(minutes=1)
    after = desk.get("/v2/stocks/AAA/bars", **asked)["bars"]
    assert (after[-1]["c"], after[-1]["v"], after[:-1]) == (25.0, 2000, before)
    assert desk.get("/v2/stocks/BBB/bars/latest")["bar"]["c"] == 50.0
    day = desk.get("/v2/stocks/AAA/bars", timeframe="1Day", start="2026-11-20")["bars"]
    assert [(bar["o"], bar["l"], bar["c"]) for bar in day] == [(100.0, 25.0, 25.0)]


def test_orders_after_a_split_fill_at_the_new_prices(desk: Desk) -> None:
    split(desk, "4")
    bought = desk.order(qty="1")
    assert desk.get(f"/v2/orders/{bought}")["filled_avg_price"] == "25.01"
    resting = desk.order(qty="1", type="limit", limit_price="25", side="buy")
    desk.pass_time(minutes=2)
    assert desk.status(resting) == "new"


def test_a_price_of_the_lab_is_split_too(desk: Desk) -> None:
    desk.price("80", "82", "81")
    split(desk, "2")
    quote = desk.get("/v2/stocks/AAA/quotes/latest")["quote"]
    assert (quote["bp"], quote["ap"]) == (40.0, 41.0)


def test_splits_are_stored_and_restored(open_desk: Callable[..., Desk], tmp_path: Path) -> None:
    first = open_desk(state=tmp_path / "exchange.db")
    shelf = Shelf(":memory:")
    shelf.put("whole", first.exchange)
    split(first, "4")
    split(first, "2")
    first.exchange.close()
    second = open_desk(state=tmp_path / "exchange.db")

    def price(desk: Desk) -> Any:
        return desk.get("/v2/stocks/AAA/quotes/latest")["quote"]["ap"]

    assert price(second) == 12.51
    assert price(Desk(second.exchange.twin())) == 12.51
    shelf.take("whole", second.exchange)
    assert price(second) == 100.01
