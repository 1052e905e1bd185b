"""A market played back from files: SYMBOL.csv or SYMBOL.csv.gz in one directory.

Header `timestamp,open,high,low,close,volume[,bid,ask,bid_size,ask_size]`; the timestamp is the left edge
of the bar, UTC, ISO 8601. The width is the smallest distance of two neighbouring bars: one minute or one
hour, and nothing else, or bars would be seen before they are over. Where a row has no quote, the close with
half a cent to each side of it stands in, rounded outwards.
"""

import csv
import gzip
import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, InvalidOperation
from itertools import pairwise
from pathlib import Path

from gambler_ai.errors import UsageError
from gambler_ai.paper_exchange.calendar import Session, new_york_day, nyse
from gambler_ai.paper_exchange.market import CENT, Bar, Quote

_PRICES = ("timestamp", "open", "high", "low", "close", "volume")
_QUOTES = ("bid", "ask", "bid_size", "ask_size")
_WIDTHS = (timedelta(minutes=1), timedelta(hours=1))
_HALF_CENT = CENT / 2
_ENDLESS = Decimal("Infinity")


@dataclass(frozen=True, slots=True)
class _Series:
    bars: list[Bar]
    starts: list[datetime]
    ends: list[datetime]

    @property
    def width(self) -> timedelta:
        return self.ends[0] - self.starts[0]


class Tape:
    """Bars from a directory. Files are read on first use; errors name file and line."""

    def __init__(self, directory: str | Path) -> None:
        self._directory = Path(directory).expanduser().resolve()
        self._files: dict[str, Path] = {}
        for path in sorted(self._directory.glob("*.csv")) + sorted(self._directory.glob("*.csv.gz")):
            other = self._files.setdefault(path.name.split(".csv")[0], path)
            if other is not path:
                raise UsageError(f"market tape:{directory}: {other.name} and {path.name} are the same symbol; keep one")
        if not self._files:
            raise UsageError(f"market tape:{directory}: no SYMBOL.csv or SYMBOL.csv.gz there")
        self._symbols = tuple(sorted(self._files))
        self._series: dict[str, _Series] = {}
        self._width: timedelta | None = None
        self._times: list[datetime] = []
        self._by_time: dict[datetime, list[Bar]] = {}

    @property
    def spec(self) -> str:
        return f"tape:{self._directory}"

    @property
    def symbols(self) -> tuple[str, ...]:
        return self._symbols

    def next_time(self, after: datetime) -> datetime | None:
        times = self._timeline()
        index = bisect_right(times, after)
        return times[index] if index < len(times) else None

    def bars_at(self, at: datetime, symbols: frozenset[str] | None = None) -> list[Bar]:
        self._timeline()
        bars = self._by_time.get(at, [])
        return bars if symbols is None else [bar for bar in bars if bar.symbol in symbols]

    def latest(self, symbol: str, at: datetime) -> Bar | None:
        series = self._load(symbol)
        index = bisect_right(series.ends, at)
        return series.bars[index - 1] if index else None

    def quote(self, symbol: str, at: datetime) -> Quote | None:
        bar = self.latest(symbol, at)
        return Quote.closing(bar) if bar else None

    def bars(self, symbol: str, start: datetime, end: datetime, at: datetime) -> list[Bar]:
        series = self._load(symbol)
        stop = min(bisect_right(series.starts, end), bisect_right(series.ends, at))
        return series.bars[bisect_left(series.starts, start) : stop]

    def day(self, symbol: str, session: Session, at: datetime) -> Bar | None:
        series = self._load(symbol)
        first = bisect_right(series.ends, session.open)
        stop = min(bisect_left(series.starts, session.close), bisect_right(series.ends, at))
        return Bar.joined(series.bars[first:stop]) if first < stop else None

    def width(self) -> timedelta:
        return self._width or self._load(self._symbols[0]).width

    def first(self) -> datetime:
        """The left edge of the earliest bar of any symbol."""
        return min(self._load(symbol).starts[0] for symbol in self._symbols)

    def _timeline(self) -> list[datetime]:
        if not self._times:
            for symbol in self._symbols:
                for bar in self._load(symbol).bars:
                    self._by_time.setdefault(bar.end, []).append(bar)
            self._times = sorted(self._by_time)
        return self._times

    def _load(self, symbol: str) -> _Series:
        series = self._series.get(symbol)
        if series is None:
            bars = _read(self._files[symbol], symbol)
            series = _Series(bars, [bar.start for bar in bars], [bar.end for bar in bars])
            if series.width != (self._width or series.width):
                raise UsageError(f"{self._files[symbol]}: bars of {series.width} beside others of {self._width}")
            self._width, self._series[symbol] = series.width, series
        return series


