"""Market data while prices move: what is made of bars, from a tape of two days (section 10)."""

from datetime import timedelta
from typing import Any

import pytest

from ..paper_exchange.rig import FRIDAY_OPEN, Desk

FRIDAY, MONDAY = "2026-11-20T05:00:00Z", "2026-11-23T05:00:00Z"


def prices(bar: dict[str, Any]) -> list[float]:
    return [bar[name] for name in "ohlcv"]


@pytest.fixture
def monday(moving: Desk) -> Desk:
    moving.exchange.advance_to(FRIDAY_OPEN + timedelta(days=3, minutes=2))
    return moving


def test_a_bar_is_told_as_open_extremes_and_close(moving: Desk) -> None:
    moving.pass_time(minutes=2)
    found = moving.get("/v2/stocks/AAA/trades", start="2026-11-20T14:30:00.001Z")["trades"]
    rising, falling = [100, 96, 104, 102], [102, 103, 101, 101.5]
    assert [one["p"] for one in found] == [*rising, *falling]
    assert [one["s"] for one in found] == [100, 100, 100, 102, 200, 200, 200, 200], "the sizes add up to the volume"


def test_five_minutes_have_the_highest_high_and_the_lowest_low(monday: Desk) -> None:
    found = monday.get("/v2/stocks/AAA/bars", timeframe="5Min", start="2026-11-20T14:30:00Z", limit="1")["bars"]
    assert prices(found[0]) == [100, 108, 96, 107, 1602]


def test_a_day_is_its_regular_session(monday: Desk) -> None:
    found = monday.get("/v2/stocks/AAA/bars", timeframe="1Day", start="2026-11-20")["bars"]
    assert [bar["t"] for bar in found] == [FRIDAY, MONDAY]
    assert prices(found[0]) == [100, 112, 96, 111, 2002], "not the bars before the opening and after the close"
    assert prices(found[1]) == [115, 118, 114, 116, 800]


def test_a_week_and_a_month_join_their_days(monday: Desk) -> None:
    weeks = monday.get("/v2/stocks/AAA/bars", timeframe="1Week", start="2026-11-01")["bars"]
    assert [prices(bar) for bar in weeks] == [[100, 112, 96, 111, 2002], [115, 118, 114, 116, 800]]
    months = monday.get("/v2/stocks/AAA/bars", timeframe="1Month", start="2026-11-01")["bars"]
    assert [prices(bar) for bar in months] == [[100, 118, 96, 116, 2802]]


def test_without_a_start_history_is_of_today(monday: Desk) -> None:
    for kind, wanted in (("bars", 2), ("quotes", 2), ("trades", 8)):
        query = {"timeframe": "1Min"} if kind == "bars" else {}
        assert len(monday.get(f"/v2/stocks/AAA/{kind}", **query)[kind]) == wanted, kind


def test_a_snapshot_knows_yesterday(monday: Desk) -> None:
    found = monday.get("/v2/stocks/AAA/snapshot")
    assert prices(found["prevDailyBar"]) == [100, 112, 96, 111, 2002]
    assert prices(found["dailyBar"]) == [115, 118, 114, 116, 800]
    assert prices(found["minuteBar"]) == [117, 117.5, 115, 116, 400]
    assert (found["latestTrade"]["p"], found["latestQuote"]["ap"]) == (116, 116.01)
