"""Recovery: what was missed is booked, what nothing explains is confirmed first, and twice is as good as once."""

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from gambler_ai import crashpoints
from gambler_ai.crashpoints import CrashPlan, SimulatedCrash
from gambler_ai.domain.orders import OrderStatus, Role
from gambler_ai.domain.positions import EXTERNAL
from gambler_ai.errors import BrokerUnreachable
from gambler_ai.trading.maintenance import reconcile
from tests.trading.rig import BUY, KEYS, RESTING, Rig


def test_fills_missed_while_down_are_booked_once(rig_on_both: Rig) -> None:
    rig = rig_on_both
    rig.placed()
    rig.restart()
    assert rig.shares == {("AAA", "alpha"): Decimal(10)}
    rig.restart()
    assert rig.shares == {("AAA", "alpha"): Decimal(10)}
    assert rig.kinds().count("fill.booked") == 1


@pytest.mark.parametrize(("point", "booked"), [("transaction.before_commit", 0), ("transaction.after_commit", 2)])
def test_what_orders_did_meanwhile_is_booked_in_one_transaction(rig: Rig, point: str, booked: int) -> None:
    rig.placed()
    rig.placed(replace(BUY, symbol="BBB"), "bar:two:0")
    rig.pass_time(60)
    crashpoints.arm(CrashPlan(point, in_process=True))
    with pytest.raises(SimulatedCrash):
        rig.recovery.reconciler.round()
    assert rig.kinds().count("fill.booked") == booked
    rig.restart()
    assert rig.shares == {("AAA", "alpha"): Decimal(10), ("BBB", "alpha"): Decimal(10)}
    assert [(o["symbol"], o["filled_qty"]) for o in rig.at_exchange()] == [("AAA", "10"), ("BBB", "10")]
    assert rig.kinds().count("fill.booked") == 2
    rig.prove_the_chain()


def test_a_second_recovery_writes_its_report_and_nothing_else(rig_on_both: Rig) -> None:
    rig = rig_on_both
    rig.placed()
    rig.by_hand("BBB", "3")
    first, _ = reconciled(rig)
    second, rows = reconciled(rig)
    assert {action["row"] for action in first["plan"]} == {"R4"}
    assert (second["plan"], second["requests"], rows) == ([], 0, ["recovery.report"])


def reconciled(rig: Rig) -> tuple[dict[str, Any], list[str]]:
    """The report of `gambler reconcile`, and the journal rows it wrote but for the crash it found."""
    before = len(rig.kinds())
    rig.close()
    house = rig.opened_anew()
    code, report = reconcile(house, dry_run=False)
    assert code == 0
    rig.open()
    return report, [kind for kind in rig.kinds()[before:] if kind != "session.crashed"]


def test_shares_nothing_explains_are_imported_only_after_three_rounds_and_the_span(rig: Rig) -> None:
    rig.the_broker_shows(BBB="4")
    rig.rounds(3, apart_s=2)
    assert rig.shares == {}
    assert "BBB" in rig.blocks.all()
    rig.rounds(2, apart_s=2)
    assert rig.shares == {("BBB", EXTERNAL): Decimal(4)}
    assert [p.entry_price for p in rig.state.book.open_positions()] == [Decimal("77.5")]
    assert "BBB" not in rig.blocks.all()


def test_a_difference_that_goes_away_is_forgotten(rig: Rig) -> None:
    for _ in range(4):
        rig.the_broker_shows(BBB="4")
        rig.rounds(2, apart_s=5)
        rig.the_broker_shows()
        rig.rounds(1, apart_s=5)
    assert rig.shares == {}


def test_our_shares_that_the_broker_lost_are_closed_without_a_price(rig: Rig) -> None:
    rig.placed()
    rig.recovery.run()
    (held,) = rig.state.book.open_positions()
    rig.the_broker_shows()
    rig.rounds(5, apart_s=2)
    closed = rig.state.book.position(held.position_id)
    assert closed is not None
    assert (closed.quantity, closed.exit_price, closed.pnl) == (Decimal(0), None, None)
    assert "ORPHAN" in (closed.exit_reason or "").upper()


