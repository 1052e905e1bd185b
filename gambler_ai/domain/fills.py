"""Fills as intervals on an order's cumulative-quantity axis.

An execution of q shares that brings the order to a cumulative c covers (c - q, c]. Stream, activities and order
snapshots may tell of the same shares in any order and any number of times: only what is not yet covered is
applied, so quantity can be neither lost nor counted twice.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from gambler_ai.domain.money import ZERO, nine_places
from gambler_ai.domain.values import replace


@dataclass(frozen=True, slots=True)
class Allocation:
    """The part of a fill that one position took: it opened (or added to) the position, or closed part of it."""

    position_id: str
    qty: Decimal
    opens: bool


@dataclass(frozen=True, slots=True)
class Fill:
    """Shares (cum_from, cum_to] of one order at `price` USD. `inferred` = the price comes from an average."""

    client_order_id: str
    cum_from: Decimal
    cum_to: Decimal
    price: Decimal
    at: datetime
    source: str
    execution_id: str | None = None
    inferred: bool = False
    allocations: tuple[Allocation, ...] = ()

    @property
    def qty(self) -> Decimal:
        return self.cum_to - self.cum_from

    @property
    def value(self) -> Decimal:
        return self.qty * self.price


def covered(fills: Iterable[Fill]) -> Decimal:
    """Shares that are booked."""
    return sum((fill.qty for fill in fills), ZERO)


def uncovered_parts(booked: Sequence[Fill], seen: Fill) -> list[Fill]:
    """The parts of `seen` that no booked fill covers. A part of an execution keeps its price, but not its id when it
    is not the whole of it: the id then belongs to nobody, and `inferred` says that the border is ours."""
    parts: list[Fill] = []
    start = seen.cum_from
    for fill in sorted(booked, key=lambda f: f.cum_from):
        if fill.cum_to <= start or fill.cum_from >= seen.cum_to:
            continue
        if fill.cum_from > start:
            parts.append(_part(seen, start, fill.cum_from))
        start = max(start, fill.cum_to)
    if start < seen.cum_to:
        parts.append(_part(seen, start, seen.cum_to))
    return parts


def _part(fill: Fill, cum_from: Decimal, cum_to: Decimal) -> Fill:
    if (cum_from, cum_to) == (fill.cum_from, fill.cum_to):
        return fill
    return replace(fill, cum_from=cum_from, cum_to=cum_to, execution_id=None, inferred=True)


def gaps(booked: Sequence[Fill]) -> list[tuple[Decimal, Decimal]]:
    """Intervals below the highest booked share that nobody told us of: an event was lost."""
    missing: list[tuple[Decimal, Decimal]] = []
    top = ZERO
    for fill in sorted(booked, key=lambda f: f.cum_from):
        if fill.cum_from > top:
            missing.append((top, fill.cum_from))
        top = max(top, fill.cum_to)
    return missing


def inferred_from_snapshot(
    booked: Sequence[Fill], client_order_id: str, filled_qty: Decimal, filled_avg_price: Decimal, at: datetime
) -> list[Fill]:
    """What a snapshot (0, filled_qty] proves beyond the booked fills, at a price that makes the average right."""
    missing = filled_qty - covered(booked)
    if missing <= 0:
        return []
    value = filled_qty * filled_avg_price - sum((fill.value for fill in booked), ZERO)
    price = nine_places(value / missing)
    if price <= 0:  # averages of two sources that disagree; the average is the better guess
        price = filled_avg_price
    whole = Fill(client_order_id, ZERO, filled_qty, price, at, "snapshot", inferred=True)
    return [replace(part, inferred=True) for part in uncovered_parts(booked, whole)]


def refined(booked: Fill, seen: Fill) -> list[Fill] | None:
    """The pieces that replace an inferred fill once the real execution `seen` inside it is known; None when `seen`
    teaches nothing about it. Quantity never changes; what is left inferred keeps the total value."""
    if not booked.inferred or seen.inferred:
        return None
    if seen.cum_from < booked.cum_from or seen.cum_to > booked.cum_to:
        return None
    left = booked.qty - seen.qty
    rest = nine_places((booked.value - seen.value) / left) if left else ZERO
    if left and rest <= 0:
        rest = booked.price
    pieces = []
    if seen.cum_from > booked.cum_from:
        pieces.append(replace(booked, cum_to=seen.cum_from, price=rest, execution_id=None))
    pieces.append(replace(seen, allocations=()))
    if seen.cum_to < booked.cum_to:
        pieces.append(replace(booked, cum_from=seen.cum_to, price=rest, execution_id=None))
    return _share_out(booked.allocations, pieces)


def _share_out(allocations: Sequence[Allocation], pieces: Sequence[Fill]) -> list[Fill]:
    """Give the pieces, lowest shares first, the allocations of the fill they replace."""
    queue = list(allocations)
    result = []
    for piece in pieces:
        wanted, taken = piece.qty, []
        while wanted > 0 and queue:
            head = queue.pop(0)
            part = min(head.qty, wanted)
            taken.append(replace(head, qty=part))
            wanted -= part
            if part < head.qty:
                queue.insert(0, replace(head, qty=head.qty - part))
        result.append(replace(piece, allocations=tuple(taken)))
    return result
