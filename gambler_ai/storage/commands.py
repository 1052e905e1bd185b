"""Commands of people to whoever holds the account: rows that anybody may add, and only the holder may close.

Adding one needs no lease and touches no chain, so that it works while a session trades. A halt or a flatten that is
not closed yet stops new risk already: the transaction before each send reads it.
"""

import json
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, insert, select

from gambler_ai.storage import models
from gambler_ai.storage.database import Database

HALT, UNHALT, FLATTEN, CANCEL = "halt", "unhalt", "flatten", "cancel"


@dataclass(frozen=True, slots=True)
class Command:
    """What was asked for `symbol`, or for the whole account when None; `result` when it is closed."""

    id: str
    account_id: str
    kind: str
    symbol: str | None
    reason: str
    requested_at: datetime
    taken_seq: int | None = None
    result: dict[str, Any] | None = None


class CommandRows:
    """The commands of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def ask(self, account_id: str, kind: str, symbol: str | None, reason: str, at: datetime) -> Command:
        """Add a command; durable when this returns. `at` is wall time."""
        command = Command(str(uuid.uuid4()), account_id, kind, symbol, reason, at)
        row = {name: getattr(command, name) for name in Command.__slots__}
        with self._database.connect() as connection:
            connection.execute(insert(models.commands).values(row))
        return command

    def open(self, account_id: str) -> list[Command]:
        """Those nobody has closed, oldest first."""
        with self._database.connect() as connection:
            return [_command(row) for row in connection.execute(_OPEN, {"account": account_id}).mappings()]

    def find(self, command_id: str) -> Command | None:
        with self._database.connect() as connection:
            row = connection.execute(select(models.commands).where(models.commands.c.id == command_id)).mappings()
            found = row.first()
        return _command(found) if found is not None else None


_OPEN = (
    select(models.commands)
    .where(models.commands.c.account_id == bindparam("account"), models.commands.c.taken_seq.is_(None))
    .order_by(models.commands.c.requested_at)
)
"""Asked at every turn of the loop, so made once."""


def _command(row: Any) -> Command:
    values = {name: row[name] for name in Command.__slots__}
    return Command(**values | {"result": json.loads(row["result"]) if row["result"] else None})
