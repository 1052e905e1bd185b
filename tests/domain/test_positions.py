"""Positions are the signed sum of trades, whoever trades; strangers' trades take their own shares first."""

from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gambler_ai.domain.fills import Allocation, Fill
from gambler_ai.domain.money import ZERO
from gambler_ai.domain.positions import (
    EXTERNAL,
    Origin,
    Position,
    PositionStatus,
    Trade,
    apply_trade,
    net,
    orphaned,
    reprice,
)
from tests.builders import ACCOUNT, D, a_position, at

quantities = st.integers(-(10**12), 10**12).filter(bool).map(lambda n: Decimal(n) / 10**9)
prices = st.integers(1, 10**7).map(lambda n: Decimal(n) / 10**4)
trades = st.tuples(st.sampled_from(["alpha", "beta", "gamma", EXTERNAL]), quantities, prices)


def a_trade(owner: str, signed_qty: Any, price: Any = 10) -> Trade:
    return Trade(ACCOUNT, None, "SPY", owner, D(signed_qty), D(price), at(3), "order-1", "a test")


def trade_all(made: Any) -> tuple[list[Position], list[Position]]:
    """The open positions, oldest first, and the closed ones."""
    positions: dict[str, Position] = {}
    for number, (owner, qty, price) in enumerate(made):
        alive = [p for p in positions.values() if p.status is not PositionStatus.CLOSED]
        changed, _ = apply_trade(alive, a_trade(owner, qty, price), new_id=f"p{number}")
        positions |= {p.position_id: p for p in changed}
    closed = [p for p in positions.values() if p.status is PositionStatus.CLOSED]
    return [p for p in positions.values() if p not in closed], closed


@given(st.lists(trades, max_size=20))
def test_no_trade_makes_or_loses_a_share(made: list[tuple[str, Decimal, Decimal]]) -> None:
    alive, closed = trade_all(made)
    assert net(alive, "SPY") == sum((qty for _, qty, _ in made), ZERO)
    assert all(p.quantity == 0 for p in closed)


@given(st.lists(trades, max_size=20))
def test_no_two_owners_hold_opposite_signs(made: list[tuple[str, Decimal, Decimal]]) -> None:
    for upto in range(len(made) + 1):
        alive, _ = trade_all(made[:upto])
        assert len({p.quantity > 0 for p in alive}) <= 1
        assert len({p.owner for p in alive}) == len(alive)
        assert all((p.quantity > 0) == (p.direction == "long") for p in alive)


@given(st.lists(trades, min_size=1, max_size=20), prices)
def test_the_result_of_a_flat_account_is_its_cash_flow(made: list[tuple[str, Decimal, Decimal]], last: Decimal) -> None:
    left = sum((qty for _, qty, _ in made), ZERO)
    made = [*made, ("alpha", -left, last)] if left else made
    alive, closed = trade_all(made)
    assert alive == []
    cash = -sum((qty * price for _, qty, price in made), ZERO)
    turnover = sum((abs(qty) for _, qty, _ in made), ZERO)
    assert abs(sum((p.pnl or ZERO for p in closed), ZERO) - cash) <= turnover * len(made) * D("0.000000001")


@given(st.lists(trades, max_size=20))
def test_every_share_of_a_trade_is_allocated_once(made: list[tuple[str, Decimal, Decimal]]) -> None:
    alive, _ = trade_all(made)
    _, parts = apply_trade(alive, a_trade("alpha", -150), new_id="new")
    assert sum((part.qty for part in parts), ZERO) == 150
    assert [part.opens for part in parts] == sorted(part.opens for part in parts)


def test_a_round_trip_earns_exactly_the_difference() -> None:
    _, (closed,) = trade_all([("alpha", 100, D("187.51")), ("alpha", -40, D("188.02")), ("alpha", -60, D("187.02"))])
    assert (closed.pnl, closed.exit_price, closed.exit_reason) == (D("-9.00"), D("187.42"), "a test")
    assert closed.pnl_pct == D("-0.047997440")


