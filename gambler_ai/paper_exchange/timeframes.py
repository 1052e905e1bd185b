"""Longer bars made of the market's own: minutes and hours on multiples of their width, days, weeks, months.

A day bar covers the regular session and is stamped with New York's midnight, as Alpaca's; the running day,
week and month are given as far as they have come. A minute or an hour that is still running is not.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import groupby

from gambler_ai.paper_exchange.calendar import Session, new_york_day
from gambler_ai.paper_exchange.data_query import Stretch, bad_data
from gambler_ai.paper_exchange.market import Bar
from gambler_ai.paper_exchange.queries import midnight, start_of_day
from gambler_ai.paper_exchange.venue import Venue

Grouping = Callable[[Venue, str, Stretch], Iterator[Bar]]

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
_DAY, _TICK = timedelta(days=1), timedelta(microseconds=1)


def grouping(timeframe: str) -> Grouping:
    """What gives the bars of a timeframe, one after the other as they are asked for. 400 for an unknown one."""
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
        return _spans(lambda day: day - timedelta(days=day.weekday()), timedelta(weeks=1))
    return _spans(lambda day: date(day.year, (day.month - 1) // count * count + 1, 1), timedelta(days=31 * count))


def minutes(venue: Venue, symbol: str, stretch: Stretch) -> Iterator[Bar]:
    """The market's own bars, a trading day at a time: days that nobody reads are never computed."""
    for session in _sessions(venue, stretch):
        left = midnight(session.day)
        right = midnight(session.day + _DAY) - _TICK
        start, end = max(stretch.start, left), min(stretch.end, right)
        found = venue.market.bars(symbol, start, end, stretch.at)
        yield from reversed(found) if stretch.newest_first else found


def _windows(width: timedelta) -> Grouping:
    def group(venue: Venue, symbol: str, stretch: Stretch) -> Iterator[Bar]:
        if width == venue.market.width():
            yield from minutes(venue, symbol, stretch)
            return

        def edge(bar: Bar) -> datetime:
            return _EPOCH + (bar.start - _EPOCH) // width * width

        wider = stretch._replace(start=_EPOCH + (stretch.start - _EPOCH) // width * width, end=stretch.end + width)
        for left, parts in groupby(minutes(venue, symbol, wider), key=edge):
            if stretch.start <= left <= stretch.end and left + width <= stretch.at:
                yield _join(left, left + width, parts, stretch.newest_first)

    return group


def days(venue: Venue, symbol: str, stretch: Stretch) -> Iterator[Bar]:
    """Day bars."""
    for session in _sessions(venue, stretch):
        left = midnight(session.day)
        bar = venue.market.day(symbol, session, stretch.at) if stretch.start <= left <= stretch.end else None
        if bar is not None:
            yield bar._replace(start=left)


def day_so_far(venue: Venue, symbol: str, at: datetime) -> Bar | None:
    """The day's bar as it stands at a moment; None outside a session's bars."""
    session = venue.sessions.on(new_york_day(at))
    bar = venue.market.day(symbol, session, at) if session else None
    return bar._replace(start=start_of_day(at), end=at) if bar else None


def _spans(first_day: Callable[[date], date], longest: timedelta) -> Grouping:
    """Day bars joined by the first day of their week or month."""

    def group(venue: Venue, symbol: str, stretch: Stretch) -> Iterator[Bar]:
        begin = midnight(first_day(new_york_day(stretch.start)))
        wider = stretch._replace(start=begin, end=stretch.end + longest)
        source = days(venue, symbol, wider)
        for first, parts in groupby(source, key=lambda bar: first_day(new_york_day(bar.start))):
            left = midnight(first)
            if stretch.start <= left <= stretch.end:
                yield _join(left, None, parts, stretch.newest_first)

    return group


def _sessions(venue: Venue, stretch: Stretch) -> Iterable[Session]:
    found = venue.sessions.between(new_york_day(stretch.start), new_york_day(min(stretch.end, stretch.at)))
    return reversed(found) if stretch.newest_first else found


def _join(left: datetime, right: datetime | None, parts: Iterable[Bar], newest_first: bool) -> Bar:
    known = list(parts)
    bar = Bar.joined(known[::-1] if newest_first else known)
    return bar._replace(start=left, end=right or bar.end)
