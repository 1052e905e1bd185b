"""Work on an account without a session: reconcile its books, carry out what people ask for."""

from pathlib import Path
from typing import Any

from gambler_ai.clock import Clock
from gambler_ai.logs import get_logger
from gambler_ai.storage import lease
from gambler_ai.storage.commands import HALT, UNHALT
from gambler_ai.storage.database import Database
from gambler_ai.storage.holder import Holder
from gambler_ai.trading.commands import halt
from gambler_ai.trading.house import House
from gambler_ai.trading.opening import open_books
from gambler_ai.trading.order_desk import StopFlag
from gambler_ai.trading.recovery import Steps
from gambler_ai.trading.shutdown import EXIT_DIRTY, EXIT_DONE, EXIT_NEEDS_A_HUMAN

log = get_logger("maintenance")

LOOK_EVERY_S = 0.5


def reconcile(house: House, *, dry_run: bool) -> tuple[int, dict[str, Any]]:
    """Recovery as a document: the plan, what was applied, what is left. Waits for confirmations; ends with 3 when a
    person is needed. With `dry_run` neither books nor broker change."""
    try:
        with house.unless_replaced():
            return _reconcile(house, dry_run)
    finally:
        house.close()


def _reconcile(house: House, dry_run: bool) -> tuple[int, dict[str, Any]]:
    books = house.open(may_bind=not dry_run)
    if not dry_run:
        house.mark_crashed()
    recovery, blocks = house.recovery(dry_run=dry_run, wait=True)
    recovery.protection.keep_waiver()
    last = recovery.run()
    if house.is_set():
        return EXIT_DIRTY, recovery.report(last, {"halts": [], "session": None})
    halts = books.state.records.active_halts()
    report = recovery.report(last, {"halts": [halt.told for halt in halts], "session": None})
    if not dry_run:
        blocks.tell()
        books.state.report(report, None)
    unexplained = bool(last.is_open or halts or recovery.in_doubt.has_work or books.state.stop_file.reason())
    return (EXIT_NEEDS_A_HUMAN if unexplained else EXIT_DONE), report


def obey(house: House) -> None:
    """Carry out every command that waits, after recovering the account; each row is closed with its result."""
    try:
        with house.unless_replaced():
            house.open()
            house.mark_crashed()
            recovery, _blocks = house.recovery()
            recovery.protection.keep_waiver()
            last = recovery.run()
            commands = house.commands(recovery)
            if any(command.kind == UNHALT for command in house.books.state.records.commands()):
                last = recovery.confirm(last)
            while commands.step() and not house.is_set():
                house.parts.clock.sleep(LOOK_EVERY_S)
                recovery.reconciler.round()
    finally:
        house.close()


def offline(database: Database, clock: Clock, stop: StopFlag, label: str, data_dir: Path, holder: Holder) -> None:
    """Write the halts that were asked for into the books, without a broker. Raises AccountHeld when somebody holds the
    account: then that one does it."""
    books = None
    try:
        books = open_books(
            database, None, clock, stop, Steps(clock), label=label, endpoint="", data_dir=data_dir, holder=holder
        )
        for command in books.state.records.commands():
            if command.kind == HALT:
                books.state.close_command(command, halt(books.state, command))
    finally:
        if books is not None:
            books.state.close()
            lease.release(database, books.account.account_id, books.token)
        database.close()
