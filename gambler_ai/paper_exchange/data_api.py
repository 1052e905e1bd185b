"""Market data over REST (reference section 10): bars, quotes and trades, their latest ones, and snapshots."""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from functools import partial
from itertools import dropwhile
from typing import Any, NamedTuple

from gambler_ai.paper_exchange import ticks, wire
from gambler_ai.paper_exchange.data_query import (
    LATEST_FEEDS,
    Span,
    check_feed,
    checked_symbol,
    page_token,
    symbols,
)
from gambler_ai.paper_exchange.market import Quote
from gambler_ai.paper_exchange.queries import Query
from gambler_ai.paper_exchange.refusal import Refused
from gambler_ai.paper_exchange.timeframes import Grouping, days, grouping
from gambler_ai.paper_exchange.venue import Venue

Args = tuple[str, ...]
Item = dict[str, Any]
_LOOK_BACK = timedelta(days=10)


class Entry(NamedTuple):
    """An item of a history and when it is of; `show` makes its JSON only if it is given."""

    at: datetime
    show: Callable[[], Item]


def history(venue: Venue, query: Query, args: Args) -> Item:
    """GET /v2/stocks/{bars|quotes|trades}."""
    found, token = _page(venue, args[0], symbols(query), query)
    return {args[0]: found, "next_page_token": token, **_currency(query)}


def symbol_history(venue: Venue, query: Query, args: Args) -> Item:
    """GET /v2/stocks/{symbol}/{bars|quotes|trades}; null when there is nothing."""
    symbol, kind = args
    found, token = _page(venue, kind, [checked_symbol(symbol)], query)
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
    last = ticks.trades(bar)[-1] if bar else None
    if quote is None or (last and last.at >= quote.at and last.price == quote.last):
        return wire.bar_trade(last) if last else None
    return wire.trade(quote)


def _snapshot(venue: Venue, symbol: str) -> Item:
    today = venue.now.replace(microsecond=0)
    bars = list(days(venue, symbol, today - _LOOK_BACK, today))[-2:]
    bar = venue.market.latest(symbol, venue.now)
    return {
        "latestTrade": _latest(venue, "trades", symbol),
        "latestQuote": _latest(venue, "quotes", symbol),
        "minuteBar": wire.bar(bar) if bar else None,
        "dailyBar": wire.bar(bars[-1]) if bars else None,
        "prevDailyBar": wire.bar(bars[-2]) if len(bars) > 1 else None,
    }


def _page(venue: Venue, kind: str, named: list[str], query: Query) -> tuple[dict[str, list[Item]], str | None]:
    """`limit` counts all symbols together; a token names the symbol and the last item already given."""
    frame = grouping(query.get("timeframe", "")) if kind == "bars" else None
    span = Span.read(query, venue.now)
    found: dict[str, list[Item]] = {}
    room, given = span.limit, ""
    for symbol in dropwhile(lambda one: one < span.at_symbol, named):
        if symbol not in venue.market.symbols:
            continue
        entries = sorted(_entries(venue, kind, frame, symbol, span), key=lambda one: one.at, reverse=span.newest_first)
        entries = [entry for entry in entries if span.unseen(symbol, entry.at)]
        if entries and room == 0:
            return found, given
        if entries:
            found[symbol] = [entry.show() for entry in entries[:room]]
            given = page_token(symbol, entries[:room][-1].at)
            if len(entries) > room:
                return found, given
            room -= len(entries)
    return found, None


def _entries(venue: Venue, kind: str, frame: Grouping | None, symbol: str, span: Span) -> Iterable[Entry]:
    if frame is not None:
        return [Entry(bar.start, partial(wire.bar, bar)) for bar in frame(venue, symbol, span.start, span.end)]
    bars = venue.market.bars(symbol, span.start - venue.market.width(), span.end, venue.now)
    if kind == "quotes":
        quotes = [Quote.closing(bar) for bar in bars]
        every = [Entry(quote.at, partial(wire.quote, quote)) for quote in quotes]
    else:
        every = [Entry(one.at, partial(wire.bar_trade, one)) for bar in bars for one in ticks.trades(bar)]
    return [entry for entry in every if span.start <= entry.at <= span.end]
