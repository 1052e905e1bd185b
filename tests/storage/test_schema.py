"""Creating, upgrading and refusing: what a database may be like at start, and what is said about it."""

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import event, inspect

from gambler_ai.errors import DatabaseUnavailable, GamblerError, StoredStateUnsafe, UsageError
from gambler_ai.storage import models, schema
from gambler_ai.storage.database import Database, parse_url
from gambler_ai.storage.reading import Reader
from tests.storage.rig import first_ledger, one, run

NEXT = """
import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("accounts", sa.Column("nickname", sa.Text()))
"""


def test_the_migrated_schema_is_the_models(database: Database) -> None:
    with database.connect() as connection:
        found = compare_metadata(MigrationContext.configure(connection), models.metadata)
    assert found == []


def test_the_comparison_above_would_see_a_difference(database: Database) -> None:
    run(database, "ALTER TABLE accounts DROP COLUMN heartbeat_at")
    with database.connect() as connection:
        (found,) = compare_metadata(MigrationContext.configure(connection), models.metadata)
    assert (found[0], found[3].name) == ("add_column", "heartbeat_at")


def test_partial_indexes_are_partial(database: Database) -> None:
    sqlite, postgresql = "SELECT sql FROM sqlite_master WHERE name", "SELECT indexdef FROM pg_indexes WHERE indexname"
    for name in ("uq_positions_one_open", "uq_trading_sessions_one_active", "ix_orders_attention"):
        assert " WHERE " in one(database, f"{sqlite if database.is_sqlite else postgresql} = :name", name=name)


def test_creating_twice_changes_nothing(database_url: str) -> None:
    database = Database(database_url)
    assert schema.stored_version(database) is None
    assert schema.upgrade(database) == (None, None)
    first_ledger(database).drop_connection()
    assert schema.upgrade(database) == (schema.CURRENT, None)
    schema.check(database)
    assert one(database, "SELECT count(*) FROM accounts") == 1


@pytest.mark.parametrize("statement", [1, 9, 20])
def test_a_kill_in_the_middle_of_creating_leaves_nothing(database_url: str, statement: int) -> None:
    if (child := os.fork()) == 0:
        _create_and_die(database_url, statement)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 137
    database = Database(database_url)
    with database.connect() as connection:
        assert inspect(connection).get_table_names() == []
    schema.upgrade(database)
    schema.check(database)


def _create_and_die(url: str, at: int) -> None:
    database, made = Database(url), []

    @event.listens_for(database.engine, "after_cursor_execute")
    def count(_c: Any, _cursor: Any, sql: str, *_rest: Any) -> None:
        made.extend(["CREATE"] * sql.lstrip().startswith("CREATE"))
        if len(made) == at:
            os._exit(137)

    try:
        schema.upgrade(database)
    finally:
        os._exit(1)


