"""The journal: append-only, hash-chained, and the one place where a transaction is committed.

`Ledger.commit` writes facts and the rows they change as ONE transaction that begins with one guarded statement on the
account's row: lock, fence and gap-free sequence in one. After it returns, everything is durable; after it raises,
nothing is, except that a commit whose answer was lost is looked up by the chain's head before anybody may retry.
"""

import contextlib
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table, Update, bindparam, select, update
from sqlalchemy.exc import DBAPIError

from gambler_ai.clock import Clock
from gambler_ai.crashpoints import crashpoint
from gambler_ai.domain import facts as kinds
from gambler_ai.domain.book import Book, Draft
from gambler_ai.domain.facts import Fact
from gambler_ai.domain.fills import Fill
from gambler_ai.domain.market import iso
from gambler_ai.domain.money import text
from gambler_ai.domain.orders import ImpossibleStep
from gambler_ai.errors import DatabaseUnavailable, Fenced
from gambler_ai.storage import models
from gambler_ai.storage.database import Database, from_driver
from gambler_ai.storage.head_file import Head
from gambler_ai.storage.rows import (
    Row,
    Statement,
    canonical,
    deleting,
    fill_row,
    inserting,
    order_row,
    position_row,
    prepared,
    updating,
    with_keys,
)

GENESIS = "0" * 64
VERSION = 1

_TAKEN_OVER = (
    "another process took this account over while we were away; this process sends and writes nothing more. "
    "`gambler status` shows who holds it"
)

Guard = Callable[[Any], None]
"""Called with the driver's cursor inside the transaction, after the account's row is locked; raising rolls back."""

RowsFor = Callable[[int], Sequence[tuple[Statement, Row]]]
"""Further rows of the same transaction, given the first fact's journal number."""


def chained(prev_hash: str, row: Mapping[str, Any]) -> str:
    """SHA-256 over version, previous hash and every column of a journal row, as canonical JSON."""
    body = [VERSION, prev_hash, *(row[name] for name in _HASHED)]
    return hashlib.sha256(canonical(body).encode()).hexdigest()


_HASHED = [c.name for c in models.order_journal.columns if c.name not in ("prev_hash", "hash")]
_AMOUNTS = ("quantity", "filled_qty", "filled_price")


def hashable(row: Mapping[str, Any]) -> dict[str, Any]:
    """A journal row as it is hashed: amounts and times as their text."""
    plain = dict(row)
    for name in _AMOUNTS:
        plain[name] = None if row[name] is None else text(row[name])
    for name in ("at", "wall_at"):
        plain[name] = iso(row[name])
    return plain


