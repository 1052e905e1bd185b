"""Every row of the lifecycle table: events, final states, fills, cash and positions, on the stream and over REST."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from gambler_ai.paper_exchange import actions
from gambler_ai.paper_exchange.faults import Faults

from .lifecycle import ROWS, Row
from .lifecycle_changes import CHANGE_ROWS
from .lifecycle_groups import GROUP_ROWS
from .rig import FRIDAY_OPEN, Desk

TABLE = {**ROWS, **CHANGE_ROWS, **GROUP_ROWS}
STARTS = {
    "pre": FRIDAY_OPEN - timedelta(minutes=90),
    "night": FRIDAY_OPEN - timedelta(hours=8),
    "evening": FRIDAY_OPEN - timedelta(hours=14),
    "after": FRIDAY_OPEN + timedelta(hours=7),
}
WORDS = {"tp": ("take_profit", "limit_price"), "sl": ("stop_loss", "stop_price"), "sll": ("stop_loss", "limit_price")}


class Play:
    """One row being played on a desk of its own."""

    def __init__(self, open_desk: Callable[..., Desk], row: Row) -> None:
        words = row.before.split()
        self.desk = open_desk(next((STARTS[word] for word in words if word in STARTS), FRIDAY_OPEN))
        self.venue = self.desk.exchange.venue
        self.faults = Faults(lambda: Decimal(0))
        self.venue.fault = self.faults.on_order
        if "pre" in words:
            self.quote("100/100.02")
        if "long" in words or "short" in words:
            self.desk.order(side="buy" if "long" in words else "sell")
        self.earlier = len(self._all())
        self.cash = Decimal(self.desk.get("/v2/account")["cash"])
        for word in words:
            name, is_setting, value = word.partition("=")
            if is_setting and name in ("part", "hold", "quote", "refuse"):
                getattr(self, name)(value)
            elif is_setting:
                self.venue.switches.set({name: value})
        self.desk.listen()

    def _all(self) -> list[Any]:
        account = self.desk.exchange.account_of(self.desk.key, self.desk.secret)
        return self.venue.book.by_account.get(account, [])

    def ids(self) -> list[str]:
        return [order.id for order in self._all()[self.earlier :]]

    def send(self, text: str) -> None:
        side, kind, tif, *rest = text.split()
        order: dict[str, Any] = {"side": side, "type": kind, "time_in_force": tif}
        for word in rest:
            name, _, value = word.partition("=")
            if name in WORDS:
                leg, field = WORDS[name]
                order.setdefault(leg, {})[field] = value
            elif name == "extended":
                order["extended_hours"] = True
            else:
                order |= {name: value} if value else {"order_class": name}
        if "notional" in order:
            order["qty"] = None
        self.desk.order(**order)

    def do(self, text: str) -> None:
        name, *words = text.split()
        {"replace!": self.replace_in_vain}.get(name, getattr(self, name.strip("!")))(*words)

    def quote(self, prices: str) -> None:
        self.desk.price(*prices.split("/"))

    def part(self, qty: str) -> None:
        self.faults.add({"act": "partial_fill", "qty": qty, "times": 1})

    def hold(self, seconds: str) -> None:
        self.faults.add({"act": "hold_cancel", "seconds": seconds, "times": 1})

    def refuse(self, times: str) -> None:
        self.faults.add({"act": "reject", "times": times})

    def cancel(self, number: str) -> None:
        assert self.desk.call("DELETE", f"/v2/orders/{self.ids()[int(number)]}")[0] == 204

    def replace(self, number: str, change: str, status: int = 200) -> None:
        name, _, value = change.partition("=")
        answered, _ = self.desk.call("PATCH", f"/v2/orders/{self.ids()[int(number)]}", {name: value})
        assert answered == status

    def replace_in_vain(self, number: str, change: str) -> None:
        self.replace(number, change, 422)

    def flat(self, how: str = "") -> None:
        if how == "all":
            assert self.desk.call("DELETE", "/v2/positions", cancel_orders="True")[0] == 207
            return
        name, _, value = how.partition("=")
        assert self.desk.call("DELETE", "/v2/positions/AAA", **({name: value} if how else {}))[0] == 200

    def wait(self, seconds: str) -> None:
        self.desk.wall.pass_time(int(seconds))
        self.desk.pass_time(seconds=int(seconds))

    def at(self, time: str) -> None:
        hour, minute = time.split(":")
        self.desk.exchange.advance_to(FRIDAY_OPEN.replace(hour=int(hour), minute=int(minute)))

    def open(self) -> None:
        self.desk.exchange.advance_to(FRIDAY_OPEN)

    def close(self) -> None:
        self.at("21:00")

    def night(self) -> None:
        self.desk.exchange.advance_to(FRIDAY_OPEN + timedelta(hours=10, minutes=30))

    def split(self, ratio: str) -> None:
        actions.split(self.venue, "AAA", Decimal(ratio))
        self.desk.exchange.commit()

    def delist(self) -> None:
        actions.delist(self.venue, "AAA")
        self.desk.exchange.commit()


def story(play: Play) -> str:
    ids = play.ids()
    return " ".join(f"{ids.index(frame['order']['id'])}{frame['event']}" for frame in play.desk.frames)


def fills_told(play: Play) -> str:
    ids = play.ids()
    told = [frame for frame in play.desk.frames if "price" in frame]
    return " ".join(f"{ids.index(one['order']['id'])}:{one['qty']}@{one['price']}" for one in told)


def fills_listed(play: Play) -> str:
    ids = play.ids()
    found = play.desk.get("/v2/account/activities/FILL", direction="asc")
    ours = [one for one in found if one["order_id"] in ids]
    return " ".join(f"{ids.index(one['order_id'])}:{one['qty']}@{one['price']}" for one in ours)


def cash_of(fills: str, sides: list[str]) -> Decimal:
    total = Decimal(0)
    for one in fills.split():
        number, _, trade = one.partition(":")
        qty, _, price = trade.partition("@")
        total += Decimal(qty) * Decimal(price) * (1 if sides[int(number)] == "sell" else -1)
    return total


def test_the_table_is_long_enough() -> None:
    assert len(TABLE) == len(ROWS) + len(CHANGE_ROWS) + len(GROUP_ROWS) >= 80


@pytest.mark.parametrize("name", TABLE)
def test_an_order_lives_as_the_table_says(open_desk: Callable[..., Desk], name: str) -> None:
    row = TABLE[name]
    play = Play(open_desk, row)
    if row.sent:
        play.send(row.sent)
    for act in filter(None, row.then.split("; ")):
        play.do(act)
    assert story(play) == row.story
    assert fills_told(play) == row.fills
    assert fills_listed(play) == row.fills, "REST and the stream tell the same"
    shown = [play.desk.get(f"/v2/orders/{one}") for one in play.ids()]
    assert " ".join(order["status"] for order in shown) == row.states
    for order in shown:
        told = [frame["order"] for frame in play.desk.frames if frame["order"]["id"] == order["id"]]
        if told and "held" not in (order["status"], told[-1]["status"]) and order["filled_qty"] == "0":
            assert told[-1]["status"] == order["status"]
        if told:
            assert told[-1]["filled_qty"] == order["filled_qty"]
    account = play.desk.get("/v2/account")
    assert Decimal(account["cash"]) == play.cash + cash_of(row.fills, [order["side"] for order in shown])
    held = {one["symbol"]: one["qty"] for one in play.desk.get("/v2/positions")}
    assert held.get("AAA", "0") == row.position
