"""The scheduler's lease: one scheduler of an account at a time, by the rules of the trader's (see lease).

The token guards every claim and every step of a run; a scheduler that slept through its replacement writes nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import insert, select, update

from gambler_ai.clock import Clock
from gambler_ai.errors import AccountHeld, AlreadyStored, Fenced
from gambler_ai.storage import models
from gambler_ai.storage.database import Database
from gambler_ai.storage.holder import GRACE, Holder
from gambler_ai.storage.lease import TTL, database_time


@dataclass(frozen=True, slots=True)
class SchedulerRow:
    """Who schedules an account, and the last exchange time anybody heard for it; wall times are the database's."""

    holder: str | None
    token: int
    expires_at: datetime | None
    heartbeat_at: datetime | None
    exchange_at: datetime | None

    def is_held(self, now: datetime) -> bool:
        """By a process that is not proven dead and whose time, with some grace, is not over."""
        if self.holder is None or self.expires_at is None or Holder.parse(self.holder).is_dead():
            return False
        return now < self.expires_at + GRACE


class SchedulerLease:
    """The lease of one account's scheduler; `token` is ours once it is taken."""

    def __init__(self, database: Database, account_id: str, clock: Clock) -> None:
        self._database = database
        self._account_id = account_id
        self._clock = clock
        self.token = 0

    def look(self) -> SchedulerRow | None:
        table = models.schedulers
        query = select(table).where(table.c.account_id == self._account_id)
        with self._database.connect() as connection:
            row = connection.execute(query).mappings().first()
        return SchedulerRow(**{name: row[name] for name in SchedulerRow.__slots__}) if row is not None else None

    def now(self) -> datetime:
        """The time leases are measured in."""
        return database_time(self._database, self._clock)

    def take(self, holder: Holder) -> None:
        """Raises AccountHeld while a living scheduler has it, or when another was quicker."""
        now, known = self.now(), self.look()
        if known is not None and known.is_held(now):
            raise AccountHeld(_held_by(known))
        token = known.token + 1 if known is not None else 1
        values = {"holder": str(holder), "token": token, "expires_at": now + TTL, "heartbeat_at": now}
        table = models.schedulers
        try:
            with self._database.connect() as connection:
                if known is None:
                    connection.execute(insert(table).values(account_id=self._account_id, **values))
                    taken = 1
                else:
                    free = (
                        update(table)
                        .where(table.c.account_id == self._account_id, table.c.token == known.token)
                        .where(table.c.expires_at.is_not_distinct_from(known.expires_at))
                    )
                    taken = connection.execute(free.values(values)).rowcount
        except AlreadyStored:
            taken = 0
        if taken != 1:
            raise AccountHeld(_held_by(self.look()))
        self.token = token

    def renew(self) -> None:
        """Another TTL, and the exchange's time for those who ask us. Raises Fenced when another has taken over."""
        now = self.now()
        values = {"expires_at": now + TTL, "heartbeat_at": now, "exchange_at": self._clock.now()}
        if self._update(values) != 1:
            raise Fenced("another scheduler has taken this account over; this one stops and changes nothing")

    def release(self) -> None:
        """Give it back; the token stays. Nothing happens when it is not ours."""
        self._update({"holder": None, "expires_at": None})

    def _update(self, values: Mapping[str, object]) -> int:
        table = models.schedulers
        ours = update(table).where(table.c.account_id == self._account_id, table.c.token == self.token)
        with self._database.connect() as connection:
            return connection.execute(ours.values(values)).rowcount


def _held_by(row: SchedulerRow | None) -> str:
    who = Holder.parse(row.holder).shown if row is not None and row.holder else "another process"
    return f"{who} schedules this account; one scheduler at a time is enough"
