"""The fold: facts survive JSON, and folding what was stored gives what was folded live."""

import json
from dataclasses import fields, is_dataclass, replace
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gambler_ai.domain import facts
from gambler_ai.domain.adjustments import Adjustment
from gambler_ai.domain.book import Book, Draft
from gambler_ai.domain.facts import Fact, from_json, note, to_json
from gambler_ai.domain.fills import Fill
from gambler_ai.domain.money import ZERO
from gambler_ai.domain.orders import ImpossibleStep, Order, OrderStatus, Role
from gambler_ai.domain.positions import EXTERNAL, Position, PositionStatus, net, orphaned
from tests.builders import ACCOUNT, D, Flow, a_position, an_order, at, cash_of, commit

ORDER = an_order()
FILL = Fill(ORDER.client_order_id, ZERO, D(10), D("187.51"), at(1), "stream", "x1")
SUBJECTS = {
    "intent": ORDER,
    "full order": an_order(
        type="stop_limit",
        limit_price=D("10.5"),
        stop_price=D("1E+1"),
        notional=D(7),
        valid_until=at(9),
        broker_order_id="b1",
        broker_status="new",
        broker_updated_at=at(2),
        broker_filled_qty=D("0.000000001"),
        filled_avg_price=D(3),
        cancel_asked_at=at(4),
        late_at=at(5),
        filled_qty=D(1),
        reason="crossed",
        error="a “quoted” reason",
    ),
    "leg": an_order(position_id="SPY-7", parent_id="o1", order_class="oco", stop_loss=D(9), take_profit=D("11.50")),
    "foreign order": an_order(session_id=None, qty=None, notional=D(100), owner=EXTERNAL, role=Role.FOREIGN),
    "fill": FILL,
    "inferred fill": replace(FILL, cum_from=D(2), inferred=True, execution_id=None),
    "position": a_position(),
    "external short": a_position(owner=EXTERNAL, quantity="-12.5"),
    "half sold position": a_position(exit_price=D(3), pnl=D(-7), entry_order_id="o1", exit_order_id="o2"),
    "closed position": orphaned(a_position(session_id="s", protections=2, stop_loss=D(9), take_profit=D(11)), at(9)),
}


@pytest.mark.parametrize("subject", SUBJECTS.values(), ids=SUBJECTS)
def test_a_subject_survives_json(subject: Any) -> None:
    read = json.loads(json.dumps(to_json(subject)))
    assert type(subject)(**from_json(type(subject), read)) == subject


def test_every_field_of_every_subject_is_tried_above() -> None:
    for kind in (Order, Fill, Position):
        tried = {f.name for s in SUBJECTS.values() if isinstance(s, kind) for f in fields(s) if getattr(s, f.name)}
        assert is_dataclass(kind)
        assert {f.name for f in fields(kind)} - tried <= {"allocations"}  # the fold gives them, no fact holds them


def test_amounts_and_times_are_text_in_json() -> None:
    written = to_json(SUBJECTS["full order"])
    assert (written["stop_price"], written["broker_filled_qty"]) == ("10", "0.000000001")
    assert (written["late_at"], written["status"]) == ("2013-10-07T13:30:05.000000Z", "SENDING")


def test_a_change_says_only_what_changed_and_why() -> None:
    fact = facts.order_changed(ORDER, replace(ORDER, status=OrderStatus.WORKING, broker_order_id="b1"), "answered")
    assert fact.payload == {"changes": {"status": "WORKING", "broker_order_id": "b1"}, "why": "answered"}


class Recorder:
    """A live book and a second one that folds only what a journal would hold."""

    def __init__(self, random: Random) -> None:
        self.live, self.stored = Book(keep_all=True), Book(keep_all=True)
        self.flow = Flow(random, self.live)
        self.seq = 0

    def commit(self, found: list[Fact]) -> None:
        commit(self.live, found, self.seq + 1)
        for fact in found:
            self.seq += 1
            draft = Draft(self.stored, ACCOUNT)
            draft.apply_stored(fact.kind, json.loads(json.dumps(fact.payload)), fact.client_order_id, self.seq)
            self.stored.absorb(draft)

    def run(self, steps: int) -> "Recorder":
        for _ in range(steps):
            self.commit(self.flow.step())
        for one in range(len(self.flow.orders)):
            self.commit(self.flow.tell_everything()[one])
        return self


flows = st.builds(
    lambda random, steps: Recorder(random).run(steps), st.randoms(use_true_random=False), st.integers(0, 60)
)


@settings(deadline=None, max_examples=60)
@given(flows)
def test_folding_the_journal_gives_what_was_folded_live(recorder: Recorder) -> None:
    live, stored = recorder.live, recorder.stored
    assert stored.orders == live.orders
    assert stored.positions == live.positions
    assert {i: stored.fills(i) for i in stored.orders} == {i: live.fills(i) for i in live.orders}


