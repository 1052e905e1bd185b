"""Facts: what the journal records, and how each is written as JSON and read back.

A fact that changes orders, fills or positions carries its subject; the journal's payload says the same in JSON, so
that `journal verify` can rebuild every table by folding the payloads with the code that runs live.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from functools import cache
from typing import Any, get_type_hints

from gambler_ai.domain.adjustments import Adjustment
from gambler_ai.domain.fills import Fill
from gambler_ai.domain.market import iso, parse_time
from gambler_ai.domain.money import amount, text
from gambler_ai.domain.orders import Order
from gambler_ai.domain.positions import Position
from gambler_ai.domain.values import contents, defaults, names

ORDER_INTENDED = "order.intended"
ORDER_CHANGED = "order.changed"
ORDER_ADOPTED = "order.adopted"
FILL_BOOKED = "fill.booked"
FILL_REFINED = "fill.refined"
POSITION_IMPORTED = "position.imported"
POSITION_ORPHANED = "position.orphaned"
POSITION_ADJUSTED = "position.adjusted"


@dataclass(frozen=True, slots=True)
class Fact:
    """One row of the journal before it has a number. `payload` holds only what JSON holds; amounts are text."""

    kind: str
    payload: Mapping[str, Any]
    session_id: str | None = None
    position_id: str | None = None
    client_order_id: str | None = None
    broker_order_id: str | None = None
    symbol: str | None = None
    order_type: str | None = None
    side: str | None = None
    quantity: Decimal | None = None
    status: str | None = None
    filled_qty: Decimal | None = None
    filled_price: Decimal | None = None
    error: str | None = None
    subject: Order | Fill | Position | Adjustment | None = None


def to_json(value: Any) -> Any:
    """A domain value as JSON data: amounts as text, times as UTC ISO, enums by value, defaults left out."""
    kind: Any = type(value)
    if kind in _AS_THEY_ARE:
        return value
    if kind is Decimal:
        return text(value)
    if kind is datetime:
        return iso(value)
    if issubclass(kind, Enum):
        return value.value
    if kind in (tuple, list):
        return [to_json(item) for item in value]
    held = zip(names(kind), contents(value), defaults(kind), strict=True)
    return {name: to_json(v) for name, v, default in held if v is not default and v != default}


_AS_THEY_ARE = frozenset({type(None), bool, int, str})


def from_json(kind: type, data: Mapping[str, Any]) -> dict[str, Any]:
    """Field values of the dataclass `kind` read back from `to_json`; fields at their default stay out."""
    hints = _hints(kind)
    return {name: _read(hints[name], value) for name, value in data.items()}


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _read(hint: Any, value: Any) -> Any:
    if value is None:
        return None
    for candidate in getattr(hint, "__args__", None) or (hint,):
        if candidate is Decimal:
            return amount(value)
        if candidate is datetime:
            return parse_time(value)
        if isinstance(candidate, type) and issubclass(candidate, Enum):
            return candidate(value)
    return value


def order_intended(order: Order) -> Fact:
    return _about_order(ORDER_INTENDED, order, to_json(order), order)


def order_adopted(order: Order) -> Fact:
    """An order of somebody else, or of ours that this database did not know."""
    return _about_order(ORDER_ADOPTED, order, to_json(order), order)


def order_changed(before: Order, after: Order, why: str) -> Fact:
    """Only the fields that changed, and the reason."""
    both = zip(names(Order), contents(before), contents(after), strict=True)
    changes = {name: to_json(new) for name, old, new in both if new is not old and new != old}
    return _about_order(ORDER_CHANGED, after, {"changes": changes, "why": why}, after)


def _about_order(kind: str, order: Order, payload: Mapping[str, Any], subject: Order) -> Fact:
    return Fact(
        kind,
        payload,
        session_id=order.session_id,
        client_order_id=order.client_order_id,
        broker_order_id=order.broker_order_id,
        symbol=order.symbol,
        order_type=order.type,
        side=order.side.value,
        quantity=order.qty,
        status=order.status.value,
        error=order.error,
        subject=subject,
    )


def fill_booked(order: Order, fill: Fill) -> Fact:
    return _about_fill(FILL_BOOKED, order, fill, {"fill": to_json(fill)})


def fill_refined(order: Order, fill: Fill) -> Fact:
    """The real execution inside an inferred fill became known: prices and ids change, quantities never."""
    return _about_fill(FILL_REFINED, order, fill, {"fill": to_json(fill)})


def _about_fill(kind: str, order: Order, fill: Fill, payload: Mapping[str, Any]) -> Fact:
    return Fact(
        kind,
        payload,
        session_id=order.session_id,
        client_order_id=order.client_order_id,
        broker_order_id=order.broker_order_id,
        symbol=order.symbol,
        order_type=order.type,
        side=order.side.value,
        quantity=order.qty,
        filled_qty=fill.qty,
        filled_price=fill.price,
        subject=fill,
    )


def position_imported(position: Position, evidence: Mapping[str, Any]) -> Fact:
    """The broker holds shares that no order explains; the fold gives the position its id."""
    return Fact(
        POSITION_IMPORTED,
        {"position": to_json(position), "evidence": evidence},
        session_id=position.session_id,
        symbol=position.symbol,
        quantity=position.quantity,
        subject=position,
    )


def position_orphaned(position: Position, evidence: Mapping[str, Any]) -> Fact:
    """Our books hold shares that the broker does not; `position` is the closed one."""
    return Fact(
        POSITION_ORPHANED,
        {"position_id": position.position_id, "at": to_json(position.exit_time), "evidence": evidence},
        session_id=position.session_id,
        position_id=position.position_id,
        symbol=position.symbol,
        subject=position,
    )


def position_adjusted(change: Adjustment, evidence: Mapping[str, Any]) -> Fact:
    """Shares came or went without a trade; the fold says whose."""
    return Fact(
        POSITION_ADJUSTED,
        {"adjustment": to_json(change), "evidence": evidence},
        symbol=change.symbol,
        quantity=change.target,
        subject=change,
    )


def note(kind: str, payload: Mapping[str, Any], **columns: Any) -> Fact:
    """A fact that changes no order, fill or position."""
    return Fact(kind, payload, **columns)
