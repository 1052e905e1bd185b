"""Shares of an order told of by events, activities and snapshots, in any order and any number of times."""

from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gambler_ai.domain import facts
from gambler_ai.domain.book import Book
from gambler_ai.domain.fills import Fill, covered, gaps, inferred_from_snapshot, refined, uncovered_parts
from gambler_ai.domain.money import ZERO
from gambler_ai.domain.orders import OrderStatus, Side
from gambler_ai.domain.positions import net
from gambler_ai.domain.sightings import Execution, facts_of_sighting
from tests.builders import ACCOUNT, AtBroker, D, an_execution, an_order, at, average, cash_of, commit, seen

ORDER = an_order(qty=None)
A_CENT_MILLIONTH = D("0.00000001")


def a_fill(cum_from: Any, cum_to: Any, price: Any = 10, **changes: Any) -> Fill:
    return Fill(ORDER.client_order_id, D(cum_from), D(cum_to), D(price), at(2), "stream", **changes)


def held(book: Book) -> list[Fill]:
    return book.fills(ORDER.client_order_id)


class Telling:
    """A book with one order, to which a test tells what the broker did with it."""

    def __init__(self, executions: list[Execution], side: Side = Side.BUY) -> None:
        self.order = replace(ORDER, side=side)
        self.there = AtBroker(self.order, executions)
        self.book = Book(keep_all=True)
        self.seq = 1
        self._commit([facts.order_intended(self.order)])

    def _commit(self, found: list[facts.Fact]) -> None:
        commit(self.book, found, self.seq)
        self.seq += len(found)

    def tell(self, upto: int, told: list[Execution], infer: bool) -> None:
        shown = self.there.shown(upto)
        self._commit(facts_of_sighting(self.book, ACCOUNT, shown, told, at(5), why="a test", infer=infer))

    def event(self, number: int) -> None:
        self.tell(number + 1, [replace(self.there.executions[number], source="stream")], infer=False)

    def activities(self, upto: int, infer: bool = True) -> None:
        self.tell(upto, self.there.executions[:upto], infer)

    def snapshot(self, upto: int) -> None:
        self.tell(upto, [], infer=True)


@st.composite
def tellings(draw: st.DrawFn) -> tuple[Telling, list[tuple[str, int]]]:
    parts = draw(st.lists(st.tuples(st.integers(1, 10**12), st.integers(1, 10**8)), min_size=1, max_size=6))
    executions, cum = [], ZERO
    for number, (nanos, price) in enumerate(parts):
        qty = Decimal(nanos) / 10**9
        cum += qty
        executions.append(Execution(cum, qty, Decimal(price) / 10_000, at(number), "activity", f"x{number}"))
    one = st.tuples(st.sampled_from(["event", "activities", "snapshot"]), st.integers(0, len(parts)))
    return Telling(executions, draw(st.sampled_from(list(Side)))), draw(st.lists(one, max_size=12))


def tell_all(telling: Telling, told: list[tuple[str, int]]) -> None:
    for kind, number in told:
        if kind == "event":
            telling.event(min(number, len(telling.there.executions) - 1))
        elif kind == "activities":
            telling.activities(number, infer=bool(number % 2))
        else:
            telling.snapshot(number)


@settings(deadline=None)
@given(tellings())
def test_no_share_is_lost_or_counted_twice_however_it_is_told(case: tuple[Telling, list[tuple[str, int]]]) -> None:
    telling, told = case
    for one in told:
        tell_all(telling, [one])
        booked = held(telling.book)
        assert all(left.cum_to <= right.cum_from for left, right in pairwise(booked))
        assert covered(booked) <= telling.there.filled
        order = telling.book.orders[ORDER.client_order_id]
        assert covered(booked) == order.filled_qty <= order.broker_filled_qty <= telling.there.filled
        assert net(telling.book.open_positions(), "SPY") == order.side.sign * covered(booked)


@settings(deadline=None)
@given(tellings())
def test_after_all_activities_every_value_is_exact(case: tuple[Telling, list[tuple[str, int]]]) -> None:
    telling, told = case
    tell_all(telling, told)
    telling.activities(len(telling.there.executions))
    booked = held(telling.book)
    true = [(e.cum_qty - e.qty, e.cum_qty, e.price, False) for e in telling.there.executions]
    assert [(f.cum_from, f.cum_to, f.price, f.inferred) for f in booked] == true
    order = telling.book.orders[ORDER.client_order_id]
    assert order.filled_avg_price == average(telling.there.executions)
    assert order.filled_qty == order.broker_filled_qty


