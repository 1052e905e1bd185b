"""Protection: whatever a position wants as exits, the exchange has them, and never for more shares than there are."""

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import pytest

from gambler_ai.domain.facts import Fact
from gambler_ai.domain.orders import OrderStatus, Role
from gambler_ai.domain.policy import Policy
from gambler_ai.domain.sessions import SessionStatus
from gambler_ai.errors import DatabaseUnavailable
from gambler_ai.face_status import print_status, status_of
from gambler_ai.paper_exchange import actions
from gambler_ai.storage.reading import reading
from gambler_ai.trading.maintenance import reconcile
from gambler_ai.trading.recovery import APART_S
from tests.trading.rig import BRACKETED, BUY, KEYS, PROTECTED, SELL, Rig


def test_bought_shares_get_their_stop(rig: Rig) -> None:
    rig.bought()
    rig.protection.run()
    assert rig.live_exits() == [("stop", "10", "95", "new")]
    assert rig.protection.decision().exposed == {}


def test_a_second_pass_does_nothing(rig: Rig) -> None:
    rig.bought()
    rig.protection.run()
    sent = rig.desk.requests
    assert rig.protection.run() == []
    assert rig.desk.requests == sent


def test_recovery_places_the_stop_that_a_crash_prevented(rig_on_both: Rig) -> None:
    rig = rig_on_both
    rig.bought()
    recovery = rig.restart()
    assert rig.live_exits() == [("stop", "10", "95", "new")]
    assert [action.reason for action in recovery.applied if action.row == "R3"] == [
        "10 of 10 shares had no exit: a stop at 95, until cancelled"
    ]


def test_a_stop_that_only_goes_from_pending_new_to_new_needs_no_further_look(rig: Rig) -> None:
    rig.bought()
    recovery = rig.restart()
    assert [action.row for action in recovery.applied] == ["R3", "R13"]
    assert dict(recovery.steps.done)["prove"] < APART_S
    assert rig.restart().applied == []


def test_stop_and_target_live_as_one_oco(rig: Rig) -> None:
    rig.bought(BRACKETED)
    rig.protection.run()
    assert rig.live_exits() == [("limit", "10", "120", "new"), ("stop", "10", "95", "held")]
    roles = {o.role for o in rig.state.book.orders.values() if o.status is OrderStatus.WORKING}
    assert roles == {Role.STOP, Role.TAKE_PROFIT}


def test_a_strategys_exit_waits_until_the_stop_has_let_go_of_the_shares(rig: Rig) -> None:
    rig.bought()
    rig.protection.run()
    order = rig.placed(SELL, key="bar:two:0")
    assert order.status is OrderStatus.PLANNED
    rig.protection.run()
    rig.pass_time(60)
    rig.recovery.run()
    assert [o["status"] for o in rig.at_exchange()] == ["filled", "canceled", "filled"]
    assert rig.shares == {}


def test_what_a_partial_exit_leaves_is_protected_again(rig: Rig) -> None:
    rig.bought()
    rig.protection.run()
    rig.placed(replace(SELL, qty=Decimal(4)), key="bar:two:0")
    rig.protection.run()
    rig.pass_time(60)
    rig.recovery.run()
    assert rig.shares == {("AAA", "alpha"): Decimal(6)}
    assert rig.live_exits() == [("stop", "6", "95", "new")]


def test_a_stop_that_fired_while_nobody_looked_closes_the_position(rig: Rig) -> None:
    rig.bought(replace(PROTECTED, stop_loss=Decimal("101.50")))
    rig.protection.run()
    rig.close()
    rig.pass_time(600)
    rig.open()
    rig.recovery.run()
    assert rig.shares == {}
    assert rig.live_exits() == []


def test_a_group_whose_head_was_cancelled_by_hand_protects_nothing_although_nobody_told_of_its_leg(rig: Rig) -> None:
    rig.bought(BRACKETED)
    rig.protection.run()
    head = next(order for order in rig.at_exchange() if order["type"] == "limit")
    assert rig.exchange.request("DELETE", f"/v2/orders/{head['id']}", {}, None, *KEYS).status == 204
    seen = rig.parts.gateway.order_by_id(head["id"])
    assert seen is not None
    rig.desk.found(rig.order(head["client_order_id"]), replace(seen, legs=()), "event canceled")
    rig.protection.mark()
    rig.protection.run()
    assert rig.live_exits() == [("limit", "10", "120", "new"), ("stop", "10", "95", "held")]
    assert len([order for order in rig.at_exchange() if order["type"] == "limit"]) == 2


