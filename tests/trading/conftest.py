from collections.abc import Iterator
from pathlib import Path

import pytest

from gambler_ai.trading.session_run import SessionRun
from tests.trading.rig import Rig


@pytest.fixture
def rig(tmp_path: Path, sqlite_url: str) -> Iterator[Rig]:
    """A house on SQLite with an active session and nothing traded."""
    one = Rig(tmp_path, sqlite_url)
    yield one
    one.close()
    one.exchange.close()


@pytest.fixture
def rig_on_both(tmp_path: Path, database_url: str) -> Iterator[Rig]:
    """The same, once on each database."""
    one = Rig(tmp_path, database_url)
    yield one
    one.close()
    one.exchange.close()


@pytest.fixture
def run(rig: Rig) -> Iterator[SessionRun]:
    """A run on the rig's books that has not begun."""
    rig.close()
    one = SessionRun(rig.opened_anew().parts)
    yield one
    one.close()
