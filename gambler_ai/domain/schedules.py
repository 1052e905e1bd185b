"""Schedules: which session belongs to which trading day, and what to do about it now.

A *slot* is the window of one schedule on one trading day; a *run* is what became of it, at most one for each slot. All
times are the exchange's, but those of waits between two starts.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any

from gambler_ai.domain.market import TradingDay
from gambler_ai.domain.moments import Moment, days_text, parse_days, parse_moment
from gambler_ai.domain.sessions import Session, SessionStatus
from gambler_ai.errors import UsageError

ON_TIME = timedelta(minutes=2)
"""A slot that is begun so long after its time is not late yet."""
IF_LATE = ("run", "report")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")


@dataclass(frozen=True, slots=True)
class Schedule:
    """What a person asked for. Only slots that begin at or after `since` are its own: before, it was not there, or
    paused. `if_late`: a slot missed while nobody looked is run late inside its window, or only reported."""

    name: str
    strategy: str
    symbols: tuple[str, ...]
    params: tuple[tuple[str, str], ...]
    at: Moment
    until: Moment
    days: frozenset[int]
    if_late: str
    restarts: int
    since: datetime
    paused: bool = False

    def definition(self) -> dict[str, Any]:
        """What `read` makes the same schedule of again."""
        return {
            "strategy": self.strategy,
            "symbols": list(self.symbols),
            "params": dict(self.params),
            "at": self.at.text,
            "until": self.until.text,
            "days": days_text(self.days),
            "if_late": self.if_late,
            "restarts": self.restarts,
        }


def checked_name(name: str) -> str:
    """Raises UsageError for what is no name of a schedule."""
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no name of a schedule; write up to 40 letters, digits, - or _, like morning")
    return name


def read(name: str, definition: Mapping[str, Any], since: datetime, *, paused: bool = False) -> Schedule:
    """A schedule from its definition. Raises UsageError for times, days or policies that are none."""
    if definition["if_late"] not in IF_LATE:
        raise UsageError(f"--if-late {definition['if_late']!r}: write {' or '.join(IF_LATE)}")
    schedule = Schedule(
        name=name,
        strategy=definition["strategy"],
        symbols=tuple(definition["symbols"]),
        params=tuple(definition["params"].items()),
        at=parse_moment("--at", definition["at"]),
        until=parse_moment("--until", definition["until"]),
        days=parse_days(definition["days"]),
        if_late=definition["if_late"],
        restarts=definition["restarts"],
        since=since,
        paused=paused,
    )
    at, until = schedule.at, schedule.until
    if until.anchor == "close" and until.offset > timedelta(0):
        raise UsageError(f"--until {until.text} is after the close; a session ends at the close at the latest")
    if until.anchor == at.anchor and (until.wall or until.offset) <= (at.wall or at.offset):  # type: ignore[operator]
        raise UsageError(f"--until {until.text} is not after --at {at.text}; the session would have no time")
    return schedule


@dataclass(frozen=True, slots=True)
class Slot:
    """The window [start, end) of a schedule on a trading day. Without time in it, it is not possible."""

    schedule: str
    day: date
    start: datetime
    end: datetime

    @property
    def is_possible(self) -> bool:
        return self.start < self.end

    def overlaps(self, other: "Slot") -> bool:
        return self.is_possible and other.is_possible and self.start < other.end and other.start < self.end


def slot_on(schedule: Schedule, day: TradingDay) -> Slot | None:
    """None on a day of the week the schedule leaves out. A window that begins or ends after the close ends there."""
    if day.day.weekday() not in schedule.days:
        return None
    return Slot(schedule.name, day.day, schedule.at.on(day), min(schedule.until.on(day), day.close))


def slots(schedule: Schedule, days: Iterable[TradingDay]) -> list[Slot]:
    """The schedule's own slots on these days, in order."""
    found = (slot_on(schedule, day) for day in days)
    return [slot for slot in found if slot is not None and slot.start >= schedule.since]


def impossible(schedule: Schedule, days: Iterable[TradingDay]) -> list[TradingDay]:
    """Days on which the window has no time: an early close comes before it."""
    return [day for day in days if (slot := slot_on(schedule, day)) is not None and not slot.is_possible]


def overlap(one: Schedule, other: Schedule, days: Iterable[TradingDay]) -> tuple[Slot, Slot] | None:
    """The first day on which both would trade the account at once."""
    for day in days:
        mine, its = slot_on(one, day), slot_on(other, day)
        if mine is not None and its is not None and mine.overlaps(its):
            return mine, its
    return None


