"""Checking the journal: the chain row by row, and the tables against what the chain says."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from gambler_ai.domain.book import Book, Draft
from gambler_ai.domain.money import text
from gambler_ai.domain.orders import ImpossibleStep
from gambler_ai.storage import models, rows
from gambler_ai.storage.database import Database
from gambler_ai.storage.head_file import Head
from gambler_ai.storage.journal import GENESIS, chained, hashable, is_projection
from gambler_ai.storage.records import StoredAccount

_BATCH = 5000


@dataclass(frozen=True, slots=True)
class Verdict:
    """`first_bad_seq` is where the chain breaks; `differences` names table rows that do not follow from the journal."""

    rows: int
    head: Head
    first_bad_seq: int | None
    differences: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return self.first_bad_seq is None and not self.differences


def verify(
    database: Database,
    account: StoredAccount,
    progress: Callable[[int], None] | None = None,
    since: Head | None = None,
    rebuild: bool = True,
) -> Verdict:
    """Walk the chain from `since` (or its beginning) to the head stored with the account.

    With `rebuild` the whole chain is folded into orders, fills and positions and compared with the tables, exactly.
    """
    with database.connect() as connection:
        connection.exec_driver_sql("BEGIN" if database.is_sqlite else "BEGIN ISOLATION LEVEL REPEATABLE READ")
        try:
            return _walk(connection, account, since or Head(0, GENESIS), progress, rebuild and since is None)
        finally:
            connection.exec_driver_sql("ROLLBACK")


def _walk(
    connection: Any, account: StoredAccount, head: Head, progress: Callable[[int], None] | None, rebuild: bool
) -> Verdict:
    """One snapshot of the database, read row by row."""
    book = Book(keep_all=True)
    count = 0
    stored = connection.execute(
        select(models.accounts.c.seq, models.accounts.c.hash).where(models.accounts.c.account_id == account.account_id)
    ).one()
    for row in _journal(connection, account.account_id, head.seq):
        if row["seq"] != head.seq + 1 or not _follows(row, head):
            return Verdict(count, head, head.seq + 1, ())
        head = Head(row["seq"], row["hash"])
        count += 1
        if rebuild and is_projection(row["kind"]):
            try:
                fold(book, account.account_id, row)
            except (ImpossibleStep, KeyError, ValueError, TypeError) as error:
                return Verdict(count, head, None, (f"row {row['seq']} cannot be replayed: {error}",))
        if progress is not None and count % _BATCH == 0:
            progress(count)
    if (stored.seq, stored.hash) != (head.seq, head.hash):
        return Verdict(count, head, head.seq + 1, ())
    return Verdict(count, head, None, _compare(connection, account.account_id, book) if rebuild else ())


def _journal(connection: Any, account_id: str, after: int) -> Iterator[Any]:
    table = models.order_journal
    query = select(table).where(table.c.account_id == account_id).order_by(table.c.seq).limit(_BATCH)
    while True:
        batch = connection.execute(query.where(table.c.seq > after)).mappings().all()
        yield from batch
        if len(batch) < _BATCH:
            return
        after = batch[-1]["seq"]


def _follows(row: Any, head: Head) -> bool:
    return bool(row["prev_hash"] == head.hash and row["hash"] == chained(head.hash, hashable(row)))


def fold(book: Book, account_id: str, row: Any) -> None:
    """Take one row of the journal into the book. Raises ImpossibleStep when it contradicts it."""
    draft = Draft(book, account_id)
    draft.apply_stored(row["kind"], json.loads(row["payload"]), row["client_order_id"], row["seq"])
    book.absorb(draft)


def _compare(connection: Any, account_id: str, book: Book) -> tuple[str, ...]:
    """Names of rows that are missing, surplus or different in the three rebuilt tables."""
    fills = [fill for order in book.orders for fill in book.fills(order)]
    expected: dict[str, dict[str, Any]] = {
        "orders": {o.client_order_id: rows.order_row(o) for o in book.orders.values()},
        "fills": {f"{f.client_order_id} {text(f.cum_to)}": rows.fill_row(account_id, f) for f in fills},
        "positions": {p.position_id: rows.position_row(p) for p in book.positions.values()},
    }
    differences: list[str] = []
    for name, table, key in (
        ("orders", models.orders, lambda r: r["client_order_id"]),
        ("fills", models.fills, lambda r: f"{r['client_order_id']} {text(r['cum_to'])}"),
        ("positions", models.positions, lambda r: r["position_id"]),
    ):
        stored = {
            key(r): r for r in connection.execute(select(table).where(table.c.account_id == account_id)).mappings()
        }
        differences += [f"{name}: {k} is not stored" for k in expected[name].keys() - stored.keys()]
        differences += [f"{name}: {k} is stored without a journal row" for k in stored.keys() - expected[name].keys()]
        for k in expected[name].keys() & stored.keys():
            wrong = [c for c, value in expected[name][k].items() if stored[k][c] != value]
            differences += [f"{name}: {k} differs in {', '.join(wrong)}"] if wrong else []
    return tuple(sorted(differences))
