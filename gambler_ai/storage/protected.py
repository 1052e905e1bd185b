"""What protects positions, as people are shown it: the rows of plain reads, judged by the rule that places exits."""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any

from gambler_ai.domain.cover import protected
from gambler_ai.domain.money import text
from gambler_ai.domain.orders import Order, OrderStatus, Role, Side
from gambler_ai.domain.positions import Origin, Position, PositionStatus

Row = dict[str, Any]

WAIVED = "protection.waived"
DECIDES_WAIVER = ("session.opened", "session.active", WAIVED)
"""Kinds of the journal: a session that begins or goes on asks for protection anew, unless its waiver follows."""

_LEVELS = (("stop", "stop_loss"), ("target", "take_profit"))
_NOTHING = {"wanted": [], "has": [], "missing": "0"}


def with_protection(rows: Iterable[Row], positions: Iterable[Position], orders: Iterable[Order]) -> list[Row]:
    """Positions as rows, each with its `protection`: `wanted` says which exits it was meant to have, `has` which work
    at the broker, those of others too, `missing` how many shares have none although one is wanted."""
    found = protected(positions, orders)
    told: dict[str, Row] = {}
    for name, one in found.items():
        others = [f"of others x{text(one.by_others)}"] if one.by_others else []
        told[name] = {"has": [*map(_exit, one.exits), *others], "missing": text(one.missing)}
    return [
        {
            **row,
            "protection": {"wanted": _wanted(row), **told[name]} if (name := row["position_id"]) in told else _NOTHING,
        }
        for row in rows
    ]


def _wanted(row: Row) -> list[str]:
    return [f"{name} {row[field]}" for name, field in _LEVELS if row[field] is not None]


def _exit(order: Order) -> str:
    price = order.stop_price or order.limit_price
    kind = "exit" if price is None else "stop" if order.stop_price else "target"
    return " ".join([kind, *([] if price is None else [text(price)]), f"x{text(abs(order.remaining))}"])


def position_of(row: Row) -> Position:
    """As far as protection asks about it."""
    quantity = Decimal(row["qty"])
    return Position(
        position_id=row["position_id"],
        account_id=row["account"],
        session_id=None,
        symbol=row["symbol"],
        owner=row["owner"],
        origin=Origin(row["origin"]),
        direction="long" if quantity > 0 else "short",
        quantity=quantity,
        entered_quantity=abs(quantity),
        entry_price=Decimal(row["entry_price"]),
        entry_time=datetime.fromisoformat(row["opened_at"]),
        status=PositionStatus(row["status"]),
        stop_loss=_amount(row["stop_loss"]),
        take_profit=_amount(row["take_profit"]),
    )


def order_of(row: Row) -> Order:
    """As far as protection asks about it."""
    return Order(
        client_order_id=row["client_order_id"],
        account_id="",
        session_id=row["session_id"],
        owner=row["owner"],
        role=Role(row["role"]),
        symbol=row["symbol"],
        side=Side(row["side"]),
        type=row["type"],
        time_in_force=row["time_in_force"],
        qty=_amount(row["qty"]),
        limit_price=_amount(row["limit_price"]),
        stop_price=_amount(row["stop_price"]),
        status=OrderStatus(row["status"]),
        created_at=datetime.fromisoformat(row["created_at"]),
        updated_at=datetime.fromisoformat(row["updated_at"]),
        filled_qty=Decimal(row["filled_qty"]),
        position_id=row["position_id"],
        parent_id=row["parent_id"],
    )


def _amount(value: str | None) -> Decimal | None:
    return None if value is None else Decimal(value)
