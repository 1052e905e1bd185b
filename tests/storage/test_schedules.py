"""Schedules and runs in the tables: one run for a slot, whoever claims it, and no write under an old token."""

from dataclasses import replace
from datetime import date, timedelta

import pytest

from gambler_ai.clock import SimulatedClock
from gambler_ai.domain.market import TradingDay
from gambler_ai.domain.schedules import Run, RunStatus, Schedule, Slot, read
from gambler_ai.errors import AccountHeld, AlreadyStored, Fenced, UsageError
from gambler_ai.storage.calendar import KnownDay, StoredCalendar
from gambler_ai.storage.database import Database
from gambler_ai.storage.holder import GRACE, Holder
from gambler_ai.storage.lease import TTL, database_time
from gambler_ai.storage.scheduler_lease import SchedulerLease
from gambler_ai.storage.schedules import Schedules
from gambler_ai.storage.writes import bind_account
from tests.builders import ACCOUNT, START
from tests.storage.rig import run as sql

CLOCK = SimulatedClock(START)
ME = Holder.of_this_process()
PLAN = {
    "strategy": "grid",
    "symbols": ["SPY", "IBM"],
    "params": {"shares": "2"},
    "at": "open+5m",
    "until": "15:50 America/New_York",
    "days": "mon,wed",
    "if_late": "report",
    "restarts": 3,
}
SLOT = Slot("morning", date(2026, 11, 23), START, START + timedelta(hours=6))


@pytest.fixture
def schedules(database: Database) -> Schedules:
    bind_account(database, "default", ACCOUNT, "PA1", "http://127.0.0.1:1", CLOCK)
    return Schedules(database, ACCOUNT)


def morning() -> Schedule:
    return read("morning", PLAN, START)


def taken(database: Database) -> SchedulerLease:
    lease = SchedulerLease(database, ACCOUNT, CLOCK)
    lease.take(ME)
    return lease


def claimed(session: str = "s1") -> Run:
    return Run(SLOT, session, RunStatus.OPEN, replace(morning(), since=SLOT.start), claimed_at=START, result="on time")


def test_a_schedule_comes_back_as_it_was(schedules: Schedules) -> None:
    schedules.add(morning())
    assert schedules.all() == [morning()]
    assert schedules.find("evening") is None
    with pytest.raises(UsageError, match="there is a schedule morning already"):
        schedules.add(morning())


def test_pausing_resuming_and_removing_say_whether_they_changed_anything(schedules: Schedules) -> None:
    schedules.add(morning())
    later = START + timedelta(days=1)
    assert [schedules.pause("morning"), schedules.pause("morning"), schedules.pause("nosuch")] == [True, False, False]
    assert schedules.find("morning") == replace(morning(), paused=True)
    assert [schedules.resume("morning", later), schedules.resume("morning", later)] == [True, False]
    assert schedules.find("morning") == replace(morning(), since=later)
    assert [schedules.remove("morning", later), schedules.remove("morning", later)] == [True, False]
    assert schedules.all() == []


def test_a_slot_is_claimed_once_for_ever(database: Database, schedules: Schedules) -> None:
    schedules.add(morning())
    token = taken(database).token
    assert schedules.claim(claimed(), token)
    assert not schedules.claim(claimed("s2"), token)
    assert schedules.runs() == [claimed()]
    schedules.remove("morning", START)
    schedules.add(morning())
    assert not schedules.claim(claimed("s3"), token)
    assert schedules.days_used("morning") == {SLOT.day}


def test_a_run_is_stepped_and_closed_by_the_holder_of_the_token_only(database: Database, schedules: Schedules) -> None:
    schedules.add(morning())
    token = taken(database).token
    assert schedules.claim(claimed(), token)
    wall = database_time(database, CLOCK)
    for old in (token - 1, token + 1):
        with pytest.raises(Fenced):
            schedules.claim(replace(claimed("s2"), slot=replace(SLOT, day=date(2026, 11, 25))), old)
        with pytest.raises(Fenced):
            schedules.starting(claimed(), wall, old)
        with pytest.raises(Fenced):
            schedules.close(claimed(), RunStatus.DONE, "", START, old)
    assert schedules.runs() == [claimed()]
    schedules.starting(claimed(), wall, token)
    schedules.close(claimed(), RunStatus.FAILED, "why", SLOT.end, token)
    (found,) = schedules.runs("morning")
    assert (found.starts, found.wait_until, found.status) == (1, wall, RunStatus.FAILED)
    assert (found.result, found.ended_at) == ("why", SLOT.end)
    assert schedules.runs(status=RunStatus.OPEN) == []


def test_the_schedulers_lease_is_one_at_a_time_and_its_token_only_grows(
    database: Database, schedules: Schedules
) -> None:
    first = taken(database)
    second = SchedulerLease(database, ACCOUNT, CLOCK)
    with pytest.raises(AccountHeld, match="one scheduler at a time is enough"):
        second.take(ME)
    first.renew()
    row = first.look()
    assert row is not None
    assert row.exchange_at == CLOCK.now()
    assert row.is_held(first.now())
    assert not row.is_held(first.now() + TTL + GRACE)
    first.release()
    second.take(ME)
    assert (first.token, second.token) == (1, 2)
    first.release()
    with pytest.raises(Fenced):
        first.renew()
    second.renew()


def test_the_lease_of_a_dead_scheduler_is_had_at_once(database: Database, schedules: Schedules) -> None:
    taken(database)
    sql(database, "UPDATE schedulers SET holder = :dead", dead=str(replace(ME, started="0")))
    assert taken(database).token == 2


def test_a_calendar_knows_what_is_closed_and_what_was_never_asked(database: Database, schedules: Schedules) -> None:
    calendar = StoredCalendar(database, ACCOUNT)
    thursday, friday, later = (date(2026, 11, day) for day in (26, 27, 30))
    closed = KnownDay(thursday, None, None)
    early = KnownDay(friday, TradingDay(friday, START, START + timedelta(hours=3)), "09:30 to 16:00")
    calendar.keep([closed, early], START)
    assert calendar.between(thursday, later) == [closed, early]
    calendar.keep([replace(closed, differs="open")], START)
    assert calendar.between(thursday, thursday) == [replace(closed, differs="open")]


def test_two_runs_never_name_the_same_session(database: Database, schedules: Schedules) -> None:
    schedules.add(morning())
    token = taken(database).token
    assert schedules.claim(claimed(), token)
    another_day = replace(claimed(), slot=replace(SLOT, day=date(2026, 11, 25)))
    with pytest.raises(AlreadyStored):
        schedules.claim(another_day, token)
