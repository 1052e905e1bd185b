"""After every step: the invariants, checked against the exchange's own record and the database, never our memory."""

import sqlite3
from typing import NamedTuple

from gambler_ai.operations import proof
from gambler_ai.simulation.process import LABEL
from gambler_ai.simulation.report import Report, Violation
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
    """Broken promises go into the report, under the step that is being taken."""

    def __init__(self, world: World, report: Report) -> None:
        self._world = world
        self._report = report
        self.step = 0
        self._books = sqlite3.connect(world.folder / "books.db", isolation_level=None)

    def close(self) -> None:
        self._books.close()

    def head(self) -> Head:
        row = self._books.execute("SELECT seq, hash, lease_token FROM accounts").fetchone()
        return Head(*row) if row else Head(0, "-", 0)

    def may_resume(self) -> bool:
        return bool(self._books.execute("SELECT 1 FROM trading_sessions").fetchone())

    def found(self, invariant: str, detail: str) -> None:
        self._report.violations.append(Violation(self.step, invariant, detail))

    def after_step(self) -> None:
        """What must hold at every moment."""

    def at_rest(self) -> None:
        """Books and exchange agree exactly, and the journal alone gives the same tables."""
        truth = self._world.truth()
        for name in ("orders", "executions", "requests"):
            self._report.happened[name] += len(truth[name])
        for line in proof.compare(truth, self._world.database_url, LABEL):
            self.found("I08", line)
        database = Database(self._world.database_url)
        try:
            account = find_account(database, LABEL)
            assert account is not None
            verdict = verify(database, account)
        finally:
            database.close()
        if verdict.first_bad_seq is not None:
            self.found("I04", f"the journal is broken at row {verdict.first_bad_seq}")
        for line in verdict.differences:
            self.found("I04", line)