@settings(deadline=None)
@given(tellings())
def test_positions_hold_the_money_the_fills_moved(case: tuple[Telling, list[tuple[str, int]]]) -> None:
    telling, told = case
    tell_all(telling, told)
    positions = telling.book.open_positions()
    assert all(p.quantity == telling.order.side.sign * covered(held(telling.book)) for p in positions)
    invested = sum((-p.quantity * p.entry_price for p in positions), ZERO)
    rounding = A_CENT_MILLIONTH * (1 + covered(held(telling.book)))
    assert abs(invested - cash_of(held(telling.book), telling.order.side)) <= rounding


@settings(deadline=None)
@given(tellings())
def test_telling_everything_again_adds_nothing(case: tuple[Telling, list[tuple[str, int]]]) -> None:
    telling, told = case
    telling.activities(len(telling.there.executions))
    before = telling.seq
    tell_all(telling, [one for one in told if one[0] != "snapshot"])
    telling.snapshot(len(telling.there.executions))
    assert telling.seq == before


def test_a_lost_event_leaves_a_gap_that_is_seen_at_once() -> None:
    booked = [a_fill(3, 5), a_fill(8, 9)]
    assert gaps(booked) == [(D(0), D(3)), (D(5), D(8))]
    assert gaps([a_fill(0, 3), a_fill(3, 9)]) == []


def test_only_the_uncovered_part_of_an_execution_is_booked() -> None:
    parts = uncovered_parts([a_fill(2, 4)], a_fill(0, 6, execution_id="x"))
    assert [(p.cum_from, p.cum_to, p.execution_id, p.inferred) for p in parts] == [
        (0, 2, None, True),
        (4, 6, None, True),
    ]


def test_an_inferred_price_makes_the_brokers_average_right() -> None:
    (fill,) = inferred_from_snapshot([a_fill(0, 4, 10)], ORDER.client_order_id, D(10), D("11.2"), at(1))
    assert (fill.cum_from, fill.cum_to, fill.price, fill.inferred) == (4, 10, D(12), True)


def test_averages_that_disagree_never_make_a_price_of_nothing() -> None:
    (fill,) = inferred_from_snapshot([a_fill(0, 9, 100)], ORDER.client_order_id, D(10), D(11), at(1))
    assert fill.price == 11


def test_refining_keeps_quantity_value_and_allocations() -> None:
    guess = a_fill(0, 10, 11, inferred=True, allocations=(facts_allocation("p", 6), facts_allocation("q", 4)))
    pieces = refined(guess, a_fill(2, 5, 12, execution_id="x"))
    assert pieces is not None
    assert [(p.cum_from, p.cum_to, p.inferred) for p in pieces] == [(0, 2, True), (2, 5, False), (5, 10, True)]
    assert abs(sum(p.value for p in pieces) - guess.value) < A_CENT_MILLIONTH
    parts = [(part.position_id, part.qty) for piece in pieces for part in piece.allocations]
    assert parts == [("p", 2), ("p", 3), ("p", 1), ("q", 4)]


def facts_allocation(position_id: str, qty: int) -> Any:
    from gambler_ai.domain.fills import Allocation

    return Allocation(position_id, D(qty), opens=True)


@pytest.mark.parametrize(
    ("booked", "told"),
    [
        (a_fill(0, 5), a_fill(0, 5, 12)),
        (a_fill(0, 5, inferred=True), a_fill(0, 5, inferred=True)),
        (a_fill(0, 5, inferred=True), a_fill(4, 6)),
    ],
    ids=["a real one", "by a guess", "across its border"],
)
def test_nothing_else_is_refined(booked: Fill, told: Fill) -> None:
    assert refined(booked, told) is None


def test_two_executions_inside_one_guess_are_refined_in_one_transaction() -> None:
    telling = Telling([an_execution(4, 4, 10, "activity"), an_execution(10, 6, 15, "activity")])
    telling.snapshot(2)
    shown = telling.there.shown()
    found = facts_of_sighting(telling.book, ACCOUNT, shown, telling.there.executions, at(5), why="", infer=True)
    draft = commit(telling.book, found, 9)
    assert [(f.cum_from, f.cum_to) for f in draft.fills_removed] == [(0, 10)]
    assert [(f.cum_from, f.cum_to, f.price) for f in draft.fills_added] == [(0, 4, 10), (4, 10, 15)]


def test_a_fill_after_the_order_ended_still_counts() -> None:
    telling = Telling([an_execution(40, 40, 10)])
    canceled = seen(ORDER, "canceled", 0, updated_at=at(1))
    telling._commit(facts_of_sighting(telling.book, ACCOUNT, canceled, [], at(1), why=""))
    telling.event(0)
    order = telling.book.orders[ORDER.client_order_id]
    assert (order.status, order.filled_qty) == (OrderStatus.CANCELED, 40)
