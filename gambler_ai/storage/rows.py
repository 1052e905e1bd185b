"""Domain values as rows and back, and the statements of the order road compiled once."""

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from enum import Enum
from functools import cache
from typing import Any

from sqlalchemy import Table, bindparam, delete, insert, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.dml import Delete, Insert, Update

from gambler_ai.domain import money
from gambler_ai.domain.facts import to_json
from gambler_ai.domain.fills import Allocation, Fill
from gambler_ai.domain.market import iso
from gambler_ai.domain.orders import Order, OrderStatus, Role, Side
from gambler_ai.domain.positions import Origin, Position, PositionStatus
from gambler_ai.domain.sessions import Session, SessionStatus
from gambler_ai.storage import models

Row = Mapping[str, Any]


canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode
"""JSON with sorted keys and no blanks: one text for one value."""


class Statement:
    """An INSERT, UPDATE or DELETE compiled once for one database and run on the driver's cursor.

    SQLAlchemy's execution costs more than the statement itself on the order road (see benchmarks/commit.py).
    """

    def __init__(self, statement: Insert | Update | Delete, is_sqlite: bool) -> None:
        dialect: Any = sqlite.dialect(paramstyle="qmark") if is_sqlite else postgresql.dialect(paramstyle="pyformat")  # type: ignore[no-untyped-call]
        compiled = statement.compile(dialect=dialect)
        self.sql = str(compiled)
        self._names: list[str] | None = list(compiled.positiontup or ()) if is_sqlite else None
        self._adapt = _sqlite_value if is_sqlite else _postgresql_value

    def run(self, cursor: Any, values: Row) -> int:
        """Execute with these values; returns the number of rows it changed."""
        adapt = self._adapt
        if self._names is None:
            cursor.execute(self.sql, {name: v if type(v) in _AS_IS else adapt(v) for name, v in values.items()})
        else:
            cursor.execute(self.sql, [v if type(v := values[name]) in _AS_IS else adapt(v) for name in self._names])
        return int(cursor.rowcount)


@cache
def prepared(make: Callable[[Table], Insert | Update | Delete], table: Table, is_sqlite: bool) -> Statement:
    """The statement that `make` makes for a table, once in a process."""
    return Statement(make(table), is_sqlite)


_AS_IS = frozenset({str, int, bool, type(None)})
"""What every driver takes as it is: most values of a row, so asking this first halves the cost of a statement."""


def _sqlite_value(value: Any) -> Any:
    if isinstance(value, Decimal):
        return money.text(value)
    if isinstance(value, datetime):
        return iso(value)
    return value.value if isinstance(value, Enum) else value


def _postgresql_value(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value


def inserting(table: Table) -> Insert:
    return insert(table).values({c.name: bindparam(c.name) for c in table.columns})


def updating(table: Table) -> Update:
    """UPDATE of every column but the key, by key."""
    keys = list(table.primary_key.columns)
    changed: dict[str, Any] = {c.name: bindparam(c.name) for c in table.columns if not c.primary_key}
    statement = update(table).values(changed)
    for key in keys:
        statement = statement.where(key == bindparam(f"key_{key.name}"))
    return statement


def deleting(table: Table) -> Delete:
    statement = delete(table)
    for key in table.primary_key.columns:
        statement = statement.where(key == bindparam(f"key_{key.name}"))
    return statement


def with_keys(table: Table, row: Row) -> Row:
    return {**row, **{f"key_{key.name}": row[key.name] for key in table.primary_key.columns}}


def order_row(order: Order) -> Row:
    return {name: getattr(order, name) for name in _ORDER_COLUMNS}


def order_from(row: Row) -> Order:
    values = dict(zip(_ORDER_COLUMNS, row.values(), strict=True))
    values |= {"role": Role(row["role"]), "side": Side(row["side"]), "status": OrderStatus(row["status"])}
    return Order(**values)


def fill_row(account_id: str, fill: Fill) -> Row:
    return {
        "account_id": account_id,
        "client_order_id": fill.client_order_id,
        "cum_from": fill.cum_from,
        "cum_to": fill.cum_to,
        "price": fill.price,
        "at": fill.at,
        "source": fill.source,
        "execution_id": fill.execution_id,
        "inferred": fill.inferred,
        "allocations": canonical([to_json(part) for part in fill.allocations]),
    }


def fill_from(row: Row) -> Fill:
    parts = tuple(
        Allocation(part["position_id"], money.amount(part["qty"]), part["opens"])
        for part in json.loads(row["allocations"])
    )
    values = {name: row[name] for name in _FILL_COLUMNS}
    return Fill(**values | {"inferred": bool(row["inferred"]), "allocations": parts})


def position_row(position: Position) -> Row:
    row = {name: getattr(position, name) for name in _POSITION_COLUMNS}
    side = Side.BUY if position.direction == "long" else Side.SELL
    return row | {"side": side, "pnl_pct": position.pnl_pct}


def position_from(row: Row) -> Position:
    values = {name: row[name] for name in _POSITION_COLUMNS}
    return Position(**values | {"origin": Origin(row["origin"]), "status": PositionStatus(row["status"])})


def session_row(session: Session) -> Row:
    return {
        "session_id": session.session_id,
        "account_id": session.account_id,
        "owner": session.owner,
        "strategy": session.strategy,
        "symbols": canonical(list(session.symbols)),
        "parameters": canonical(dict(session.params)),
        "status": session.status,
        "start_time": session.start_time,
        "ends_at": session.ends_at,
        "end_time": session.end_time,
        "initial_capital": session.initial_capital,
        "final_capital": session.final_capital,
    }


def session_from(row: Row) -> Session:
    return Session(
        session_id=row["session_id"],
        account_id=row["account_id"],
        owner=row["owner"],
        strategy=row["strategy"],
        symbols=tuple(json.loads(row["symbols"])),
        params=tuple(sorted(json.loads(row["parameters"]).items())),
        status=SessionStatus(row["status"]),
        start_time=row["start_time"],
        ends_at=row["ends_at"],
        end_time=row["end_time"],
        initial_capital=row["initial_capital"],
        final_capital=row["final_capital"],
    )


_DERIVED = {"side", "pnl_pct"}
_ORDER_COLUMNS = [c.name for c in models.orders.columns]
_FILL_COLUMNS = [c.name for c in models.fills.columns if c.name not in ("account_id", "allocations", "inferred")]
_POSITION_COLUMNS = [c.name for c in models.positions.columns if c.name not in _DERIVED]
