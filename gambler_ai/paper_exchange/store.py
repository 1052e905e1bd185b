"""The exchange's state on disk, through the standard library's sqlite3.

One transaction per request or market step, WAL, synchronous=FULL: what was answered is stored. The file
is held exclusively, so two exchanges can never share one state.
"""

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic_core import to_json

from gambler_ai.errors import StoredStateUnsafe, UsageError
from gambler_ai.paper_exchange.account import Account, Position
from gambler_ai.paper_exchange.book import Activity, Execution, Order

SCHEMA_VERSION = 2
_T = TypeVar("_T")
_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE accounts (id TEXT PRIMARY KEY, data TEXT NOT NULL);
CREATE TABLE orders (seq INTEGER PRIMARY KEY, account TEXT NOT NULL, client_order_id TEXT NOT NULL,
    data TEXT NOT NULL, UNIQUE (account, client_order_id));
CREATE TABLE executions (seq INTEGER PRIMARY KEY, data TEXT NOT NULL);
CREATE TABLE activities (seq INTEGER PRIMARY KEY, data TEXT NOT NULL);
CREATE TABLE requests (seq INTEGER PRIMARY KEY, at TEXT NOT NULL, wall_at TEXT NOT NULL, account TEXT,
    method TEXT NOT NULL, path TEXT NOT NULL, client_order_id TEXT, status INTEGER, acted INTEGER NOT NULL);
CREATE TABLE lab (seq INTEGER PRIMARY KEY, at TEXT NOT NULL, wall_at TEXT NOT NULL, method TEXT NOT NULL,
    path TEXT NOT NULL, fields TEXT NOT NULL);