def test_a_short_earns_when_the_price_falls() -> None:
    _, (closed,) = trade_all([("alpha", -10, 20), ("alpha", 10, 15)])
    assert (closed.direction, closed.pnl) == ("short", 50)


def test_a_sale_beyond_the_own_shares_turns_the_position() -> None:
    (short,), (closed,) = trade_all([("alpha", 10, 20), ("alpha", -15, 22)])
    assert (closed.quantity, closed.pnl, short.quantity, short.entry_price) == (0, 20, -5, 22)


def test_adding_shares_averages_the_entry_price() -> None:
    (position,), _ = trade_all([("alpha", 10, 20), ("alpha", 30, 24)])
    assert (position.quantity, position.entered_quantity, position.entry_price) == (40, 40, 23)


OLDEST_FIRST = [
    a_position(owner="beta", quantity=10, position_id="SPY-1"),
    a_position(owner="alpha", quantity=10, position_id="SPY-2"),
    a_position(owner=EXTERNAL, quantity=10, position_id="SPY-3"),
]


def taken_from(owner: str, qty: int) -> list[tuple[str, Decimal]]:
    _, parts = apply_trade(OLDEST_FIRST, a_trade(owner, qty), new_id="new")
    return [(part.position_id, part.qty) for part in parts]


def test_a_sale_by_hand_takes_external_shares_first_then_the_oldest_owners() -> None:
    assert taken_from(EXTERNAL, -8) == [("SPY-3", 8)]
    assert taken_from(EXTERNAL, -25) == [("SPY-3", 10), ("SPY-1", 10), ("SPY-2", 5)]


def test_only_what_is_sold_by_hand_beyond_all_shares_opens_external() -> None:
    changed, parts = apply_trade(OLDEST_FIRST, a_trade(EXTERNAL, -34), new_id="new")
    assert [(part.position_id, part.qty) for part in parts][-1] == ("new", 4)
    assert (changed[-1].owner, changed[-1].origin, changed[-1].quantity) == (EXTERNAL, Origin.EXTERNAL, -4)


def test_an_owner_sells_its_own_shares_before_anybody_elses() -> None:
    assert taken_from("alpha", -8) == [("SPY-2", 8)]
    assert taken_from("alpha", -25) == [("SPY-2", 10), ("SPY-3", 10), ("SPY-1", 5)]


def test_a_purchase_by_hand_closes_nobodys_long_shares() -> None:
    assert taken_from(EXTERNAL, 5) == [("SPY-3", 5)]


def test_a_refined_exit_changes_the_result_and_never_the_quantity() -> None:
    _, (closed,) = trade_all([("alpha", 10, 20), ("alpha", -10, 22)])
    sale = Fill("order-1", ZERO, D(10), D(22), at(3), "snapshot", inferred=True)
    better = reprice(closed, Allocation("p0", D(10), opens=False), sale, D(230), buys=False)
    assert (better.quantity, better.exit_price, better.pnl) == (0, 23, 30)


def test_a_refined_entry_changes_the_entry_price_and_what_was_earned() -> None:
    (position,), _ = trade_all([("alpha", 10, 20), ("alpha", -4, 25)])
    purchase = Fill("order-1", ZERO, D(10), D(20), at(3), "snapshot", inferred=True)
    better = reprice(position, Allocation("p0", D(10), opens=True), purchase, D(210), buys=True)
    assert (better.quantity, better.entry_price, better.pnl) == (6, 21, 16)


def test_an_orphan_has_no_price_and_no_result() -> None:
    gone = orphaned(a_position(), at(9))
    assert (gone.quantity, gone.exit_price, gone.pnl, gone.pnl_pct) == (0, None, None, None)
    assert (gone.status, gone.exit_reason, gone.exit_time) == (PositionStatus.CLOSED, "orphaned", at(9))
