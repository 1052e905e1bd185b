"""Inside a bar: orders meet every price on its way, each once, in the order it comes by (reference section 6)."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from random import Random

import pytest

from gambler_ai.paper_exchange.exchange import Exchange
from gambler_ai.paper_exchange.markets import open_market

from .flows import Flow
from .rig import FRIDAY_OPEN, HEADER, Desk, Wall

OpenBars = Callable[..., Desk]
UP, DOWN = "100,110,90,105", "100,110,90,95"
EXITS = {"take_profit": {"limit_price": "108"}, "stop_loss": {"stop_price": "92"}}


def quoted(bar: str, symbol_close: str) -> str:
    close = Decimal(symbol_close)
    return f"{bar},1000,{close - Decimal('0.01')},{close + Decimal('0.01')},100,100"


def write_bars(directory: Path, **bars: list[str]) -> str:
    """Minute bars as `open,high,low,close` from Friday's opening on, after a flat one; the spread is two cents."""
    directory.mkdir(exist_ok=True)
    for symbol, rows in bars.items():
        starts = [FRIDAY_OPEN + timedelta(minutes=n) for n in range(-1, len(rows))]
        first = rows[0].split(",")[0]
        lines = [quoted(row, row.split(",")[3]) for row in (",".join([first] * 4), *rows)]
        stamped = [f"{start:%Y-%m-%dT%H:%M:%SZ},{line}" for start, line in zip(starts, lines, strict=True)]
        (directory / f"{symbol}.csv").write_text("\n".join([HEADER, *stamped]) + "\n")
    return f"tape:{directory}"


@pytest.fixture
def open_bars(tmp_path: Path) -> Iterator[OpenBars]:
    """Open an exchange at Friday's opening on bars of AAA (and BBB)."""
    opened: list[Exchange] = []

    def open_one(*rows: str, other: tuple[str, ...] = (), rate: str = "0", seed: int = 1) -> Desk:
        market = open_market(write_bars(tmp_path / f"tape{len(opened)}", AAA=list(rows), BBB=list(other or rows)))
        wall = Wall()
        opened.append(Exchange.open(":memory:", market, FRIDAY_OPEN, wall, seed, Decimal(rate)))
        return Desk(opened[-1], wall=wall)

    yield open_one
    for exchange in opened:
        exchange._store.close()


def price_of(desk: Desk, order: str) -> str | None:
    return desk.get(f"/v2/orders/{order}")["filled_avg_price"]


@pytest.mark.parametrize(
    ("order", "price"),
    [
        ({"side": "sell", "type": "stop", "stop_price": "93"}, "92.99"),
        ({"side": "buy", "type": "stop", "stop_price": "107"}, "107.01"),
        ({"side": "buy", "type": "limit", "limit_price": "93"}, "93"),
        ({"side": "sell", "type": "limit", "limit_price": "107"}, "107"),
        ({"side": "buy", "type": "limit", "limit_price": "103"}, "100.01"),
        ({"side": "sell", "type": "stop_limit", "stop_price": "93", "limit_price": "92.5"}, "92.99"),
        ({"side": "sell", "type": "stop_limit", "stop_price": "93", "limit_price": "97"}, "97"),
        ({"side": "sell", "type": "stop", "stop_price": "89.99"}, None),
        ({"side": "buy", "type": "limit", "limit_price": "90"}, None),
    ],
    ids=str,
)
def test_an_order_inside_the_range_fills_at_its_level_within_the_bar(
    open_bars: OpenBars, order: dict[str, str], price: str | None
) -> None:
    desk = open_bars(UP)
    sent = desk.order(**order)
    desk.pass_time(minutes=1)
    assert price_of(desk, sent) == price


@pytest.mark.parametrize(
    ("order", "price"),
    [
        ({"side": "sell", "type": "stop", "stop_price": "95"}, "89.99"),
        ({"side": "buy", "type": "limit", "limit_price": "95"}, "90.01"),
    ],
)
def test_a_gap_fills_at_the_open(open_bars: OpenBars, order: dict[str, str], price: str) -> None:
    desk = open_bars("100,100,100,100", "90,91,89,90")
    sent = desk.order(**order)
    desk.pass_time(minutes=2)
    assert price_of(desk, sent) == price


