"""Shares that came or went without a trade: a split, a rounding, a difference a person told us to adopt.

What goes, goes from EXTERNAL first, then from the owners, oldest first; what comes is EXTERNAL's. A position's result
stays exact for the shares that were traded: adjusted ones leave it as if they had never been entered.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from gambler_ai.domain.money import ZERO, nine_places
from gambler_ai.domain.positions import EXTERNAL, Origin, Position, PositionStatus
from gambler_ai.domain.values import replace


@dataclass(frozen=True, slots=True)
class Adjustment:
    """From now on the owners of `symbol` hold `target` signed shares together.

    `price` in USD is what shares that came in are taken to have cost; `ratio` new shares for each old one, None when it
    was no split; `was` the symbol's old name, None when it kept it.
    """

    symbol: str
    target: Decimal
    price: Decimal
    at: datetime
    reason: str
    ratio: Decimal | None = None
    was: str | None = None


def adjusted(open_positions: Sequence[Position], account_id: str, change: Adjustment, new_id: str) -> list[Position]:
    """The positions of the symbol that change; `open_positions` are its open ones, under its old name, oldest first."""
    held = {p.position_id: replace(p, symbol=change.symbol) for p in open_positions}
    if change.ratio is not None and held:
        return _after_split(list(held.values()), change.ratio, change.target)
    left = change.target - sum((p.quantity for p in held.values()), ZERO)
    for position in sorted(held.values(), key=lambda p: p.owner != EXTERNAL):
        if left * position.quantity < 0:
            part = min(abs(left), abs(position.quantity))
            left -= part if left > 0 else -part
            held[position.position_id] = _reduced(position, part, change)
    if left:
        external = next((p for p in held.values() if p.owner == EXTERNAL and p.quantity), None)
        grown = _grown(external, left, change) if external else _opened(account_id, left, change, new_id)
        held[grown.position_id] = grown
    before = {p.position_id: p for p in open_positions}
    return [p for name, p in held.items() if p != before.get(name)]


def _after_split(held: Sequence[Position], ratio: Decimal, target: Decimal) -> list[Position]:
    """What rounding leaves over is the largest position's. So are shares that were sold, or bought, after the split and
    before we knew of it: they were booked at a price of the old shares, and their result makes that good."""
    after = [_split(p, ratio) for p in held]
    largest = max(after, key=lambda p: abs(p.quantity))
    rest = target - sum((p.quantity for p in after), ZERO)
    whole = replace(
        largest,
        quantity=largest.quantity + rest,
        entered_quantity=largest.entered_quantity + (rest if largest.quantity > 0 else -rest),
        pnl=None if largest.pnl is None else largest.pnl + nine_places(rest * largest.entry_price),
    )
    return [whole if p is largest else p for p in after]


def _split(position: Position, ratio: Decimal) -> Position:
    """The same money in `ratio` times the shares; prices that wait are divided too."""

    def price(value: Decimal | None) -> Decimal | None:
        return None if value is None else nine_places(value / ratio)

    return replace(
        position,
        quantity=nine_places(position.quantity * ratio),
        entered_quantity=nine_places(position.entered_quantity * ratio),
        entry_price=nine_places(position.entry_price / ratio),
        exit_price=price(position.exit_price),
        stop_loss=price(position.stop_loss),
        take_profit=price(position.take_profit),
    )


def _reduced(position: Position, part: Decimal, change: Adjustment) -> Position:
    quantity = position.quantity - (part if position.quantity > 0 else -part)
    if quantity:
        return replace(position, quantity=quantity, entered_quantity=position.entered_quantity - part)
    return replace(
        position,
        quantity=ZERO,
        exit_price=None,
        exit_time=change.at,
        exit_reason=change.reason,
        pnl=None,
        status=PositionStatus.CLOSED,
    )


def _grown(position: Position, part: Decimal, change: Adjustment) -> Position:
    held, more = abs(position.quantity), abs(part)
    return replace(
        position,
        quantity=position.quantity + part,
        entered_quantity=position.entered_quantity + more,
        entry_price=nine_places((position.entry_price * held + change.price * more) / (held + more)),
    )


def _opened(account_id: str, part: Decimal, change: Adjustment, new_id: str) -> Position:
    return Position(
        position_id=new_id,
        account_id=account_id,
        session_id=None,
        symbol=change.symbol,
        owner=EXTERNAL,
        origin=Origin.EXTERNAL,
        direction="long" if part > 0 else "short",
        quantity=part,
        entered_quantity=abs(part),
        entry_price=change.price,
        entry_time=change.at,
    )