def _read(path: Path, symbol: str) -> list[Bar]:
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        text = raw.decode("utf-8-sig")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as broken:
        raise UsageError(f"{path}: cannot be read ({broken})") from broken
    rows = csv.reader(text.splitlines())
    header = tuple(next(rows, ()))
    if header not in (_PRICES, _PRICES + _QUOTES):
        raise UsageError(f"{path}:1: want the header {','.join(_PRICES)}[,{','.join(_QUOTES)}]")
    parsed = list(_parse(path, rows, len(header)))
    width = _width(path, [row[0] for row in parsed])
    return [Bar(symbol, row[0], row[0] + width, *row[1:]) for row in parsed]


_Row = tuple[datetime, Decimal, Decimal, Decimal, Decimal, int, Decimal, Decimal, int, int]


def _parse(path: Path, rows: Iterator[list[str]], columns: int) -> Iterator[_Row]:
    before: datetime | None = None
    for line, row in enumerate(rows, start=2):
        if not row:
            continue
        if len(row) != columns:
            raise UsageError(f"{path}:{line}: {len(row)} columns, want {columns}")
        try:
            start = datetime.fromisoformat(row[0])
            o, h, low, c = Decimal(row[1]), Decimal(row[2]), Decimal(row[3]), Decimal(row[4])
            volume = int(row[5])
            quoted = columns > 6 and row[6] != "" and row[7] != ""
            bid, ask = (Decimal(row[6]), Decimal(row[7])) if quoted else _spread(c)
            sizes = (int(row[8] or 0), int(row[9] or 0)) if quoted else (100, 100)
            sound = 0 < low <= min(o, c) <= max(o, c) <= h < _ENDLESS and 0 <= bid < _ENDLESS and 0 <= ask < _ENDLESS
        except (ValueError, InvalidOperation) as broken:
            raise UsageError(f"{path}:{line}: not a bar: {','.join(row)}") from broken
        start = start.astimezone(UTC) if start.tzinfo else start.replace(tzinfo=UTC)
        if not sound:
            raise UsageError(f"{path}:{line}: prices must be > 0 with low <= open, close <= high")
        if before is not None and start <= before:
            raise UsageError(f"{path}:{line}: timestamps must grow")
        if bid > ask:
            raise UsageError(f"{path}:{line}: bid {bid} is above ask {ask}")
        if (before is None or start.date() > before.date()) and nyse().on(new_york_day(start)) is None:
            raise UsageError(f"{path}:{line}: {new_york_day(start)} is no trading day of the exchange's calendar")
        before = start
        yield start, o, h, low, c, volume, bid, ask, *sizes


def _spread(close: Decimal) -> tuple[Decimal, Decimal]:
    bid = (close - _HALF_CENT).quantize(CENT, ROUND_FLOOR)
    ask = (close + _HALF_CENT).quantize(CENT, ROUND_CEILING)
    return max(bid, close - _HALF_CENT) if bid <= 0 else bid, ask


def _width(path: Path, starts: list[datetime]) -> timedelta:
    if not starts:
        raise UsageError(f"{path}: no bars")
    gaps = {later - sooner for sooner, later in pairwise(starts)} or {_WIDTHS[0]}
    width = min(gaps)
    if width not in _WIDTHS:
        raise UsageError(f"{path}: bars are {width} apart; want minute or hour bars")
    return width
