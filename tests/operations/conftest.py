from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.operations.rig import Rehearsal


@pytest.fixture
def rehearsal(tmp_path: Path, sqlite_url: str) -> Iterator[Rehearsal]:
    """At the open of a Friday, with a scheduler that holds its lease."""
    one = Rehearsal(tmp_path, sqlite_url)
    one.scheduler.take()
    yield one
    one.close()


@pytest.fixture
def rehearsal_on_both(tmp_path: Path, database_url: str) -> Iterator[Rehearsal]:
    """The same, once on each database."""
    one = Rehearsal(tmp_path, database_url)
    one.scheduler.take()
    yield one
    one.close()
