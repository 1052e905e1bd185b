"""Market data over REST (reference section 10): only bars that are complete, except the running day's.

Hour and day bars are made of the market's own bars. A day bar covers the regular session and is stamped
with New York's midnight, as Alpaca's.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, time, timedelta
from itertools import groupby
from typing import Any

from gambler_ai.paper_exchange import wire
from gambler_ai.paper_exchange.calendar import NEW_YORK, new_york_day
from gambler_ai.paper_exchange.market import Bar
from gambler_ai.paper_exchange.queries import Query, start_of_day, words
from gambler_ai.paper_exchange.rules import Refused
from gambler_ai.paper_exchange.venue import Venue

_FRAME = re.compile(r"(\d*)(Min|T|Hour|H|Day|D)")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LARGEST_PAGE = 10_000


def _bad(message: str) -> Refused:
    return Refused(400, None, message)


def bars(venue: Venue, query: Query, args: tuple[str, ...]) -> dict[str, Any]:
    """GET /v2/stocks/bars."""
    symbols = words(query, "symbols")
    if not symbols:
        raise _bad("symbols is required")
    found, token = _page(venue, sorted(set(symbols)), query)
    return {"bars": found, "next_page_token": token}


def symbol_bars(venue: Venue, query: Query, args: tuple[str, ...]) -> dict[str, Any]:
    """GET /v2/stocks/{symbol}/bars."""
    found, token = _page(venue, [args[0]], query)
    return {"symbol": args[0], "bars": found.get(args[0], []), "next_page_token": token}


def latest(venue: Venue, query: Query, args: tuple[str, ...]) -> dict[str, Any]:
    """GET /v2/stocks/{bars|quotes|trades}/latest."""
    kind = args[0]
    found = {symbol: _latest(venue, kind, symbol) for symbol in words(query, "symbols")}
    return {kind: {symbol: item for symbol, item in found.items() if item is not None}}


def symbol_latest(venue: Venue, query: Query, args: tuple[str, ...]) -> dict[str, Any]:
    """GET /v2/stocks/{symbol}/{bars|quotes|trades}/latest."""
    symbol, kind = args
    item = _latest(venue, kind, symbol)
    if item is None:
        raise Refused(404, None, f"no {kind[:-1]} found for {symbol}")
    return {"symbol": symbol, kind[:-1]: item}


def _latest(venue: Venue, kind: str, symbol: str) -> dict[str, Any] | None:
    if symbol not in venue.market.symbols:
        return None
    if kind == "bars":
        bar = venue.market.latest(symbol, venue.now)
        return wire.bar(bar) if bar else None
    quote = venue.quote(symbol)
    if quote is None:
        return None
    return wire.quote(quote) if kind == "quotes" else wire.trade(quote)


def _page(venue: Venue, symbols: list[str], query: Query) -> tuple[dict[str, list[dict[str, Any]]], str | None]:
    """`limit` counts all symbols together; a token names the symbol and the last bar already given."""
    group = _grouping(query.get("timeframe", ""))
    start = _moment(query, "start") or start_of_day(venue.now)
    end = _moment(query, "end") or venue.now
    limit = _limit(query)
    newest_first = query.get("sort", "asc") == "desc"
    at_symbol, at_bar = _read_token(query.get("page_token"))
    found: dict[str, list[dict[str, Any]]] = {}
    room = limit
    for symbol in symbols:
        if symbol < at_symbol or symbol not in venue.market.symbols:
            continue
        every = list(group(venue, symbol, start, end))
        if newest_first:
            every.reverse()
        if symbol == at_symbol and at_bar is not None:
            given = at_bar
            every = [bar for bar in every if (bar.start < given if newest_first else bar.start > given)]
        if every and room == 0:
            return found, _token(*_last(found))
        if every:
            found[symbol] = [wire.bar(bar) for bar in every[:room]]
            if len(every) > room:
                return found, _token(symbol, found[symbol][-1]["t"])
            room -= len(every)
    return found, None


def _last(found: dict[str, list[dict[str, Any]]]) -> tuple[str, str]:
    symbol = list(found)[-1]
    return symbol, found[symbol][-1]["t"]


Grouping = Callable[[Venue, str, datetime, datetime], Iterator[Bar]]


def _grouping(timeframe: str) -> Grouping:
    match = _FRAME.fullmatch(timeframe)
    if match is None:
        raise _bad(f"invalid timeframe: {timeframe}")
    count, unit = int(match[1] or 1), match[2]
    if unit in ("Day", "D"):
        if count != 1:
            raise _bad(f"invalid timeframe: {timeframe}")
        return _days
    if not 1 <= count <= (59 if unit in ("Min", "T") else 23):
        raise _bad(f"invalid timeframe: {timeframe}")
    return _windows(timedelta(minutes=count) if unit in ("Min", "T") else timedelta(hours=count))


def _windows(width: timedelta) -> Grouping:
    """Bars of a fixed width, on multiples of it; one that is still running is not given."""

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


def _days(venue: Venue, symbol: str, start: datetime, end: datetime) -> Iterator[Bar]:
    first = start_of_day(start)
    source = venue.market.bars(symbol, first, max(first, end) + timedelta(days=1), venue.now)
    for day, parts in groupby(source, key=lambda bar: new_york_day(bar.start)):
        session = venue.sessions.on(day)
        left = datetime.combine(day, time(), NEW_YORK).astimezone(UTC)
        if session is None or not start <= left <= end:
            continue
        regular = [bar for bar in parts if bar.end > session.open and bar.start < session.close]
        if regular:
            yield _join(left, regular[-1].end, regular)


def _join(left: datetime, right: datetime, parts: list[Bar]) -> Bar:
    return parts[-1]._replace(
        start=left,
        end=right,
        open=parts[0].open,
        high=max(bar.high for bar in parts),
        low=min(bar.low for bar in parts),
        volume=sum(bar.volume for bar in parts),
    )


def _moment(query: Query, name: str) -> datetime | None:
    text = query.get(name)
    if not text:
        return None
    try:
        parsed = datetime.fromisoformat(text.replace(" ", "+"))
    except ValueError:
        raise _bad(f"invalid {name}: {text}") from None
    return parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def _limit(query: Query) -> int:
    text = query.get("limit") or "1000"
    if not text.isdecimal() or int(text) < 1:
        raise _bad(f"invalid limit: {text}")
    if int(text) > _LARGEST_PAGE:
        raise _bad("invalid limit: larger than the allowed maximum of 10000")
    return int(text)


def _token(symbol: str, left: str) -> str:
    return urlsafe_b64encode(f"{symbol}|{left}".encode()).decode()


def _read_token(token: str | None) -> tuple[str, datetime | None]:
    if not token:
        return "", None
    try:
        symbol, _, left = urlsafe_b64decode(token.encode()).decode().partition("|")
        return symbol, datetime.fromisoformat(left)
    except ValueError:
        raise _bad("invalid page_token") from None
