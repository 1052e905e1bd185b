"""Market data over REST (reference section 10): bars, quotes and trades, their latest ones, and snapshots."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from itertools import dropwhile
from typing import Any, NamedTuple

from gambler_ai.paper_exchange import ticks, wire
from gambler_ai.paper_exchange.data_query import (
    LATEST_FEEDS,
    Span,
    Stretch,
    check_feed,
    checked_symbol,
    page_token,
    symbols,
)
from gambler_ai.paper_exchange.market import Quote
from gambler_ai.paper_exchange.queries import Query
from gambler_ai.paper_exchange.refusal import Refused
from gambler_ai.paper_exchange.timeframes import Grouping, days, grouping, minutes
from gambler_ai.paper_exchange.venue import Venue
from gambler_ai.paper_exchange.work import Work

Args = tuple[str, ...]
Item = dict[str, Any]
_LOOK_BACK = timedelta(days=10)


class Entry(NamedTuple):
    """An item of a history and when it is of; `show` makes its JSON only if it is given."""

    at: datetime
    show: Callable[[], Item]


def history(venue: Venue, query: Query, args: Args) -> Work[Item]:
    """GET /v2/stocks/{bars|quotes|trades}."""
    found, token = yield from _page(venue, args[0], symbols(query), query)
    return {args[0]: found, "next_page_token": token, **_currency(query)}


def symbol_history(venue: Venue, query: Query, args: Args) -> Work[Item]:
    """GET /v2/stocks/{symbol}/{bars|quotes|trades}; null when there is nothing."""
    symbol, kind = args
    found, token = yield from _page(venue, kind, [checked_symbol(symbol)], query)
    return {"symbol": symbol, kind: found.get(symbol), "next_page_token": token, **_currency(query)}


def latest(venue: Venue, query: Query, args: Args) -> Item:
    """GET /v2/stocks/{bars|quotes|trades}/latest."""
    check_feed(query, LATEST_FEEDS)
    found = {symbol: _latest(venue, args[0], symbol) for symbol in symbols(query)}
    return {args[0]: {symbol: item for symbol, item in found.items() if item is not None}, **_currency(query)}


def symbol_latest(venue: Venue, query: Query, args: Args) -> Item:
    """GET /v2/stocks/{symbol}/{bars|quotes|trades}/latest."""
    symbol, kind = args
    check_feed(query, LATEST_FEEDS)
    item = _latest(venue, kind, checked_symbol(symbol))
    if item is None:
        raise Refused(404, None, f"no {kind[:-1]} found for {symbol}")
    return {"symbol": symbol, kind[:-1]: item, **_currency(query)}


def snapshots(venue: Venue, query: Query, args: Args) -> Item:
    """GET /v2/stocks/snapshots: the symbols at the top level."""
    check_feed(query, LATEST_FEEDS)
    return {symbol: _snapshot(venue, symbol) for symbol in symbols(query) if symbol in venue.market.symbols}


def symbol_snapshot(venue: Venue, query: Query, args: Args) -> Item:
    """GET /v2/stocks/{symbol}/snapshot."""
    check_feed(query, LATEST_FEEDS)
    symbol = checked_symbol(args[0])
    if symbol not in venue.market.symbols:
        raise Refused(404, None, f"no snapshot found for {symbol}")
    return {"symbol": symbol, **_snapshot(venue, symbol), **_currency(query)}


def _currency(query: Query) -> Item:
    return {"currency": query["currency"]} if query.get("currency") else {}


def _latest(venue: Venue, kind: str, symbol: str) -> Item | None:
    if symbol not in venue.market.symbols:
        return None
    bar, quote = venue.market.latest(symbol, venue.now), venue.quote(symbol)
    if kind == "bars":
        return wire.bar(bar) if bar else None
    if kind == "quotes":
        return wire.quote(quote) if quote else None
    if quote is None or (bar is not None and quote == Quote.closing(bar)):
        return wire.bar_trade(ticks.trades(bar)[-1]) if bar else None
    return wire.trade(quote)


def _snapshot(venue: Venue, symbol: str) -> Item:
    today = venue.now.replace(microsecond=0)
    bars = list(days(venue, symbol, Stretch(today - _LOOK_BACK, today, venue.now)))[-2:]
    bar = venue.market.latest(symbol, venue.now)
    return {
        "latestTrade": _latest(venue, "trades", symbol),
        "latestQuote": _latest(venue, "quotes", symbol),
        "minuteBar": wire.bar(bar) if bar else None,
        "dailyBar": wire.bar(bars[-1]) if bars else None,
        "prevDailyBar": wire.bar(bars[-2]) if len(bars) > 1 else None,
    }


def _page(venue: Venue, kind: str, named: list[str], query: Query) -> Work[tuple[dict[str, list[Item]], str | None]]:
    """`limit` counts all symbols together; a token names the symbol and the last item already given.

    Items are made one by one, no more than are given, with a pause after each day.
    """
    frame = grouping(query.get("timeframe", "")) if kind == "bars" else None
    span = Span.read(query, venue.now)
    found: dict[str, list[Item]] = {}
    room, given, day = span.limit, ("", span.at), 0
    for symbol in dropwhile(lambda one: one < span.at_symbol, named):
        if symbol not in venue.market.symbols:
            continue
        for entry in _entries(venue, kind, frame, symbol, span.of(symbol)):
            if room == 0:
                return found, page_token(*given)
            found.setdefault(symbol, []).append(entry.show())
            room, given = room - 1, (symbol, entry.at)
            if entry.at.toordinal() != day:
                day = entry.at.toordinal()
                yield
    return found, None


def _entries(venue: Venue, kind: str, frame: Grouping | None, symbol: str, stretch: Stretch) -> Iterator[Entry]:
    if frame is not None:
        yield from (Entry(bar.start, partial(wire.bar, bar)) for bar in frame(venue, symbol, stretch))
        return
    for bar in minutes(venue, symbol, stretch._replace(start=stretch.start - venue.market.width())):
        if kind == "quotes":
            quote = Quote.closing(bar)
            every = [Entry(quote.at, partial(wire.quote, quote))]
        else:
            every = [Entry(one.at, partial(wire.bar_trade, one)) for one in ticks.trades(bar)]
        for entry in reversed(every) if stretch.newest_first else every:
            if stretch.start <= entry.at <= stretch.end:
                yield entry
