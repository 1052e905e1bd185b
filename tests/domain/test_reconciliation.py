"""The plan: what follows from evidence at once, what must be confirmed first. Rows are those of the restore policy."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gambler_ai.domain.book import Book, Draft
from gambler_ai.domain.money import ZERO
from gambler_ai.domain.orders import BrokerOrder, OrderStatus, Role
from gambler_ai.domain.positions import EXTERNAL, Position, PositionStatus, net
from gambler_ai.domain.reconciliation import (
    Action,
    Confirmations,
    Difference,
    Holding,
    Look,
    Plan,
    may_be_resolved,
    plan,
    resolve_difference,
)
from gambler_ai.domain.sightings import absent
from tests.builders import ACCOUNT, D, Flow, a_position, an_execution, an_id, an_order, at, commit, seen

WORKING = an_order(status=OrderStatus.WORKING, broker_order_id="b1", broker_status="new", broker_updated_at=at(1))


def a_book(*held: Position, orders: Any = ()) -> Book:
    book = Book(keep_all=True)
    book.load(orders, [], held)
    return book


def a_look(*orders: BrokerOrder, steady: bool = True, missing: Any = (), executions: Any = None, **held: Any) -> Look:
    holdings = {symbol: Holding(D(qty), D(10)) for symbol, qty in held.items()}
    return Look(at(60), orders, executions or {}, holdings, steady, frozenset(missing))


def the_action(found: Plan) -> Action:
    assert (found.differences, found.missing) == ((), ())
    (action,) = found.actions
    return action


def apply(book: Book, action: Action) -> Book:
    commit(book, action.facts, 100)
    return book


def test_equal_sides_need_nothing() -> None:
    book = a_book(a_position(), orders=[WORKING])
    assert plan(ACCOUNT, book, a_look(seen(WORKING), SPY=100)).is_empty


def test_an_empty_account_needs_nothing() -> None:
    assert plan(ACCOUNT, a_book(), a_look()).is_empty


def test_r4_executions_we_missed_are_booked_at_their_prices() -> None:
    book = a_book(orders=[WORKING])
    filled = seen(WORKING, "filled", 100, filled_avg_price=D(11), updated_at=at(9))
    look = a_look(filled, executions={"b1": [an_execution(100, 100, 11, "activity")]}, SPY=100)
    action = the_action(plan(ACCOUNT, book, look))
    assert (action.row, action.action) == ("R4", "book fills")
    assert plan(ACCOUNT, apply(book, action), look).is_empty
    assert [(p.owner, p.quantity, p.entry_price) for p in book.open_positions()] == [("alpha", 100, 11)]


def test_r4_a_manual_trade_closes_our_shares_at_its_real_price() -> None:
    book = a_book(a_position(quantity=100))
    sale = seen(
        an_order(client_order_id="by-hand", side=WORKING.side.SELL), "filled", 100, broker_order_id="b7",
        filled_avg_price=D(12),
    )  # fmt: skip
    look = a_look(sale, executions={"b7": [an_execution(100, 100, 12, "activity")]})
    action = the_action(plan(ACCOUNT, book, look))
    assert (action.row, action.action) == ("R4", "book foreign fills")
    apply(book, action)
    (position,) = book.positions.values()
    assert (position.status, position.exit_price, position.exit_reason) == ("closed", 12, "closed by hand")


def test_r10_unexplained_shares_are_imported_as_external() -> None:
    book, look = a_book(), a_look(SPY="-7.5")
    (difference,) = plan(ACCOUNT, book, look).differences
    action = resolve_difference(ACCOUNT, book, difference, look, {})
    assert (action.row, action.halts) == ("R10", False)
    (position,) = apply(book, action).open_positions()
    assert (position.owner, position.quantity, position.direction) == (EXTERNAL, D("-7.5"), "short")
    assert plan(ACCOUNT, book, look).is_empty


def test_r6_shares_the_broker_does_not_have_are_closed_without_a_price() -> None:
    book, look = a_book(a_position(), a_position(owner="beta", quantity=5, position_id="SPY-2")), a_look()
    (difference,) = plan(ACCOUNT, book, look).differences
    action = resolve_difference(ACCOUNT, book, difference, look, {})
    assert action.row == "R6"
    closed = apply(book, action).positions.values()
    assert [(p.status, p.exit_price, p.pnl) for p in closed] == [(PositionStatus.CLOSED, None, None)] * 2
    assert plan(ACCOUNT, book, look).is_empty


@pytest.mark.parametrize(("theirs", "row"), [(60, "R7"), (140, "R7"), (-100, "R8")])
def test_r7_and_r8_two_sides_that_differ_halt_the_symbol_and_change_no_book(theirs: int, row: str) -> None:
    book, look = a_book(a_position()), a_look(SPY=theirs)
    (difference,) = plan(ACCOUNT, book, look).differences
    action = resolve_difference(ACCOUNT, book, difference, look, {"seen for seconds": 21})
    assert (action.row, action.halts, action.facts) == (row, True, ())
    assert action.as_json()["evidence"] == {"ours": "100", "broker": str(theirs), "seen for seconds": 21}


def test_r11_an_order_with_an_id_of_ours_that_we_do_not_know_is_adopted() -> None:
    book = a_book()
    stray = seen(an_order(client_order_id=an_id("lost", Role.EXIT, "beta")), "new")
    action = the_action(plan(ACCOUNT, book, a_look(stray)))
    assert (action.row, action.action) == ("R11", "adopt order")
    (order,) = apply(book, action).attention()
    assert (order.role, order.owner, order.status) == (Role.EXIT, "beta", OrderStatus.WORKING)


def test_r12_a_strangers_open_order_is_recorded_and_belongs_to_nobody_of_us() -> None:
    book = a_book()
    stray = seen(an_order(client_order_id="by-hand"), "new")
    action = the_action(plan(ACCOUNT, book, a_look(stray)))
    assert (action.row, action.action) == ("R12", "record foreign order")
    (order,) = apply(book, action).attention()
    assert (order.owner, order.is_ours) == (EXTERNAL, False)


def test_a_strangers_order_that_came_and_went_is_no_news() -> None:
    assert plan(ACCOUNT, a_book(), a_look(seen(an_order(client_order_id="by-hand"), "canceled"))).is_empty


def test_r13_an_order_that_ended_without_us_gets_its_end() -> None:
    book = a_book(orders=[WORKING])
    action = the_action(plan(ACCOUNT, book, a_look(seen(WORKING, "expired", updated_at=at(9)))))
    assert (action.row, action.action) == ("R13", "update order")
    assert apply(book, action).attention() == []


def test_r14_a_working_order_nobody_knows_is_only_named_and_can_be_marked_absent() -> None:
    book = a_book(orders=[WORKING])
    found = plan(ACCOUNT, book, a_look(missing=[WORKING.client_order_id]))
    assert (found.actions, found.missing, found.is_empty) == ((), (WORKING,), False)
    _, fact = absent(WORKING, at(60), "unknown by every path")
    commit(book, [fact])
    assert book.attention() == []


def test_evidence_comes_before_the_comparison_of_quantities() -> None:
    book = a_book(a_position(quantity=50), orders=[WORKING])
    filled = seen(WORKING, "filled", 100, filled_avg_price=D(11), updated_at=at(9))
    assert plan(ACCOUNT, book, a_look(filled, SPY=150)).differences == ()
    assert plan(ACCOUNT, book, a_look(filled, SPY=149)).differences == (Difference("SPY", D(150), D(149)),)


def test_planning_changes_no_book() -> None:
    book = a_book(orders=[WORKING])
    plan(ACCOUNT, book, a_look(seen(WORKING, "filled", 100, filled_avg_price=D(11), updated_at=at(9)), SPY=100))
    assert (book.orders[WORKING.client_order_id], book.positions) == (WORKING, {})


def test_a_moving_world_is_called_unsteady() -> None:
    assert plan(ACCOUNT, a_book(), a_look(steady=False)).unsteady


@settings(deadline=None, max_examples=40)
@given(st.randoms(use_true_random=False), st.integers(0, 40))
def test_after_a_plan_was_applied_the_second_plan_is_empty(random: Any, steps: int) -> None:
    book = Book(keep_all=True)
    flow, seq = Flow(random, book), 1
    for _ in range(steps):
        found = flow.step()
        commit(book, found, seq)
        seq += len(found)
    orders = [one.shown() for one in flow.orders if flow.book.order(one.order.client_order_id) or one.filled]
    shown = zip(flow.orders, map_shown(flow), strict=True)
    executions = {seen.broker_order_id: one.executions for one, seen in shown}
    draft = Draft(book, ACCOUNT)
    for action in plan(ACCOUNT, book, a_look(*orders, executions=executions)).actions:
        for fact in action.facts:
            draft.apply(fact, seq)
            seq += 1
    book.absorb(draft)
    held = {symbol: qty for symbol in ("SPY", "IBM") if (qty := net(book.open_positions(), symbol))}
    again = plan(ACCOUNT, book, a_look(*orders, executions=executions, **held))
    assert again.is_empty, again


def map_shown(flow: Flow) -> list[BrokerOrder]:
    return [one.shown() for one in flow.orders]


@pytest.mark.parametrize(
    ("status", "free"),
    [("PLANNED", False), ("SENDING", False), ("IN_DOUBT", False), ("WORKING", False), ("FILLED", True)],
)
def test_books_change_without_a_fill_only_when_no_order_of_ours_is_alive(status: str, free: bool) -> None:
    book = a_book(orders=[an_order(status=OrderStatus(status))])
    assert may_be_resolved(book, "SPY") is free
    assert may_be_resolved(book, "IBM")


def test_a_finding_is_believed_after_enough_rounds_and_enough_time() -> None:
    seen_twice = Confirmations(rounds=3, span_s=20)
    finding = Difference("SPY", D(1), ZERO)
    assert [seen_twice.record([finding], second) for second in (0, 10, 19, 20)] == [[], [], [], [finding]]
    assert seen_twice.age_s(finding, 25) == 25


def test_time_alone_confirms_nothing() -> None:
    few = Confirmations(rounds=3, span_s=20)
    assert [few.record(["f"], second) for second in (0, 100)] == [[], []]
    assert few.record(["f"], 101) == ["f"]


def test_a_finding_that_goes_away_or_changes_starts_again() -> None:
    counting = Confirmations(rounds=2, span_s=0)
    counting.record([Difference("SPY", D(1), ZERO)], 0)
    counting.record([], 1)
    assert counting.pending == []
    assert counting.record([Difference("SPY", D(1), ZERO)], 2) == []
    assert counting.record([Difference("SPY", D(2), ZERO)], 3) == []
    assert counting.age_s("never seen", 9) == 0
