"""Closing orders hold shares, and together never more than there are (reference 4.2 and 16)."""

from decimal import Decimal
from typing import Any

import pytest

from gambler_ai.paper_exchange import actions
from gambler_ai.paper_exchange.faults import Faults

from .rig import Desk

BRACKET = {"order_class": "bracket", "take_profit": {"limit_price": "105"}, "stop_loss": {"stop_price": "95"}}


@pytest.fixture
def parts(desk: Desk) -> Faults:
    """Fills in parts, forced by fault rules."""
    faults = Faults(lambda: Decimal(0))
    desk.exchange.venue.fault = faults.on_order
    return faults


def switch(desk: Desk, **switches: Any) -> None:
    desk.exchange.venue.switches.set(switches)


def held(desk: Desk, symbol: str = "AAA") -> Decimal:
    """As the orders have it, not as the position shows it."""
    account = desk.exchange.account_of(desk.key, desk.secret)
    return sum((order.held for order in desk.exchange.venue.book.alive(account or "", symbol)), Decimal(0))


def position(desk: Desk) -> str:
    found = desk.get("/v2/positions")
    return found[0]["qty"] if found else "0"


def entered_in_parts(desk: Desk, parts: Faults, protected: str) -> list[str]:
    """A bracket of ten, filled 4 and 6; in between some shares are protected by hand. The ids of its three orders."""
    parts.add({"act": "partial_fill", "qty": "4", "times": 1})
    entry = desk.send(time_in_force="gtc", **BRACKET)[1]
    desk.order(side="sell", type="stop", stop_price="96", qty=protected, time_in_force="gtc")
    desk.price("99.99", "100.01", "100")
    return [entry["id"], *(leg["id"] for leg in entry["legs"])]


def test_legs_that_wake_take_what_other_orders_leave(desk: Desk, parts: Faults) -> None:
    _, profit, stop = entered_in_parts(desk, parts, "4")
    assert (position(desk), held(desk)) == ("10", Decimal(10))
    assert [desk.get(f"/v2/orders/{one}")["qty"] for one in (profit, stop)] == ["6", "6"]
    desk.price("90", "90.1", "90")
    assert position(desk) == "0", "both stops together sell what there is"


def test_a_leg_that_wakes_to_nothing_is_rejected(desk: Desk) -> None:
    switch(desk, both_exits_fill=True)
    desk.order(qty="10")
    entry = desk.send(type="limit", limit_price="99", time_in_force="gtc", **BRACKET)[1]
    desk.order(
        side="sell",
        type="limit",
        limit_price="99.99",
        order_class="oco",
        time_in_force="gtc",
        take_profit={"limit_price": "99.99"},
        stop_loss={"stop_price": "95"},
    )
    assert position(desk) == "-10", "both exits of the oco have sold"
    frames = desk.listen()
    desk.price("98.5", "98.9", "98.9")
    assert position(desk) == "0"
    assert [(frame["event"], frame["order"]["id"]) for frame in frames] == [
        ("fill", entry["id"]),
        ("rejected", entry["legs"][0]["id"]),
    ]
    assert desk.status(entry["legs"][1]["id"]) == "canceled"


def test_an_order_whose_shares_were_oversold_gives_way(desk: Desk) -> None:
    switch(desk, both_exits_fill=True)
    desk.order(qty="15")
    simple = desk.order(side="sell", type="limit", limit_price="120", qty="5", time_in_force="gtc")
    desk.order(
        side="sell",
        type="limit",
        order_class="oco",
        time_in_force="gtc",
        take_profit={"limit_price": "105"},
        stop_loss={"stop_price": "95"},
    )
    desk.price("105.1", "105.2", "105.1")
    assert position(desk) == "-5"
    assert (held(desk), desk.status(simple)) == (Decimal(0), "rejected")


def test_a_reverse_split_shrinks_the_exits_with_the_position(desk: Desk) -> None:
    """Legs are not adjusted by splits (5.3); but they cannot sell what is no longer there."""
    bracket = desk.send(time_in_force="gtc", **BRACKET)[1]
    actions.split(desk.exchange.venue, "AAA", Decimal("0.5"))
    desk.exchange.commit()
    assert [leg["qty"] for leg in desk.get(f"/v2/orders/{bracket['id']}", nested="true")["legs"]] == ["5", "5"]
    assert held(desk) == Decimal(5)
    desk.price("94.9", "95", "94.9")
    assert position(desk) == "0"


