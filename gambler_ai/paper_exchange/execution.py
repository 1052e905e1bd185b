"""One order against one quote: whether it is elected, whether it fills, and what that fill is booked as."""

from decimal import Decimal

from gambler_ai.paper_exchange import groups, holding, matching, replacing
from gambler_ai.paper_exchange.book import ZERO, Execution, Order
from gambler_ai.paper_exchange.floor import Floor
from gambler_ai.paper_exchange.market import Quote

AT_ONCE = ("ioc", "fok", "opg")
_SMALLEST_PART, _PART_RANGE = Decimal("0.1"), Decimal("0.8")
_HALF = Decimal("0.5")


def attempt(venue: Floor, order: Order, quote: Quote | None, closing: bool = False) -> None:
    """Evaluate a working order once; what cannot wait ends here. `closing` is the auction of the close."""
    if not order.is_alive or not order.active or order.status == "accepted":
        return
    if quote is None or venue.day_of(order) is None or (order.time_in_force == "cls") != closing:
        return
    if matching.follow(order, quote.last):
        venue.changed(order)
    if matching.is_stop(order) and not order.triggered:
        if not matching.elected(order, quote.last):
            return
        order = groups.stop_fires(venue, order)
    price = matching.fill_price(order, quote) if order.is_alive else None
    if price is not None:
        _trade(venue, order, price)
    if order.is_alive and (closing or order.time_in_force in AT_ONCE):
        auction = order.time_in_force in ("opg", "cls")
        venue.end(order, venue.switches.auction_unfilled if auction else "canceled")


def _trade(venue: Floor, order: Order, price: Decimal) -> None:
    if order.target is None:
        order.target = matching.shares_for(order.notional or ZERO, price)
        if order.reserve_price is None:
            order.target = order.held_qty = min(order.target, holding.free(venue, order))
        if order.target <= 0:
            venue.end(order, "canceled")
            return
    remaining = order.target - order.filled_qty
    fill(venue, order, remaining if order.time_in_force in ("fok", "cls") else _part(venue, order, remaining), price)


def _part(venue: Floor, order: Order, remaining: Decimal) -> Decimal:
    forced = venue.fault("partial_fill", order)
    if forced is not None:
        return matching.part(remaining, forced.qty or remaining * _HALF)
    if venue.partial_fill_rate and venue.ids.chance("partial") < venue.partial_fill_rate:
        return matching.part(remaining, remaining * (_SMALLEST_PART + _PART_RANGE * venue.ids.chance("part")))
    return remaining


def fill(venue: Floor, order: Order, qty: Decimal, price: Decimal) -> None:
    """Book one execution and tell it; then what hangs on it happens: legs, siblings, a replacement that came late."""
    account = venue.accounts[order.account]
    before = account.qty(order.symbol)
    sign = 1 if order.side == "buy" else -1
    after = account.book_fill(order.symbol, sign * qty, price)
    order.filled_qty += qty
    order.filled_cost += qty * price
    done = order.filled_qty == order.target
    reported = "filled" if done else "partially_filled"
    if done or not order.is_pending:
        order.status, order.due, order.due_wall = reported, None, None
    at = venue.changed(order)
    if done:
        order.filled_at = at
    execution = Execution(
        id=venue.ids.uuid("execution"),
        seq=venue.ids.count("executions"),
        account=account.id,
        order_id=order.id,
        client_order_id=order.client_order_id,
        symbol=order.symbol,
        side=order.side,
        activity_side="sell_short" if order.side == "sell" and before <= 0 else order.side,
        qty=qty,
        price=price,
        cum_qty=order.filled_qty,
        leaves_qty=(order.target or ZERO) - order.filled_qty,
        position_qty=after,
        order_status=reported,
        at=at,
        wall_at=venue.wall(),
    )
    venue.book.record(execution)
    venue.changes.executions.append(execution)
    venue.changes.accounts[account.id] = account
    venue.tell_order(order, "fill" if done else "partial_fill", execution)
    replacing.ended(venue, order, qty)
    groups.filled(venue, order)
    holding.fit(venue, account, order.symbol)
