"""When an order fills, at what price, and how much of it: pure rules of Alpaca's paper trading.

Fills happen at the best quote: a buy at the ask, a sell at the bid, never worse than the limit, with no
look at the quote's size; one eligible order in ten gets only a part (reference section 6).
"""

from decimal import ROUND_FLOOR, Decimal

from gambler_ai.paper_exchange.book import NANO, Order
from gambler_ai.paper_exchange.market import CENT, Quote

_ONE = Decimal(1)
_FIFTY = Decimal(50)


def is_stop(order: Order) -> bool:
    """Whether it waits for a trade before it works."""
    return order.type in ("stop", "stop_limit", "trailing_stop")


def follow(order: Order, last: Decimal) -> bool:
    """Let a trailing stop follow the market; whether it moved. Its high-water mark is a low one for a buy."""
    if order.type != "trailing_stop" or order.triggered:
        return False
    best = last if order.hwm is None else (min if order.side == "buy" else max)(order.hwm, last)
    if best == order.hwm and order.stop_price is not None:
        return False
    distance = order.trail_price if order.trail_price is not None else best * (order.trail_percent or 0) / 100
    stop = best + distance if order.side == "buy" else best - distance
    order.hwm, order.stop_price = best, stop.quantize(CENT if stop >= 1 else CENT * CENT)
    return True


def market_price(order: Order, quote: Quote) -> Decimal:
    """The far side of the quote."""
    return quote.ask if order.side == "buy" else quote.bid


def elected(order: Order, last: Decimal) -> bool:
    """Whether a stop order is triggered by this trade price."""
    if order.stop_price is None:
        return True
    return last >= order.stop_price if order.side == "buy" else last <= order.stop_price


def worst_price(order: Order) -> Decimal | None:
    """The limit of an order; a buy stop gets a collar above its stop, as Alpaca makes it a stop-limit order."""
    if order.type == "stop" and order.side == "buy" and order.stop_price is not None:
        return collar(order.stop_price)
    return order.limit_price


def collar(stop_price: Decimal) -> Decimal:
    """The limit Alpaca puts on a buy stop: 4 % above a stop below 50 USD, 2.5 % above others."""
    factor = Decimal("1.04") if stop_price < _FIFTY else Decimal("1.025")
    return (stop_price * factor).quantize(CENT if stop_price >= 1 else CENT * CENT, ROUND_FLOOR)


def fill_price(order: Order, quote: Quote) -> Decimal | None:
    """The price at which a (triggered) order trades against this quote; None when it does not."""
    price = market_price(order, quote)
    if price <= 0:
        return None
    worst = worst_price(order)
    if worst is None:
        return price
    return price if (price <= worst if order.side == "buy" else price >= worst) else None


def part(remaining: Decimal, wanted: Decimal) -> Decimal:
    """So much of what remains, in whole shares for whole quantities; all of it when it cannot be divided."""
    step = _ONE if remaining == remaining.to_integral_value() else NANO
    piece = max(step, wanted.quantize(step, ROUND_FLOOR))
    return piece if piece < remaining else remaining


def shares_for(notional: Decimal, price: Decimal) -> Decimal:
    """How many shares an amount of USD buys, down to a billionth."""
    return (notional / price).quantize(NANO, ROUND_FLOOR)