def test_a_notional_sale_leaves_the_shares_of_other_orders(desk: Desk) -> None:
    desk.order(qty="10")
    desk.order(side="sell", type="limit", limit_price="120", qty="5", time_in_force="gtc")
    desk.order(side="sell", type="stop", stop_price="90", qty=None, notional="450")
    desk.price("60", "60.02", "60")
    assert desk.get("/v2/positions/AAA")["qty"] == "5", "7.5 shares at 60 were wanted, five were free"
    desk.price("121", "121.1", "121")
    assert position(desk) == "0"


def test_a_notional_sale_in_parts_holds_what_it_has_left(desk: Desk, parts: Faults) -> None:
    desk.order(qty="10")
    desk.order(side="sell", type="stop", stop_price="90", qty=None, notional="450")
    parts.add({"act": "partial_fill", "qty": "2", "times": 1})
    desk.price("60", "60.02", "60")
    assert (position(desk), held(desk)) == ("8", Decimal("5.5"))
    assert desk.get("/v2/positions/AAA")["qty_available"] == "2.5"


def test_a_cancel_that_comes_too_late_fills_no_sleeping_leg(desk: Desk) -> None:
    """Row 11 of 5.2: a fill wins the race; a leg whose entry has not filled cannot win it."""
    switch(desk, cancel_seconds=30, cancel_outcome="filled")
    bracket = desk.send(type="limit", limit_price="98", **BRACKET)[1]
    desk.call("DELETE", f"/v2/orders/{bracket['legs'][0]['id']}")
    desk.pass_time(seconds=31)
    assert position(desk) == "0"
    assert {desk.status(one["id"]) for one in (bracket, *bracket["legs"])} == {"canceled"}


def test_a_leg_replaced_for_its_whole_quantity_holds_only_what_is_left(desk: Desk, parts: Faults) -> None:
    """5.4: after a partial fill the new order carries the original quantity, so a sale can exceed the position."""
    switch(desk, replace_original_qty=True)
    bracket = desk.send(time_in_force="gtc", **BRACKET)[1]
    parts.add({"act": "partial_fill", "qty": "4", "times": 1})
    desk.price("105.1", "105.2", "105.1")
    status, new = desk.call("PATCH", f"/v2/orders/{bracket['legs'][0]['id']}", {"limit_price": "106"})
    assert (status, new["qty"], held(desk)) == (200, "10", Decimal(6))
    desk.price("106.1", "106.2", "106.1")
    assert position(desk) == "-4"


def test_a_stop_whose_cancel_is_undecided_shrinks_with_its_group(desk: Desk, parts: Faults) -> None:
    switch(desk, cancel_seconds=60, cancel_outcome="rejected")
    parts.add({"act": "partial_fill", "qty": "4", "times": 1})
    entry = desk.send(time_in_force="gtc", **BRACKET)[1]
    desk.order(side="sell", qty="4")
    stop = entry["legs"][1]["id"]
    desk.call("DELETE", f"/v2/orders/{stop}")
    desk.price("99.99", "100.01", "100")
    assert [desk.get(f"/v2/orders/{leg['id']}")["qty"] for leg in entry["legs"]] == ["6", "6"]
    desk.price("94.9", "95", "94.9")
    assert position(desk) == "0"


def test_a_stop_that_fires_while_its_cancel_is_undecided_holds_its_shares(desk: Desk, parts: Faults) -> None:
    switch(desk, cancel_seconds=60, cancel_outcome="rejected")
    _, stop = (leg["id"] for leg in desk.send(time_in_force="gtc", **BRACKET)[1]["legs"])
    desk.call("DELETE", f"/v2/orders/{stop}")
    parts.add({"act": "partial_fill", "qty": "4", "times": 1})
    desk.price("94.9", "95", "94.9")
    assert (desk.status(stop), position(desk), held(desk)) == ("pending_cancel", "6", Decimal(6))
    assert desk.refused(side="sell", qty="1") == (403, 40310000)
