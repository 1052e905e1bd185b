"""Tapes, the invented market, and what both owe: nothing is seen before its time."""

import gzip
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest

from gambler_ai.errors import UsageError
from gambler_ai.paper_exchange.exchange import Exchange
from gambler_ai.paper_exchange.markets import open_market
from gambler_ai.paper_exchange.synthetic import Synthetic
from gambler_ai.paper_exchange.tape import Tape

from .rig import FRIDAY_OPEN, HEADER, SHARED, Desk, wall, write_tape

PRICES = "timestamp,open,high,low,close,volume"


def test_a_tape_without_quotes_gets_a_cent_of_spread(tmp_path: Path) -> None:
    text = f"{PRICES}\n2026-11-20T14:30:00Z,10,11,9,10.5,100\n2026-11-20T15:30:00Z,10.5,11,9,10.005,100\n"
    (tmp_path / "AAA.csv.gz").write_bytes(gzip.compress(text.encode()))
    tape = open_market(f"tape:{tmp_path}")
    assert tape.width() == timedelta(hours=1)
    assert tape.latest("AAA", FRIDAY_OPEN + timedelta(minutes=59)) is None
    bar = tape.latest("AAA", FRIDAY_OPEN + timedelta(hours=1))
    assert bar is not None
    assert (bar.bid, bar.ask) == (Decimal("10.49"), Decimal("10.51"))


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ("soon,1,1,1,1,1,,,,", "AAA.csv:3: not a bar"),
        ("2026-11-20T14:31:00Z,1,1,1,1", "AAA.csv:3: 5 columns"),
        ("2026-11-20T14:31:00Z,1,1,2,1,1,,,,", "AAA.csv:3: prices"),
        ("2026-11-20T14:30:00Z,1,1,1,1,1,,,,", "AAA.csv:3: timestamps must grow"),
        ("2026-11-20T14:31:00Z,NaN,1,1,1,1,,,,", "AAA.csv:3:"),
        ("2026-11-20T14:31:00Z,1,1,1,1,1,1.02,1.01,5,5", r"AAA.csv:3: bid 1.02 is above ask 1.01"),
        ("2026-11-21T14:31:00Z,1,1,1,1,1,,,,", "AAA.csv:3: 2026-11-21 is no trading day"),
        ("2026-11-20T14:35:00Z,1,1,1,1,1,,,,", "AAA.csv: bars are 0:05:00 apart; want minute or hour bars"),
        ("2026-11-23T14:30:00Z,1,1,1,1,1,,,,", "AAA.csv: bars are 3 days, 0:00:00 apart; want minute or hour bars"),
    ],
)
def test_a_broken_tape_names_file_and_line(tmp_path: Path, row: str, complaint: str) -> None:
    (tmp_path / "AAA.csv").write_text(f"{HEADER}\n2026-11-20T14:30:00Z,1,1,1,1,1,1,1.01,5,5\n{row}\n")
    with pytest.raises(UsageError, match=complaint):
        open_market(f"tape:{tmp_path}").next_time(FRIDAY_OPEN)


def test_a_symbol_has_one_file_and_a_tape_one_width(tmp_path: Path) -> None:
    rows = [f"2026-11-20T{at}:00Z,1,1,1,1,1" for at in ("14:30", "14:31", "15:30")]
    (tmp_path / "AAA.csv").write_text("\n".join([PRICES, *rows]))
    (tmp_path / "BBB.csv").write_text("\n".join([PRICES, *rows[::2]]))
    with pytest.raises(UsageError, match=r"BBB\.csv: bars of 1:00:00 beside others of 0:01:00"):
        open_market(f"tape:{tmp_path}").next_time(FRIDAY_OPEN)
    (tmp_path / "AAA.csv.gz").write_bytes(b"")
    with pytest.raises(UsageError, match=r"AAA\.csv and AAA\.csv\.gz are the same symbol"):
        open_market(f"tape:{tmp_path}")


@pytest.mark.parametrize(
    "content", [b"not gzip", gzip.compress(b"x" * 99, mtime=0)[:-9], gzip.compress(b"\xff\xfe", mtime=0)]
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "AAA.csv.gz").write_bytes(content)
    with pytest.raises(UsageError, match=r"AAA\.csv\.gz: cannot be read"):
        open_market(f"tape:{tmp_path}").next_time(FRIDAY_OPEN)


def test_gzip_and_plain_files_lie_side_by_side(tmp_path: Path) -> None:
    text = f"{PRICES}\n2026-11-20T14:30:00Z,10,11,9,10.5,100\n2026-11-20T14:31:00Z,10.5,11,9,10,100\n"
    (tmp_path / "AAA.csv.gz").write_bytes(gzip.compress(text.encode()))
    (tmp_path / "BBB.csv").write_text(text)
    tape = open_market(f"tape:{tmp_path}")
    a, b = (tape.bars(name, FRIDAY_OPEN, FRIDAY_OPEN, FRIDAY_OPEN + timedelta(hours=1)) for name in ("AAA", "BBB"))
    assert [bar[1:] for bar in a] == [bar[1:] for bar in b]


