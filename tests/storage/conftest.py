from collections.abc import Iterator
from pathlib import Path

import pytest

from gambler_ai.storage import schema
from gambler_ai.storage.database import Database
from gambler_ai.storage.journal import Ledger
from tests.storage.rig import first_ledger


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A migrated, empty database; on SQLite and on PostgreSQL."""
    opened = Database(database_url)
    schema.upgrade(opened)
    yield opened
    opened.close()


@pytest.fixture
def ledger(database: Database) -> Iterator[Ledger]:
    """The ledger of a bound account that holds its lease and has one session, at sequence 1."""
    opened = first_ledger(database)
    yield opened
    opened.drop_connection()


@pytest.fixture
def sqlite_file(tmp_path: Path) -> Path:
    return tmp_path / "gambler.db"
