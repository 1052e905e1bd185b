"""How a command of a person reaches the account: by a row that its holder carries out, or, without one, by our hand.

The row is durable before anything else happens. A halt of the whole account writes the emergency-stop file before
that, so that it holds with the database down.
"""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gambler_ai.clock import ExchangeClock
from gambler_ai.errors import AccountHeld, DatabaseUnavailable, StoredStateUnsafe, UsageError
from gambler_ai.logs import get_logger
from gambler_ai.storage import schema
from gambler_ai.storage.commands import HALT, Command, CommandRows
from gambler_ai.storage.database import Database
from gambler_ai.storage.holder import Holder
from gambler_ai.storage.lease import database_time, must_wait_until
from gambler_ai.storage.records import find_account
from gambler_ai.trading.emergency_stop import EmergencyStopFile
from gambler_ai.trading.house import House, Parts
from gambler_ai.trading.maintenance import obey, offline
from gambler_ai.trading.order_desk import StopFlag
from gambler_ai.trading.shutdown import EXIT_DIRTY, EXIT_DONE, EXIT_NEEDS_A_HUMAN

log = get_logger("asking")

PATIENCE_S = 45.0
LOOK_EVERY_S = 0.2

Answer = dict[str, Any]


def ask(
    kind: str,
    symbol: str | None,
    reason: str,
    database_url: str,
    data_dir: Path,
    label: str,
    stop: StopFlag,
    parts: Callable[[], Parts],
) -> tuple[int, Answer]:
    """Have it done; returns the exit code and the result. `parts` makes a house's parts, should we have to act.

    Raises UsageError when no account is bound, DatabaseUnavailable when nothing could be stored.
    """
    clock = ExchangeClock()
    file = EmergencyStopFile.of(data_dir, label) if kind == HALT and symbol is None else None
    if file is not None and data_dir.is_dir():
        file.write(label, reason, clock.wall(), {"row": "command"})
    try:
        command = _stored(kind, symbol, reason, database_url, label, clock)
    except (DatabaseUnavailable, StoredStateUnsafe, UsageError) as error:
        if file is None or file.reason() is None:
            raise
        return EXIT_DONE, {"ok": True, "why": f"the emergency-stop file {file.path} is written; {error}"}
    end = clock.monotonic() + PATIENCE_S
    while clock.monotonic() < end and not stop.is_set():
        with contextlib.suppress(AccountHeld):
            if kind == HALT:
                offline(Database(database_url), clock, stop, label, data_dir, Holder.of_this_process())
            elif _is_free(database_url, label, clock):
                obey(House(parts()))
        found = _find(database_url, command)
        if found is not None and found.result is not None:
            return (EXIT_DONE if found.result["ok"] else EXIT_NEEDS_A_HUMAN), found.result
        clock.sleep(LOOK_EVERY_S)
    if stop.is_set():
        return EXIT_DIRTY, {"ok": False, "why": "interrupted; what was asked for is stored, and the next start does it"}
    why = f"it is stored, but was not carried out in {PATIENCE_S:.0f} s; `gambler status` shows who holds the account"
    return EXIT_NEEDS_A_HUMAN, {"ok": False, "why": why}


def _stored(kind: str, symbol: str | None, reason: str, url: str, label: str, clock: ExchangeClock) -> Command:
    with contextlib.closing(Database(url)) as database:
        if not database.exists:
            raise StoredStateUnsafe(f"there is no database at {database.file} yet; the first `gambler run` makes it")
        schema.check(database)
        account = find_account(database, label)
        if account is None:
            raise UsageError(f"no account is bound to {label!r} in this database yet; trade a session first")
        return CommandRows(database).ask(account.account_id, kind, symbol, reason, clock.wall())


def _find(url: str, command: Command) -> Command | None:
    with contextlib.closing(Database(url)) as database:
        return CommandRows(database).find(command.id)


def _is_free(url: str, label: str, clock: ExchangeClock) -> bool:
    """Nobody holds the account; somebody may all the same be quicker than we are."""
    with contextlib.closing(Database(url)) as database:
        account = find_account(database, label)
        if account is None or not database.lock_for_life():
            return False
        return must_wait_until(account, database, database_time(database, clock)) is None
