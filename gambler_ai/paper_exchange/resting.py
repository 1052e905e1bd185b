"""Working orders of one symbol, found by the price that wakes them.

A quote touches only the orders it can fill or trigger, whatever number rests beyond its reach. An order
whose price moves by itself, or that has none, is looked at with every quote.
"""

from dataclasses import dataclass, field
from decimal import Decimal
from itertools import chain, islice

from sortedcontainers import SortedKeyList

from gambler_ai.paper_exchange import matching
from gambler_ai.paper_exchange.book import ZERO, Book, Order
from gambler_ai.paper_exchange.market import Quote

_UNPRICED = ("", "")


class Resting:
    """Ladders by price: limits wait for the far side of the quote, stops for the last trade."""

    def __init__(self) -> None:
        self._places: dict[str, tuple[str, str]] = {}
        self._unpriced: dict[str, Order] = {}
        self._ladders = {
            (side, kind): SortedKeyList(key=lambda rung: rung[0])
            for side in ("buy", "sell")
            for kind in ("limit", "stop")
        }
        self._rungs: dict[str, tuple[object, Order]] = {}

    def __bool__(self) -> bool:
        return bool(self._places)

    def put(self, order: Order) -> None:
        """Enter an order, or move it to where its price now belongs."""
        place, price = _place(order)
        rung = self._rungs.get(order.id)
        if self._places.get(order.id) == place and (rung is None or rung[0] == price):
            return
        self.drop(order)
        self._places[order.id] = place
        if place == _UNPRICED:
            self._unpriced[order.id] = order
        else:
            self._rungs[order.id] = (price, order)
            self._ladders[place].add((price, order))

    def drop(self, order: Order) -> None:
        """Forget an order; unknown ones too."""
        place = self._places.pop(order.id, None)
        if place == _UNPRICED:
            del self._unpriced[order.id]
        elif place is not None:
            self._ladders[place].remove(self._rungs.pop(order.id))

    def reached(self, quote: Quote) -> list[Order]:
        """The orders this quote may fill or trigger, oldest first."""
        ladders = self._ladders
        found = chain(
            ladders["buy", "limit"].irange_key(min_key=quote.ask),
            ladders["sell", "limit"].irange_key(max_key=quote.bid),
            ladders["buy", "stop"].irange_key(max_key=quote.last),
            ladders["sell", "stop"].irange_key(min_key=quote.last),
        )
        orders = [order for _, order in found]
        orders += self._unpriced.values()
        return sorted(orders, key=lambda order: order.seq)

    def touched(self, lowest: Quote, highest: Quote) -> bool:
        """Whether any order may be filled or triggered by a quote between these two."""
        buys, sells = self._ladders["buy", "limit"], self._ladders["sell", "limit"]
        rises, falls = self._ladders["buy", "stop"], self._ladders["sell", "stop"]
        return bool(
            self._unpriced
            or (buys and buys[-1][0] >= lowest.ask)
            or (sells and sells[0][0] <= highest.bid)
            or (rises and rises[0][0] <= highest.last)
            or (falls and falls[-1][0] >= lowest.last)
        )

    def next_level(self, here: Decimal, there: Decimal, below: Decimal, above: Decimal) -> Decimal | None:
        """The first price on the way, short of `there`, that wakes an order; `below` and `above` are bid's and ask's.

        A falling price meets the stops of sellers and the limits of buyers, a rising one the others.
        """
        falls = there < here
        stop, limit = ("sell", "buy") if falls else ("buy", "sell")
        shift = above if falls else -below
        low, high = min(here, there), max(here, there)
        found = [
            price - moved
            for ladder, moved in (((stop, "stop"), ZERO), ((limit, "limit"), shift))
            for price, _ in islice(
                self._ladders[ladder].irange_key(low + moved, high + moved, (False, False), reverse=falls), 1
            )
        ]
        trails = (order.stop_price for order in self._unpriced.values() if order.side == stop and not order.triggered)
        found += [price for price in trails if price is not None and low < price < high]
        return (max if falls else min)(found, default=None)


def _place(order: Order) -> tuple[tuple[str, str], object]:
    if order.time_in_force in ("ioc", "fok", "opg"):
        return _UNPRICED, None
    if order.type in ("stop", "stop_limit") and not order.triggered:
        return (order.side, "stop"), order.stop_price
    price = None if order.type == "trailing_stop" else matching.worst_price(order)
    return (_UNPRICED if price is None else (order.side, "limit")), price


@dataclass(slots=True)
class RestingBook(Book):
    """The book with its working orders also in price order."""

    resting: dict[str, Resting] = field(default_factory=dict)

    def index(self, order: Order) -> None:
        Book.index(self, order)
        if order.is_alive and order.active:
            if order.symbol not in self.resting:
                self.resting[order.symbol] = Resting()
            self.resting[order.symbol].put(order)
        elif order.symbol in self.resting:
            self.resting[order.symbol].drop(order)

    def reached(self, symbol: str, quote: Quote) -> list[Order]:
        """The working orders of a symbol that this quote may fill or trigger, oldest first."""
        resting = self.resting.get(symbol)
        return resting.reached(quote) if resting else []

    def next_level(self, symbol: str, here: Decimal, there: Decimal, below: Decimal, above: Decimal) -> Decimal | None:
        """The first price on the way that wakes a working order of a symbol (see `Resting.next_level`)."""
        resting = self.resting.get(symbol)
        return resting.next_level(here, there, below, above) if resting else None

    def touched(self, symbol: str, lowest: Quote, highest: Quote) -> bool:
        """Whether a quote between these two may fill or trigger a working order of the symbol."""
        resting = self.resting.get(symbol)
        return resting is not None and resting.touched(lowest, highest)