class RunStatus(StrEnum):
    OPEN = "open"  # the slot is claimed: its session is to be started, watched, or resumed
    DONE = "done"  # the session ended in its time, or was stopped while the schedule was paused
    MISSED = "missed"  # nobody began it in its window, or late was too late
    SKIPPED = "skipped"  # the day was too short for the window
    FAILED = "failed"  # given up


@dataclass(frozen=True, slots=True)
class Run:
    """What became of a slot. `session_id` is settled by the claim, before any process is started, and never changes;
    `starts` counts processes, and the next one waits until `wait_until` (the database's wall time)."""

    slot: Slot
    session_id: str
    status: RunStatus
    plan: Schedule
    starts: int = 0
    wait_until: datetime | None = None
    claimed_at: datetime | None = None
    ended_at: datetime | None = None
    result: str | None = None


def judged(slot: Slot, schedule: Schedule, now: datetime) -> tuple[RunStatus, str] | None:
    """What to write down for a slot nobody has claimed yet; None when its time has not come."""
    if now < slot.start and slot.is_possible:
        return None
    if not slot.is_possible:
        if now < slot.end:
            return None
        return (
            RunStatus.SKIPPED,
            f"the trading day ended before {schedule.at.text} .. {schedule.until.text} could begin",
        )
    if now >= slot.end:
        return RunStatus.MISSED, f"no scheduler ran between {_minute(slot.start)} and {_minute(slot.end)}"
    if now <= slot.start + ON_TIME:
        return RunStatus.OPEN, "on time"
    late = f"{(now - slot.start) // timedelta(minutes=1)} minutes late"
    if schedule.if_late == "run":
        return RunStatus.OPEN, late
    return RunStatus.MISSED, f"noticed {late}, and the schedule says --if-late report"


class Step(StrEnum):
    WATCH = "watch"  # somebody trades the account: nothing to do
    WAIT = "wait"  # between two starts
    START = "start"  # begin the session, or go on with it
    CLOSE = "close"  # the run has ended, with this status
    GIVE_UP = "give up"


HOPELESS = {
    2: "what the schedule asks for cannot be run",
    3: "a halt is active",
    5: "what is stored is unsafe",
    6: "the broker refuses us",
}
"""Exit codes that another start would only repeat."""


def next_step(
    run: Run,
    session: Session | None,
    now: datetime,
    wall: datetime,
    *,
    held: bool,
    wanted: bool,
    last: tuple[int, str] | None,
) -> tuple[Step, RunStatus, str]:
    """What an open run needs. `held` = a living process has the account, `wanted` = the schedule is neither paused nor
    removed, `last` = how the process we started ended: exit code and its last words."""
    if session is not None and session.is_over(now):
        halted = f"; {HOPELESS[3]}" if last and last[0] == 3 else ""
        return Step.CLOSE, RunStatus.DONE, f"ended {_minute(session.end_time or session.ends_at)}{halted}"
    if held:
        return Step.WATCH, RunStatus.OPEN, ""
    if session is not None and session.status is SessionStatus.STOPPED and not wanted:
        return Step.CLOSE, RunStatus.DONE, "stopped before its time, and the schedule is paused or removed"
    said = f"exit code {last[0]}: {last[1]}" if last else "nothing is known of its process"
    if session is None and now >= run.slot.end:
        return Step.CLOSE, RunStatus.MISSED, f"no session could be opened before {_minute(run.slot.end)}; {said}"
    if last and last[0] in HOPELESS:
        return Step.GIVE_UP, RunStatus.FAILED, f"{HOPELESS[last[0]]}; {said}"
    if run.starts > run.plan.restarts:
        return Step.GIVE_UP, RunStatus.FAILED, f"{run.starts} processes in vain; the last: {said}"
    if run.wait_until is not None and wall < run.wait_until:
        return Step.WAIT, RunStatus.OPEN, ""
    return Step.START, RunStatus.OPEN, ""


def wait_after(starts: int, first_s: float) -> timedelta:
    """From the start of a process to the earliest start of the next: each four times as long as the one before."""
    return timedelta(seconds=first_s * 4 ** max(starts - 1, 0))


def next_slots(schedule: Schedule, days: Sequence[TradingDay], now: datetime, count: int) -> list[Slot]:
    """The next windows that will be begun, the running one left out; none while paused."""
    if schedule.paused:
        return []
    return [slot for slot in slots(schedule, days) if slot.start > now and slot.is_possible][:count]


def _minute(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M}Z"
