"""Whatever is ordered, the books of the exchange add up."""

import random
from collections import defaultdict
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from .rig import Desk

TERMINAL = {"filled", "canceled", "expired", "rejected"}


def trade_at_random(desk: Desk, seed: int, rounds: int = 120) -> None:
    """Orders of every kind, cancels, price moves and time, drawn from a seed; refusals are fine."""
    draw = random.Random(seed)
    ids: list[str] = []
    for _ in range(rounds):
        what = draw.random()
        symbol = draw.choice(["AAA", "BBB"])
        if what < 0.55:
            price = str(draw.randint(40, 130))
            kind = draw.choice(["market", "market", "limit", "stop"])
            order: dict[str, Any] = {"symbol": symbol, "side": draw.choice(["buy", "sell"]), "type": kind}
            order["qty"] = draw.choice(["1", "7", "100", "0.5", "3.141592653"])
            order["time_in_force"] = draw.choice(["day", "gtc"])
            if kind != "market":
                order[f"{kind}_price"] = price
            if draw.random() < 0.1:
                order |= {"qty": None, "notional": "333.33", "type": "market", "time_in_force": "day"}
                order.pop("limit_price", None), order.pop("stop_price", None)
            status, answer = desk.send(**order)
            assert status in (200, 403, 422)
            if status == 200:
                ids.append(answer["id"])
        elif what < 0.65 and ids:
            desk.call("DELETE", f"/v2/orders/{draw.choice(ids)}")
        elif what < 0.9:
            bid = draw.randint(4000, 13000)
            desk.price(str(Decimal(bid) / 100), str(Decimal(bid + 2) / 100), symbol=symbol)
        else:
            desk.pass_time(minutes=draw.choice([1, 5, 600]))


@pytest.mark.parametrize("seed", range(8))
def test_cash_positions_and_events_agree(open_desk: Callable[..., Desk], seed: int) -> None:
    desk = open_desk(rate="0.4", seed=seed)
    desk.listen()
    trade_at_random(desk, seed)
    truth = desk.exchange.truth()
    signed = defaultdict(Decimal)
    cash, cumulative = Decimal(100_000), defaultdict(Decimal)
    for fill in truth["executions"]:
        sign = 1 if fill["side"] == "buy" else -1
        signed[fill["symbol"]] += sign * Decimal(fill["qty"])
        cash -= sign * Decimal(fill["qty"]) * Decimal(fill["price"])
        cumulative[fill["order_id"]] += Decimal(fill["qty"])
        assert Decimal(fill["cum_qty"]) == cumulative[fill["order_id"]], "filled_qty only grows"
    assert {p["symbol"]: Decimal(p["qty"]) for p in truth["positions"]} == {s: q for s, q in signed.items() if q}
    account = desk.get("/v2/account")
    assert Decimal(account["cash"]) == cash
    values = [Decimal(position["market_value"]) for position in desk.get("/v2/positions")]
    assert Decimal(account["equity"]) == cash + sum(values)
    for position in desk.get("/v2/positions"):
        resting = desk.exchange.venue.book.alive(desk.exchange.account_of("KEY", "SECRET"), position["symbol"])
        held = sum(order.held for order in resting)
        assert 0 <= Decimal(position["qty_available"]) == abs(Decimal(position["qty"])) - held
    for order in truth["orders"]:
        assert Decimal(order["filled_qty"]) == cumulative[order["id"]]
        if order["qty"]:
            assert Decimal(order["filled_qty"]) <= Decimal(order["qty"])
    ended: set[str] = set()
    for frame in desk.frames:
        assert frame["order"]["id"] not in ended, "nothing happens to an order after its end"
        if frame["order"]["status"] in TERMINAL:
            ended.add(frame["order"]["id"])
    heard = [frame["execution_id"] for frame in desk.frames if frame["event"] in ("fill", "partial_fill")]
    assert heard == [fill["id"] for fill in truth["executions"]]
    assert len(set(heard)) == len(heard)
    times = [frame["timestamp"] for frame in desk.frames]
    assert times == sorted(times)


def test_the_same_seed_and_requests_give_the_same_world(open_desk: Callable[..., Desk]) -> None:
    first, second = (open_desk(rate="0.3", seed=5) for _ in range(2))
    for desk in (first, second):
        trade_at_random(desk, 99)
    assert first.exchange.truth() == second.exchange.truth()


def test_margin_buys_twice_the_equity_and_no_more(desk: Desk) -> None:
    assert desk.send(qty="1999")[0] == 200
    account = desk.get("/v2/account")
    assert Decimal(account["cash"]) < 0
    assert Decimal(account["buying_power"]) < 200
    assert desk.refused(qty="10") == (403, 40310000)


def test_last_equity_rolls_at_the_close(desk: Desk) -> None:
    desk.order(qty="100")
    desk.price("109.99", "110.01", "110")
    desk.exchange.advance_to(desk.exchange.now.replace(hour=15, minute=29))
    desk.price("109.99", "110.01", "110")
    desk.exchange.advance_to(desk.exchange.now.replace(hour=21))
    assert desk.get("/v2/account")["last_equity"] == desk.get("/v2/account")["equity"]