@pytest.mark.parametrize(("bar", "role", "price"), [(UP, 1, "91.99"), (DOWN, 0, "108")])
def test_the_exit_that_comes_first_on_the_way_fills(open_bars: OpenBars, bar: str, role: int, price: str) -> None:
    desk = open_bars(bar)
    desk.order()
    oco = desk.order(side="sell", type="limit", time_in_force="gtc", order_class="oco", **EXITS)
    desk.pass_time(minutes=1)
    shown = desk.get(f"/v2/orders/{oco}", nested="true")
    both = [shown, shown["legs"][0]]
    assert both[role]["filled_avg_price"] == price
    assert both[1 - role]["status"] == "canceled"
    assert desk.get("/v2/positions") == []


def test_an_entry_and_its_stop_may_fill_in_one_bar(open_bars: OpenBars) -> None:
    desk = open_bars(DOWN)
    desk.order(type="limit", limit_price="97", order_class="bracket", time_in_force="gtc", **EXITS)
    desk.pass_time(minutes=1)
    fills = desk.get("/v2/account/activities/FILL", direction="asc")
    assert [(one["side"], one["price"]) for one in fills] == [("buy", "97"), ("sell", "91.99")]


def test_an_exit_meets_no_price_from_before_its_entry(open_bars: OpenBars) -> None:
    desk = open_bars(DOWN)
    desk.order(type="limit", limit_price="93", order_class="bracket", time_in_force="gtc", **EXITS)
    desk.exchange.venue.switches.set({"emit_held_cancel": True})
    desk.pass_time(minutes=1)
    fills = [one["price"] for one in desk.get("/v2/account/activities/FILL", direction="asc")]
    assert fills == ["93", "91.99"], "the high of 110 came before the entry, so the profit at 108 was never there"


def test_a_trailing_stop_follows_the_high_and_fires_on_the_way_down(open_bars: OpenBars) -> None:
    desk = open_bars(DOWN)
    desk.order()
    stop = desk.order(side="sell", type="trailing_stop", trail_price="3", time_in_force="gtc")
    desk.pass_time(minutes=1)
    assert price_of(desk, stop) == "106.99"


def test_an_order_sent_within_the_minute_meets_only_what_comes_after_it(open_bars: OpenBars) -> None:
    desk = open_bars(UP)
    desk.order()
    desk.pass_time(seconds=30)
    stop = desk.order(side="sell", type="stop", stop_price="92", time_in_force="gtc", qty="5")
    high = desk.order(side="sell", type="limit", limit_price="109", time_in_force="gtc", qty="5")
    desk.pass_time(seconds=30)
    assert (desk.status(stop), price_of(desk, high)) == ("new", "109"), "the low was at 22 seconds, the high at 45"


def test_a_side_without_a_quote_fills_nothing_on_the_way(open_bars: OpenBars, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = open_bars(UP)
    sent = desk.order(side="sell", type="limit", limit_price="107")
    market = desk.exchange.venue.market
    bars = [bar._replace(bid=Decimal(0)) for bar in market.bars_at(FRIDAY_OPEN + timedelta(minutes=1))]
    monkeypatch.setattr(market, "bars_at", lambda at, symbols=None: bars)
    desk.pass_time(minutes=1)
    assert desk.status(sent) == "new"


def test_many_orders_fill_each_at_its_own_level_in_the_order_of_the_way(open_bars: OpenBars) -> None:
    desk = open_bars(DOWN)
    desk.listen()
    sent = [desk.order(type="limit", limit_price=str(level), qty="1") for level in (91, 99, 95, 97, 93)]
    desk.pass_time(minutes=1)
    assert [frame["price"] for frame in desk.events_of("fill")] == ["99", "97", "95", "93", "91"]
    assert {desk.status(one) for one in sent} == {"filled"}


@pytest.mark.parametrize("seed", range(6))
def test_rough_bars_conserve_money_and_shares(open_bars: OpenBars, seed: int) -> None:
    draw = Random(seed)

    def rough(start: int) -> tuple[str, ...]:
        rows = []
        for _ in range(300):
            prices = [start + draw.randint(-20, 20) for _ in range(4)]
            rows.append(f"{prices[0]},{max(prices)},{min(prices)},{prices[3]}")
        return tuple(rows)

    desk = open_bars(*rough(80), other=rough(80), rate="0.2", seed=seed)
    flow = Flow(desk, seed)
    for _ in range(200):
        flow.step()
        desk.pass_time(minutes=1)
        flow.check()
    flow.prove_end()
    assert flow.executions
