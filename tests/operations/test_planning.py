"""What cannot be a schedule is refused before it is stored; what is only doubtful is said."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from gambler_ai.domain.schedules import read
from gambler_ai.errors import UsageError
from gambler_ai.operations import planning
from tests.operations.rig import Rehearsal, definition


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsal]:
    """Its time stands still, and its schedules are there for every test."""
    place: Path = tmp_path_factory.mktemp("planning")
    one = Rehearsal(place, f"sqlite:///{place / 'gambler.db'}")
    add(one, "first", until="open+15m", days="mon")
    yield one
    one.close()


def add(rehearsal: Rehearsal, name: str, **more: Any) -> list[str]:
    scheduler = rehearsal.scheduler
    made = read(name, definition(**more), rehearsal.exchange.now)
    return planning.add(made, scheduler.schedules, scheduler.calendar, scheduler.parts.gateway)


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"symbols": ["NOSUCH"]}, "the broker does not know NOSUCH"),
        ({"strategy": "sma_crass"}, "there is no strategy 'sma_crass'; built in: grid, sma_cross"),
        ({"strategy": "nosuch:Mine"}, "the strategy 'nosuch:Mine' cannot be imported"),
        ({"params": {"fast": "x"}}, "sma_cross: fast='x' is not a int"),
        ({"at": "close-5m", "until": "open+5m"}, "close-5m to open\\+5m has no time on any trading day"),
        ({"at": "20:00 America/New_York", "until": "close"}, "has no time on any trading day"),
        (
            {"name": "first", "at": "open+1h"},
            "there is a schedule first already; `gambler schedule remove first` first",
        ),
        (
            {"at": "open+10m", "until": "close"},
            r"bad \(09:40 to 16:00 New York\) and first \(09:35 to 09:45 New York\) would trade one account at once on "
            "2026-11-23",
        ),
    ],
    ids=lambda value: "" if isinstance(value, str) else "-".join(value),
)
def test_what_cannot_be_is_refused_and_not_stored(quiet: Rehearsal, more: dict[str, Any], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        add(quiet, **{"name": "bad", **more})
    assert [one.name for one in quiet.scheduler.schedules.all()] == ["first"]


def test_days_that_are_too_short_are_named_and_the_others_kept(quiet: Rehearsal) -> None:
    said = add(quiet, "afternoon", at="open+5h")
    quiet.scheduler.schedules.remove("afternoon", quiet.exchange.now)
    assert [text.partition(":")[0] for text in said] == ["2026-11-27", "2026-12-24"]
    assert said[0].endswith("the market closes at 13:00 New York and open+5h to close-10m has no time")


def test_days_on_which_the_two_calendars_disagree_are_named(quiet: Rehearsal, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = quiet.scheduler.parts.gateway
    usual = gateway.calendar
    monkeypatch.setattr(gateway, "calendar", lambda first, last: [d for d in usual(first, last) if d.day.day != 30])
    quiet.scheduler.calendar._asked = None
    said = add(quiet, "doubtful", at="open+1h", days="tue")
    quiet.scheduler.schedules.remove("doubtful", quiet.exchange.now)
    assert said[0] == (
        "2026-11-30: the broker's calendar says closed, exchange-calendars 09:30 to 16:00; the broker's counts"
    )
    monday = date(2026, 11, 30)
    assert quiet.scheduler.calendar.days(monday, monday) == []
