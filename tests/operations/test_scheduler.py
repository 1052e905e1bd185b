"""Every trading day one session, on no other day any: under kills of schedulers and traders, at every step."""

from datetime import UTC, date, datetime, timedelta
from random import Random

import pytest

from gambler_ai import crashpoints
from gambler_ai.crashpoints import POINTS
from gambler_ai.domain.schedules import RunStatus
from gambler_ai.domain.sessions import SessionStatus
from gambler_ai.errors import AccountHeld, Fenced
from gambler_ai.paper_exchange.calendar import nyse
from gambler_ai.storage import lease
from gambler_ai.storage.holder import Holder
from gambler_ai.storage.records import find_account_by_id
from gambler_ai.trading.emergency_stop import EmergencyStopFile
from tests.operations.rig import MINUTE, Rehearsal
from tests.support.market import OPEN

IN_THE_WINDOW = OPEN + 6 * MINUTE
SECOND_HALF = OPEN + timedelta(hours=4)
OVER = OPEN + timedelta(hours=6, minutes=25)
STEPS = [point for point in POINTS if point.startswith("schedule.")]


def one_session_that_ended(rehearsal: Rehearsal) -> None:
    (run,), (session,) = rehearsal.runs(), rehearsal.sessions()
    assert (run.status, session.status) == (RunStatus.DONE, SessionStatus.STOPPED)
    assert rehearsal.opened == [run.session_id] == [session.session_id]


def test_a_slot_has_its_session_from_its_beginning_to_its_end(rehearsal_on_both: Rehearsal) -> None:
    rehearsal = rehearsal_on_both
    rehearsal.add()
    rehearsal.drive()
    assert rehearsal.runs() == []
    rehearsal.until(IN_THE_WINDOW)
    assert [(run.status, run.result) for run in rehearsal.runs()] == [(RunStatus.OPEN, "on time")]
    assert rehearsal.sessions()[0].status is SessionStatus.ACTIVE
    rehearsal.until(OVER)
    one_session_that_ended(rehearsal)
    rehearsal.until(OVER + timedelta(hours=12))
    one_session_that_ended(rehearsal)


@pytest.mark.parametrize("point", STEPS)
def test_a_scheduler_killed_at_any_step_is_replaced_without_a_second_session(
    rehearsal_on_both: Rehearsal, point: str
) -> None:
    rehearsal = rehearsal_on_both
    rehearsal.add()
    for at in (IN_THE_WINDOW, SECOND_HALF, OVER):
        with rehearsal.dying_at(point):
            rehearsal.until(at)
        rehearsal.drive()
        rehearsal.drive()
    assert rehearsal.deaths == 1
    one_session_that_ended(rehearsal)


@pytest.mark.parametrize("point", STEPS[:4])
def test_a_scheduler_that_sleeps_at_any_step_through_its_replacement_changes_nothing(
    rehearsal_on_both: Rehearsal, point: str
) -> None:
    rehearsal = rehearsal_on_both
    rehearsal.add()
    rehearsal.exchange.advance_to(IN_THE_WINDOW)
    frozen, woken = rehearsal.scheduler, []

    def sleep(name: str) -> None:
        if name != point or woken:
            return
        woken.append(name)
        rehearsal.expire()
        rehearsal.scheduler = rehearsal.another()
        rehearsal.scheduler.take()
        rehearsal.drive()
        rehearsal.drive()

    crashpoints.arm(sleep)
    try:
        frozen.look()
    except Fenced:
        woken.append("fenced")
    crashpoints.arm(None)
    frozen._renewed = None
    with pytest.raises(Fenced):
        frozen.look()
    rehearsal.drive()
    rehearsal.until(OVER)
    assert woken[0] == point
    one_session_that_ended(rehearsal)


def test_two_schedulers_at_once_one_waits(rehearsal_on_both: Rehearsal) -> None:
    second = rehearsal_on_both.another()
    with pytest.raises(AccountHeld, match="one scheduler at a time is enough"):
        second.take()
    rehearsal_on_both.scheduler.lease.release()
    second.take()
    assert second.lease.token == rehearsal_on_both.scheduler.lease.token + 1


