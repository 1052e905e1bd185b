"""An exchange, a database and a trader's environment, and the proof that all of them tell one story."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import text

from gambler_ai.operations.proof import compare
from gambler_ai.storage.database import Database
from gambler_ai.storage.records import find_account
from gambler_ai.storage.verify import verify
from tests.support.exchange import ExchangeProcess
from tests.support.gambler import Gambler, Result

LABEL = "default"


class World:
    """`end` kills every process of it."""

    def __init__(self, directory: Path, database_url: str, **exchange: Any) -> None:
        self.database_url = database_url
        self.exchange = ExchangeProcess(directory / "exchange", **exchange)
        self.gambler = Gambler(directory / "trader", database_url, self.exchange.url)

    def query(self, sql: str) -> list[dict[str, Any]]:
        database = Database(self.database_url)
        try:
            with database.connect() as connection:
                return [dict(row) for row in connection.execute(text(sql)).mappings()]
        finally:
            database.close()

    def tables(self, *names: str) -> dict[str, Sequence[dict[str, Any]]]:
        """All rows of these tables, in an order of their own."""
        return {name: sorted(self.query(f"SELECT * FROM {name}"), key=str) for name in names}

    def sessions(self) -> list[dict[str, Any]]:
        return self.query("SELECT * FROM trading_sessions ORDER BY start_time")

    def resume_to_the_end(self) -> Result:
        """What a person does after a crash: resume the session, or begin when the crash came before there was one."""
        known = self.query_if_any("SELECT session_id FROM trading_sessions")
        if known:
            return self.gambler("run", "--resume", known[0]["session_id"])
        return self.gambler.trade("--duration", "12").ended()

    def query_if_any(self, sql: str) -> list[dict[str, Any]]:
        """Nothing when the crash came before there were tables."""
        tables = "SELECT 1 FROM sqlite_master WHERE name = 'trading_sessions'"
        if self.database_url.startswith("postgres"):
            tables = "SELECT 1 FROM pg_tables WHERE tablename = 'trading_sessions'"
        return self.query(sql) if self.query(tables) else []

    def lose_the_database(self) -> None:
        """As a lost disk would; what lies beside it in the data directory stays."""
        if self.database_url.startswith("postgres"):
            database = Database(self.database_url)
            with database.connect() as connection:
                connection.exec_driver_sql("DROP SCHEMA public CASCADE")
                connection.exec_driver_sql("CREATE SCHEMA public")
            database.close()
            return
        for end in ("", "-wal", "-shm"):
            Path(self.database_url.removeprefix("sqlite:///") + end).unlink(missing_ok=True)

    def prove(self) -> None:
        """Books and exchange agree in every share and cent, no decision was sent twice, and the chain is whole."""
        assert compare(self.exchange.truth(), self.database_url, LABEL) == []
        self.prove_the_chain()

    def prove_the_chain(self) -> None:
        """The journal is unbroken, and the tables follow from it."""
        database = Database(self.database_url)
        try:
            account = find_account(database, LABEL)
            assert account is not None
            verdict = verify(database, account)
        finally:
            database.close()
        assert verdict.ok, verdict

    def prove_one_finished_session(self) -> None:
        self.prove()
        sessions = self.sessions()
        assert [session["status"] for session in sessions] == ["stopped"]
        assert sessions[0]["final_capital"] is not None

    def end(self) -> None:
        self.gambler.end()
        self.exchange.end()
