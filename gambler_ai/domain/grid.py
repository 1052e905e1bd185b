"""Grid levels: the entries a position is still made of, rebuilt from what was executed since the last flat moment.

Every entry order that was executed, in part or whole, is one level; the first is level 0. What leaves takes the newest
level first, as a grid is unwound, whoever sold. Nothing of this is stored: the books' fills say it, and those are
rebuilt from the broker's history when a database is lost.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from gambler_ai.domain.money import NINE_PLACES, ZERO, nine_places


@dataclass(frozen=True, slots=True)
class Level:
    """Shares of one entry that are still held, unsigned, and what one of them cost in USD.

    `client_order_id` is the entry's, of a replaced order the first one's; None for shares that no order explains.
    """

    number: int
    qty: Decimal
    price: Decimal
    at: datetime
    client_order_id: str | None


@dataclass(frozen=True, slots=True)
class Entered:
    """Shares (unsigned) an entry order brought, at `price` USD each."""

    client_order_id: str | None
    qty: Decimal
    price: Decimal
    at: datetime


@dataclass(frozen=True, slots=True)
class Left:
    """Shares (unsigned) that went: an exit of ours, a stop, a trade by hand."""

    qty: Decimal
    at: datetime


@dataclass(frozen=True, slots=True)
class Split:
    """Every share became `ratio` shares of the same worth together."""

    ratio: Decimal
    at: datetime


Step = Entered | Left | Split


def levels(steps: Iterable[Step], held: Decimal, price: Decimal, since: datetime) -> list[Level]:
    """The levels of a position of `held` shares (signed or not), oldest first, from its steps in the order of time.

    Where the steps do not add up to `held` the position is right and the history short: what they lack came before
    them, as one level without an order at the position's `price`; what they have too much went without a trace, the
    newest level first. So the levels always add up to the position.
    """
    stack: list[Level] = []
    for step in steps:
        if isinstance(step, Entered):
            _enter(stack, step)
        elif isinstance(step, Left):
            _leave(stack, step.qty)
        else:
            stack = [_split(one, step.ratio) for one in stack]
    surplus = total(stack) - abs(held)
    if stack and abs(surplus) <= NINE_PLACES * len(stack):
        stack[-1] = replace(stack[-1], qty=stack[-1].qty - surplus)  # what splits were rounded by
    elif surplus > 0:
        _leave(stack, surplus)
    elif surplus < 0:
        stack.insert(0, Level(0, -surplus, price, since, None))
    return [replace(one, number=number) for number, one in enumerate(stack)]


def total(stack: Iterable[Level]) -> Decimal:
    return sum((one.qty for one in stack), ZERO)


def average(stack: Sequence[Level]) -> Decimal:
    """What a share of these levels cost in USD; 0 without levels."""
    shares = total(stack)
    return nine_places(sum((one.qty * one.price for one in stack), ZERO) / shares) if shares else ZERO


def _enter(stack: list[Level], step: Entered) -> None:
    """Partial fills of one order are one level, also when another order was executed between them."""
    for index, one in enumerate(stack):
        if step.client_order_id is not None and one.client_order_id == step.client_order_id:
            stack[index] = replace(one, qty=one.qty + step.qty, price=average([one, _level(step)]))
            return
    stack.append(_level(step))


def _level(step: Entered) -> Level:
    return Level(0, step.qty, step.price, step.at, step.client_order_id)


def _split(one: Level, ratio: Decimal) -> Level:
    return replace(one, qty=nine_places(one.qty * ratio), price=nine_places(one.price / ratio))


def _leave(stack: list[Level], qty: Decimal) -> None:
    while qty > 0 and stack:
        newest = stack.pop()
        if newest.qty > qty:
            stack.append(replace(newest, qty=newest.qty - qty))
        qty -= newest.qty
