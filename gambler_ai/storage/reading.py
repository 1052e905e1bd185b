"""What the database says, for people and scripts: plain reads through the bare driver, so that `status` feels instant.

Never creates, locks or changes anything. Amounts come out as text, times as UTC ISO with Z, as in every JSON of ours.
"""

import contextlib
import json
import re
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from gambler_ai.clock import SystemClock
from gambler_ai.domain.orders import LIVE
from gambler_ai.errors import DatabaseUnavailable, StoredStateUnsafe, UsageError
from gambler_ai.storage.head_file import Head, HeadFile
from gambler_ai.storage.protected import DECIDES_WAIVER, WAIVED, order_of, position_of, with_protection

Row = dict[str, Any]

IF_LOST = "; or, if its books were lost, `gambler recover --from-broker`"

ORDER_FIELDS = (
    "client_order_id, broker_order_id, session_id, owner, role, symbol, side, type, time_in_force, qty, limit_price, "
    "stop_price, status, broker_status, filled_qty, filled_avg_price, created_at, updated_at"
)
POSITION_FIELDS = (
    "account_id AS account, symbol, owner, origin, quantity AS qty, entry_price, stop_loss, take_profit, status, "
    "entry_time AS opened_at, exit_time AS closed_at, exit_price, exit_reason, pnl, position_id"
)
_LIVE = ", ".join(f"'{status}'" for status in sorted(LIVE))
_SESSIONS = (
    "session_id, status, start_time, end_time, initial_capital, final_capital, symbols, parameters, strategy, ends_at"
)


class Reader:
    """Reads of one database and one account label. Raises StoredStateUnsafe when there is nothing to read from."""

    def __init__(self, url: str, label: str) -> None:
        self._label = label
        if not url.startswith(("sqlite:///", "postgres")):
            raise UsageError(
                "GAMBLER_DATABASE_URL is not a database URL; write sqlite:////path/to/file.db or "
                "postgresql://user@host/name"
            )
        self._sqlite = url.startswith("sqlite")
        self._url = url
        self._connection = _open_sqlite(url) if self._sqlite else _open_postgresql(url)

    def close(self) -> None:
        self._connection.close()

    def query(self, sql: str, *values: Any) -> list[Row]:
        """Rows as dictionaries; `?` marks a value on both databases."""
        cursor = self._connection.cursor()
        try:
            cursor.execute(sql if self._sqlite else sql.replace("%", "%%").replace("?", "%s"), values)
        except sqlite3.Error as error:
            raise _unreadable(error) from error
        except Exception as error:  # psycopg2's errors, without importing it for SQLite users
            if type(error).__module__.startswith("psycopg2"):
                raise _unreadable(error) from error
            raise
        names = [column[0] for column in cursor.description]
        return [{name: plain(value) for name, value in zip(names, row, strict=True)} for row in cursor.fetchall()]

    def known_head(self, data_dir: Path) -> Head | None:
        """The head kept outside this database. Read it before the account's row: a running session moves both."""
        found = self.query("SELECT account_id FROM accounts WHERE label = ?", self._label)
        return HeadFile(data_dir, self._label, shown(self._url)).read(found[0]["account_id"] if found else None)

    def lease_time(self) -> datetime:
        """The time leases are measured in: PostgreSQL's own clock, this machine's for a SQLite file."""
        if self._sqlite:
            return SystemClock().wall()
        return datetime.fromisoformat(self.query("SELECT clock_timestamp() AS at")[0]["at"])

    def account(self) -> Row | None:
        """The account bound to the label, with its newest snapshot's amounts."""
        found = self.query("SELECT * FROM accounts WHERE label = ?", self._label)
        if not found:
            return None
        latest = self.query(
            "SELECT equity, cash, buying_power, at FROM account_snapshots WHERE account_id = ? "
            "ORDER BY seq DESC LIMIT 1",
            found[0]["account_id"],
        )
        empty = {"equity": None, "cash": None, "buying_power": None, "at": None}
        return {**found[0], **(latest[0] if latest else empty)}

    def _id(self) -> str:
        found = self.query("SELECT account_id FROM accounts WHERE label = ?", self._label)
        return found[0]["account_id"] if found else ""

    def orders(self, *, open_only: bool = False) -> list[Row]:
        where = f" AND status IN ({_LIVE})" if open_only else ""
        return self.query(
            f"SELECT {ORDER_FIELDS} FROM orders WHERE account_id = ?{where} ORDER BY created_at, client_order_id",
            self._id(),
        )

    def fills(self) -> list[Row]:
        return self.query(
            "SELECT f.client_order_id, o.broker_order_id, o.symbol, o.side, f.cum_from, f.cum_to, f.price, f.at, "
            "f.source, f.inferred, f.execution_id FROM fills f JOIN orders o ON o.account_id = f.account_id AND "
            "o.client_order_id = f.client_order_id WHERE f.account_id = ? ORDER BY f.at, f.client_order_id, f.cum_from",
            self._id(),
        )

    def last_fill_at(self) -> str | None:
        found = self.query("SELECT max(at) AS at FROM fills WHERE account_id = ?", self._id())
        at: str | None = found[0]["at"]
        return at

    def positions(self, *, every: bool = False) -> list[Row]:
        """With what protects each open one, see `with_protection`."""
        where = "" if every else " AND status <> 'closed'"
        found = self.query(
            f"SELECT {POSITION_FIELDS} FROM positions WHERE account_id = ?{where} ORDER BY entry_time, position_id",
            self._id(),
        )
        orders = self.query(
            f"SELECT {ORDER_FIELDS}, position_id, parent_id FROM orders WHERE account_id = ? AND status IN ({_LIVE})",
            self._id(),
        )
        return with_protection(found, map(position_of, found), map(order_of, orders))

    def protection_is_waived(self) -> bool:
        """Whether the last session, when it last began or went on, was asked to place no exits."""
        kinds = ", ".join(f"'{kind}'" for kind in DECIDES_WAIVER)
        found = self.query(
            f"SELECT kind FROM order_journal WHERE account_id = ? AND kind IN ({kinds}) ORDER BY seq DESC LIMIT 1",
            self._id(),
        )
        return bool(found) and found[0]["kind"] == WAIVED

    def sessions(self) -> list[Row]:
        found = self.query(
            f"SELECT {_SESSIONS} FROM trading_sessions WHERE account_id = ? ORDER BY start_time", self._id()
        )
        return [
            {**row, "symbols": json.loads(row["symbols"]), "parameters": json.loads(row["parameters"])} for row in found
        ]

    def symbols(self) -> set[str]:
        """Every symbol that a session, an order or a position has or had."""
        account = self._id()
        traded = {symbol for session in self.sessions() for symbol in session["symbols"]}
        for table in ("orders", "positions"):
            found = self.query(f"SELECT DISTINCT symbol FROM {table} WHERE account_id = ?", account)
            traded |= {row["symbol"] for row in found}
        return traded

    def halts(self) -> list[Row]:
        return self.query(
            "SELECT symbol, reason, raised_at, evidence FROM halts WHERE account_id = ? AND lifted_at IS NULL "
            "ORDER BY raised_seq",
            self._id(),
        )

    def blocks(self) -> list[Row]:
        """What the process that holds the account told of blocks no other table shows."""
        return self.query(
            "SELECT symbol, kind, reason, way_out, since FROM blocks WHERE account_id = ? ORDER BY symbol, kind",
            self._id(),
        )

    def commands(self) -> list[Row]:
        """What people asked for and nobody has carried out yet."""
        return self.query(
            "SELECT id, kind, symbol, reason, requested_at FROM commands WHERE account_id = ? AND taken_seq IS NULL "
            "ORDER BY requested_at",
            self._id(),
        )

    def snapshots(self) -> list[Row]:
        """Equity and cash over time, oldest first."""
        return self.query(
            "SELECT at, equity, cash, session_id FROM account_snapshots WHERE account_id = ? ORDER BY seq", self._id()
        )

    def journal(self, last: int) -> list[Row]:
        found = self.query(
            "SELECT * FROM order_journal WHERE account_id = ? ORDER BY seq DESC LIMIT ?", self._id(), last
        )
        return [{**row, "payload": json.loads(row["payload"])} for row in reversed(found)]

    def journal_after(self, seq: int, limit: int) -> list[Row]:
        return self.query(
            "SELECT * FROM order_journal WHERE account_id = ? AND seq > ? ORDER BY seq LIMIT ?", self._id(), seq, limit
        )

    def journal_seq_at(self, at: str) -> int:
        """The number of the last row written by this exchange time; 0 when there was none."""
        found = self.query("SELECT max(seq) AS seq FROM order_journal WHERE account_id = ? AND at <= ?", self._id(), at)
        return found[0]["seq"] or 0

    def last_report(self) -> Row | None:
        found = self.query(
            "SELECT report FROM recovery_reports WHERE account_id = ? ORDER BY seq DESC LIMIT 1", self._id()
        )
        return json.loads(found[0]["report"]) if found else None


