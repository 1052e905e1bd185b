"""What to believe when sources disagree: larger cumulative quantity, then terminal over open, then the later time."""

from itertools import permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gambler_ai.domain.orders import (
    NEVER_ACCEPTED,
    TERMINAL,
    BrokerOrder,
    ImpossibleStep,
    Order,
    OrderStatus,
    observe,
    status_from_broker,
)
from gambler_ai.domain.sightings import absent
from tests.builders import D, an_order, at, seen

S = OrderStatus
ORDER = an_order()


def told(*words: str) -> list[BrokerOrder]:
    """A consistent life of the order: `word` or `word:filled`, one second apart."""
    result = []
    for second, word in enumerate(words, 1):
        status, _, filled = word.partition(":")
        result.append(seen(ORDER, status, D(filled or 0), updated_at=at(second)))
    return result


LIVES = [
    told("accepted", "new", "partially_filled:40", "partially_filled:70", "filled:100"),
    told("accepted", "new", "partially_filled:40", "pending_cancel:40", "canceled:40"),
    told("accepted", "new", "pending_cancel", "canceled"),
    told("accepted", "new", "done_for_day", "expired"),
    told("accepted", "new", "pending_replace", "replaced"),
    told("pending_new", "rejected"),
    told("accepted", "new", "partially_filled:40", "levitating:40", "filled:100"),
]


def believed(order: Order, sightings: Any) -> tuple[Any, ...]:
    for sighting in sightings:
        order = observe(order, sighting, at(99))
    return order.status, order.broker_status, order.broker_filled_qty, order.broker_updated_at, order.late_at


@pytest.mark.parametrize("life", LIVES, ids=lambda life: life[-1].status + str(len(life)))
def test_the_end_is_the_same_in_whatever_order_it_is_told(life: list[BrokerOrder]) -> None:
    last = life[-1]
    expected = (status_from_broker(last.status), last.status, last.filled_qty, last.updated_at, None)
    assert {believed(ORDER, order) for order in permutations(life)} == {expected}


@settings(deadline=None)
@given(
    st.sampled_from(LIVES).flatmap(lambda life: st.tuples(st.just(life), st.lists(st.sampled_from(life), max_size=9)))
)
def test_repeated_sightings_change_nothing(case: tuple[list[BrokerOrder], list[BrokerOrder]]) -> None:
    life, noise = case
    assert believed(ORDER, [*noise, *life, *noise]) == believed(ORDER, life)


@pytest.mark.parametrize(("word", "status"), [("new", S.WORKING), ("filled", S.FILLED), ("canceled", S.CANCELED)])
def test_what_an_older_copy_of_the_database_has_only_planned_may_be_at_the_broker(word: str, status: Any) -> None:
    planned = an_order(status=S.PLANNED, attempts=0)
    after = observe(planned, seen(planned, word, 100 if word == "filled" else 0, updated_at=at(1)), at(2))
    assert (after.status, after.broker_order_id) == (status, f"b-{planned.client_order_id}")


sightings = st.builds(
    lambda status, filled, second: seen(ORDER, status, filled, updated_at=at(second)),
    st.sampled_from(
        ["accepted", "new", "partially_filled", "filled", "canceled", "expired", "replaced", "rejected", "?"]
    ),
    st.integers(0, 100),
    st.integers(0, 9),
)
known = {"broker_order_id": f"b-{ORDER.client_order_id}"}
orders = st.sampled_from([ORDER, *(an_order(status=s, **known) for s in OrderStatus if s is not S.PLANNED)])


@given(orders, st.lists(sightings, max_size=12))
def test_no_sighting_however_mad_lowers_the_quantity_or_reopens_an_order(
    order: Order, seens: list[BrokerOrder]
) -> None:
    for sighting in seens:
        after = observe(order, sighting, at(50))
        assert after.broker_filled_qty >= order.broker_filled_qty
        if order.status in TERMINAL - NEVER_ACCEPTED:
            assert after.status in (order.status, S.FILLED)
        if order.status in NEVER_ACCEPTED and after.status not in NEVER_ACCEPTED:
            assert after.late_at is not None
        order = after


@given(orders, sightings)
def test_the_same_sighting_twice_is_old_news(order: Order, sighting: BrokerOrder) -> None:
    once = observe(order, sighting, at(50))
    assert observe(once, sighting, at(60)) is once


def test_more_shares_win_over_a_terminal_state() -> None:
    canceled = observe(ORDER, seen(ORDER, "canceled", 40), at(3))
    assert observe(canceled, seen(ORDER, "filled", 100), at(4)).status is S.FILLED
    more = observe(canceled, seen(ORDER, "partially_filled", 60), at(4))
    assert (more.status, more.broker_filled_qty) == (S.CANCELED, 60)


def test_our_time_of_receipt_decides_nothing() -> None:
    newer = observe(ORDER, seen(ORDER, "pending_cancel", updated_at=at(8)), at(1))
    assert observe(newer, seen(ORDER, "new", updated_at=at(7)), at(99)) is newer


def test_another_broker_id_under_our_id_is_never_papered_over() -> None:
    working = observe(ORDER, seen(ORDER), at(1))
    with pytest.raises(ImpossibleStep, match="calls it other"):
        observe(working, seen(ORDER, broker_order_id="other"), at(2))


@pytest.mark.parametrize("status", [S.REJECTED, S.ABSENT, S.WITHDRAWN])
def test_a_sighting_brings_back_what_was_thought_never_accepted(status: OrderStatus) -> None:
    late = observe(an_order(status=status), seen(ORDER, "new"), at(7))
    assert (late.status, late.late_at) == (S.WORKING, at(7))


def test_a_working_order_that_vanished_is_absent_and_any_sighting_revokes_that() -> None:
    working = observe(ORDER, seen(ORDER, "new"), at(1))
    gone, _ = absent(working, at(5), "unknown by every path")
    assert observe(gone, seen(ORDER, "new"), at(6)).status is S.WORKING
    assert observe(gone, seen(ORDER, "canceled", updated_at=at(9)), at(10)).status is S.CANCELED


def test_what_the_broker_rejected_is_not_reopened_by_an_older_word() -> None:
    rejected = observe(ORDER, seen(ORDER, "rejected", updated_at=at(5)), at(6))
    assert observe(rejected, seen(ORDER, "new", updated_at=at(4)), at(7)) is rejected


def test_a_notional_order_learns_its_quantity() -> None:
    order = an_order(qty=None, notional=D(1000))
    assert observe(order, seen(order, qty=D("9.5")), at(1)).qty == D("9.5")