def test_the_invented_day_has_the_shape_of_a_real_one() -> None:
    days = []
    for ago in range(20):
        first = FRIDAY_OPEN - timedelta(days=ago)
        days.append(
            Synthetic(7).bars("SPY", first, first + timedelta(hours=6, minutes=29), FRIDAY_OPEN + timedelta(days=9))
        )
    full = [day for day in days if len(day) == 390]
    assert len(full) >= 12
    ends = sum(bar.volume for day in full for bar in day[:30] + day[-30:])
    middle = sum(bar.volume for day in full for bar in day[165:225])
    assert ends > 2 * middle, "busy at both ends"
    gaps = [abs(later[0].open / earlier[-1].close - 1) for later, earlier in pairwise(full)]
    assert sum(gap > Decimal("0.0005") for gap in gaps) > len(gaps) / 2, "nights leave gaps"
    assert all(Decimal(0) < bar.ask - bar.bid < bar.close / 1000 for day in full for bar in day)


def test_prices_jump_on_few_days() -> None:
    market, first, later = Synthetic(7), FRIDAY_OPEN - timedelta(days=150), FRIDAY_OPEN + timedelta(days=1)
    bars = market.bars("SPY", first, FRIDAY_OPEN, later)
    jumps = {bar.start.date() for bar in bars if abs(bar.close / bar.open - 1) > Decimal("0.005")}
    assert 1 <= len(jumps) <= len(bars) / 390 / 8


def test_ticks_are_a_function_of_seed_symbol_and_time() -> None:
    later = FRIDAY_OPEN + timedelta(minutes=100)
    found = []
    for market in (Synthetic(7), Synthetic(7)):
        exchange = Exchange.open(":memory:", market, FRIDAY_OPEN, wall)
        desk = Desk(exchange)
        desk.exchange.advance_to(later)
        found.append([desk.get(f"/v2/stocks/SPY/{kind}", limit="500") for kind in ("trades", "quotes")])
        exchange.close()
    assert found[0] == found[1]
    assert len(found[0][0]["trades"]) == 400


def test_a_wrong_market_is_a_usage_error(tmp_path: Path) -> None:
    for spec in ("tape:", f"tape:{tmp_path}", "synthetic:x", "moon"):
        with pytest.raises(UsageError):
            open_market(spec)


def test_the_invented_market_is_a_function_of_seed_symbol_and_time() -> None:
    one, other, later = Synthetic(7), Synthetic(7), FRIDAY_OPEN + timedelta(minutes=100)
    other.bars_at(FRIDAY_OPEN + timedelta(days=4))
    assert one.bars_at(later) == other.bars_at(later)
    assert Synthetic(8).latest("SPY", later) != one.latest("SPY", later)
    day = one.bars("SPY", FRIDAY_OPEN, FRIDAY_OPEN + timedelta(days=1), FRIDAY_OPEN + timedelta(days=1))
    assert len(day) == 390
    assert all(bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high for bar in day)
    assert all(bar.bid < bar.ask and bar.bid <= bar.close <= bar.ask for bar in day)
    closes = [bar.close for bar in day]
    fast = [sum(closes[i - 10 : i]) / 10 for i in range(30, 390)]
    slow = [sum(closes[i - 30 : i]) / 30 for i in range(30, 390)]
    above = [f > s for f, s in zip(fast, slow, strict=True)]
    assert sum(a != b for a, b in pairwise(above)) >= 3, "averages cross several times a day"


def test_the_invented_market_steps_over_nights_and_early_closes() -> None:
    market = Synthetic(7)
    assert market.next_time(FRIDAY_OPEN) == FRIDAY_OPEN + timedelta(minutes=1)
    close = FRIDAY_OPEN.replace(hour=21, minute=0)
    assert [len(market.bars_at(close + timedelta(minutes=n), frozenset({"SPY"}))) for n in (0, 1)] == [1, 0]
    assert market.next_time(close) == FRIDAY_OPEN + timedelta(days=3, minutes=1)
    half_day = market.bars(
        "SPY",
        datetime(2026, 11, 27, tzinfo=UTC),
        datetime(2026, 11, 28, tzinfo=UTC),
        datetime.max.replace(tzinfo=UTC, year=2030),
    )
    assert len(half_day) == 210


def test_a_newcomer_at_the_opening_can_trade_at_once() -> None:
    desk = Desk(Exchange.open(":memory:", Synthetic(7), FRIDAY_OPEN, wall, partial_fill_rate=0))
    order = desk.order(symbol="SPY", qty="1")
    assert desk.status(order) == "filled"
    desk.exchange.close()


def test_nothing_is_seen_before_its_time(tmp_path: Path) -> None:
    for market in (open_market(write_tape(tmp_path / "tape")), Synthetic(3)):
        symbol = market.symbols[0]
        for minutes in (0, 1, 7, 59):
            at = FRIDAY_OPEN + timedelta(minutes=minutes, seconds=30)
            assert all(bar.end <= at for bar in market.bars(symbol, FRIDAY_OPEN, at, at))
            latest, quote = market.latest(symbol, at), market.quote(symbol, at)
            assert latest is None or latest.end <= at
            assert quote is None or quote.at <= at


@pytest.mark.shared_data
def test_six_days_of_four_symbols_load_and_run_quickly() -> None:
    began = time.perf_counter()
    tape = Tape(SHARED / "data" / "minute")
    assert tape.symbols == ("AIG", "BAC", "IBM", "SPY")
    assert tape.next_time(datetime(2013, 10, 4, tzinfo=UTC)) is not None
    assert time.perf_counter() - began < 1.5, "0.1 s on a quiet machine"
    exchange = Exchange.open(":memory:", tape, datetime(2013, 10, 4, 13, 30, tzinfo=UTC), wall)
    began, steps = time.perf_counter(), 0
    while (event := exchange.next_event()) is not None:
        exchange.advance_to(event)
        steps += 1
    assert steps > 4000
    assert (time.perf_counter() - began) / steps < 100e-6
    exchange.close()
