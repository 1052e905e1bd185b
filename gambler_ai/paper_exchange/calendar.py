"""The sessions of the New York Stock Exchange: when the market opens and closes, early closes included.

exchange-calendars (with pandas behind it) costs half a second and knows everything; we copy its sessions
into one list on first use and never touch it again.
"""

import warnings
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from gambler_ai.errors import UsageError

NEW_YORK = ZoneInfo("America/New_York")
FIRST_DAY, LAST_DAY = date(1970, 1, 1), date(2040, 12, 31)


@dataclass(frozen=True, slots=True)
class Session:
    """One trading day. `open` and `close` are aware UTC; the day is New York's."""

    day: date
    open: datetime
    close: datetime


class Sessions:
    """Every session from 1970 to 2040, in order.

    `first` and `last` are the bounds of the exchange's clock: between them everything asked here has an answer.
    """

    def __init__(self, sessions: Sequence[Session]) -> None:
        self._sessions = list(sessions)
        self._days = [session.day for session in self._sessions]
        self._opens = [session.open for session in self._sessions]
        self._closes = [session.close for session in self._sessions]
        self.first, self.last = self._closes[1], self._opens[-1] - timedelta(seconds=1)

    def check(self, at: datetime) -> None:
        """UsageError for a moment the exchange's clock cannot stand at."""
        if not self.first <= at <= self.last:
            bounds = f"{self.first:%Y-%m-%d %H:%M} to {self.last:%Y-%m-%d %H:%M} UTC"
            raise UsageError(f"{at:%Y-%m-%d %H:%M} is outside the exchange's calendar ({bounds})")

    def on(self, day: date) -> Session | None:
        """The session of a New York day; None on weekends and holidays."""
        index = bisect_left(self._days, day)
        return self._sessions[index] if index < len(self._days) and self._days[index] == day else None

    def running(self, at: datetime) -> Session | None:
        """The session with open <= at < close."""
        index = bisect_right(self._opens, at) - 1
        return self._sessions[index] if index >= 0 and at < self._sessions[index].close else None

    def current_or_next(self, at: datetime) -> Session:
        """The session that closes first after `at`: the running one, else the next."""
        return self._within(bisect_right(self._closes, at), at)

    def next_after(self, at: datetime) -> Session:
        """The session that opens first after `at`, even while one is running."""
        return self._within(bisect_right(self._opens, at), at)

    def last_closed(self, at: datetime) -> Session:
        """The latest session with close <= at."""
        return self._within(bisect_right(self._closes, at) - 1, at)

    def between(self, first: date, last: date) -> list[Session]:
        """Sessions with first <= day <= last."""
        return self._sessions[bisect_left(self._days, first) : bisect_right(self._days, last)]

    def _within(self, index: int, at: datetime) -> Session:
        if not 0 <= index < len(self._sessions):
            raise UsageError(f"{at:%Y-%m-%d} has no such session in the exchange's calendar")
        return self._sessions[index]


@lru_cache(maxsize=1)
def nyse() -> Sessions:
    """NYSE's sessions; about 0.8 s on the first call of a process, free after that."""
    import exchange_calendars

    with warnings.catch_warnings():
        # Its own use of pandas is deprecated there; nothing for our callers to do about.
        warnings.simplefilter("ignore")
        schedule = exchange_calendars.get_calendar("XNYS", start=FIRST_DAY, end=LAST_DAY).schedule
    opens, closes = schedule["open"].dt, schedule["close"].dt
    columns = zip(
        (stamp.date() for stamp in schedule.index), opens.to_pydatetime(), closes.to_pydatetime(), strict=True
    )
    return Sessions([Session(day, start.astimezone(UTC), end.astimezone(UTC)) for day, start, end in columns])


def new_york_day(at: datetime) -> date:
    """The New York calendar day of a moment."""
    return at.astimezone(NEW_YORK).date()
