"""What people do with schedules: add, list, show. Every doubt is named before a schedule is stored."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from gambler_ai.broker.endpoint import check_endpoint
from gambler_ai.broker.gateway import Gateway
from gambler_ai.domain.market import TradingDay, iso
from gambler_ai.domain.schedules import (
    Run,
    Schedule,
    Slot,
    impossible,
    next_slots,
    overlap,
    slot_on,
)
from gambler_ai.errors import UsageError
from gambler_ai.operations.calendar import AHEAD, Calendar
from gambler_ai.storage.holder import Holder
from gambler_ai.storage.records import StoredAccount
from gambler_ai.storage.scheduler_lease import SchedulerRow
from gambler_ai.storage.schedules import Schedules
from gambler_ai.strategies import loading
from gambler_ai.trading.sessions import check_symbols

NEW_YORK = ZoneInfo("America/New_York")
SHOWN_AHEAD = timedelta(days=31)


def add(schedule: Schedule, schedules: Schedules, calendar: Calendar, gateway: Gateway) -> list[str]:
    """Store it, and return what a person should know. Raises UsageError for a strategy that does not load, unknown
    symbols, a window that never has time, and one that overlaps another schedule's."""
    loading.load(schedule.strategy, dict(schedule.params))
    check_symbols(schedule.symbols, gateway)
    calendar.refresh()
    days = calendar.days(calendar.today, calendar.today + AHEAD)
    warnings = _short_days(schedule, days)
    for other in schedules.all():
        both = overlap(schedule, other, days) if other.name != schedule.name else None
        if both is not None:
            raise UsageError(
                f"{schedule.name} ({_window(both[0])}) and {other.name} ({_window(both[1])}) would trade one account "
                f"at once on {both[0].day}; choose other times or days, or another account"
            )
    schedules.add(schedule)
    return warnings + calendar.differences(calendar.today, calendar.today + AHEAD)


def _short_days(schedule: Schedule, days: Sequence[TradingDay]) -> list[str]:
    """Days that leave the window no time. Raises UsageError when that are all of them."""
    mine = [day for day in days if slot_on(schedule, day) is not None]
    short = impossible(schedule, mine)
    window = f"{schedule.at.text} to {schedule.until.text}"
    if len(short) == len(mine):
        raise UsageError(f"{window} has no time on any trading day: it ends before it begins, or is outside the hours")
    return [
        f"{day.day}: no session, the market closes at {day.close.astimezone(NEW_YORK):%H:%M} New York and {window} has "
        "no time"
        for day in short
    ]


def listed(schedule: Schedule, schedules: Schedules, calendar: Calendar, now: datetime, count: int) -> dict[str, Any]:
    """A schedule as JSON, with its next `count` windows and its last run."""
    days = calendar.days(calendar.today, calendar.today + SHOWN_AHEAD)
    runs = schedules.runs(schedule.name, last=1)
    return {
        "name": schedule.name,
        "paused": schedule.paused,
        **schedule.definition(),
        "since": iso(schedule.since),
        "next_runs": [_shown_slot(slot) for slot in next_slots(schedule, days, now, count)],
        "last_run": shown_run(runs[0]) if runs else None,
        "warnings": _short_days(schedule, days) + _unloadable(schedule),
    }


def _unloadable(schedule: Schedule) -> list[str]:
    try:
        loading.load(schedule.strategy, dict(schedule.params))
    except UsageError as error:
        return [str(error)]
    return []


def _shown_slot(slot: Slot) -> dict[str, str]:
    return {
        "trading_day": str(slot.day),
        "start": iso(slot.start),
        "end": iso(slot.end),
        "start_exchange": f"{slot.start.astimezone(NEW_YORK):%Y-%m-%d %H:%M %Z}",
        "start_local": f"{slot.start.astimezone():%Y-%m-%d %H:%M %Z}",
    }


def shown_run(run: Run) -> dict[str, Any]:
    """A run as JSON."""
    return {
        "schedule": run.slot.schedule,
        "trading_day": str(run.slot.day),
        "status": run.status.value,
        "session_id": run.session_id,
        "window_start": iso(run.slot.start),
        "window_end": iso(run.slot.end),
        "starts": run.starts,
        "claimed_at": iso(run.claimed_at) if run.claimed_at else None,
        "ended_at": iso(run.ended_at) if run.ended_at else None,
        "result": run.result,
    }


def exchange_now(
    account: StoredAccount, schedules: Schedules, scheduler: SchedulerRow | None, wall: datetime
) -> datetime:
    """The exchange's time without asking it: this machine's for Alpaca, the last that was heard of a local exchange."""
    if not check_endpoint(account.endpoint).is_local:
        return wall
    heard = [account.looked_at, *(one.since for one in schedules.all())]
    if scheduler is not None and scheduler.exchange_at is not None:
        heard.append(scheduler.exchange_at)
    return max(heard)


def shown_scheduler(row: SchedulerRow | None, now: datetime) -> dict[str, Any]:
    """Who schedules the account, as JSON; `now` is the database's wall time."""
    alive = row is not None and row.is_held(now)
    known = row if row is not None else SchedulerRow(None, 0, None, None, None)
    return {
        "alive": alive,
        "holder": Holder.parse(known.holder).shown if known.holder else None,
        "heartbeat_at": iso(known.heartbeat_at) if known.heartbeat_at else None,
        "exchange_at": iso(known.exchange_at) if known.exchange_at else None,
    }


def existing(schedules: Schedules, name: str) -> Schedule:
    """Raises UsageError that names those there are."""
    found = schedules.find(name)
    if found is None:
        names = ", ".join(one.name for one in schedules.all()) or "none yet"
        raise UsageError(f"there is no schedule {name!r}; there are: {names}")
    return found


def _window(slot: Slot) -> str:
    return f"{slot.start.astimezone(NEW_YORK):%H:%M} to {slot.end.astimezone(NEW_YORK):%H:%M} New York"
