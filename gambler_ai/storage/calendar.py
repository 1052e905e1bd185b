"""The broker's calendar as it was last told: a row for every day, so that a closed day is known to be closed."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite

from gambler_ai.domain.market import TradingDay
from gambler_ai.storage import models
from gambler_ai.storage.database import Database


@dataclass(frozen=True, slots=True)
class KnownDay:
    """`hours` None = closed. `differs` is what exchange-calendars says instead, None when it agrees."""

    day: date
    hours: TradingDay | None
    differs: str | None


class StoredCalendar:
    """The calendar of one account's broker."""

    def __init__(self, database: Database, account_id: str) -> None:
        self._database = database
        self._account_id = account_id

    def keep(self, days: Iterable[KnownDay], at: datetime) -> None:
        """Replace what is known of these days, all or none; `at` is the exchange time of the broker's answer."""
        insert: Any = sqlite.insert if self._database.is_sqlite else postgresql.insert
        statement = insert(models.trading_days).values([self._row(day, at) for day in days])
        news = {name: statement.excluded[name] for name in ("open", "close", "differs", "asked_at")}
        with self._database.connect() as connection:
            connection.execute(statement.on_conflict_do_update(index_elements=["account_id", "day"], set_=news))

    def _row(self, known: KnownDay, at: datetime) -> dict[str, Any]:
        return {
            "account_id": self._account_id,
            "day": known.day.isoformat(),
            "open": known.hours.open if known.hours else None,
            "close": known.hours.close if known.hours else None,
            "differs": known.differs,
            "asked_at": at,
        }

    def between(self, first: date, last: date) -> list[KnownDay]:
        """What is known of first <= day <= last, in order; days nobody asked for are missing."""
        table = models.trading_days
        query = select(table).where(
            table.c.account_id == self._account_id, table.c.day.between(first.isoformat(), last.isoformat())
        )
        with self._database.connect() as connection:
            return [_known(row) for row in connection.execute(query.order_by(table.c.day)).mappings()]


def _known(row: Any) -> KnownDay:
    day = date.fromisoformat(row["day"])
    hours = TradingDay(day, row["open"], row["close"]) if row["open"] is not None else None
    return KnownDay(day, hours, row["differs"])
