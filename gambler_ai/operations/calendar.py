"""The trading days ahead: the broker's calendar first, kept in our tables; exchange-calendars where it does not reach.

Where the two disagree the broker is right, and the day is named.
"""

import warnings
from datetime import UTC, date, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from gambler_ai.broker.gateway import Gateway
from gambler_ai.clock import Clock
from gambler_ai.domain.market import TradingDay
from gambler_ai.errors import BrokerUnreachable, RateLimited
from gambler_ai.logs import get_logger
from gambler_ai.storage.calendar import KnownDay, StoredCalendar

log = get_logger("calendar")

AHEAD = timedelta(days=370)
BACK = timedelta(days=7)
_NEW_YORK = ZoneInfo("America/New_York")


class Calendar:
    """The calendar of one account's broker. `now` is the exchange's time, as the clock knows it."""

    def __init__(self, stored: StoredCalendar, gateway: Gateway | None, clock: Clock) -> None:
        self._stored = stored
        self._gateway = gateway
        self._clock = clock
        self._asked: date | None = None

    @property
    def today(self) -> date:
        """The exchange's day."""
        return self._clock.now().astimezone(_NEW_YORK).date()

    def refresh(self, since: date | None = None) -> None:
        """Ask the broker once a day of its own for a year ahead; without its answer what is stored stays."""
        today = self.today
        if self._asked == today:
            return
        if self.ask(min(since or today, today - BACK), today + AHEAD):
            self._asked = today

    def ask(self, first: date, last: date) -> bool:
        """Ask the broker for these days and keep its answer; False when there is none."""
        if self._gateway is None:
            return False
        try:
            answer = {day.day: day for day in self._gateway.calendar(first, last)}
        except (BrokerUnreachable, RateLimited) as error:
            log.warning("calendar.broker_silent", why=str(error), hint="going on with the calendar as it was stored")
            return False
        offline = _offline(first, last)
        dates = [first + timedelta(days=n) for n in range((last - first).days + 1)]
        told = [KnownDay(day, answer.get(day), _difference(answer.get(day), offline.get(day))) for day in dates]
        stored = set(self._stored.between(first, last))
        news = [one for one in told if one not in stored]
        for one in news:
            if one.differs:
                log.warning("calendar.disagrees", day=str(one.day), broker=_hours(one.hours), offline=one.differs)
        if news:
            self._stored.keep(news, self._clock.now())
        return True

    def days(self, first: date, last: date) -> list[TradingDay]:
        """Trading days of first <= day <= last, in order; what the broker never told is exchange-calendars' word."""
        known = {one.day: one.hours for one in self._stored.between(first, last)}
        missing = [day for n in range((last - first).days + 1) if (day := first + timedelta(days=n)) not in known]
        if missing:
            log.warning(
                "calendar.offline", first=str(missing[0]), last=str(missing[-1]), hint="not asked at the broker"
            )
            offline = _offline(missing[0], missing[-1])
            known |= {day: offline.get(day) for day in missing}
        return [hours for _, hours in sorted(known.items()) if hours is not None]

    def differences(self, first: date, last: date) -> list[str]:
        """The days on which the broker and exchange-calendars disagree, as sentences."""
        return [
            f"{one.day}: the broker's calendar says {_hours(one.hours)}, exchange-calendars {one.differs}; "
            "the broker's counts"
            for one in self._stored.between(first, last)
            if one.differs
        ]


def _difference(broker: TradingDay | None, offline: TradingDay | None) -> str | None:
    return None if broker == offline else _hours(offline)


def _hours(day: TradingDay | None) -> str:
    """Open hours in New York, for people."""
    if day is None:
        return "closed"
    return f"{day.open.astimezone(_NEW_YORK):%H:%M} to {day.close.astimezone(_NEW_YORK):%H:%M}"


def _offline(first: date, last: date) -> dict[date, TradingDay]:
    years = (_offline_year(year) for year in range(first.year, last.year + 1))
    return {day: hours for year in years for day, hours in year.items() if first <= day <= last}


@lru_cache(maxsize=8)
def _offline_year(year: int) -> dict[date, TradingDay]:
    """exchange-calendars' XNYS; with pandas behind it the first call takes half a second."""
    import exchange_calendars

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own use of pandas is deprecated there
        # said explicitly: its default begins twenty years ago
        schedule = exchange_calendars.get_calendar("XNYS", start=f"{year}-01-01", end=f"{year}-12-31").schedule
    opens, closes = schedule["open"].dt.to_pydatetime(), schedule["close"].dt.to_pydatetime()
    rows = zip((stamp.date() for stamp in schedule.index), opens, closes, strict=True)
    return {day: TradingDay(day, start.astimezone(UTC), end.astimezone(UTC)) for day, start, end in rows}
