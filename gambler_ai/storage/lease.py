"""The lease: the right to write for one account, with a token that only grows.

Renewed by a small thread on its own connection, only while the loop
itself makes progress. A holder that is proven dead is replaced at once, any other only after its time is over.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select, update

from gambler_ai.clock import Clock
from gambler_ai.domain.market import iso
from gambler_ai.errors import AccountHeld, Fenced
from gambler_ai.storage import models
from gambler_ai.storage.database import Database
from gambler_ai.storage.holder import GRACE, Holder
from gambler_ai.storage.records import StoredAccount, find_account_by_id

TTL = timedelta(seconds=15)
RENEW_EVERY = timedelta(seconds=5)


def must_wait_until(account: StoredAccount, database: Database, now: datetime) -> datetime | None:
    """None when the lease is free now: released, over, or its holder proven dead. `now` is the database's wall time.

    A frozen holder keeps its lock file: it is replaced when its time is over, and fenced by the token when it wakes.
    A lease that ends later than any can was written before the clock was set back: who lives renews it soon.
    """
    if account.lease_holder is None or account.lease_expires_at is None:
        return None
    if is_gone(account.lease_holder, database):
        return None
    if account.lease_expires_at > now + TTL:
        return now + RENEW_EVERY + GRACE
    free_at = account.lease_expires_at + GRACE
    return free_at if now < free_at else None


def may_be_valid(account: StoredAccount, now: datetime) -> bool:
    """Whether its time is not over; of one written before the clock was set back nobody can say."""
    return account.lease_expires_at is not None and now < account.lease_expires_at <= now + TTL


def is_gone(holder: str, database: Database) -> bool:
    """Proven: its process is dead, or the lock file it held until its end is ours now."""
    who = Holder.parse(holder)
    return who.is_dead() or (who.locked and database.has_lock)


def held_message(account: StoredAccount) -> str:
    who = Holder.parse(account.lease_holder).shown if account.lease_holder else "another process"
    return (
        f"account {account.label} is traded by {who}; only one process may trade an account. "
        "Stop that one first, or look with `gambler status`"
    )


def database_time(database: Database, clock: Clock) -> datetime:
    """The time leases are measured in: PostgreSQL's own clock, this machine's for a SQLite file."""
    if database.is_sqlite:
        return clock.wall()
    with database.connect() as connection:
        at: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
        return at.astimezone(UTC)


def take(database: Database, account: StoredAccount, holder: Holder, clock: Clock) -> int:
    """Take the lease if it is still as `account` says; returns the new token. Raises AccountHeld when somebody was
    quicker. A crash before the commit leaves the old holder, after it the new."""
    now = database_time(database, clock)
    table = models.accounts
    statement = (
        update(table)
        .where(
            table.c.account_id == account.account_id,
            table.c.lease_token == account.lease_token,
            table.c.lease_expires_at.is_not_distinct_from(account.lease_expires_at),  # a sleeper may have renewed it
        )
        .values(
            lease_holder=str(replace(holder, locked=database.has_lock)),
            lease_token=account.lease_token + 1,
            lease_expires_at=now + TTL,
            heartbeat_at=now,
        )
    )
    with database.connect() as connection:
        if connection.execute(statement).rowcount != 1:
            raise AccountHeld(held_message(find_account_by_id(database, account.account_id) or account))
    return account.lease_token + 1


def renew(database: Database, account_id: str, token: int, clock: Clock) -> datetime:
    """Another TTL from now; returns when it ends. Raises Fenced when the token is not the current one any more."""
    now = database_time(database, clock)
    table = models.accounts
    statement = (
        update(table)
        .where(table.c.account_id == account_id, table.c.lease_token == token)
        .values(lease_expires_at=now + TTL, heartbeat_at=now)
    )
    with database.connect() as connection:
        if connection.execute(statement).rowcount != 1:
            raise Fenced(f"the lease with token {token} was taken over at or before {iso(now)}")
    return now + TTL


def release(database: Database, account_id: str, token: int) -> None:
    """Give the lease back; the token stays, so that it only ever grows. Nothing happens when it is not ours."""
    table = models.accounts
    with database.connect() as connection:
        connection.execute(
            update(table)
            .where(table.c.account_id == account_id, table.c.lease_token == token)
            .values(lease_holder=None, lease_expires_at=None)
        )
