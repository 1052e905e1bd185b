"""Creating and upgrading the tables, from a checkout or an installed wheel."""

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

from gambler_ai.errors import StoredStateUnsafe
from gambler_ai.storage.database import Database

if TYPE_CHECKING:
    from alembic.config import Config

CURRENT = "0002"
_PACKAGE = Path(__file__).resolve().parents[1]


def migrations_directory() -> Path:
    """`migrations/` of the checkout, or its copy inside the wheel."""
    installed = _PACKAGE / "_migrations"
    return installed if installed.is_dir() else _PACKAGE.parent / "migrations"


def stored_version(database: Database) -> str | None:
    """The schema version of the database, None when it holds no schema of ours."""
    from sqlalchemy import inspect, text

    with database.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        row = connection.execute(text("SELECT version_num FROM alembic_version")).first()
        return row[0] if row else None


def check(database: Database) -> None:
    """Raise StoredStateUnsafe unless the schema is exactly the one this program writes."""
    version = stored_version(database)
    if version == CURRENT:
        return
    if version is None:
        raise StoredStateUnsafe(
            f"the database {database.shown} has no tables yet; run `gambler init-db`, or, if its books were lost, "
            "`gambler recover --from-broker`"
        )
    if version > CURRENT:
        raise StoredStateUnsafe(
            f"the database {database.shown} has schema {version}, this program knows up to {CURRENT}: it was written "
            "by a newer gambler. Install that version; nothing was changed"
        )
    raise StoredStateUnsafe(
        f"the database {database.shown} has the older schema {version}; run `gambler init-db`, which makes a "
        "verified backup first"
    )


def upgrade(database: Database) -> tuple[str | None, Path | None]:
    """Create or upgrade the tables; returns the version before and the backup that was taken, if any.

    All steps are one transaction: killed in the middle, the next call starts again. A newer schema is refused.
    """
    from alembic import command

    before = stored_version(database)
    if before is not None and before >= CURRENT:
        check(database)
        return before, None
    backup = _backup(database, before) if before is not None else None
    config = _config()
    with database.connect() as connection:
        level = "SERIALIZABLE" if database.is_sqlite else "READ COMMITTED"
        config.attributes["connection"] = connection.execution_options(isolation_level=level)
        command.upgrade(config, "head")
    return before, backup


def _config() -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(migrations_directory()))
    return config


def _backup(database: Database, version: str) -> Path | None:
    """A copy of a SQLite file through SQLite's own backup, checked before it is trusted."""
    if database.file is None:
        return None
    target = database.file.with_name(f"{database.file.name}.{version}.backup")
    with sqlite3.connect(database.file) as source, sqlite3.connect(target) as copy:
        source.backup(copy)
        verdict = copy.execute("PRAGMA integrity_check").fetchone()[0]
    if verdict != "ok":
        raise StoredStateUnsafe(f"the backup {target} failed its check ({verdict}); the database was not upgraded")
    return target
