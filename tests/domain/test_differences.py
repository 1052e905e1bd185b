"""What a difference without evidence becomes, under every switch of the policy, and when it is believed."""

from typing import Any

import pytest

from gambler_ai.domain.book import Book
from gambler_ai.domain.differences import (
    Confirmations,
    forgotten,
    global_stop,
    in_the_way,
    leftover_exits,
    resolve_difference,
    since_flat,
)
from gambler_ai.domain.money import ZERO
from gambler_ai.domain.orders import BrokerOrder, OrderStatus, Role, Side
from gambler_ai.domain.policy import Policy
from gambler_ai.domain.positions import EXTERNAL, Origin, PositionStatus, net
from gambler_ai.domain.reconciliation import ACCOUNT as EVERYTHING
from gambler_ai.domain.reconciliation import Action, Difference, Look, plan
from tests.builders import ACCOUNT, D, a_position, an_id, an_order, at, seen
from tests.domain.test_reconciliation import a_book, a_look, apply

STOP = an_order(
    "stop", role=Role.STOP, side=Side.SELL, status=OrderStatus.WORKING, broker_order_id="b9", broker_status="new"
)


def becomes(book: Book, look: Look, policy: Policy | None = None, history: Any = ()) -> Action:
    (difference,) = plan(ACCOUNT, book, look).differences
    return resolve_difference(ACCOUNT, book, difference, look, {}, policy or Policy(), history)


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
    assert action.as_json()["evidence"] == {
        "ours": "100",
        "broker": str(theirs),
        "pages": "complete",
        "seen for seconds": 21,
    }


def test_r6_orphans_may_halt_or_ask_in_place_of_closing() -> None:
    book = a_book(a_position())
    halt = becomes(book, a_look(), Policy(orphans="halt"))
    asked = becomes(book, a_look(), Policy(orphans="ask"))
    assert (halt.row, halt.halts, halt.facts) == ("R6", True, ())
    assert (asked.asks, len(asked.facts)) == (True, 1)


def test_r6_cancels_our_leftover_exits_first() -> None:
    book = a_book(a_position(), orders=[STOP])
    action = becomes(book, a_look())
    first = leftover_exits(book, action)
    assert first is not None
    assert (first.row, first.cancels, first.facts) == ("R6", (STOP.client_order_id,), ())
    assert in_the_way(book, action) == [STOP]


def test_r6_is_not_believed_when_the_broker_forgot_the_order_that_opened_it() -> None:
    action = forgotten(becomes(a_book(a_position()), a_look()), an_order())
    assert (action.symbol, action.halts, action.facts) == (EVERYTHING, True, ())
    assert "reset" in action.reason


def test_r7_adopt_takes_the_brokers_quantity_from_external_first_then_from_the_oldest() -> None:
    book = a_book(
        a_position(quantity=10),
        a_position(owner="beta", quantity=10, position_id="SPY-2"),
        a_position(owner=EXTERNAL, quantity=5, position_id="SPY-3"),
    )
    action = becomes(book, a_look(SPY=12), Policy(mismatch="adopt"))
    assert (action.row, action.halts) == ("R7", False)
    held = {p.owner: p for p in apply(book, action).positions.values()}
    assert [held[o].quantity for o in ("alpha", "beta", EXTERNAL)] == [2, 10, 0]
    assert (held[EXTERNAL].status, held[EXTERNAL].pnl, held["alpha"].exited_quantity) == (
        PositionStatus.CLOSED,
        None,
        0,
    )


def test_r7_adopt_gives_what_is_more_to_external() -> None:
    book = a_book(a_position(quantity=10))
    apply(book, becomes(book, a_look(SPY=12), Policy(mismatch="adopt")))
    assert {p.owner: p.quantity for p in book.open_positions()} == {"alpha": 10, EXTERNAL: 2}


def test_r7_an_exit_at_the_broker_that_only_reduces_does_not_stand_in_the_way_of_adopting() -> None:
    book = a_book(a_position(quantity=10), orders=[STOP])
    assert in_the_way(book, becomes(book, a_look(SPY=12), Policy(mismatch="adopt"))) == []


def test_r8_cancels_those_of_our_exits_that_would_now_add_to_the_wrong_side() -> None:
    book = a_book(a_position(quantity=10), orders=[STOP])
    for policy in (Policy(), Policy(mismatch="adopt"), Policy(mismatch="stop-all")):
        action = becomes(book, a_look(SPY=-10), policy)
        assert (action.row, action.halts, action.cancels) == ("R8", True, (STOP.client_order_id,))


@pytest.mark.parametrize(("theirs", "adjusted"), [("10.0005", True), ("9.999", True), ("10.0011", False)])
def test_a_difference_within_the_tolerance_is_an_adjustment_and_one_beyond_it_is_not(
    theirs: str, adjusted: bool
) -> None:
    book = a_book(a_position(quantity=10))
    action = becomes(book, a_look(SPY=theirs), Policy(qty_tolerance=D("0.001")))
    assert (action.action == "adjust position", action.halts) == (adjusted, not adjusted)
    apply(book, action)
    assert net(book.open_positions(), "SPY") == (D(theirs) if adjusted else 10)


def test_without_a_tolerance_the_smallest_difference_counts() -> None:
    assert becomes(a_book(a_position(quantity=10)), a_look(SPY="10.000000001")).halts


