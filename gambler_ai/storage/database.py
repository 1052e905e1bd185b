"""The database: one URL, two kinds, the settings durability rests on, and errors by consequence.

SQLite: WAL, synchronous=FULL, foreign keys on, BEGIN IMMEDIATE for every writing transaction, a lock file for life.
PostgreSQL: psycopg2, READ COMMITTED with the account row locked, synchronous_commit on.
"""

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from gambler_ai.errors import AlreadyStored, DatabaseUnavailable, StoredStateUnsafe, UsageError

BUSY_TIMEOUT_S = 10
_SQLITE_HEADER = b"SQLite format 3\x00"


def parse_url(text: str) -> URL:
    """The database's address; postgres:// and postgresql:// mean psycopg2. Raises UsageError for anything else."""
    try:
        url = make_url(text)
    except ArgumentError:
        raise UsageError(
            "GAMBLER_DATABASE_URL is not a database URL; write sqlite:////path/to/file.db or "
            "postgresql://user@host/name"
        ) from None
    if url.drivername in ("postgres", "postgresql", "postgresql+psycopg2"):
        return url.set(drivername="postgresql+psycopg2")
    if url.drivername in ("sqlite", "sqlite+pysqlite"):
        if not url.database or url.database == ":memory:":
            raise UsageError("an in-memory SQLite database loses everything; give sqlite:////path/to/file.db")
        return url.set(drivername="sqlite+pysqlite")
    raise UsageError(f"{url.drivername} databases are not supported; use sqlite or postgresql")


class Database:
    """An opened database. `shown` is its address without a password, for people. SQLite has a lock file beside it:
    who gets it has the proof that whoever held it is gone; without it, as on PostgreSQL, the lease's time decides.
    `factory` makes SQLite's connections, for simulations of a disk that fails."""

    def __init__(
        self, url: str, *, lock_file: bool = True, factory: Callable[..., sqlite3.Connection] = sqlite3.Connection
    ) -> None:
        self.url = parse_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self._locks = self.is_sqlite and lock_file
        self.shown = self.url.render_as_string(hide_password=True)
        self._factory = factory
        self._lock_fd: int | None = None
        if self.is_sqlite:
            self._check_file()
        self.engine = self._engine()

    @property
    def file(self) -> Path | None:
        return Path(self.url.database).absolute() if self.is_sqlite and self.url.database else None

    @property
    def exists(self) -> bool:
        return self.file is None or self.file.exists()

    def _check_file(self) -> None:
        assert self.file is not None
        folder = self.file.parent
        if not folder.is_dir():
            raise UsageError(f"the directory {folder} of the database does not exist; create it, or correct the URL")
        if not os.access(folder, os.W_OK):
            raise UsageError(f"the directory {folder} of the database is not writable by this user")
        if not self.file.exists():
            return
        if not os.access(self.file, os.R_OK | os.W_OK):
            raise UsageError(f"the database {self.file} is not readable and writable by this user")
        with self.file.open("rb") as handle:
            head = handle.read(16)
        if head and head != _SQLITE_HEADER:
            raise StoredStateUnsafe(
                f"{self.file} is not a SQLite database; it was left untouched. Restore a backup, or name another file. "
                "If its books are lost, move it away and run `gambler recover --from-broker`"
            )

    def _engine(self) -> Engine:
        if not self.is_sqlite:
            return create_engine(
                self.url,
                pool_size=3,
                isolation_level="AUTOCOMMIT",
                connect_args={
                    "connect_timeout": 3,
                    "options": "-c timezone=UTC -c synchronous_commit=on -c statement_timeout=30000 "
                    f"-c lock_timeout={BUSY_TIMEOUT_S * 1000} "
                    # a process frozen in mid-transaction must not keep its row locks from whoever takes over
                    f"-c idle_in_transaction_session_timeout={BUSY_TIMEOUT_S * 1000}",
                    "keepalives_idle": 10,
                },
            )
        engine = create_engine(
            self.url,
            pool_size=3,
            isolation_level="AUTOCOMMIT",
            connect_args={"timeout": BUSY_TIMEOUT_S, "check_same_thread": False, "factory": self._factory},
        )

        @event.listens_for(engine, "connect")
        def _settings(connection: Any, _record: Any) -> None:
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
                connection.execute(f"PRAGMA {pragma}").close()

        return engine

    @contextlib.contextmanager
    def connect(self) -> Iterator[Connection]:
        """A connection in autocommit; transactions are begun by hand. Driver errors come out translated."""
        with translated(self.shown):
            connection = self.engine.connect()
        try:
            with translated(self.shown):
                yield connection
        finally:
            with contextlib.suppress(DBAPIError):
                connection.close()

    @property
    def has_lock(self) -> bool:
        return self._lock_fd is not None

    def lock_for_life(self) -> bool:
        """SQLite: take the lock file until this process ends, kill -9 included. False = another process has it."""
        if not self._locks or self._lock_fd is not None:
            return True
        fd = os.open(f"{self.file}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return False
        self._lock_fd = fd
        return True

    def close(self) -> None:
        self.engine.dispose()
        if self._lock_fd is not None:
            os.close(self._lock_fd)
            self._lock_fd = None


@contextlib.contextmanager
def translated(shown: str) -> Iterator[None]:
    """Driver errors by consequence: a corrupt file is a stop, everything else may pass."""
    try:
        yield
    except (DBAPIError, sqlite3.Error) as error:
        raise from_driver(error, shown) from error


def from_driver(error: Exception, shown: str) -> DatabaseUnavailable | StoredStateUnsafe:
    """Our error for a driver's; the text of the statement and its values stay out."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    text = " ".join(str(cause).split())
    if isinstance(cause, sqlite3.DatabaseError) and ("malformed" in text or "not a database" in text):
        return StoredStateUnsafe(
            f"the database {shown} is damaged ({text}); restore a backup. Without one, move the file away with its "
            "-wal and -shm, and run `gambler recover --from-broker`: it rebuilds the books from the broker's history"
        )
    if "append-only" in text or any(kind.__name__ == "IntegrityError" for kind in type(cause).__mro__):
        return AlreadyStored(f"the database {shown} refused a row that contradicts what it holds: {text}")
    return DatabaseUnavailable(f"the database {shown} does not answer: {text}")
