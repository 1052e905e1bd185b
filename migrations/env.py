"""Alembic's entry: runs on the connection it is handed, each migration in one transaction."""

from alembic import context
from sqlalchemy import text

connection = context.config.attributes["connection"]
begin = "BEGIN IMMEDIATE" if connection.dialect.name == "sqlite" else "BEGIN"

context.configure(connection=connection, transactional_ddl=False)
connection.execute(text(begin))
try:
    context.run_migrations()
except BaseException:
    connection.execute(text("ROLLBACK"))
    raise
connection.execute(text("COMMIT"))