@pytest.fixture
def with_0003(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program of tomorrow, with one more migration."""
    copy = shutil.copytree(schema.migrations_directory(), tmp_path / "migrations")
    (copy / "versions" / "0003_nickname.py").write_text(NEXT)
    monkeypatch.setattr(schema, "CURRENT", "0003")
    monkeypatch.setattr(schema, "migrations_directory", lambda: copy)


@pytest.mark.usefixtures("with_0003")
def test_upgrading_keeps_the_data_and_backs_a_sqlite_file_up_first(database_url: str) -> None:
    with pytest.MonkeyPatch.context() as today:
        today.setattr(schema, "CURRENT", "0002")
        database = Database(database_url)
        from alembic import command

        with database.connect() as connection:
            config = schema._config()
            level = "SERIALIZABLE" if database.is_sqlite else "READ COMMITTED"
            config.attributes["connection"] = connection.execution_options(isolation_level=level)
            command.upgrade(config, "0002")
        first_ledger(database).drop_connection()
    with pytest.raises(StoredStateUnsafe, match="older schema 0002; run `gambler init-db`"):
        schema.check(database)
    before, backup = schema.upgrade(database)
    assert (before, schema.stored_version(database)) == ("0002", "0003")
    assert one(database, "SELECT count(*) FROM accounts WHERE nickname IS NULL") == 1
    if database.is_sqlite:
        assert backup is not None
        with sqlite3.connect(backup) as copy:
            assert copy.execute("SELECT version_num FROM alembic_version").fetchone() == ("0002",)
            assert copy.execute("SELECT count(*) FROM order_journal").fetchone() == (1,)
        copy.close()
    else:
        assert backup is None


def test_a_newer_schema_is_refused_and_left_alone(database: Database) -> None:
    run(database, "UPDATE alembic_version SET version_num = '9999'")
    for attempt in (schema.check, schema.upgrade):
        with pytest.raises(StoredStateUnsafe, match="written by a newer gambler") as raised:
            attempt(database)
        assert raised.value.exit_code == 5
    assert schema.stored_version(database) == "9999"


def test_an_older_schema_names_init_db(database: Database) -> None:
    run(database, "UPDATE alembic_version SET version_num = '0000'")
    with pytest.raises(StoredStateUnsafe, match="older schema 0000; run `gambler init-db`"):
        schema.check(database)


def test_no_schema_names_init_db(database_url: str) -> None:
    with pytest.raises(StoredStateUnsafe, match="no tables yet; run `gambler init-db`") as raised:
        schema.check(Database(database_url))
    assert raised.value.exit_code == 5


def damage_text(file: Path) -> None:
    file.write_text("Dear diary, today I bought SPY.\n")


def damage_header(file: Path) -> None:
    file.write_bytes(b"SQLite format 3\x00" + b"\xff" * 5000)


def damage_middle(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[4096:] = b"\x5a" * (len(content) - 4096)
    file.write_bytes(content)


def use(url: str) -> None:
    database = Database(url)
    schema.check(database)
    run(database, "SELECT * FROM orders")


@pytest.mark.parametrize("damage", [damage_text, damage_header, damage_middle])
def test_a_damaged_file_is_refused_and_left_untouched(sqlite_file: Path, sqlite_url: str, damage: Any) -> None:
    made = Database(sqlite_url)
    schema.upgrade(made)
    first_ledger(made).drop_connection()
    run(made, "PRAGMA wal_checkpoint(TRUNCATE)")
    damage(sqlite_file)
    content = sqlite_file.read_bytes()
    with pytest.raises(StoredStateUnsafe) as raised:  # noqa: PT012 - which of the two finds it depends on the damage
        schema.check(Database(sqlite_url))
        run(Database(sqlite_url), "SELECT * FROM orders")
    assert raised.value.exit_code == 5
    assert sqlite_file.read_bytes() == content


def test_a_missing_directory_is_a_usage_error_and_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist") as raised:
        Database(f"sqlite:///{tmp_path / 'nowhere' / 'gambler.db'}")
    assert raised.value.exit_code == 2
    assert list(tmp_path.iterdir()) == []


def test_an_unwritable_directory_or_file_is_a_usage_error() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, file = Path(name), Path(name) / "locked.db"
        file.touch(0o444)
        folder.chmod(0o777)
        assert _error_of_somebody_else(file) == "UsageError: is not readable and writable"
        folder.chmod(0o555)
        assert _error_of_somebody_else(folder / "new.db") == "UsageError: is not writable"
        folder.chmod(0o755)


def _error_of_somebody_else(file: Path) -> str:
    """What a user without rights is told; root may write everywhere, so it becomes nobody first."""
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        try:
            if os.getuid() == 0:
                os.setuid(65534)
            Database(f"sqlite:///{file}")
        except GamblerError as error:
            said = next(part for part in ("is not readable and writable", "is not writable", "") if part in str(error))
            os.write(writing, f"{type(error).__name__}: {said}".encode())
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as told:
        return told.read()


@pytest.mark.parametrize("url", ["nonsense", "mysql://h/db", "sqlite://", "sqlite:///:memory:"])
def test_an_address_we_cannot_use_is_a_usage_error(url: str) -> None:
    with pytest.raises(UsageError):
        parse_url(url)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg2"])
def test_every_postgresql_address_means_psycopg2(scheme: str) -> None:
    assert parse_url(f"{scheme}://u:secret@h/db").drivername == "postgresql+psycopg2"


def test_a_password_is_never_shown() -> None:
    database = Database("postgresql://u:secret@127.0.0.1:1/db")
    with pytest.raises(DatabaseUnavailable, match="does not answer") as raised:
        schema.stored_version(database)
    assert "secret" not in str(raised.value) + database.shown


def test_sqlite_is_set_up_for_durability(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    assert [one(database, f"PRAGMA {name}") for name in ("journal_mode", "synchronous", "foreign_keys")] == [
        "wal",
        2,
        1,
    ]


def test_the_lock_file_belongs_to_one_process_until_it_ends(sqlite_url: str) -> None:
    hold = f"""
import sys
from gambler_ai.storage.database import Database
print(Database({sqlite_url!r}).lock_for_life(), flush=True)
sys.stdin.read()
"""
    with subprocess.Popen([sys.executable, "-c", hold], stdin=-1, stdout=-1, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        database = Database(sqlite_url)
        assert not database.lock_for_life()
        other.kill()
        other.wait(20)
        assert database.lock_for_life()
        assert database.lock_for_life()
        database.close()


def test_a_reader_says_what_is_missing(tmp_path: Path, sqlite_file: Path, sqlite_url: str) -> None:
    with pytest.raises(StoredStateUnsafe, match="no database at"):
        Reader(sqlite_url, "default")
    with pytest.raises(UsageError, match="does not exist"):
        Reader(f"sqlite:///{tmp_path / 'nowhere' / 'gambler.db'}", "default")
    damage_text(sqlite_file)
    with pytest.raises(StoredStateUnsafe, match="not a sound SQLite database"):
        Reader(sqlite_url, "default").account()


def test_a_reader_of_a_database_without_tables_names_init_db(database_url: str) -> None:
    database = Database(database_url)
    if database.is_sqlite:
        run(database, "CREATE TABLE something (n INTEGER)")
    reader = Reader(database_url, "default")
    with pytest.raises(StoredStateUnsafe, match="run `gambler init-db`"):
        reader.account()
    reader.close()