def test_a_cancel_that_was_lost_is_repeated_however_much_else_happens(rig: Rig) -> None:
    rig.bought()
    rig.protection.run()
    rig.placed(SELL, key="bar:two:0")
    rig.weather.posts = ["lost before"]
    rig.protection.run()
    for _ in range(8):
        rig.clock.sleep(0.3)
        rig.protection.mark()  # news of another order
        rig.protection.run()
    assert rig.live_exits() == []
    assert [o["type"] for o in rig.at_exchange() if o["side"] == "sell"] == ["stop", "market"]


SWITCHES = [
    {"oco_loser_status": loser, "emit_held_cancel": told, "stop_fires_as_new_order": fired}
    for loser in ("canceled", "replaced")
    for told in ("true", "false")
    for fired in ("true", "false")
]


@pytest.mark.parametrize("switches", SWITCHES, ids=lambda s: "-".join(s.values()))
@pytest.mark.parametrize(("stop", "target"), [("101.50", "120"), ("90", "102.50")], ids=["stopped out", "took profit"])
def test_however_the_broker_ends_a_group_the_books_end_flat(
    rig: Rig, switches: dict[str, str], stop: str, target: str
) -> None:
    rig.exchange.venue.switches.set(switches)
    rig.bought(replace(PROTECTED, stop_loss=Decimal(stop), take_profit=Decimal(target)))
    rig.protection.run()
    rig.pass_time(600)
    rig.recovery.run()
    assert (rig.shares, rig.exchange.truth(None)["positions"], rig.live_exits()) == ({}, [], [])
    assert {p.exit_reason for p in rig.closed()} == {"stop at 101.5" if stop == "101.50" else "target at 102.5"}


def test_a_group_that_oversold_is_booked_as_it_happened(rig: Rig) -> None:
    rig.exchange.venue.switches.set({"both_exits_fill": "true"})
    rig.bought(replace(PROTECTED, stop_loss=Decimal("101.50"), take_profit=Decimal("120")))
    rig.protection.run()
    rig.pass_time(600)
    rig.recovery.run()
    assert rig.shares == {("AAA", "alpha"): Decimal(-10)}
    assert rig.live_exits() == []


def test_the_rest_of_a_partly_executed_target_stays_protected(rig: Rig) -> None:
    rig.bought(replace(BRACKETED, take_profit=Decimal("102.50")))
    rig.protection.run()
    rig.exchange.venue.partial_fill_rate = Decimal(1)
    while not [o for o in rig.at_exchange() if o["status"] == "partially_filled"]:
        rig.pass_time(60)
    rig.recovery.run()
    left = rig.shares["AAA", "alpha"]
    assert {Decimal(qty) for _, qty, _, _ in rig.live_exits()} == {left}
    assert rig.protection.run() == []


def test_an_exit_taken_off_by_another_hand_is_put_back(rig: Rig) -> None:
    rig.bought()
    rig.protection.run()
    rig.cancel_by_hand(rig.at_exchange()[-1])
    rig.recovery.run()
    assert rig.live_exits() == [("stop", "10", "95", "new")]


def test_who_takes_it_off_again_and_again_is_answered_ever_more_slowly(rig: Rig) -> None:
    rig.bought()
    for _ in range(30):
        rig.protection.run()
        for order in rig.at_exchange():
            if order["status"] == "new":
                rig.cancel_by_hand(order)
        rig.recovery.reconciler.round()
        rig.protection.mark()
        rig.clock.sleep(0.25)
    assert len([o for o in rig.at_exchange() if o["type"] == "stop"]) <= 6


def test_after_a_split_the_stop_stands_on_the_tick_grid(rig: Rig) -> None:
    rig.held(PROTECTED)
    actions.split(rig.exchange.venue, "AAA", Decimal(3))
    rig.exchange.commit()
    rig.recovery.run()
    assert rig.live_exits() == [("stop", "30", "31.67", "new")]


def test_an_exit_of_somebody_else_counts_and_is_left_alone(rig: Rig) -> None:
    rig.bought()
    rig.by_hand("AAA", "10", "sell", type="limit", limit_price="130", time_in_force="gtc")
    rig.recovery.run()
    assert rig.live_exits() == [("limit", "10", "130", "new")]


