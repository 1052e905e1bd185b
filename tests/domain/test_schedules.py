"""Which session belongs to which trading day, and what is to be done about it now."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from gambler_ai.domain.market import TradingDay
from gambler_ai.domain.moments import days_text, parse_days, parse_moment
from gambler_ai.domain.schedules import (
    ON_TIME,
    Run,
    RunStatus,
    Schedule,
    Slot,
    Step,
    checked_name,
    impossible,
    judged,
    next_slots,
    next_step,
    overlap,
    read,
    slot_on,
    slots,
    wait_after,
)
from gambler_ai.domain.sessions import Session, SessionStatus
from gambler_ai.errors import UsageError

NEW_YORK = ZoneInfo("America/New_York")
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def new_york(text: str) -> datetime:
    """`2026-11-20 09:35` in New York."""
    return datetime.fromisoformat(text).replace(tzinfo=NEW_YORK).astimezone(UTC)


def day(text: str, close: str = "16:00", opens: str = "09:30") -> TradingDay:
    return TradingDay(date.fromisoformat(text), new_york(f"{text} {opens}"), new_york(f"{text} {close}"))


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def plan(at: str = "open+5m", until: str = "close-10m", **more: Any) -> Schedule:
    definition = {
        "strategy": "sma_cross",
        "symbols": ["SPY"],
        "params": {"fast": "5"},
        "at": at,
        "until": until,
        "days": "mon-fri",
        "if_late": "run",
        "restarts": 5,
        **more,
    }
    return read("morning", definition, LONG_AGO)


FRIDAY = day("2026-11-20")
BEFORE_THANKSGIVING = (day("2026-11-25"), day("2026-11-27", close="13:00"), day("2026-11-30"))


@pytest.mark.parametrize(
    ("text", "new_york_time"),
    [
        ("open", "09:30"),
        ("open+5m", "09:35"),
        ("open+1h30m", "11:00"),
        ("open-15m", "09:15"),
        ("close", "16:00"),
        ("close-10m", "15:50"),
        ("close-1h", "15:00"),
        ("09:45 America/New_York", "09:45"),
        ("  9:45   America/New_York ", "09:45"),
        ("15:45 Europe/Berlin", "09:45"),
        ("14:45 UTC", "09:45"),
        ("23:45 Asia/Tokyo", "09:45"),
        ("00:15 Asia/Tokyo", "10:15"),  # Saturday there, the trading day of Friday
        ("08:00 America/New_York", "08:00"),
        ("18:00 America/New_York", "18:00"),
    ],
)
def test_a_time_of_a_trading_day(text: str, new_york_time: str) -> None:
    assert parse_moment("--at", text).on(FRIDAY) == new_york(f"2026-11-20 {new_york_time}")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("noon", "no time of a trading day"),
        ("open+", "no time of a trading day"),
        ("open+5", "no time of a trading day"),
        ("open+5 m", "no time of a trading day"),
        ("open+m", "no time of a trading day"),
        ("opening+5m", "no time of a trading day"),
        ("25:00 UTC", "no time of a trading day"),
        ("09:60 UTC", "no time of a trading day"),
        ("09:45", "has no time zone"),
        ("09:45 New_York", "'New_York' is no time zone"),
        ("09:45 ../etc/passwd", "is no time zone"),
        ("09:45 America", "is no time zone"),
        ("", "no time of a trading day"),
    ],
)
def test_what_is_no_time_is_refused_with_the_flags_name(text: str, why: str) -> None:
    with pytest.raises(UsageError, match=why) as raised:
        parse_moment("--until", text)
    assert "--until" in str(raised.value)
    assert "write open+5m" in str(raised.value)


@pytest.mark.parametrize(
    ("trading_day", "expected"),
    [
        # New York changes on Sunday 2026-03-08, Berlin three weeks later
        ("2026-03-06", "2026-03-06 14:45"),
        ("2026-03-09", "2026-03-09 14:45"),
        ("2026-03-30", "2026-03-30 13:45"),
        # Berlin goes back on 2026-10-25, New York on 2026-11-01
        ("2026-10-23", "2026-10-23 13:45"),
        ("2026-10-26", "2026-10-26 14:45"),
        ("2026-11-02", "2026-11-02 14:45"),
    ],
)
def test_a_wall_time_of_another_zone_follows_that_zones_clock_changes(trading_day: str, expected: str) -> None:
    assert parse_moment("--at", "15:45 Europe/Berlin").on(day(trading_day)) == utc(expected)


@pytest.mark.parametrize(("trading_day", "expected"), [("2026-03-06", "14:35"), ("2026-03-09", "13:35")])
def test_the_open_follows_the_exchanges_clock_in_spring(trading_day: str, expected: str) -> None:
    assert parse_moment("--at", "open+5m").on(day(trading_day)) == utc(f"{trading_day} {expected}")


@pytest.mark.parametrize(("trading_day", "expected"), [("2026-10-30", "13:35"), ("2026-11-02", "14:35")])
def test_the_open_follows_the_exchanges_clock_in_autumn(trading_day: str, expected: str) -> None:
    assert parse_moment("--at", "09:35 America/New_York").on(day(trading_day)) == utc(f"{trading_day} {expected}")


def test_a_wall_time_that_a_clock_change_skips_or_repeats_has_one_meaning() -> None:
    """No exchange of ours is open then; another might be."""
    spring, autumn = day("2026-03-08", opens="02:00", close="05:00"), day("2026-11-01", opens="00:30", close="05:00")
    assert parse_moment("--at", "02:30 America/New_York").on(spring) == utc("2026-03-08 07:30")  # 03:30, an hour later
    assert parse_moment("--at", "01:30 America/New_York").on(autumn) == utc("2026-11-01 05:30")  # the first of two


@pytest.mark.parametrize(
    ("text", "days", "shown"),
    [
        ("mon-fri", {0, 1, 2, 3, 4}, "mon-fri"),
        ("mon,wed", {0, 2}, "mon,wed"),
        ("Wed, MON", {0, 2}, "mon,wed"),
        ("tue-thu,mon", {0, 1, 2, 3}, "mon,tue,wed,thu"),
        ("fri-fri", {4}, "fri"),
    ],
)
def test_days(text: str, days: set[int], shown: str) -> None:
    assert parse_days(text) == days
    assert days_text(parse_days(text)) == shown
    assert parse_days(shown) == days


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("montag", "'montag' is no day; the days are mon, tue, wed, thu, fri"),
        ("mon,", "'' is no day"),
        ("", "'' is no day"),
        ("mon-", "'' is no day"),
        ("mon-fri-sat", "'fri-sat' is no day"),
        ("fri-mon", "mon comes before fri"),
        ("sat", "no trading day on sat"),
        ("mon-sun", "no trading day on sat or sun"),
    ],
)
def test_days_that_are_none_are_refused(text: str, why: str) -> None:
    with pytest.raises(UsageError, match=f"^--days.*{why}"):
        parse_days(text)


@pytest.mark.parametrize("name", ["", "a b", "-x", "x" * 41, "a/b", "a\n"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="is no name of a schedule"):
        checked_name(name)


@pytest.mark.parametrize(
    ("at", "until", "why"),
    [
        ("open+30m", "open+5m", "--until open.5m is not after --at open.30m"),
        ("open+5m", "open+5m", "is not after"),
        ("close-5m", "close-10m", "is not after"),
        ("10:00 UTC", "09:00 UTC", "is not after"),
        ("open+5m", "close+5m", "is after the close"),
    ],
)
def test_an_end_before_the_beginning_is_refused(at: str, until: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        plan(at, until)


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(UsageError, match="--if-late 'skip': write run or report"):
        plan(if_late="skip")


def test_a_schedule_survives_its_definition() -> None:
    made = plan("9:45 America/New_York", "close", days="wed,mon", restarts=0)
    assert read("morning", made.definition(), LONG_AGO) == made


def test_a_window_ends_at_an_early_close() -> None:
    early = BEFORE_THANKSGIVING[1]
    relative, fixed = slot_on(plan(), early), slot_on(plan("open", "15:50 America/New_York"), early)
    assert relative is not None
    assert relative.end == new_york("2026-11-27 12:50")
    assert fixed is not None
    assert fixed.end == early.close


def test_a_window_that_an_early_close_leaves_no_time_is_named() -> None:
    assert impossible(plan("open+5h"), BEFORE_THANKSGIVING) == [BEFORE_THANKSGIVING[1]]
    assert impossible(plan("open+3h"), BEFORE_THANKSGIVING) == []


def test_only_days_of_the_calendar_and_of_the_week_have_slots() -> None:
    found = slots(plan(days="wed,thu,fri"), BEFORE_THANKSGIVING)  # Thursday is Thanksgiving
    assert [slot.day for slot in found] == [date(2026, 11, 25), date(2026, 11, 27)]


def test_slots_that_began_before_the_schedule_are_not_its_own() -> None:
    made = replace(plan(), since=new_york("2026-11-25 09:36"))
    assert [slot.day for slot in slots(made, BEFORE_THANKSGIVING)] == [date(2026, 11, 27), date(2026, 11, 30)]


def test_two_schedules_that_would_trade_at_once_are_found() -> None:
    morning, late = plan("open", "open+1h"), plan("close-2h", "close")
    assert overlap(morning, late, BEFORE_THANKSGIVING) is None
    afternoon = plan("open+2h", "close")
    assert overlap(morning, afternoon, BEFORE_THANKSGIVING) is None
    both = overlap(plan("open", "open+3h"), late, BEFORE_THANKSGIVING)  # only the early close brings them together
    assert both is not None
    assert both[0].day == date(2026, 11, 27)
    assert overlap(plan("open", "open+3h", days="mon"), late, BEFORE_THANKSGIVING) is None


SLOT = slot_on(plan(), FRIDAY)
assert SLOT is not None


def after_start(**more: float) -> datetime:
    assert SLOT is not None
    return SLOT.start + timedelta(**more)


@pytest.mark.parametrize(
    ("now", "if_late", "expected"),
    [
        (after_start(seconds=-1), "run", None),
        (after_start(), "run", RunStatus.OPEN),
        (after_start() + ON_TIME, "report", RunStatus.OPEN),
        (after_start(hours=1), "run", RunStatus.OPEN),
        (after_start(hours=1), "report", RunStatus.MISSED),
        (SLOT.end - timedelta(seconds=1), "run", RunStatus.OPEN),
        (SLOT.end, "run", RunStatus.MISSED),
        (SLOT.end + timedelta(days=30), "report", RunStatus.MISSED),
    ],
)
def test_a_slot_nobody_claimed(now: datetime, if_late: str, expected: RunStatus | None) -> None:
    assert SLOT is not None
    verdict = judged(SLOT, plan(if_late=if_late), now)
    assert (verdict and verdict[0]) == expected


def test_a_slot_without_time_is_skipped_when_its_day_is_over_and_never_run() -> None:
    made, early = plan("open+5h"), BEFORE_THANKSGIVING[1]
    slot = slot_on(made, early)
    assert slot is not None
    assert judged(slot, made, new_york("2026-11-27 09:30")) is None
    verdict = judged(slot, made, early.close)
    assert verdict is not None
    assert verdict[0] is RunStatus.SKIPPED


WALL = utc("2026-11-20 12:00")
RUN = Run(SLOT, "s1", RunStatus.OPEN, plan(restarts=2))
KILLED, NO_STRATEGY = (-9, "it said nothing"), (2, "there is no strategy 'x'")


def session(status: SessionStatus) -> Session:
    assert SLOT is not None
    return Session("s1", "a", "alpha", "sma_cross", ("SPY",), (), status, SLOT.start, SLOT.end)


def step(
    run: Run,
    of: Session | None,
    now: datetime,
    *,
    held: bool = False,
    wanted: bool = True,
    last: tuple[int, str] | None = None,
) -> tuple[Step, RunStatus]:
    found, status, why = next_step(run, of, now, WALL, held=held, wanted=wanted, last=last)
    assert why or found in (Step.START, Step.WAIT, Step.WATCH)
    return found, status


DURING, OVER = after_start(hours=2), SLOT.end + timedelta(minutes=1)


def test_a_claimed_slot_is_started_once_and_then_watched() -> None:
    assert step(RUN, None, DURING) == (Step.START, RunStatus.OPEN)
    assert step(replace(RUN, starts=1), None, DURING, held=True) == (Step.WATCH, RunStatus.OPEN)
    assert step(replace(RUN, starts=1), session(SessionStatus.ACTIVE), DURING, held=True)[0] is Step.WATCH


@pytest.mark.parametrize("status", [SessionStatus.ACTIVE, SessionStatus.CRASHED, SessionStatus.STOPPED])
@pytest.mark.parametrize("last", [None, KILLED, (1, "broker"), (75, "dirty"), (143, "second"), (0, "")])
def test_a_session_with_time_left_and_without_a_process_goes_on(
    status: SessionStatus, last: tuple[int, str] | None
) -> None:
    assert step(replace(RUN, starts=1), session(status), DURING, last=last)[0] is Step.START


def test_the_next_start_waits_its_time() -> None:
    waiting = replace(RUN, starts=1, wait_until=WALL + timedelta(seconds=1))
    assert step(waiting, session(SessionStatus.CRASHED), DURING)[0] is Step.WAIT
    assert step(replace(waiting, wait_until=WALL), session(SessionStatus.CRASHED), DURING)[0] is Step.START


def test_waits_grow() -> None:
    assert [wait_after(n, 2.0).total_seconds() for n in (1, 2, 3, 4, 5)] == [2, 8, 32, 128, 512]


def test_a_session_that_ended_in_its_time_closes_the_run_whoever_holds_the_account() -> None:
    for held in (True, False):
        assert step(RUN, session(SessionStatus.STOPPED), OVER, held=held) == (Step.CLOSE, RunStatus.DONE)


def test_a_session_that_ended_since_the_clock_was_read_ended_in_its_time() -> None:
    ended = replace(session(SessionStatus.STOPPED), end_time=RUN.slot.end)
    assert step(RUN, ended, RUN.slot.end - timedelta(minutes=5)) == (Step.CLOSE, RunStatus.DONE)


def test_a_crashed_session_whose_time_is_over_is_started_to_be_recovered_and_stopped() -> None:
    assert step(replace(RUN, starts=1), session(SessionStatus.CRASHED), OVER)[0] is Step.START


def test_a_claim_whose_session_was_never_opened_is_missed_when_its_window_is_over() -> None:
    assert step(replace(RUN, starts=1), None, OVER) == (Step.CLOSE, RunStatus.MISSED)
    assert step(replace(RUN, starts=1), None, OVER, held=True)[0] is Step.WATCH


@pytest.mark.parametrize("code", [2, 3, 5, 6])
def test_what_another_start_would_only_repeat_is_given_up_at_once(code: int) -> None:
    found, status, why = next_step(
        replace(RUN, starts=1), None, DURING, WALL, held=False, wanted=True, last=(code, "the words of the process")
    )
    assert (found, status) == (Step.GIVE_UP, RunStatus.FAILED)
    assert f"exit code {code}: the words of the process" in why


def test_after_so_many_restarts_it_is_given_up() -> None:
    assert step(replace(RUN, starts=2), session(SessionStatus.CRASHED), DURING, last=KILLED)[0] is Step.START
    assert step(replace(RUN, starts=3), session(SessionStatus.CRASHED), DURING, last=KILLED) == (
        Step.GIVE_UP,
        RunStatus.FAILED,
    )


def test_a_session_stopped_while_its_schedule_is_paused_stays_stopped_and_a_crashed_one_goes_on() -> None:
    stopped, crashed = session(SessionStatus.STOPPED), session(SessionStatus.CRASHED)
    assert step(RUN, stopped, DURING, wanted=False) == (Step.CLOSE, RunStatus.DONE)
    assert step(RUN, crashed, DURING, wanted=False)[0] is Step.START


def test_the_next_windows_leave_out_the_running_one_short_days_and_all_while_paused() -> None:
    made, days = plan("open+5h"), BEFORE_THANKSGIVING
    assert [slot.day.day for slot in next_slots(made, days, new_york("2026-11-25 12:00"), 3)] == [25, 30]
    assert [slot.day.day for slot in next_slots(made, days, new_york("2026-11-25 15:00"), 3)] == [30]
    assert next_slots(replace(made, paused=True), days, LONG_AGO, 3) == []


def windows(found: Sequence[Slot]) -> list[str]:
    return [f"{slot.start:%m-%d %H:%M}" for slot in found]


def test_a_week_across_each_clock_change_starts_at_the_same_time_in_new_york() -> None:
    spring = slots(plan(), [day(f"2026-03-{n:02}") for n in (5, 6, 9, 10)])
    autumn = slots(plan(), [day("2026-10-29"), day("2026-10-30"), day("2026-11-02"), day("2026-11-03")])
    assert windows(spring) == ["03-05 14:35", "03-06 14:35", "03-09 13:35", "03-10 13:35"]
    assert windows(autumn) == ["10-29 13:35", "10-30 13:35", "11-02 14:35", "11-03 14:35"]
