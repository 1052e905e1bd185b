"""Brackets, one-cancels-other and one-triggers-other: how the orders of a group act on each other (reference 5.3)."""

from gambler_ai.paper_exchange import holding, matching, replacing
from gambler_ai.paper_exchange.book import ZERO, Order
from gambler_ai.paper_exchange.floor import Floor


def filled(venue: Floor, order: Order) -> None:
    """After an execution: a filled entry wakes its exits, a filled exit ends its sibling, a part shrinks it."""
    if not order.group:
        return
    done = order.status == "filled"
    if order.role == "entry":
        if done:
            _wake(venue, order)
        return
    for sibling in venue.book.members(order):
        if not done:
            sibling.qty = sibling.target = order.remaining
            venue.changed(sibling)
        elif venue.switches.both_exits_fill and sibling.active and not sibling.triggered:
            sibling.held_qty, sibling.triggered = sibling.qty or ZERO, True
            quote = venue.quote(sibling.symbol)
            price = matching.market_price(sibling, quote) if quote else order.filled_cost / order.filled_qty
            venue.fill(sibling, sibling.remaining or ZERO, price)
        else:
            venue.end(sibling, "canceled", alone=True)


def _wake(venue: Floor, entry: Order) -> None:
    """The stop of a bracket stays held and is watched; the other leg works, on shares that nobody else holds."""
    legs = venue.book.members(entry)
    for leg in legs:
        leg.active = True
        venue.changed(leg)
    for leg in legs:
        if leg.is_alive and (leg.role == "take_profit" or leg.order_class == "oto"):
            _work(venue, leg)
            if leg.is_alive:
                venue.tell_order(leg, "new")
                venue.attempt(leg)


def stop_fires(venue: Floor, order: Order) -> Order:
    """A stop is elected: its sibling is taken off and its shares are now held for the stop. Returns what fills."""
    order.triggered = True
    venue.changed(order)
    for sibling in [one for one in venue.book.members(order) if one.active]:
        if venue.switches.both_exits_fill and sibling.limit_price is not None:
            order.triggered = False
            venue.fill(sibling, sibling.remaining or ZERO, sibling.limit_price)
        else:
            _take_off(venue, sibling, order)
    if order.role != "stop_loss" or order.held_qty or not order.is_alive:
        return order
    if venue.switches.stop_fires_as_new_order and not order.is_pending:
        return replacing.fired(venue, order)
    _work(venue, order)
    return order


def _work(venue: Floor, leg: Order) -> None:
    """A leg becomes a working order, on shares that nobody else holds; a cancel of it may still be undecided."""
    if leg.is_pending:
        leg.resume = "new"
    else:
        leg.status = "new"
    holding.take(venue, leg)
    if leg.is_alive:
        venue.changed(leg)


def _take_off(venue: Floor, profit: Order, stop: Order) -> None:
    """The profit leg gives way; called replaced, it names the stop that took its place, and is named by it."""
    status = venue.switches.oco_loser_status
    if status == "replaced":
        profit.replaced_by = stop.id
        stop.replaces = stop.replaces or profit.id
    venue.end(profit, status, alone=True)


def ended(venue: Floor, order: Order) -> None:
    """A member was cancelled, expired or rejected: the others end with it."""
    for sibling in venue.book.members(order):
        venue.end(sibling, "expired" if order.status == "expired" else "canceled", alone=True)
