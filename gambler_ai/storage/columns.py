"""Column types that mean the same on SQLite and PostgreSQL.

Amounts are exact: NUMERIC on PostgreSQL, plain decimal text on SQLite (whose NUMERIC is a float). Times are UTC:
TIMESTAMPTZ on PostgreSQL, ISO text with microseconds on SQLite, so that both sort and compare rightly.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import DateTime, Numeric, Text
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

from gambler_ai.domain import money
from gambler_ai.domain.market import iso, parse_time


def _decimal(value: Any) -> Decimal | None:
    return None if value is None else Decimal(value)


def _utc(value: Any) -> datetime | None:
    if value is None:
        return None
    return value.astimezone(UTC) if isinstance(value, datetime) else parse_time(value)


class Amount(TypeDecorator[Decimal]):
    """Exact Decimal on both databases."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(Numeric() if dialect.name == "postgresql" else Text())

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Any:
        if value is None or dialect.name == "postgresql":
            return value
        return money.text(value)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Decimal | None]:
        return _decimal  # by itself: what TypeDecorator puts around it costs more than the conversion


class UtcTime(TypeDecorator[datetime]):
    """Aware datetime in UTC on both databases; a naive one is refused."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(DateTime(timezone=True) if dialect.name == "postgresql" else Text())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        written = iso(value)
        return value if dialect.name == "postgresql" else written

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], datetime | None]:
        return _utc
