"""The plan: what follows from evidence at once, what must be confirmed first. Rows are those of the restore policy."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gambler_ai.domain.book import Book, Draft
from gambler_ai.domain.orders import BrokerOrder, OrderStatus, Role
from gambler_ai.domain.policy import Policy
from gambler_ai.domain.positions import EXTERNAL, Position, net
from gambler_ai.domain.reconciliation import (
    Action,
    Difference,
    Holding,
    Look,
    Plan,
    kept_moving,
    matched,
    plan,
    unreadable,
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
    moving = frozenset() if steady else frozenset({"SPY"})
    return Look(at(60), orders, executions or {}, holdings, frozenset(missing), moving)


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


def test_r5_a_manual_trade_closes_our_shares_at_its_real_price() -> None:
    book = a_book(a_position(quantity=100))
    sale = seen(
        an_order(client_order_id="by-hand", side=WORKING.side.SELL), "filled", 100, broker_order_id="b7",
        filled_avg_price=D(12),
    )  # fmt: skip
    look = a_look(sale, executions={"b7": [an_execution(100, 100, 12, "activity")]})
    action = the_action(plan(ACCOUNT, book, look))
    assert (action.row, action.action) == ("R5", "book foreign fills")
    assert (action.evidence["ours"], action.evidence["ours_after"], action.evidence["broker"]) == ("100", "0", "0")
    apply(book, action)
    (position,) = book.positions.values()
    assert (position.status, position.exit_price, position.exit_reason) == ("closed", 12, "closed by hand")


def test_r11_an_order_with_an_id_of_ours_that_we_do_not_know_is_adopted() -> None:
    book = a_book()
    stray = seen(an_order(client_order_id=an_id("lost", Role.EXIT, "beta")), "new")
    action = the_action(plan(ACCOUNT, book, a_look(stray)))
    assert (action.row, action.action, action.halts) == ("R11", "adopt order", True)
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


def test_r2_symbols_that_agree_are_told_with_both_average_prices() -> None:
    book, look = a_book(a_position(), a_position("IBM", quantity=5)), a_look(SPY=100, IBM=6)
    (action,) = matched(book, look)
    assert (action.row, action.symbol) == ("R2", "SPY")
    assert (action.evidence["our_average"], action.evidence["broker_average"]) == ("10", "10")


def test_r12_with_foreign_cancel_every_open_order_of_others_is_cancelled_until_the_broker_has_taken_it() -> None:
    stray = seen(an_order(client_order_id="by-hand"), "new")
    book = a_book()
    recorded, cancelled = plan(ACCOUNT, book, a_look(stray), Policy(foreign="cancel")).actions
    assert (recorded.action, cancelled.action, cancelled.cancels) == (
        "record foreign order",
        "cancel foreign order",
        ("by-hand",),
    )
    apply(book, recorded)
    again = plan(ACCOUNT, book, a_look(stray), Policy(foreign="cancel"))
    assert [a.cancels for a in again.actions] == [("by-hand",)]
    ending = seen(an_order(client_order_id="by-hand"), "pending_cancel", updated_at=at(9))
    assert [a.cancels for a in plan(ACCOUNT, book, a_look(ending), Policy(foreign="cancel")).actions] == [()]


def test_r15_what_could_not_be_read_concludes_nothing() -> None:
    action = unreadable(ValueError("half a page"))
    assert (action.row, action.facts, action.halts, action.evidence["error"]) == ("R15", (), False, "half a page")


def test_the_same_situation_gives_the_same_plan_with_the_same_ids() -> None:
    book = a_book(a_position(quantity=50), orders=[WORKING])
    filled = seen(WORKING, "filled", 100, filled_avg_price=D(11), updated_at=at(9))
    first, second = (plan(ACCOUNT, book, a_look(filled, SPY=150)).actions for _ in range(2))
    assert first == second
    assert [a.id for a in first] == [a.id for a in second]
    more = plan(ACCOUNT, book, a_look(seen(WORKING, "partially_filled", 40, filled_avg_price=D(11)), SPY=90)).actions
    assert first[0].id != more[0].id


def test_a_symbol_that_moves_in_every_look_is_halted_with_its_triggers_and_both_sides() -> None:
    book = a_book(a_position())
    stray = [seen(an_order(client_order_id=f"by-hand-{n}", symbol="IBM"), "new") for n in range(3)]
    rounds = []
    for one in stray:
        look = a_look(one, steady=False, SPY=90)
        rounds.append((plan(ACCOUNT, book, look), look))
    halts = kept_moving(rounds, book)
    assert [(a.symbol, a.halts) for a in halts] == [("IBM", True), ("SPY", True)]
    assert [t["order"] for t in halts[0].evidence["triggers"]] == ["by-hand-0", "by-hand-1", "by-hand-2"]
    assert (halts[1].evidence["ours"], halts[1].evidence["broker"]) == ("100", "90")
    assert kept_moving([rounds[0], (plan(ACCOUNT, book, a_look(SPY=100)), a_look(SPY=100))], book) == []
