"""Ledgers for the tests, and the hands of somebody who tampers with a database."""

from collections.abc import Callable
from datetime import timedelta
from random import Random
from typing import Any

from sqlalchemy import text

from gambler_ai.clock import SimulatedClock
from gambler_ai.domain.facts import note
from gambler_ai.domain.sessions import Session, SessionStatus
from gambler_ai.storage.database import Database
from gambler_ai.storage.holder import Holder
from gambler_ai.storage.journal import Ledger
from gambler_ai.storage.lease import take
from gambler_ai.storage.records import Records, StoredAccount, find_account
from gambler_ai.storage.verify import Verdict, verify
from gambler_ai.storage.writes import Writes, bind_account
from tests.builders import ACCOUNT, SESSION, START, Flow

A_SESSION = Session(
    SESSION, ACCOUNT, "alpha", "sma_cross", ("IBM", "SPY"), (("fast", "2"),), SessionStatus.ACTIVE, START,
    START + timedelta(hours=6),
)  # fmt: skip


class TickingClock(SimulatedClock):
    """Every look at it is a moment later: no two journal rows share a time."""

    def now(self) -> Any:
        self._now += timedelta(microseconds=1)
        return self._now


def the_account(database: Database) -> StoredAccount:
    found = find_account(database, "default")
    assert found is not None
    return found


def first_ledger(database: Database) -> Ledger:
    """Bind the account, take its lease, open a session."""
    clock = TickingClock(START)
    account = bind_account(database, "default", ACCOUNT, "PA1", "http://127.0.0.1:1", clock)
    take(database, account, Holder.of_this_process(), clock)
    ledger = ledger_of(database)
    open_session = Writes(database, ACCOUNT).open_session
    ledger.commit([note("session.opened", {}, session_id=SESSION)], lambda _seq: [open_session(A_SESSION)])
    return ledger


def ledger_of(database: Database) -> Ledger:
    """What a start of the program would hold, with the lease token that is current now."""
    account = the_account(database)
    book = Records(database, ACCOUNT).load_book()
    return Ledger(database, ACCOUNT, TickingClock(START), book, account.lease_token, account.head)


def trade(ledger: Ledger, seed: int, steps: int = 120) -> Flow:
    """Commit a random history, a transaction a step."""
    flow = Flow(Random(seed), ledger.book)
    for _ in range(steps):
        if found := flow.step():
            ledger.commit(found)
    return flow


def verdict_of(database: Database, **options: Any) -> Verdict:
    return verify(database, the_account(database), **options)


def run(database: Database, *statements: str, **values: Any) -> None:
    with database.connect() as connection:
        for statement in statements:
            connection.execute(text(statement), values)


def one(database: Database, query: str, **values: Any) -> Any:
    with database.connect() as connection:
        return connection.execute(text(query), values).scalar()


def without_triggers(database: Database) -> None:
    """What an intruder with the rights of the owner would do first."""
    if database.is_sqlite:
        run(database, *(f"DROP TRIGGER order_journal_no_{what}" for what in ("update", "delete", "reuse")))
    else:
        run(database, "ALTER TABLE order_journal DISABLE TRIGGER USER")


def interrupted(cursor: Any, before: Callable[[str], None], after: Callable[[str], None]) -> Any:
    """The driver's cursor with a hand on it before and after every statement."""

    class Cursor:
        def execute(self, sql: str, values: Any = ()) -> Any:
            before(sql)
            result = cursor.execute(sql, values)
            after(sql)
            return result

        def __getattr__(self, name: str) -> Any:
            return getattr(cursor, name)

    return Cursor()