@contextlib.contextmanager
def reading(url: str, label: str) -> Iterator[Reader]:
    reader = Reader(url, label)
    try:
        yield reader
    finally:
        reader.close()


def shown(url: str) -> str:
    """The database's address as `Database.shown` has it: with its driver, without its password."""
    driver = "sqlite+pysqlite" if url.startswith("sqlite") else "postgresql+psycopg2"
    address = re.sub("^([^:/@]*):[^@/]*@", r"\1:***@", url.partition("://")[2])
    return f"{driver}://{address}"


def _open_sqlite(url: str) -> Any:
    path = Path(url.partition("://")[2][1:])
    if not path.exists():
        if not path.parent.is_dir():
            raise UsageError(f"the directory {path.parent} of the database does not exist")
        raise StoredStateUnsafe(
            f"there is no database at {path} yet; `gambler init-db` or the first `gambler run` makes it{IF_LOST}"
        )
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=10)


def _open_postgresql(url: str) -> Any:
    import psycopg2

    plain = "postgresql" + url[url.index("://") :]
    try:
        connection = psycopg2.connect(plain, connect_timeout=3, options="-c timezone=UTC")
    except psycopg2.OperationalError as error:
        raise DatabaseUnavailable(f"the database does not answer: {' '.join(str(error).split())}") from error
    connection.set_session(readonly=True, autocommit=True)
    return connection


def plain(value: Any) -> Any:
    """As JSON says it: amounts as text without padding, times as UTC ISO with Z."""
    if isinstance(value, Decimal):
        text = format(value, "f")
        return (text.rstrip("0").rstrip(".") if "." in text else text) if value else "0"
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return value


def _unreadable(error: Exception) -> StoredStateUnsafe | DatabaseUnavailable:
    text = " ".join(str(error).split())
    if "no such table" in text or "does not exist" in text:
        return StoredStateUnsafe(f"the database has no tables of ours yet; run `gambler init-db`{IF_LOST}")
    if "malformed" in text or "not a database" in text:
        return StoredStateUnsafe(f"the file is not a sound SQLite database ({text}); it was left untouched")
    return DatabaseUnavailable(f"the database cannot be read: {text}")