def test_when_shares_are_sold_by_hand_their_stop_goes_with_them(rig: Rig) -> None:
    rig.bought()
    rig.protection.run()
    rig.cancel_by_hand(rig.at_exchange()[-1])
    rig.by_hand("AAA", "6", "sell")
    rig.pass_time(60)
    rig.recovery.run()
    assert rig.live_exits() == [("stop", "4", "95", "new")]


def test_shares_of_no_strategy_are_protected_only_when_asked_for(rig: Rig) -> None:
    rig.by_hand("BBB", "8")
    rig.pass_time(60)
    rig.recovery.run()
    assert rig.live_exits() == []
    rig.protection.rules = replace(rig.protection.rules, external_pct=Decimal(10))
    rig.recovery.run()
    assert [(kind, qty) for kind, qty, _, _ in rig.live_exits()] == [("stop", "8")]
    assert rig.blocks.all() == {}


def test_a_waiver_places_nothing_and_still_cancels_what_is_too_much(rig: Rig) -> None:
    rig.bought()
    rig.protection.run()
    rig.protection.rules = replace(rig.protection.rules, place=False)
    rig.placed(replace(SELL, qty=Decimal(4)), key="bar:two:0")
    rig.protection.run()
    rig.pass_time(60)
    rig.recovery.run()
    assert (rig.shares, rig.live_exits()) == ({("AAA", "alpha"): Decimal(6)}, [])


def test_what_a_session_waived_nobody_places_without_a_session_and_status_says_so(
    rig: Rig, capsys: pytest.CaptureFixture[str]
) -> None:
    rig.protection.rules = replace(rig.protection.rules, place=False)
    rig.protection.waive(rig.session.session_id)
    rig.bought()
    rig.protection.run()
    rig.pass_time(60)
    rig.recovery.run()
    assert rig.blocks.all() == {}
    rig.close()
    for dry_run in (True, False):
        reconcile(rig.opened_anew(), dry_run=dry_run)
    assert rig.live_exits() == []
    with reading(rig.database_url, "default") as reader:
        status = status_of(reader, rig.folder, "default")
    assert status["blocks"] == []
    print_status(status)
    assert "exits     no protection was asked for (--no-protect): none for AAA\n" in capsys.readouterr().out
    rig.open()
    rig.state.step_session(rig.session, SessionStatus.ACTIVE)
    with reading(rig.database_url, "default") as reader:
        assert [block["kind"] for block in status_of(reader, rig.folder, "default")["blocks"]] == ["unprotected"]
    rig.recovery.run()
    assert [(kind, qty) for kind, qty, _, _ in rig.live_exits()][:1] == [("stop", "10")]


def test_a_fraction_of_a_share_is_protected_for_the_day_and_again_the_next_one(rig: Rig) -> None:
    rig.bought(replace(BRACKETED, qty=Decimal("2.5")))
    rig.protection.run()
    assert [(o["time_in_force"], o["stop_price"]) for o in rig.at_exchange()[1:]] == [("day", "95")]
    rig.pass_time(7 * 3600)
    rig.recovery.run()
    assert [o["status"] for o in rig.at_exchange()[1:]] == ["expired", "accepted"]


def test_shares_of_an_entry_that_stays_half_filled_are_protected_after_the_alarm(rig: Rig) -> None:
    rig.exchange.venue.partial_fill_rate = Decimal(1)
    rig.bought(replace(PROTECTED, type="limit", limit_price=Decimal("102.01"), time_in_force="gtc"))
    rig.protection.run()
    assert [o["status"] for o in rig.at_exchange()] == ["partially_filled"]
    rig.clock.sleep(11)
    rig.protection.run()
    assert [o["status"] for o in rig.at_exchange()] == ["canceled", "new"]
    assert "AAA" in rig.blocks.all() or rig.protection.run() == []


def test_an_alarm_is_raised_blocks_entries_and_ends(rig: Rig) -> None:
    rig.bought()
    rig.weather.posts = [(403, {"code": 40310000, "message": "no"})] * 8
    for _ in range(12):
        rig.protection.run()
        rig.clock.sleep(1)
    assert "403" in rig.blocks.all()["AAA"]
    rig.protection.see_through(30, lambda: False)
    assert rig.blocks.all() == {}
    assert [k for k in rig.kinds() if k.startswith("protection.")] == ["protection.alarm", "protection.restored"]


