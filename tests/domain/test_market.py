from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gambler_ai.domain.market import iso, parse_time
from tests.builders import at, bars

zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
times = st.datetimes(min_value=datetime(1990, 1, 1), max_value=datetime(2200, 1, 1), timezones=zones)  # noqa: DTZ001


@given(times)
def test_a_time_survives_its_text_in_every_zone(moment: datetime) -> None:
    assert parse_time(iso(moment)) == moment
    assert parse_time(moment.isoformat()) == moment


@given(times, times)
def test_texts_sort_as_their_times(one: datetime, other: datetime) -> None:
    assert (iso(one) < iso(other)) == (one < other)


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("2021-03-16T18:38:01Z", 0),
        ("2021-03-16T18:38:01.9Z", 900000),
        ("2021-03-16T18:38:01.937734Z", 937734),
        ("2021-03-16T18:38:01.937734999Z", 937734),
        ("2021-03-16T14:38:01.937734999-04:00", 937734),
        ("2021-03-17T00:08:01.5+05:30", 500000),
    ],
)
def test_every_form_alpaca_writes_is_read(text: str, micros: int) -> None:
    assert parse_time(text) == datetime(2021, 3, 16, 18, 38, 1, micros, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "now", "2021-03-16T18:38:01", "2021-03-16T18:38:01.937", "2021-13-16T18:38:01Z"])
def test_a_time_without_zone_or_sense_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_time(text)


def test_a_time_without_zone_is_not_written() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        iso(datetime(2021, 3, 16))  # noqa: DTZ001


def test_texts_have_fixed_microseconds() -> None:
    assert iso(at()) == "2013-10-07T13:30:00.000000Z"


def test_a_bar_is_known_from_its_close_on() -> None:
    (bar,) = bars(["187.5"])
    assert (bar.start, bar.end) == (at(), at(60))
