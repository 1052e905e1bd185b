"""`gambler schedule`: sessions that begin and end by the market's calendar."""

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from gambler_ai.cli_account import begin_log, installed, params_of
from gambler_ai.cli_reading import JSON, answer_with, existing, settings_now

if TYPE_CHECKING:
    from gambler_ai.operations.calendar import Calendar
    from gambler_ai.operations.scheduler import Scheduler
    from gambler_ai.storage.schedules import Schedules

NAME = click.argument("name")
SOON, SOME_RUNS = 3, 20


@click.group()
def schedule() -> None:
    """Sessions that begin and end by the market's calendar; `gambler schedule run` makes them happen."""


@schedule.command("add")
@NAME
@click.option("--strategy", required=True, metavar="NAME", help="Built-in name or package.module:Class.")
@click.option("--symbols", required=True, metavar="A,B", help="Symbols to trade.")
@click.option("--at", required=True, metavar="TIME", help="open+5m, close-1h, or '09:45 America/New_York'.")
@click.option("--until", required=True, metavar="TIME", help="close-10m, or as --at; at the latest the close.")
@click.option("--days", default="mon-fri", show_default=True, metavar="DAYS", help="mon-fri, or mon,wed.")
@click.option("--param", "params", multiple=True, metavar="K=V", help="A parameter of the strategy.")
@click.option("--if-late", default="run", show_default=True, metavar="WHAT", help="run a missed start, or report it.")
@click.option("--restarts", default=5, show_default=True, type=click.IntRange(0, 100), help="Of a session, a day.")
@JSON
def add(name: str, params: tuple[str, ...], symbols: str, as_json: bool, **asked: Any) -> None:
    """Store a schedule under NAME; it begins with its next window."""
    from gambler_ai.config import parse_symbols
    from gambler_ai.domain.schedules import checked_name, read
    from gambler_ai.face_schedule import print_added
    from gambler_ai.operations import planning

    definition = {**asked, "symbols": parse_symbols(symbols), "params": params_of(params)}
    read(checked_name(name), definition, datetime.min.replace(tzinfo=UTC))
    with _at_the_exchange() as scheduler:
        now = scheduler.parts.clock.now()
        made = read(name, definition, now)
        warnings = planning.add(made, scheduler.schedules, scheduler.calendar, scheduler.parts.gateway)
        answer = planning.listed(made, scheduler.schedules, scheduler.calendar, now, SOON)
    answer["warnings"] = warnings
    answer_with(answer, as_json, lambda: print_added(answer))


@schedule.command("list")
@JSON
def list_(as_json: bool) -> None:
    """Every schedule: its next windows in local and exchange time, and what became of the last one."""
    from gambler_ai.face_schedule import print_schedules
    from gambler_ai.operations import planning

    with _stored() as books:
        rows = [planning.listed(one, books.schedules, books.calendar, books.now, SOON) for one in books.schedules.all()]
        alive = books.scheduler
    answer_with(rows, as_json, lambda: print_schedules(rows, alive))


@schedule.command("show")
@NAME
@JSON
def show(name: str, as_json: bool) -> None:
    """One schedule with its last runs."""
    from gambler_ai.face_schedule import print_schedule
    from gambler_ai.operations import planning

    with _stored() as books:
        found = planning.existing(books.schedules, name)
        answer = planning.listed(found, books.schedules, books.calendar, books.now, SOON)
        answer["runs"] = [planning.shown_run(run) for run in books.schedules.runs(name, last=SOME_RUNS)]
        answer["scheduler"] = books.scheduler
    answer_with(answer, as_json, lambda: print_schedule(answer))


@schedule.command("pause")
@NAME
def pause(name: str) -> None:
    """Begin no more windows of NAME. A session that runs goes on to its end; stopped, it is not resumed."""
    from gambler_ai.operations import planning

    with _stored() as books:
        planning.existing(books.schedules, name)
        done = books.schedules.pause(name)
    click.echo(f"{name} is paused; `gambler schedule resume {name}` goes on" if done else f"{name} was paused already")


