"""After every step: the invariants, checked against the exchange's own record and the database, never our memory."""

import sqlite3
from typing import NamedTuple

from gambler_ai.operations import proof
from gambler_ai.simulation.process import LABEL
from gambler_ai.simulation.world import World
from gambler_ai.storage.database import Database
from gambler_ai.storage.records import find_account
from gambler_ai.storage.verify import verify


class Head(NamedTuple):
    """Where the journal ends, and the token of whoever may write."""

    seq: int
    hash: str
    token: int


class Examiner:
    """Each method returns broken promises as pairs of invariant and detail; none = all kept."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._books = sqlite3.connect(world.folder / "books.db", isolation_level=None)

    def close(self) -> None:
        self._books.close()

    def head(self) -> Head:
        row = self._books.execute("SELECT seq, hash, lease_token FROM accounts").fetchone()
        return Head(*row) if row else Head(0, "-", 0)

    def may_resume(self) -> bool:
        return bool(self._books.execute("SELECT 1 FROM trading_sessions").fetchone())

    def at_rest(self) -> list[tuple[str, str]]:
        """Books and exchange agree exactly, and the journal alone gives the same tables."""
        found = [("I08", line) for line in proof.compare(self._world.truth(), self._world.database_url, LABEL)]
        database = Database(self._world.database_url)
        try:
            account = find_account(database, LABEL)
            assert account is not None
            verdict = verify(database, account)
        finally:
            database.close()
        if verdict.first_bad_seq is not None:
            found.append(("I04", f"the journal is broken at row {verdict.first_bad_seq}"))
        return found + [("I04", line) for line in verdict.differences]