@pytest.mark.parametrize(
    ("switch", "owner", "halts"),
    [("import", EXTERNAL, False), ("claim=alpha", "alpha", False), ("ignore", None, False), ("halt", None, True)],
)
def test_r10_externals_end_as_the_switch_says(switch: str, owner: str | None, halts: bool) -> None:
    book = a_book()
    action = becomes(book, a_look(SPY=7), Policy(externals=switch))
    assert (action.row, action.halts) == ("R10", halts)
    held = apply(book, action).open_positions()
    assert [(p.owner, p.quantity, p.origin) for p in held] == ([(owner, 7, Origin.EXTERNAL)] if owner else [])


# --- R9 ---------------------------------------------------------------------------------------------------------


def history(*trades: tuple[str, int, int], ours: bool = True) -> list[BrokerOrder]:
    """Filled orders of one symbol, a minute apart: side, shares, price."""
    result = []
    for n, (side, qty, price) in enumerate(trades):
        name = an_id(f"old-{n}") if ours else f"by-hand-{n}"
        order = an_order(f"old-{n}", client_order_id=name, side=Side(side), qty=D(qty), created_at=at(60 * n))
        result.append(
            seen(
                order,
                "filled",
                qty,
                filled_avg_price=D(price),
                updated_at=at(60 * n + 1),
            )
        )
    return result


def test_r9_shares_our_own_orders_explain_come_back_with_their_owner() -> None:
    book = a_book()
    past = history(("buy", 9, 8), ("sell", 9, 9), ("buy", 4, 10), ("buy", 6, 12))
    action = becomes(book, a_look(SPY=10), history=past)
    assert (action.row, action.action, action.evidence["restored"]) == ("R9", "restore position", "10")
    (position,) = apply(book, action).open_positions()
    assert (position.owner, position.quantity, position.entry_price) == ("alpha", 10, D("11.2"))
    assert position.origin is Origin.RESTORED
    assert plan(ACCOUNT, book, a_look(SPY=10)).is_empty


def test_r9_what_is_older_than_the_history_is_external() -> None:
    book = a_book()
    apply(book, becomes(book, a_look(SPY=25), history=history(("buy", 4, 10), ("buy", 6, 12))))
    assert {p.owner: p.quantity for p in book.open_positions()} == {"alpha": 10, EXTERNAL: 15}


def test_r9_more_than_the_broker_holds_is_a_persons_business() -> None:
    action = becomes(a_book(), a_look(SPY=5), history=history(("buy", 4, 10), ("buy", 6, 12)))
    assert (action.row, action.halts, action.facts) == ("R7", True, ())


def test_r9_orders_of_others_alone_restore_nothing() -> None:
    assert becomes(a_book(), a_look(SPY=10), history=history(("buy", 10, 10), ours=False)).row == "R10"


def test_r9_shares_of_orders_these_books_have_had_are_not_restored_again() -> None:
    past = history(("buy", 10, 10))
    done = an_order("old-0", status=OrderStatus.FILLED, broker_order_id=past[0].broker_order_id)
    assert becomes(a_book(orders=[done]), a_look(SPY=10), history=past).row == "R10"


def test_the_chain_since_the_last_flat_moment_ends_where_the_shares_are_explained() -> None:
    past = history(("buy", 9, 8), ("sell", 9, 9), ("buy", 4, 10), ("sell", 1, 12))
    assert [o.filled_qty for o in since_flat(past, D(3))] == [4, 1]
    assert since_flat(past, ZERO) == []


# --- the whole account -------------------------------------------------------------------------------------------


def mismatches(*symbols: str) -> list[Action]:
    numbers = {"ours": "1", "broker": "2"}
    return [Action("R7", symbol, "halt symbol", "why", numbers, halts=True) for symbol in symbols]


@pytest.mark.parametrize(
    ("policy", "wrong", "of", "stops"),
    [
        (Policy(), 1, 1, False),
        (Policy(), 2, 10, False),
        (Policy(), 3, 10, True),
        (Policy(), 2, 2, True),
        (Policy(strict=True), 1, 100, True),
        (Policy(mismatch="stop-all"), 1, 100, True),
        (Policy(strict=True), 0, 100, False),
    ],
)
def test_the_account_stops_when_told_so_or_when_many_symbols_are_wrong(
    policy: Policy, wrong: int, of: int, stops: bool
) -> None:
    found = global_stop(policy, mismatches(*(f"S{n}" for n in range(wrong))), [f"S{n}" for n in range(of)])
    assert (found is not None) is stops
    if found is not None:
        assert (found.symbol, found.halts, found.evidence["S0"]) == (EVERYTHING, True, "1 / 2")


# --- being believed ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "free"),
    [("PLANNED", False), ("SENDING", False), ("IN_DOUBT", False), ("WORKING", False), ("FILLED", True)],
)
def test_books_change_without_a_fill_only_when_no_order_of_ours_is_alive(status: str, free: bool) -> None:
    book, look = a_book(orders=[an_order(status=OrderStatus(status))]), a_look(SPY=5, IBM=5)
    differences = plan(ACCOUNT, book, look).differences
    imports = [resolve_difference(ACCOUNT, book, one, look, {}) for one in differences]
    assert [in_the_way(book, action) == [] for action in imports] == [True, free]


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