"""


class RequestRow(NamedTuple):
    """One request of the truth log. `status` is what the exchange decided, None when it never looked at it."""

    at: str
    wall_at: str
    account: str | None
    method: str
    path: str
    client_order_id: str | None
    status: int | None
    acted: bool


class LabRow(NamedTuple):
    """One act of the lab that was not refused, with what it was given."""

    at: str
    wall_at: str
    method: str
    path: str
    fields: dict[str, Any]


class Store:
    """Reads everything once at start, writes what changed."""

    def __init__(self, state: str | Path) -> None:
        """Open or create. UsageError when another process holds the file, StoredStateUnsafe when it is not ours."""
        try:
            self._db = sqlite3.connect(str(state), timeout=0.5, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA locking_mode=EXCLUSIVE")
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.execute("PRAGMA wal_autocheckpoint=10000")
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            tables = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
            if tables == 0:
                self._db.executescript(f"BEGIN;{_SCHEMA}PRAGMA user_version={SCHEMA_VERSION};COMMIT;")
            elif version != SCHEMA_VERSION:
                raise StoredStateUnsafe(f"{state}: exchange state of version {version}, want {SCHEMA_VERSION}")
        except sqlite3.OperationalError as broken:
            place = Path(state).parent
            why = "perhaps another exchange runs on it" if place.is_dir() else f"there is no directory {place}"
            raise UsageError(f"{state}: cannot be opened, {why} ({broken})") from broken
        except sqlite3.DatabaseError as broken:
            raise StoredStateUnsafe(f"{state}: not an exchange's state ({broken})") from broken

    def meta(self) -> dict[str, str]:
        """The named values, all text."""
        return dict(self._db.execute("SELECT name, value FROM meta"))

    def accounts(self) -> Iterator[Account]:
        """Every account ever opened."""
        return (unpack(Account, row[0]) for row in self._db.execute("SELECT data FROM accounts ORDER BY rowid"))

    def orders(self) -> Iterator[Order]:
        """Every order, in the order of submission."""
        return (unpack(Order, row[0]) for row in self._db.execute("SELECT data FROM orders ORDER BY seq"))

    def executions(self) -> Iterator[Execution]:
        """Every execution, in order."""
        return (unpack(Execution, row[0]) for row in self._db.execute("SELECT data FROM executions ORDER BY seq"))

    def activities(self) -> Iterator[Activity]:
        """Every activity that is no execution, in order."""
        return (unpack(Activity, row[0]) for row in self._db.execute("SELECT data FROM activities ORDER BY seq"))

    def requests(self, account: str | None = None) -> Iterator[RequestRow]:
        """The truth log, oldest first; of one account, or of all."""
        where, values = ("", ()) if account is None else (" WHERE account = ?", (account,))
        columns = "at, wall_at, account, method, path, client_order_id, status, acted"
        for row in self._db.execute(f"SELECT {columns} FROM requests{where} ORDER BY seq", values):
            at, wall_at, whose, method, path, named, status, acted = row
            yield RequestRow(at, wall_at, whose, method, path, named, status, bool(acted))

    def lab(self) -> Iterator[LabRow]:
        """What the lab has done, oldest first."""
        rows = self._db.execute("SELECT at, wall_at, method, path, fields FROM lab ORDER BY seq")
        return (LabRow(at, wall_at, method, path, json.loads(text)) for at, wall_at, method, path, text in rows)

    def note_lab(self, row: LabRow) -> None:
        """One transaction of its own."""
        values = (row.at, row.wall_at, row.method, row.path, json.dumps(row.fields))
        self._db.execute("INSERT INTO lab (at, wall_at, method, path, fields) VALUES (?, ?, ?, ?, ?)", values)

    def save(
        self,
        meta: dict[str, str],
        accounts: Iterable[Account] = (),
        orders: Iterable[Order] = (),
        executions: Iterable[Execution] = (),
        requests: Iterable[RequestRow] = (),
        activities: Iterable[Activity] = (),
    ) -> None:
        """One transaction; all of it or nothing."""
        run = self._db
        run.execute("BEGIN IMMEDIATE")
        with run:
            run.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", meta.items())
            run.executemany(
                "INSERT INTO accounts VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET data = excluded.data",
                [(account.id, pack(account)) for account in accounts],
            )
            run.executemany(
                "INSERT INTO orders VALUES (?, ?, ?, ?) ON CONFLICT (seq) DO UPDATE SET data = excluded.data",
                [(order.seq, order.account, order.client_order_id, pack(order)) for order in orders],
            )
            run.executemany("INSERT INTO executions VALUES (?, ?)", [(one.seq, pack(one)) for one in executions])
            run.executemany("INSERT INTO activities VALUES (?, ?)", [(one.seq, pack(one)) for one in activities])
            run.executemany(
                "INSERT INTO requests (at, wall_at, account, method, path, client_order_id, status, acted)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (row.at, row.wall_at, row.account, row.method, row.path, row.client_order_id, row.status, row.acted)
                    for row in requests
                ],
            )

    def fold(self) -> None:
        """Write the log into the file itself, and cut it."""
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()

    def copy_to(self, other: "Store") -> None:
        """Make another store's content this one's."""
        self._db.backup(other._db)

    def close(self) -> None:
        """Give the file back."""
        self._db.close()


def pack(record: Account | Order | Execution | Activity) -> str:
    """A record as JSON text; amounts and times as exact text."""
    return to_json(record).decode()


def unpack(cls: type[_T], text: str) -> _T:
    """The record that `pack` wrote."""
    raw = json.loads(text)
    return cls(
        **{name: raw[name] if raw[name] is None else read(raw[name]) for name, read in _SHAPES[cls] if name in raw}
    )


def _same(value: Any) -> Any:
    return value


def _positions(raw: dict[str, dict[str, str]]) -> dict[str, Position]:
    return {symbol: Position(**{name: Decimal(text) for name, text in held.items()}) for symbol, held in raw.items()}


def _readers(cls: Any) -> tuple[tuple[str, Callable[[Any], Any]], ...]:
    readers: list[tuple[str, Callable[[Any], Any]]] = []
    for one in fields(cls):
        kind = str(one.type)
        read = _positions if "Position" in kind else Decimal if "Decimal" in kind else _same
        readers.append((one.name, datetime.fromisoformat if "datetime" in kind else read))
    return tuple(readers)


_SHAPES: dict[Any, tuple[tuple[str, Callable[[Any], Any]], ...]] = {
    one: _readers(one) for one in (Account, Order, Execution, Activity)
}