@pytest.mark.parametrize("broker", ["7", "-10"])
def test_both_sides_with_other_numbers_halt_the_symbol_and_change_no_books(rig: Rig, broker: str) -> None:
    rig.placed()
    rig.recovery.run()
    rig.the_broker_shows(AAA=broker)
    rig.rounds(5, apart_s=2)
    (halt,) = rig.state.records.active_halts()
    assert (halt.symbol, halt.evidence["ours"], halt.evidence["broker"]) == ("AAA", "10", broker)
    assert rig.shares == {("AAA", "alpha"): Decimal(10)}
    rig.rounds(5, apart_s=2)
    assert len(rig.state.records.active_halts()) == 1


def test_nothing_is_believed_while_an_order_of_ours_is_open_in_the_symbol(rig: Rig) -> None:
    rig.placed(RESTING)
    rig.the_broker_shows(AAA="4")
    rig.rounds(8, apart_s=5)
    assert rig.shares == {}


@pytest.mark.parametrize("path", ["/v2/positions", "/v2/orders", "/v2/account", "/v2/account/activities/FILL"])
def test_nothing_is_concluded_from_an_answer_that_makes_no_sense(rig: Rig, path: str) -> None:
    rig.placed()
    rig.weather.answers[path] = "<html>502</html>"
    rows = rig.kinds()
    with pytest.raises(BrokerUnreachable):
        rig.recovery.run()
    assert rig.kinds() == rows


def test_a_foreign_order_is_recorded_and_blocks_new_risk_in_its_symbol(rig: Rig) -> None:
    rig.by_hand("BBB", "3", type="limit", limit_price="10")
    rig.recovery.run()
    (order,) = rig.state.book.orders.values()
    assert (order.role, order.owner, order.status) == (Role.FOREIGN, EXTERNAL, OrderStatus.WORKING)
    assert rig.weather.sent == []


def test_an_order_of_our_form_that_these_books_do_not_know_blocks_its_symbol(rig: Rig) -> None:
    rig.by_hand(client_order_id="g1-e-beta-" + "a" * 20, type="limit", limit_price="50")
    rig.recovery.run()
    rig.blocks.refresh()
    assert "AAA" in rig.blocks.all()
    assert [action.row for action in rig.recovery.applied] == ["R11"]


def test_shares_of_somebody_else_follow_the_broker_when_they_change_without_a_word(rig: Rig) -> None:
    for shown, booked in (("4", Decimal(4)), ("6", Decimal(6)), ("3", Decimal(3))):
        rig.the_broker_shows(BBB=shown)
        rig.rounds(6)
        assert rig.shares == {("BBB", EXTERNAL): booked}
    rig.the_broker_shows()
    rig.rounds(6)
    assert (rig.shares, rig.state.records.active_halts()) == ({}, [])


def test_a_foreign_order_with_a_status_nobody_knows_is_followed_to_its_end(rig: Rig) -> None:
    order = rig.by_hand("BBB", "3", type="limit", limit_price="10")
    rig.weather.answers["/v2/orders"] = json.dumps([{**order, "status": "pending_review"}])
    rig.recovery.run()
    assert [o.status for o in rig.state.book.orders.values()] == [OrderStatus.IN_DOUBT]
    del rig.weather.answers["/v2/orders"]
    rig.exchange.request("DELETE", f"/v2/orders/{order['id']}", {}, None, *KEYS)
    rig.pass_time(1200)
    rig.rounds(2)
    assert rig.state.book.orders == {}


def test_every_answer_of_the_broker_in_a_long_recovery_is_progress(rig: Rig) -> None:
    assert rig.house is not None
    before = rig.house.progress.at
    rig.clock.sleep(40)
    rig.recovery.run()
    assert rig.house.progress.at >= before + 40