def test_a_killed_session_goes_on_and_is_still_one(rehearsal: Rehearsal) -> None:
    rehearsal.add()
    for at in (IN_THE_WINDOW, SECOND_HALF):
        rehearsal.until(at)
        rehearsal.kill_traders()
        rehearsal.drive()
        rehearsal.drive()
    rehearsal.until(OVER)
    one_session_that_ended(rehearsal)
    assert rehearsal.runs()[0].starts == 3


def test_scheduler_and_session_killed_together_and_found_after_the_window_are_closed(rehearsal: Rehearsal) -> None:
    rehearsal.add()
    rehearsal.until(IN_THE_WINDOW)
    rehearsal.kill_traders()
    rehearsal.exchange.advance_to(OVER)
    rehearsal.kill_scheduler()
    for _ in range(3):
        rehearsal.drive()
    one_session_that_ended(rehearsal)


def test_a_frozen_session_is_replaced_when_its_time_is_over(
    rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    rehearsal.add()
    rehearsal.until(IN_THE_WINDOW)
    frozen = rehearsal.traders.pop()
    rehearsal.drive()
    assert rehearsal.runs()[0].starts == 1
    rehearsal.expire("accounts")
    monkeypatch.setattr("gambler_ai.operations.scheduler.OPENS_WITHIN_S", 0.0)
    rehearsal.drive()
    rehearsal.until(OVER)
    assert frozen.alive
    one_session_that_ended(rehearsal)


def test_a_session_that_ends_while_the_scheduler_looks_is_not_started_again(
    rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two reads of one look: the account is free, and the session was still active when it was read."""
    rehearsal.add()
    rehearsal.until(IN_THE_WINDOW)
    rehearsal.kill_scheduler()
    (trader,), is_held = rehearsal.traders, rehearsal.scheduler._held

    def ends_meanwhile() -> bool:
        rehearsal.exchange.advance_to(OVER)
        trader.drive()
        return is_held()

    monkeypatch.setattr(rehearsal.scheduler, "_held", ends_meanwhile)
    rehearsal.scheduler.look()
    one_session_that_ended(rehearsal)
    assert rehearsal.runs()[0].starts == 1


def test_too_many_deaths_halt_the_account_with_the_reason(rehearsal: Rehearsal) -> None:
    rehearsal.add(restarts=1)
    for _ in range(2):
        rehearsal.until(IN_THE_WINDOW)
        rehearsal.kill_traders()
    rehearsal.drive()
    (run,) = rehearsal.runs()
    assert run.status is RunStatus.FAILED
    assert run.result == "2 processes in vain; the last: exit code -9: it said nothing"
    reason = EmergencyStopFile.of(rehearsal.directory, "default").reason()
    assert reason == f"schedule daily of 2026-11-20: {run.result}"


def test_an_account_somebody_else_trades_is_waited_for(rehearsal: Rehearsal) -> None:
    account = find_account_by_id(rehearsal.database, rehearsal.account_id)
    assert account is not None
    by_hand = lease.take(rehearsal.database, account, Holder.of_this_process(), rehearsal.clock)
    rehearsal.add(until="open+20m")
    rehearsal.add("later", at="open+30m")
    rehearsal.until(IN_THE_WINDOW)
    rehearsal.until(OPEN + 31 * MINUTE)
    assert [(run.status, run.starts) for run in rehearsal.runs()] == [(RunStatus.OPEN, 0)] * 2
    lease.release(rehearsal.database, rehearsal.account_id, by_hand)
    rehearsal.drive()
    rehearsal.drive()
    daily, later = rehearsal.runs()
    assert (daily.status, later.starts, len(rehearsal.opened)) == (RunStatus.MISSED, 1, 1)
    assert "no session could be opened before 2026-11-20 14:50Z" in (daily.result or "")


def test_what_was_missed_while_down_is_said_once_and_never_run(rehearsal: Rehearsal) -> None:
    rehearsal.add()
    rehearsal.until(datetime(2026, 11, 24, 23, tzinfo=UTC))
    found = [(run.slot.day.isoformat(), run.status) for run in rehearsal.runs()]
    assert found == [(f"2026-11-{day}", RunStatus.MISSED) for day in (20, 23, 24)]
    assert rehearsal.opened == []


@pytest.mark.parametrize(("if_late", "opened"), [("run", 1), ("report", 0)])
def test_a_slot_that_is_late_goes_by_its_policy(rehearsal: Rehearsal, if_late: str, opened: int) -> None:
    rehearsal.add(if_late=if_late)
    rehearsal.until(SECOND_HALF)
    assert len(rehearsal.opened) == opened
    assert "235 minutes late" in (rehearsal.runs()[0].result or "")


def test_a_removed_and_new_schedule_of_the_same_name_does_not_use_a_slot_again(rehearsal: Rehearsal) -> None:
    rehearsal.add()
    rehearsal.until(IN_THE_WINDOW)
    schedules = rehearsal.scheduler.schedules
    assert schedules.remove("daily", rehearsal.exchange.now)
    rehearsal.add(at="open+10m")
    rehearsal.until(SECOND_HALF)
    rehearsal.until(OVER)
    one_session_that_ended(rehearsal)


def test_a_paused_schedule_starts_nothing_and_misses_nothing(rehearsal: Rehearsal) -> None:
    rehearsal.add()
    schedules = rehearsal.scheduler.schedules
    assert schedules.pause("daily")
    rehearsal.until(IN_THE_WINDOW)
    rehearsal.until(datetime(2026, 11, 23, 20, tzinfo=UTC))
    assert schedules.resume("daily", rehearsal.exchange.now)
    rehearsal.until(datetime(2026, 11, 24, 14, 36, tzinfo=UTC))
    assert [run.slot.day for run in rehearsal.runs()] == [date(2026, 11, 24)]


def test_the_broker_has_the_last_word_on_a_day(rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch) -> None:
    """A closure nobody knew when the calendar was asked: a day of mourning."""
    rehearsal.add()
    rehearsal.drive()
    gateway = rehearsal.scheduler.parts.gateway
    monkeypatch.setattr(gateway, "calendar", lambda _first, _last: [])
    rehearsal.until(IN_THE_WINDOW)
    assert rehearsal.runs() == []
    friday = date(2026, 11, 20)
    assert rehearsal.scheduler.calendar.differences(friday, friday) == [
        "2026-11-20: the broker's calendar says closed, exchange-calendars 09:30 to 16:00; the broker's counts"
    ]


def test_holidays_and_early_closes_under_random_kills(rehearsal: Rehearsal) -> None:
    """Five weeks: Thanksgiving, Christmas, two early closes and what comes between."""
    chance, rehearsal_ends = Random(7), date(2026, 12, 27)
    rehearsal.add()
    expected = nyse().between(date(2026, 11, 20), rehearsal_ends)
    for day in (date(2026, 11, 20) + timedelta(days=n) for n in range(38)):
        session = nyse().on(day)
        noon = datetime(day.year, day.month, day.day, 17, tzinfo=UTC)
        moments = [session.open + 6 * MINUTE, session.close - 5 * MINUTE] if session else [noon]
        for at in moments:
            with rehearsal.dying_at(chance.choice(STEPS)):
                rehearsal.until(at)
            if chance.random() < 0.3:
                rehearsal.kill_traders()
            if chance.random() < 0.2:
                rehearsal.kill_scheduler()
            rehearsal.drive()
            rehearsal.drive()
    assert rehearsal.deaths > 10
    runs, sessions = rehearsal.runs(), rehearsal.sessions()
    assert [run.slot.day for run in runs] == [one.day for one in expected]
    assert {run.status for run in runs} == {RunStatus.DONE}
    assert [one.session_id for one in sessions] == [run.session_id for run in runs] == rehearsal.opened
    assert all(one.start_time < one.ends_at < two.close for one, two in zip(sessions, expected, strict=True))
