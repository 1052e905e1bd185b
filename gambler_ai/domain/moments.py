"""Times of a trading day as people write them: `open+5m`, `close-10m`, `09:45 America/New_York`; and weekdays."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from gambler_ai.domain.market import TradingDay
from gambler_ai.errors import UsageError

_RELATIVE = re.compile(r"(open|close)(?:([+-])(?=\d)(?:(\d{1,2})h)?(?:(\d{1,3})m)?)?")
_PLAIN = re.compile(r"(\d{1,2}):(\d{2})(?:\s+(\S+))?")
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WRITE = "write open+5m, close-1h30m, or a time with its zone like '09:45 America/New_York'"


@dataclass(frozen=True, slots=True)
class Moment:
    """A time of every trading day: `offset` from its open or close, or a wall time in the zone `anchor`."""

    text: str
    anchor: str
    offset: timedelta = timedelta(0)
    wall: time | None = None

    def on(self, day: TradingDay) -> datetime:
        """That time of this trading day, in UTC. A wall time is the one nearest to the trading hours: 00:15 in Tokyo
        is of the day that began there in the evening before. One that a clock change skips is an hour later, of one
        that comes twice it is the first."""
        if self.wall is None:
            return (day.open if self.anchor == "open" else day.close) + self.offset
        zone = ZoneInfo(self.anchor)
        dates = (day.day + timedelta(days=shift) for shift in (-1, 0, 1))
        return min((_utc(datetime.combine(one, self.wall, zone)) for one in dates), key=lambda at: _far(at, day))


def parse_moment(flag: str, text: str) -> Moment:
    """Raises UsageError that names the flag and says what to write."""
    words = " ".join(text.split())
    if found := _RELATIVE.fullmatch(words):
        anchor, sign, hours, minutes = found.groups()
        offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
        return Moment(words, anchor, -offset if sign == "-" else offset)
    found = _PLAIN.fullmatch(words)
    if not found or int(found[1]) > 23 or int(found[2]) > 59:
        raise UsageError(f"{flag} {text!r} is no time of a trading day; {_WRITE}")
    if found[3] is None:
        raise UsageError(f"{flag} {text!r} has no time zone; {_WRITE}")
    try:
        ZoneInfo(found[3])
    except (KeyError, ValueError, OSError):
        raise UsageError(f"{flag} {text!r}: {found[3]!r} is no time zone; {_WRITE}") from None
    return Moment(words, found[3], wall=time(int(found[1]), int(found[2])))


def parse_days(text: str) -> frozenset[int]:
    """`mon-fri` or `mon,wed` as weekday numbers, Monday is 0. Raises UsageError for anything else."""
    days: set[int] = set()
    for part in text.lower().split(","):
        first, dash, last = (name.strip() for name in part.partition("-"))
        begin, end = _weekday(first, text), _weekday(last if dash else first, text)
        if begin > end:
            raise UsageError(f"--days {text!r}: {last} comes before {first}; write mon-fri or mon,wed")
        days |= set(range(begin, end + 1))
    if closed := [_DAYS[day] for day in sorted(days) if day > 4]:
        raise UsageError(f"--days {text!r}: there is no trading day on {' or '.join(closed)}; write mon-fri or mon,wed")
    return frozenset(days)


def days_text(days: frozenset[int]) -> str:
    return "mon-fri" if len(days) == 5 else ",".join(_DAYS[day] for day in sorted(days))


def _weekday(name: str, text: str) -> int:
    if name not in _DAYS:
        raise UsageError(f"--days {text!r}: {name!r} is no day; the days are {', '.join(_DAYS[:5])}")
    return _DAYS.index(name)


def _utc(at: datetime) -> datetime:
    return at.astimezone(UTC)


def _far(at: datetime, day: TradingDay) -> timedelta:
    """How far outside the trading hours."""
    return max(day.open - at, at - day.close, timedelta(0))