@schedule.command("resume")
@NAME
def resume(name: str) -> None:
    """Go on with a paused schedule, with its next window."""
    from gambler_ai.operations import planning

    with _at_the_exchange() as scheduler:
        planning.existing(scheduler.schedules, name)
        done = scheduler.schedules.resume(name, scheduler.parts.clock.now())
    click.echo(f"{name} goes on with its next window" if done else f"{name} was not paused")


@schedule.command("remove")
@NAME
def remove(name: str) -> None:
    """Forget a schedule; its runs stay on record. A session that runs goes on to its end."""
    from gambler_ai.operations import planning

    with _stored() as books:
        planning.existing(books.schedules, name)
        books.schedules.remove(name, books.now)
    click.echo(f"{name} is removed")


@schedule.command("run")
@click.option("--once", is_flag=True, help="Look once, start what is due, and end: for cron and systemd timers.")
def run(once: bool) -> None:
    """Run the scheduler until SIGTERM: begin, watch and resume sessions. Sessions that run survive its end."""
    from gambler_ai.face import progress_line
    from gambler_ai.operations.timetable import Timetable
    from gambler_ai.trading.turn import StoppedEarly
    from gambler_ai.wiring import build_scheduler

    shutdown, settings = installed(), settings_now()
    begin_log(settings)
    try:
        scheduler, every_s = build_scheduler(settings, shutdown, progress_line)
    except StoppedEarly:
        sys.exit(0)
    try:
        timetable = Timetable(scheduler, every_s)
        sys.exit(timetable.once() if once else timetable.run())
    finally:
        scheduler.close()


@contextlib.contextmanager
def _at_the_exchange() -> "Iterator[Scheduler]":
    """The schedules of the account the keys open, with the exchange's clock and calendar; nothing is taken."""
    from gambler_ai.face import progress_line
    from gambler_ai.trading.turn import StoppedEarly
    from gambler_ai.wiring import build_scheduler

    shutdown, settings = installed(), settings_now()
    begin_log(settings)
    try:
        scheduler, _ = build_scheduler(settings, shutdown, progress_line)
    except StoppedEarly:
        sys.exit(0)
    try:
        yield scheduler
    finally:
        scheduler.close()


@dataclass(frozen=True, slots=True)
class _Books:
    """What is stored of schedules; `now` is the exchange's time as far as it is known without asking."""

    schedules: "Schedules"
    calendar: "Calendar"
    scheduler: dict[str, Any]
    now: datetime


@contextlib.contextmanager
def _stored() -> Iterator[_Books]:
    """Without the broker. Raises UsageError while no account is bound."""
    from gambler_ai.clock import ExchangeClock
    from gambler_ai.errors import UsageError
    from gambler_ai.logs import configure
    from gambler_ai.operations import planning
    from gambler_ai.operations.calendar import Calendar
    from gambler_ai.storage import schema
    from gambler_ai.storage.calendar import StoredCalendar
    from gambler_ai.storage.database import Database
    from gambler_ai.storage.records import find_account
    from gambler_ai.storage.scheduler_lease import SchedulerLease
    from gambler_ai.storage.schedules import Schedules

    settings = settings_now()
    configure(settings.log_level)
    with contextlib.closing(existing(Database(settings.database_url))) as database:
        schema.check(database)
        account = find_account(database, settings.account_label)
        if account is None:
            raise UsageError("no account is bound to this label yet; the first `gambler schedule add` binds it")
        clock = ExchangeClock()
        schedules, lease = Schedules(database, account.account_id), SchedulerLease(database, account.account_id, clock)
        row = lease.look()
        now = planning.exchange_now(account, schedules, row, clock.wall())
        clock.observe(now)
        stored = StoredCalendar(database, account.account_id)
        yield _Books(schedules, Calendar(stored, None, clock), planning.shown_scheduler(row, lease.now()), now)


COMMANDS = (schedule,)