@settings(deadline=None, max_examples=60)
@given(flows)
def test_a_whole_history_loses_neither_shares_nor_orders(recorder: Recorder) -> None:
    book = recorder.live
    for one in recorder.flow.orders:
        order = book.order(one.order.client_order_id)
        if order is None:
            assert one.ended
            assert not one.executions
            continue
        assert (order.filled_qty, order.broker_filled_qty) == (one.filled, one.filled)
        assert all(not fill.inferred for fill in book.fills(order.client_order_id))
        true = cash_of(book.fills(order.client_order_id), order.side)
        assert true == -order.side.sign * sum((e.qty * e.price for e in one.executions), ZERO)
    assert all(p.quantity for p in book.open_positions())


@settings(deadline=None, max_examples=60)
@given(flows)
def test_the_positions_of_a_symbol_are_those_among_all_positions_in_their_order(recorder: Recorder) -> None:
    everything = recorder.live.open_positions()
    assert all(p.status is not PositionStatus.CLOSED for p in everything)
    for symbol in ("SPY", "IBM", "NONE"):
        assert recorder.live.open_positions(symbol) == [p for p in everything if p.symbol == symbol]


def test_a_renamed_position_keeps_its_age_among_those_of_its_new_symbol() -> None:
    book = Book()
    commit(book, [facts.position_imported(a_position("OLD"), {})])
    commit(book, [facts.position_imported(a_position("NEW", owner="beta"), {})], 2)
    renamed = Adjustment("NEW", D(100), D(10), at(3), "renamed", was="OLD")
    commit(book, [facts.position_adjusted(renamed, {})], 3)
    assert [p.position_id for p in book.open_positions("NEW")] == ["OLD-1", "NEW-2"]
    assert book.open_positions("OLD") == []


def test_a_draft_leaves_the_book_alone_until_it_is_absorbed() -> None:
    book = Book()
    draft = Draft(book, ACCOUNT)
    draft.apply(facts.order_intended(ORDER), 1)
    draft.apply(facts.fill_booked(ORDER, FILL), 2)
    assert (book.orders, book.positions) == ({}, {})
    book.absorb(draft)
    assert (len(book.orders), net(book.open_positions(), "SPY")) == (1, 10)


def test_what_is_finished_leaves_memory() -> None:
    book = Book()
    commit(book, [facts.order_intended(ORDER)])
    done = replace(ORDER, status=OrderStatus.CANCELED)
    commit(book, [facts.order_changed(ORDER, done, "over")])
    assert book.attention() == []
    assert book.orders == {}


def test_an_ended_order_with_unbooked_shares_stays() -> None:
    book = Book()
    commit(book, [facts.order_intended(ORDER)])
    commit(book, [facts.order_changed(ORDER, replace(ORDER, status=OrderStatus.FILLED, broker_filled_qty=D(5)), "")])
    assert [o.client_order_id for o in book.attention()] == [ORDER.client_order_id]


def test_a_fill_closes_the_position_and_the_reason_is_the_orders() -> None:
    book = Book(keep_all=True)
    sale = an_order("2", side=an_order().side.SELL, role=Role.EXIT, reason="crossed below")
    leave = Fill(sale.client_order_id, ZERO, D(10), D("188.51"), at(2), "stream", "x2")
    commit(book, [facts.order_intended(ORDER), facts.fill_booked(ORDER, FILL), facts.order_intended(sale)])
    commit(book, [facts.fill_booked(sale, leave)], 4)
    (position,) = book.positions.values()
    assert (position.position_id, position.status, position.pnl) == ("SPY-2", PositionStatus.CLOSED, 10)
    assert (position.exit_reason, position.exit_order_id) == ("crossed below", sale.client_order_id)


def test_an_archived_order_is_asked_for_when_it_is_not_in_memory() -> None:
    class OneOrder:
        def order(self, client_order_id: str) -> Order | None:
            return ORDER if client_order_id == ORDER.client_order_id else None

    assert Book(OneOrder()).order(ORDER.client_order_id) is ORDER  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ([facts.order_changed(ORDER, ORDER, "")], "never intended"),
        ([facts.order_intended(ORDER), facts.order_intended(ORDER)], "intended twice"),
        ([facts.fill_booked(ORDER, FILL)], "there is no order"),
        ([facts.order_intended(ORDER), facts.fill_refined(ORDER, FILL)], "no inferred fill around 0..10"),
        ([facts.position_imported(a_position(), {})] * 2, "alpha already holds SPY"),
        (
            [facts.order_intended(ORDER), facts.order_changed(ORDER, replace(ORDER, status=OrderStatus.PLANNED), "")],
            "cannot go from SENDING to PLANNED",
        ),
    ],
)
def test_a_fact_that_contradicts_the_book_is_refused(found: list[Fact], message: str) -> None:
    with pytest.raises(ImpossibleStep, match=message):
        commit(Book(), found)


def test_a_stored_orphan_needs_its_position() -> None:
    draft = Draft(Book(), ACCOUNT)
    with pytest.raises(ImpossibleStep, match="no position SPY-9"):
        draft.apply_stored(facts.POSITION_ORPHANED, {"position_id": "SPY-9", "at": "2013-10-07T13:30:00Z"}, None, 1)


def test_a_note_changes_nothing() -> None:
    draft = commit(Book(), [note("checkpoint", {"equity": "1"})])
    draft.apply_stored("checkpoint", {"equity": "1"}, None, 2)
    assert (draft.orders, draft.positions, draft.fills_added) == ({}, {}, [])
