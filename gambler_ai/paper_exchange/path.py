"""The way of the price through a bar: its four trades, and straight on from one to the next.

Bars are all a tape has, but orders meet every price on the way: a stop inside a bar's range fires in that bar, at
its own level, and a limit fills at its price (reference section 6). The spread on the way is the one the bar closes
with; the last point is the closing quote itself.
"""

from datetime import datetime, timedelta
from decimal import Decimal

from gambler_ai.paper_exchange import execution, ticks
from gambler_ai.paper_exchange.book import ZERO
from gambler_ai.paper_exchange.floor import Floor
from gambler_ai.paper_exchange.market import Bar, Quote

_MICRO = timedelta(microseconds=1)


def walk(venue: Floor, bar: Bar) -> None:
    """Evaluate the orders of the bar's symbol at every price that wakes one, in the order the price comes by.

    Between two trades the price moves evenly. An order meets only what comes after its submission.
    """
    closing = Quote.closing(bar)
    below, above = max(ZERO, bar.close - bar.bid), max(ZERO, bar.ask - bar.close)

    def quote_at(price: Decimal) -> Quote:
        bid, ask = price - below if bar.bid else ZERO, price + above if bar.ask else ZERO
        return Quote(bar.symbol, bar.end, bid, ask, price, bar.bid_size, bar.ask_size)

    here, since = None, bar.start
    moves = bar.low < bar.high and venue.book.touched(bar.symbol, quote_at(bar.low), quote_at(bar.high))
    for at, price in ticks.way(bar) if moves else ():
        while here is not None and (level := venue.book.next_level(bar.symbol, here, price, below, above)):
            since += timedelta(microseconds=int((at - since) // _MICRO * abs((level - here) / (price - here))))
            _evaluate(venue, quote_at(level), since)
            here = level
        if at < bar.end:
            _evaluate(venue, quote_at(price), at)
        here, since = price, at
    _evaluate(venue, closing, None)
    venue.point = None


def _evaluate(venue: Floor, quote: Quote, since: datetime | None) -> None:
    """`since` is when the price is there; None lets every order meet it."""
    venue.point = quote
    for order in venue.book.reached(quote.symbol, quote):
        if since is None or order.submitted_at <= since:
            execution.attempt(venue, order, quote)