class Ledger:
    """The writing side of one account: its chain head, its lease token, its book and one held connection."""

    def __init__(self, database: Database, account_id: str, clock: Clock, book: Book, token: int, head: Head) -> None:
        self.account_id = account_id
        self.book = book
        self.head = head
        self.token = token
        self._database = database
        self._clock = clock
        self._connection: Connection | None = None
        self._lost: tuple[Head, Draft, Sequence[Fact]] | None = None
        self._fresh: list[tuple[int, Fill]] = []
        self._prepare(database.is_sqlite)

    def _prepare(self, is_sqlite: bool) -> None:
        self._advance = prepared(_advancing, models.accounts, is_sqlite)
        self._append = prepared(inserting, models.order_journal, is_sqlite)
        self._insert_order = prepared(inserting, models.orders, is_sqlite)
        self._update_order = prepared(updating, models.orders, is_sqlite)
        self._insert_fill = prepared(inserting, models.fills, is_sqlite)
        self._delete_fill = prepared(deleting, models.fills, is_sqlite)
        self._insert_position = prepared(inserting, models.positions, is_sqlite)
        self._update_position = prepared(updating, models.positions, is_sqlite)
        self._begin = "BEGIN IMMEDIATE" if is_sqlite else "BEGIN"

    def commit(self, facts: Sequence[Fact], rows: RowsFor | None = None, guard: Guard | None = None) -> Head:
        """Write the facts, the rows they change in orders, fills and positions, and `rows`, as one transaction.

        Raises Fenced when our token is not the current one, DatabaseUnavailable when nothing was written, whatever
        `guard` raises, and ImpossibleStep when a fact contradicts the book. The book changes only on success.
        """
        self.settle_lost_commit()
        draft = Draft(self.book, self.account_id)
        journal: list[Row] = []
        head = self.head
        for fact in facts:
            try:
                draft.apply(fact, head.seq + 1)
            except ImpossibleStep:
                self._must_be_ours()  # what a successor wrote contradicts what we know
                raise
            row = self._journal_row(fact, head)
            journal.append(row)
            head = Head(row["seq"], row["hash"])
        self._write(journal, draft, facts, head, rows(self.head.seq + 1) if rows else (), guard)
        self._take_over(head, draft, facts)
        crashpoint("transaction.after_commit")
        return head

    def _take_over(self, head: Head, draft: Draft, facts: Sequence[Fact]) -> None:
        self.head = head
        self.book.absorb(draft)
        for seq, fact in enumerate(facts, head.seq - len(facts) + 1):
            if fact.kind == kinds.FILL_BOOKED and isinstance(fact.subject, Fill):
                self._fresh.append((seq, fact.subject))

    def take_fills(self) -> list[tuple[int, Fill]]:
        """The fills committed since the last call, whatever committed them, with their journal numbers."""
        fresh, self._fresh = self._fresh, []
        return fresh

    def settle_lost_commit(self) -> Sequence[Fact]:
        """A COMMIT whose answer was lost, and whose look-up failed too: the chain's head decides. Call it before the
        book is read for a decision; otherwise the next commit does. Returns the facts that were committed after all."""
        if self._lost is None:
            return ()
        head, draft, facts = self._lost
        committed = self._committed(head)
        if committed:
            self._take_over(head, draft, facts)
        self._lost = None
        return facts if committed else ()

    def _journal_row(self, fact: Fact, prev: Head) -> Row:
        row: dict[str, Any] = {
            "account_id": self.account_id,
            "seq": prev.seq + 1,
            "at": self._clock.now(),
            "wall_at": self._clock.wall(),
            "kind": fact.kind,
            "session_id": fact.session_id,
            "position_id": fact.position_id,
            "client_order_id": fact.client_order_id,
            "broker_order_id": fact.broker_order_id,
            "symbol": fact.symbol,
            "order_type": fact.order_type,
            "side": fact.side,
            "quantity": fact.quantity,
            "status": fact.status,
            "filled_qty": fact.filled_qty,
            "filled_price": fact.filled_price,
            "error": fact.error,
            "payload": canonical(fact.payload),
            "prev_hash": prev.hash,
        }
        row["hash"] = chained(prev.hash, hashable(row))
        return row

    def _write(
        self,
        journal: list[Row],
        draft: Draft,
        facts: Sequence[Fact],
        head: Head,
        rows: Sequence[tuple[Statement, Row]],
        guard: Guard | None,
    ) -> None:
        try:
            cursor = self._cursor()
            cursor.execute(self._begin)
        except DatabaseUnavailable:
            raise
        except Exception as error:  # the driver's own; both kinds derive from Exception only
            self.drop_connection()
            raise from_driver(error, self._database.shown) from error
        try:
            self._lock(cursor, head)
            if guard is not None:
                guard(cursor)
            for row in journal:
                self._append.run(cursor, row)
            for statement, values in rows:
                statement.run(cursor, values)  # first: a new session comes before its orders
            self._write_draft(cursor, draft)
            crashpoint("transaction.before_commit")
        except BaseException as error:
            self._roll_back(cursor)
            if _is_driver_error(error):
                self.drop_connection()
                raise from_driver(error, self._database.shown) from error  # type: ignore[arg-type]
            raise
        self._end(cursor, head, draft, facts)

    def _lock(self, cursor: Any, head: Head) -> None:
        changed = self._advance.run(
            cursor,
            {
                "new_seq": head.seq,
                "new_hash": head.hash,
                "id": self.account_id,
                "token": self.token,
                "old_seq": self.head.seq,
            },
        )
        if changed != 1:
            raise Fenced(_TAKEN_OVER)

    def _must_be_ours(self) -> None:
        with self._database.connect() as connection:
            table = models.accounts
            query = select(table.c.lease_token).where(table.c.account_id == self.account_id)
            if connection.execute(query).scalar_one() != self.token:
                raise Fenced(_TAKEN_OVER)

    def _write_draft(self, cursor: Any, draft: Draft) -> None:
        for order in draft.orders.values():
            row = order_row(order)
            if order.client_order_id in draft.new_orders:
                self._insert_order.run(cursor, row)
            else:
                self._update_order.run(cursor, with_keys(models.orders, row))
        for fill in draft.fills_removed:
            self._delete_fill.run(cursor, with_keys(models.fills, fill_row(self.account_id, fill)))
        for fill in draft.fills_added:
            self._insert_fill.run(cursor, fill_row(self.account_id, fill))
        # closed before opened: at most one open position per symbol and owner holds at every statement
        for position in sorted(draft.positions.values(), key=lambda p: p.position_id in draft.new_positions):
            row = position_row(position)
            if position.position_id in draft.new_positions:
                self._insert_position.run(cursor, row)
            else:
                self._update_position.run(cursor, with_keys(models.positions, row))

    def _end(self, cursor: Any, head: Head, draft: Draft, facts: Sequence[Fact]) -> None:
        try:
            cursor.execute("COMMIT")
        except Exception as error:
            self._roll_back(cursor)
            self.drop_connection()
            if not _is_driver_error(error):
                raise
            self._lost = (head, draft, facts)
            if self._committed(head):
                self._lost = None
                return
            self._lost = None
            raise from_driver(error, self._database.shown) from error

    def _committed(self, head: Head) -> bool:
        """After a lost answer to COMMIT: the chain's head says whether it happened."""
        with self._database.connect() as connection:
            stored = connection.execute(
                select(models.accounts.c.seq, models.accounts.c.hash).where(
                    models.accounts.c.account_id == self.account_id
                )
            ).one()
        return (stored.seq, stored.hash) == (head.seq, head.hash)

    def _roll_back(self, cursor: Any) -> None:
        with contextlib.suppress(Exception):  # the connection may be gone; then so is the transaction
            cursor.execute("ROLLBACK")

    def _cursor(self) -> Any:
        if self._connection is None:
            try:
                self._connection = self._database.engine.connect()
            except DBAPIError as error:
                raise from_driver(error, self._database.shown) from error
        return self._connection.connection.cursor()

    def drop_connection(self) -> None:
        """Forget the held connection; the next commit makes a new one."""
        if self._connection is not None:
            with contextlib.suppress(Exception):  # closing a broken connection may fail in any way
                self._connection.invalidate()
                self._connection.close()
            self._connection = None


def _advancing(table: Table) -> Update:
    """Lock, fence and sequence in one: it changes no row when the token or the chain's head is not ours."""
    return (
        update(table)
        .values(seq=bindparam("new_seq"), hash=bindparam("new_hash"))
        .where(table.c.account_id == bindparam("id"), table.c.lease_token == bindparam("token"))
        .where(table.c.seq == bindparam("old_seq"))
    )


def _is_driver_error(error: BaseException) -> bool:
    return isinstance(error, Exception) and type(error).__module__.split(".")[0] in (
        "sqlite3",
        "psycopg2",
        "sqlalchemy",
    )


def is_projection(kind: str) -> bool:
    """Whether facts of this kind change orders, fills or positions."""
    return kind in {
        kinds.ORDER_INTENDED,
        kinds.ORDER_CHANGED,
        kinds.ORDER_ADOPTED,
        kinds.FILL_BOOKED,
        kinds.FILL_REFINED,
        kinds.POSITION_IMPORTED,
        kinds.POSITION_ORPHANED,
        kinds.POSITION_ADJUSTED,
    }