@pytest.mark.parametrize(("emergency", "left"), [("hold", 10), ("flatten", 0)])
def test_after_a_minute_without_an_exit_the_emergency_policy_holds(rig: Rig, emergency: str, left: int) -> None:
    rig.bought()
    rig.protection.rules = replace(rig.protection.rules, emergency=emergency)
    rig.weather.posts = [(403, {"code": 40310000, "message": "no"})] * 11
    for _ in range(70):
        rig.protection.run()
        rig.clock.sleep(1)
    rig.pass_time(120)
    rig.recovery.run()
    assert sum(rig.shares.values()) == left


def test_exits_in_the_direction_the_broker_does_not_have_are_cancelled(rig: Rig) -> None:
    rig.bought()
    rig.protection.run()
    rig.the_broker_shows(AAA="-5")
    rig.rounds(4)
    rig.protection.learn(rig.recovery.reconciler.round())
    rig.protection.run()
    assert rig.live_exits() == []


def test_a_confirmed_mismatch_is_protected_with_the_brokers_quantity(rig: Rig) -> None:
    rig.bought()
    rig.protection.run()
    rig.the_broker_shows(AAA="6")
    rig.rounds(4)
    rig.protection.learn(rig.recovery.reconciler.round())
    rig.protection.run()
    assert rig.live_exits() == [("stop", "6", "95", "new")]


def test_shares_just_imported_get_a_stop_of_their_own_number(rig: Rig) -> None:
    rig.protection.rules = replace(rig.protection.rules, external_pct=Decimal(10))
    rig.placed(BUY)
    rig.pass_time(60)
    rig.recovery.run()
    rig.the_broker_shows(AAA="10", BBB="8")
    rig.recovery.wait_for_confirmations = True
    rig.recovery.confirm(rig.recovery.reconciler.round())
    assert rig.shares["BBB", "EXTERNAL"] == 8
    wanted = "SELECT quantity FROM order_journal WHERE symbol = 'BBB' AND kind = 'order.intended'"
    with rig.parts.database.connect() as connection:
        assert {Decimal(qty) for (qty,) in connection.exec_driver_sql(wanted)} == {8}


def test_an_adopted_quantity_is_protected_by_its_own_number(rig: Rig) -> None:
    rig.bought()
    rig.protection.run()
    rig.policy = Policy(mismatch="adopt")
    rig.the_broker_shows(AAA="7")
    rig.close()
    reconcile(rig.opened_anew(), dry_run=False)
    rig.open()
    assert rig.shares == {("AAA", "alpha"): Decimal(7)}
    assert rig.live_exits() == [("stop", "7", "95", "new")]


@pytest.mark.parametrize("kind", ["protection.alarm", "protection.restored"])
def test_what_the_journal_did_not_take_of_an_alarm_is_written_later(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    rig.bought()
    rig.weather.posts = [(403, {"code": 40310000, "message": "no"})] * 8
    real, away = rig.state.record, [True]

    def record(facts: Sequence[Fact], *, with_strategy: bool = False) -> None:
        if away and facts[0].kind == kind:
            away.pop()
            raise DatabaseUnavailable("the database restarts")
        real(facts, with_strategy=with_strategy)

    monkeypatch.setattr(rig.state, "record", record)
    for _ in range(30):
        with contextlib.suppress(DatabaseUnavailable):
            rig.protection.run()
        rig.clock.sleep(1)
    assert away == []
    assert [k for k in rig.kinds() if k.startswith("protection.")] == ["protection.alarm", "protection.restored"]


def moved(rig: Rig, times: int) -> str:
    """Shares whose stop somebody moved so often since anybody looked; the id of the stop that works now."""
    rig.bought()
    rig.protection.run()
    stop = str(rig.at_exchange()[-1]["id"])
    for number in range(times):
        rig.pass_time(1)
        stop = rig.replace_by_hand(stop, str(94 - number))
    rig.pass_time(1)
    return stop


def test_a_stop_moved_twice_between_two_looks_is_still_ours(rig: Rig) -> None:
    stop = moved(rig, 2)
    rig.recovery.run()
    order = rig.state.book.order_by_broker_id(stop)
    assert order is not None
    assert (order.role, order.owner) == (Role.STOP, "alpha")


@pytest.mark.parametrize("times", [1, 2])
def test_a_strategys_exit_leaves_although_its_stop_was_moved(rig: Rig, times: int) -> None:
    moved(rig, times)
    rig.recovery.run()
    rig.placed(SELL, "bar:two:0")
    for _ in range(5):
        rig.protection.run()
        rig.clock.sleep(1)
    rig.pass_time(120)
    rig.recovery.run()
    assert (rig.shares, rig.live_exits()) == ({}, [])
