"""The database of all processes, and what can happen to it below SQLAlchemy.

A COMMIT whose answer is lost is durable, and whoever sent it is told that it failed. A database that is away answers
nothing: not even whether that COMMIT happened.
"""

import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from gambler_ai.errors import DatabaseUnavailable
from gambler_ai.storage.database import Database

LOST_COMMIT, AWAY = "commit answer lost", "database away"
LOST, BACKUP, OLDER = "database lost", "backup made", "older copy put back"
FAULTS = (LOST_COMMIT, AWAY, LOST, BACKUP, OLDER)


class Disk:
    """Faults are armed; `now` tells the world's time in seconds."""

    def __init__(self, url: str, now: Callable[[], float], fired: Counter[str]) -> None:
        self._now = now
        self._fired = fired
        self._loses: list[float] = []
        self.away_until = 0.0
        self._opened = Database(url, factory=partial(_Connection, self))

    def opened_again(self, *, lock_file: bool) -> "SharedDatabase":
        """Opened by one more process. They share the engine, which knows by heart how to write its queries."""
        return SharedDatabase(self._opened, lock_file=lock_file)

    # --- what the schedule does ---------------------------------------------------------------------------------

    def lose_commit(self, away_s: float) -> None:
        """The next COMMIT happens, its answer is lost, and nothing is answered for so long afterwards."""
        self._loses.append(away_s)

    def go_away(self, seconds: float) -> None:
        self._fired[AWAY] += 1
        self.away_until = self._now() + seconds

    def put(self, copy: Path) -> None:
        """This file is the database from now on. Nobody may have it open."""
        self._opened.close()
        file = self._opened.file
        assert file is not None
        for beside in ("-wal", "-shm"):
            file.with_name(file.name + beside).unlink(missing_ok=True)
        shutil.copy(copy, file)

    def calm(self) -> None:
        self._loses.clear()
        self.away_until = 0.0

    # --- statements ---------------------------------------------------------------------------------------------

    def refuse_while_away(self) -> None:
        if self._now() < self.away_until:
            raise sqlite3.OperationalError("the server closed the connection unexpectedly")

    def committed(self) -> None:
        """COMMIT is done; whether that is told is for the schedule to say."""
        if self._loses:
            away_s = self._loses.pop(0)
            self._fired[LOST_COMMIT] += 1
            if away_s:
                self.go_away(away_s)
            raise sqlite3.OperationalError("the server closed the connection during COMMIT")


class _Cursor(sqlite3.Cursor):
    disk: Disk

    def execute(self, sql: str, *values: Any) -> "_Cursor":
        self.disk.refuse_while_away()
        super().execute(sql, *values)
        if sql == "COMMIT":
            self.disk.committed()
        return self


class _Connection(sqlite3.Connection):
    def __init__(self, disk: Disk, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._disk = disk

    def cursor(self, *_factory: Any) -> _Cursor:  # type: ignore[override]
        cursor = super().cursor(_Cursor)
        cursor.disk = self._disk
        return cursor


class SharedDatabase(Database):
    """Once `is_dead`, its process cannot reach it any more, whatever clean-up of a dead process still runs here."""

    def __init__(self, opened: Database, *, lock_file: bool) -> None:
        self._opened = opened
        self.is_dead = False
        super().__init__(str(opened.url), lock_file=lock_file)

    @contextmanager
    def connect(self) -> Iterator[Any]:
        if self.is_dead:
            raise DatabaseUnavailable("this process is dead")
        with super().connect() as connection:
            yield connection

    def _engine(self) -> Any:
        return self._opened.engine
