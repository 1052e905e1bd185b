"""New, empty databases of both kinds, for tests that need more than the one of `database_url`."""

import threading
import uuid
from contextlib import closing
from pathlib import Path

import psycopg2
from sqlalchemy.engine import make_url

KINDS = ("sqlite", "postgresql")
_creating = threading.Lock()


def new_database(kind: str, directory: Path, server_url: str) -> str:
    """The URL of a database of this kind that nobody has used; `server_url` is the PostgreSQL server's."""
    if kind == "sqlite":
        directory.mkdir(parents=True, exist_ok=True)
        return f"sqlite:///{directory / 'gambler.db'}"
    name = f"gambler_{uuid.uuid4().hex}"
    with _creating, closing(psycopg2.connect(server_url)) as connection:
        connection.autocommit = True
        connection.cursor().execute(f"CREATE DATABASE {name}")
    return make_url(server_url).set(drivername="postgresql", database=name).render_as_string(hide_password=False)
