"""Longer bars made of the market's own: minutes and hours on multiples of their width, days, weeks, months.

A day bar covers the regular session and is stamped with New York's midnight, as Alpaca's; the running day,
week and month are given as far as they have come. A minute or an hour that is still running is not.
"""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby

from gambler_ai.paper_exchange.calendar import NEW_YORK, new_york_day
from gambler_ai.paper_exchange.data_query import bad_data
from gambler_ai.paper_exchange.market import Bar
from gambler_ai.paper_exchange.queries import start_of_day
from gambler_ai.paper_exchange.venue import Venue

Grouping = Callable[[Venue, str, datetime, datetime], Iterator[Bar]]

_FRAME = re.compile(r"(\d*)(Min|T|Hour|H|Day|D|Week|W|Month|M)")
_COUNTS = {
    "Min": range(1, 60),
    "T": range(1, 60),
    "Hour": range(1, 24),
    "H": range(1, 24),
    "Day": (1,),
    "D": (1,),
    "Week": (1,),
    "W": (1,),
    "Month": (1, 2, 3, 4, 6, 12),
    "M": (1, 2, 3, 4, 6, 12),
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def grouping(timeframe: str) -> Grouping:
    """What gives the bars of a timeframe between two moments, both inclusive. 400 for an unknown one."""
    match = _FRAME.fullmatch(timeframe)
    if match is None or int(match[1] or 1) not in _COUNTS[match[2]]:
        raise bad_data(f"invalid timeframe: {timeframe}")
    count, unit = int(match[1] or 1), match[2][0] if match[2] != "Min" else "T"
    if unit == "T":
        return _windows(timedelta(minutes=count))
    if unit == "H":
        return _windows(timedelta(hours=count))
    if unit == "D":
        return days
    if unit == "W":
        return _spans(lambda day: day - timedelta(days=day.weekday()))
    return _spans(lambda day: date(day.year, (day.month - 1) // count * count + 1, 1))


def _windows(width: timedelta) -> Grouping:
    def group(venue: Venue, symbol: str, start: datetime, end: datetime) -> Iterator[Bar]:
        if width == venue.market.width():
            yield from venue.market.bars(symbol, start, end, venue.now)
            return

        def edge(bar: Bar) -> datetime:
            return _EPOCH + (bar.start - _EPOCH) // width * width

        first = _EPOCH - (_EPOCH - start) // width * width
        for left, parts in groupby(venue.market.bars(symbol, first, end + width, venue.now), key=edge):
            if start <= left <= end and left + width <= venue.now:
                yield _join(left, left + width, list(parts))

    return group


def days(venue: Venue, symbol: str, start: datetime, end: datetime) -> Iterator[Bar]:
    """Day bars."""
    first = start_of_day(start)
    source = venue.market.bars(symbol, first, max(first, end) + timedelta(days=1), venue.now)
    for day, parts in groupby(source, key=lambda bar: new_york_day(bar.start)):
        session = venue.sessions.on(day)
        left = _midnight(day)
        if session is None or not start <= left <= end:
            continue
        regular = [bar for bar in parts if bar.end > session.open and bar.start < session.close]
        if regular:
            yield _join(left, regular[-1].end, regular)


def day_so_far(venue: Venue, symbol: str, at: datetime) -> Bar | None:
    """The day's bar as it stands at a moment; None outside a session's bars."""
    session = venue.sessions.on(new_york_day(at))
    bars = venue.market.bars(symbol, session.open, at, at) if session else []
    regular = [bar for bar in bars if session and bar.start < session.close]
    return _join(start_of_day(at), at, regular) if regular else None


def _spans(first_day: Callable[[date], date]) -> Grouping:
    """Day bars joined by the first day of their week or month."""

    def group(venue: Venue, symbol: str, start: datetime, end: datetime) -> Iterator[Bar]:
        begin = _midnight(first_day(new_york_day(start)))
        reach = min(end + timedelta(days=366), venue.now)
        source = days(venue, symbol, begin, reach)
        for first, parts in groupby(source, key=lambda bar: first_day(new_york_day(bar.start))):
            left = _midnight(first)
            if start <= left <= end:
                joined = list(parts)
                yield _join(left, joined[-1].end, joined)

    return group


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), NEW_YORK).astimezone(UTC)


def _join(left: datetime, right: datetime, parts: list[Bar]) -> Bar:
    return parts[-1]._replace(
        start=left,
        end=right,
        open=parts[0].open,
        high=max(bar.high for bar in parts),
        low=min(bar.low for bar in parts),
        volume=sum(bar.volume for bar in parts),
    )
