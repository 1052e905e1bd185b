"""Work on an account without a session: reconcile its books, lift a halt."""

from typing import Any

from gambler_ai.logs import get_logger
from gambler_ai.trading.house import House
from gambler_ai.trading.shutdown import EXIT_DIRTY, EXIT_DONE, EXIT_NEEDS_A_HUMAN

log = get_logger("maintenance")


def reconcile(house: House, *, dry_run: bool) -> tuple[int, dict[str, Any]]:
    """Recovery as a document: the plan, what was applied, what is left. Waits for confirmations; ends with 3 when a
    person is needed. With `dry_run` neither books nor broker change."""
    try:
        books = house.open(may_bind=not dry_run)
        if not dry_run:
            house.mark_crashed()
        recovery, _blocks = house.recovery(dry_run=dry_run, wait=True)
        last = recovery.run()
        if house.is_set():
            return EXIT_DIRTY, recovery.report(last, {"halts": [], "session": None})
        halts = books.state.records.active_halts()
        report = recovery.report(last, {"halts": [halt.reason for halt in halts], "session": None})
        if not dry_run:
            books.state.report(report, None)
        unexplained = bool(last.is_open or halts or recovery.in_doubt.has_work or books.state.stop_file.reason())
        return (EXIT_NEEDS_A_HUMAN if unexplained else EXIT_DONE), report
    finally:
        house.close()


def unhalt(house: House, symbol: str | None, reason: str) -> tuple[int, dict[str, Any]]:
    """Lift the halts of `symbol`, or all and the emergency-stop file, after another look: a halt whose difference still
    stands is kept (3)."""
    try:
        books = house.open()
        recovery, _blocks = house.recovery(wait=True)
        last = recovery.run()
        differing = {difference.symbol for difference in last.plan.differences}
        lifted, kept = [], []
        for halt in books.state.records.active_halts():
            if symbol is not None and halt.symbol != symbol:
                continue
            if halt.symbol in differing or (halt.symbol is None and differing):
                kept.append({"symbol": halt.symbol, "reason": halt.reason})
                continue
            books.state.lift_halt(halt, reason)
            lifted.append({"symbol": halt.symbol, "reason": halt.reason})
        if symbol is None and not differing and (why := books.state.stop_file.reason()) is not None:
            books.state.stop_file.remove()
            lifted.append({"symbol": None, "reason": f"{why} (the emergency-stop file)"})
        log.info("halts.lifted", lifted=len(lifted), kept=len(kept))
        return (EXIT_NEEDS_A_HUMAN if kept else EXIT_DONE), {"lifted": lifted, "kept": kept}
    finally:
        house.close()
