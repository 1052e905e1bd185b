"""Trades inside a bar, derived from the bar alone: so they are as sure as the bar itself, on every market.

A bar is told as four trades - the open, the two extremes, the close - that share its volume. The close is the
bar's last moment; its quote is in force from the right edge on.
"""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from gambler_ai.paper_exchange.market import Bar

_TICK = timedelta(microseconds=1)
_EIGHTHS = (1, 3, 6, 8)


class Trade(NamedTuple):
    """One trade: USD per share, shares, aware UTC."""

    symbol: str
    at: datetime
    price: Decimal
    size: int


def way(bar: Bar) -> list[tuple[datetime, Decimal]]:
    """Where the price of a bar is when: the open, the two extremes, the close; low first when it closes no lower."""
    extremes = (bar.low, bar.high) if bar.close >= bar.open else (bar.high, bar.low)
    step = (bar.end - bar.start) / 8
    moments = [bar.start + eighth * step for eighth in _EIGHTHS]
    return list(zip(moments, (bar.open, *extremes, bar.close), strict=True))


def trades(bar: Bar) -> list[Trade]:
    """The trades of a bar, in time order; their sizes add up to its volume. A tiny bar has only its close."""
    quarter = bar.volume // 4
    sizes = (quarter, quarter, quarter, bar.volume - 3 * quarter)
    last = bar.end - _TICK
    told = [Trade(bar.symbol, min(at, last), price, size) for (at, price), size in zip(way(bar), sizes, strict=True)]
    return told if quarter else told[3:]
