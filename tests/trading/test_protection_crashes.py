"""A crash at each row of the protection tables (Q: placing, C: cancelling), a restart, and the exchange's record."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal

import pytest

from gambler_ai import crashpoints
from gambler_ai.broker.alpaca_mapping import order_fields
from gambler_ai.crashpoints import CrashPlan, SimulatedCrash
from gambler_ai.domain.orders import OrderStatus, Role, Side, Wish
from tests.trading.rig import BRACKETED, KEYS, NO_ORDER, PROTECTED, Rig

EXIT_ALL = Wish("AAA", Side.SELL, Decimal(10), Role.EXIT)
EXIT_SOME = replace(EXIT_ALL, qty=Decimal(4))
ONE_STOP = [("stop", "10", "95", "new")]


@contextmanager
def crash_at(point: str, passing: int = 1) -> Iterator[None]:
    crashpoints.arm(CrashPlan(point, passing, in_process=True))
    with pytest.raises(SimulatedCrash):
        yield
    crashpoints.arm(None)


def protected(rig: Rig, wish: Wish = PROTECTED) -> None:
    rig.bought(wish)
    rig.protection.run()


def never_oversold(rig: Rig) -> None:
    """No sell was ever executed beyond what had been bought: the account was never short."""
    held = Decimal(0)
    for execution in rig.exchange.truth(None)["executions"]:
        held += Decimal(execution["qty"]) * (1 if execution["side"] == "buy" else -1)
        assert held >= 0


def covered(rig: Rig, left: int | Decimal) -> None:
    """The exchange holds `left` shares, with exits for exactly as many, and a second recovery sends nothing."""
    assert sum(Decimal(p["qty"]) for p in rig.exchange.truth(None)["positions"]) == left
    assert sum(Decimal(qty) for _, qty, _, _ in rig.live_stops()) == left
    never_oversold(rig)
    assert rig.restart().requests == 0
    assert sum(Decimal(qty) for _, qty, _, _ in rig.live_stops()) == left


@pytest.mark.parametrize(
    ("point", "sent"),
    [
        ("protection.before_step", 0),  # Q0: the fill is committed, nothing else
        ("order.before_intent", 0),
        ("order.after_intent", 0),  # Q2: SENDING, not at the broker
        ("order.before_send", 0),
        ("order.after_send", 1),  # Q3: at the broker, no answer here
        ("order.before_outcome", 1),
        ("order.after_outcome", 1),
        ("protection.after_step", 1),
    ],
)
@pytest.mark.parametrize("wish", [PROTECTED, BRACKETED], ids=["stop", "oco"])
def test_a_crash_while_an_exit_is_placed_ends_with_exactly_one(rig: Rig, wish: Wish, point: str, sent: int) -> None:
    rig.bought(wish)
    with crash_at(point):
        rig.protection.run()
    legs = 2 if wish is BRACKETED else 1
    assert len(rig.at_exchange()) == 1 + sent * legs
    rig.restart()
    assert len(rig.at_exchange()) == 1 + legs
    covered(rig, 10)


@pytest.mark.parametrize("weather", ["lost before", "lost after", "unreachable"])
@pytest.mark.parametrize("wish", [PROTECTED, BRACKETED], ids=["stop", "oco"])
def test_an_exit_whose_answer_was_lost_is_placed_once(rig: Rig, wish: Wish, weather: str) -> None:
    rig.bought(wish)
    rig.weather.posts = [weather]
    rig.protection.run()
    rig.settle_for(10)
    rig.recovery.run()
    covered(rig, 10)


def test_q3_a_stop_whose_answer_was_lost_is_found_by_its_id_however_stale_the_lists_are(rig: Rig) -> None:
    rig.bought()
    with crash_at("order.after_send"):
        rig.protection.run()
    rig.weather.answers["/v2/orders"] = "[]"
    rig.restart()
    assert len(rig.at_exchange()) == 2
    del rig.weather.answers["/v2/orders"]
    covered(rig, 10)


def test_q4_the_leg_of_a_group_is_told_by_its_order_however_late(rig: Rig) -> None:
    rig.bought(BRACKETED)
    with crash_at("order.after_send"):
        rig.protection.run()
    rig.restart()
    known = {o.client_order_id: o for o in rig.state.book.orders.values() if o.status is OrderStatus.WORKING}
    assert {o.role for o in known.values()} == {Role.STOP, Role.TAKE_PROFIT}
    assert {o["client_order_id"] for o in rig.at_exchange()} >= set(known)
    assert {o.parent_id for o in known.values() if o.role is Role.STOP} <= set(known)


def test_q5_what_a_stop_that_fired_in_part_has_left_is_protected_or_sold(rig: Rig) -> None:
    protected(rig, replace(PROTECTED, stop_loss=Decimal("100.50")))
    rig.close()
    rig.exchange.venue.partial_fill_rate = Decimal(1)
    while not [o for o in rig.at_exchange() if o["status"] == "partially_filled"]:
        rig.pass_time(1)
    rig.open()
    rig.recovery.run()
    left = Decimal(rig.exchange.truth(None)["positions"][0]["qty"])
    assert 0 < left < 10
    covered(rig, left)


def test_q6_when_the_stop_of_a_group_fires_its_target_is_gone(rig: Rig) -> None:
    protected(rig, replace(BRACKETED, stop_loss=Decimal("101.50")))
    rig.pass_time(600)
    rig.restart()
    assert rig.shares == {}
    covered(rig, 0)


def test_q7_shares_that_come_while_a_resize_is_under_way_are_covered_too(rig: Rig) -> None:
    rig.exchange.venue.switches.set({"cancel_seconds": "30"})
    protected(rig)
    rig.placed(EXIT_SOME, key="bar:two:0")
    rig.protection.run()
    assert rig.live_exits() == []  # the stop is pending_cancel: it still counts as live
    assert rig.protection.decision().exposed == {}
    rig.pass_time(60)
    rig.restart()
    rig.pass_time(60)
    rig.recovery.run()
    covered(rig, 6)


@pytest.mark.parametrize(
    "point", ["order.before_intent", "order.after_intent", "cancel.before_intent", "cancel.after_intent"]
)
def test_q8_a_crash_in_a_strategys_exit_leaves_the_shares_sold_or_protected(rig: Rig, point: str) -> None:
    protected(rig)
    with crash_at(point):
        rig.place(EXIT_ALL, key="bar:two:0")
        rig.protection.run()
    rig.restart()
    rig.pass_time(60)
    rig.recovery.run()
    left = 10 if point == "order.before_intent" else 0
    covered(rig, left)


def cancel_lost(rig: Rig) -> None:
    rig.weather.posts = ["lost after"]


def cancel_never_arrived(rig: Rig) -> None:
    rig.weather.posts = ["lost before"]


@pytest.mark.parametrize("weather", [cancel_lost, cancel_never_arrived])
@pytest.mark.parametrize("wish", [PROTECTED, BRACKETED], ids=["stop", "oco"])
def test_c1_a_cancel_whose_answer_was_lost_is_read_again(rig: Rig, wish: Wish, weather: Callable[[Rig], None]) -> None:
    protected(rig, wish)
    rig.placed(EXIT_SOME, key="bar:two:0")
    weather(rig)
    rig.protection.see_through(60, lambda: False)
    rig.pass_time(60)
    rig.recovery.run()
    covered(rig, 6)


@pytest.mark.parametrize("status", [404, 422])
def test_c1_a_refused_cancel_is_no_error_but_a_reason_to_look(rig: Rig, status: int) -> None:
    protected(rig)
    rig.placed(EXIT_SOME, key="bar:two:0")
    rig.weather.posts = [(status, {"code": 42210000, "message": "order is already in a final state"})]
    rig.protection.see_through(60, lambda: False)
    rig.pass_time(60)
    rig.recovery.run()
    covered(rig, 6)


@pytest.mark.parametrize("outcome", ["filled", "rejected"])
def test_c2_a_cancel_that_came_too_late_is_no_cancel(rig: Rig, outcome: str) -> None:
    """The stop was executed, or works on, although the broker had taken the cancel."""
    rig.exchange.venue.switches.set({"cancel_seconds": "10", "cancel_outcome": outcome})
    protected(rig)
    rig.placed(EXIT_ALL, key="bar:two:0")
    rig.protection.run()
    rig.pass_time(60)
    rig.exchange.venue.switches.set({"cancel_seconds": "0", "cancel_outcome": "canceled"})
    rig.clock.sleep(5)
    rig.protection.see_through(60, lambda: False)
    rig.pass_time(60)
    rig.recovery.run()
    covered(rig, 0)


def test_c2_a_stop_that_fires_while_its_cancel_is_under_way_wins(rig: Rig) -> None:
    protected(rig, replace(PROTECTED, stop_loss=Decimal("101.50")))
    rig.placed(EXIT_ALL, key="bar:two:0")
    with crash_at("cancel.after_intent"):
        rig.protection.run()
    rig.close()
    rig.pass_time(600)
    rig.restart()
    assert rig.shares == {}
    covered(rig, 0)


@pytest.mark.parametrize(
    "point", ["cancel.after_intent", "cancel.after_send", "cancel.after_outcome", "protection.after_step"]
)
def test_c5_a_crash_between_the_cancel_and_the_new_stop_ends_with_the_new_stop(rig: Rig, point: str) -> None:
    protected(rig)
    rig.placed(EXIT_SOME, key="bar:two:0")
    with crash_at(point):
        rig.protection.run()
    rig.restart()
    rig.pass_time(60)
    rig.recovery.run()
    covered(rig, 6)


def test_an_exit_that_waited_too_long_while_we_were_down_is_given_up_and_the_shares_stay_protected(rig: Rig) -> None:
    protected(rig)
    rig.place(EXIT_ALL, key="bar:two:0")
    rig.close()
    rig.pass_time(600)
    rig.restart()
    covered(rig, 10)


def test_a_stop_nobody_can_find_is_placed_again_only_after_three_agreeing_reads(rig: Rig) -> None:
    rig.bought()
    rig.weather.posts = ["lost before"] * 5
    rig.protection.run()
    rig.weather.answers["/v2/orders:by_client_order_id"] = NO_ORDER
    rig.settle_for(60)
    del rig.weather.answers["/v2/orders:by_client_order_id"]
    rig.protection.run()
    covered(rig, 10)


@pytest.mark.parametrize("wish", [PROTECTED, BRACKETED], ids=["stop", "oco"])
def test_an_exit_that_arrives_when_its_shares_are_gone_opens_nothing(rig: Rig, wish: Wish) -> None:
    rig.bought(wish)
    with crash_at("order.before_send"):
        rig.protection.run()
    (late,) = [o for o in rig.state.book.orders.values() if o.role in (Role.STOP, Role.TAKE_PROFIT)]
    rig.by_hand(side="sell")
    rig.pass_time(60)
    arrived = rig.exchange.request("POST", "/v2/orders", {}, json.dumps(order_fields(late)), *KEYS)
    assert (arrived.status, len(rig.at_exchange())) == (422, 2)
    never_oversold(rig)
