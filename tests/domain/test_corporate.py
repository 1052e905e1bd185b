"""R16: an event of the account's activities explains a difference exactly, or not at all."""

from decimal import Decimal
from typing import Any

import pytest

from gambler_ai.domain.book import Book
from gambler_ai.domain.corporate import ShareChange, explained
from gambler_ai.domain.positions import EXTERNAL, net
from gambler_ai.domain.reconciliation import Look, plan
from tests.builders import ACCOUNT, D, a_position, at
from tests.domain.test_reconciliation import a_book, a_look, apply


def event(*moves: tuple[str, Any], kind: str = "SPLIT", group: str = "g1") -> list[ShareChange]:
    return [ShareChange(f"{group}-{n}", kind, symbol, D(qty), group, at()) for n, (symbol, qty) in enumerate(moves)]


def found(book: Book, look: Look, *events: list[ShareChange]) -> list[Any]:
    held = {p.symbol: net(book.open_positions(), p.symbol) for p in book.open_positions()}
    return explained(plan(ACCOUNT, book, look).differences, [c for one in events for c in one], look, held)


@pytest.mark.parametrize(
    ("held", "moves", "after"),
    [(10, (-10, 40), 40), (-10, (10, -40), -40), (10, (-10, "3.333333333"), "3.333333333"), (3, (-3, "1.5"), "1.5")],
)
def test_a_split_multiplies_shares_and_divides_prices(held: int, moves: Any, after: Any) -> None:
    book = a_book(a_position(quantity=held, stop_loss=D(8)))
    look = a_look(SPY=after)
    (action,) = found(book, look, event(("SPY", moves[0]), ("SPY", moves[1])))
    assert (action.row, action.evidence["activities"]) == ("R16", ["g1-0", "g1-1"])
    (position,) = apply(book, action).open_positions()
    ratio = abs(D(after) / held)
    assert (position.owner, position.quantity) == ("alpha", D(after))
    assert abs(position.entry_price - 10 / ratio) < D("0.00000001")
    assert abs((position.stop_loss or 0) - 8 / ratio) < D("0.00000001")
    assert plan(ACCOUNT, book, look).is_empty


def test_what_rounding_leaves_over_is_the_largest_owners() -> None:
    book = a_book(a_position(quantity=2), a_position(owner="beta", quantity=5, position_id="SPY-2"))
    (action,) = found(book, a_look(SPY="2.333333333"), event(("SPY", -7), ("SPY", "2.333333333")))
    held = {p.owner: p.quantity for p in apply(book, action).open_positions()}
    assert sum(held.values()) == D("2.333333333")
    assert held["alpha"] == D("0.666666667")


def test_a_new_name_keeps_position_owner_and_price() -> None:
    book, look = a_book(a_position()), a_look(XYZ=100)
    (action,) = found(book, look, event(("SPY", -100), ("XYZ", 100), kind="NC"))
    (position,) = apply(book, action).open_positions()
    assert (position.symbol, position.owner, position.quantity, position.entry_price) == ("XYZ", "alpha", 100, 10)
    assert (position.position_id, plan(ACCOUNT, book, look).is_empty) == ("SPY-1", True)


def test_shares_that_only_came_are_externals() -> None:
    book = a_book(a_position())
    (action,) = found(book, a_look(SPY=100, NEW=20), event(("NEW", 20), kind="SPIN"))
    held = {p.symbol: (p.owner, p.quantity) for p in apply(book, action).open_positions()}
    assert held == {"SPY": ("alpha", 100), "NEW": (EXTERNAL, 20)}


@pytest.mark.parametrize("theirs", [39, 41, 100, 0])
def test_an_event_that_explains_only_a_part_explains_nothing(theirs: int) -> None:
    look = a_look(SPY=theirs) if theirs else a_look()
    assert found(a_book(a_position(quantity=10)), look, event(("SPY", -10), ("SPY", 40))) == []


def test_of_two_events_the_one_that_fits_explains() -> None:
    fits, other = event(("SPY", -10), ("SPY", 40)), event(("SPY", -10), ("SPY", 30), group="g0")
    (action,) = found(a_book(a_position(quantity=10)), a_look(SPY=40), other, fits)
    assert action.evidence["activities"] == ["g1-0", "g1-1"]
    assert Decimal(action.evidence["broker"]) == 40
