"""Shares that closing orders hold: together never more than the position has (reference 4.2 and 16).

What other orders hold is not there for a leg that wakes: it takes what is left, and with nothing left it is
rejected. When a position shrinks under its orders, the youngest give way.
"""

from decimal import Decimal

from gambler_ai.paper_exchange.account import Account
from gambler_ai.paper_exchange.book import ZERO, Order
from gambler_ai.paper_exchange.floor import Floor


def free(venue: Floor, order: Order) -> Decimal:
    """Shares of the position that this order may take: those that no other order holds."""
    account = venue.accounts[order.account]
    return _closable(account, order.symbol, order.side) - venue.book.held_by_others(order)


def take(venue: Floor, order: Order) -> None:
    """Let a closing order hold what it asks for, or as much as is free, and ask for no more than that.

    A replacement that asks for what was filled already, as the switch has it, goes on asking and may oversell.
    """
    held = min(order.remaining or ZERO, free(venue, order))
    order.held_qty = order.filled_qty + held
    if not (order.replaces and venue.switches.replace_original_qty):
        _shrink(venue, order, held)


def fit(venue: Floor, account: Account, symbol: str) -> None:
    """After a position has changed: its orders hold no more than it has."""
    for side in ("buy", "sell"):
        held = venue.book.held(account.id, symbol, side)
        excess = held - _closable(account, symbol, side) if held else ZERO
        if excess > 0:
            _give_way(venue, [o for o in venue.book.alive(account.id, symbol) if o.side == side], excess)


def _give_way(venue: Floor, orders: list[Order], excess: Decimal) -> None:
    for order in reversed(orders):
        cut = min(order.held, excess)
        if cut > 0:
            excess -= cut
            order.held_qty -= cut
            if order.target is not None:
                _shrink(venue, order, order.held)
            if order.is_alive:
                venue.changed(order)


def _shrink(venue: Floor, order: Order, left: Decimal) -> None:
    """Ask for no more than `left`; the stop that watches beside it follows. With nothing left it ends."""
    if left <= 0:
        venue.end(order, "canceled" if order.filled_qty else "rejected")
    elif left != order.remaining:
        for one in (order, *(member for member in venue.book.members(order) if not member.held_qty)):
            one.qty = one.target = one.filled_qty + left
            venue.changed(one)


def _closable(account: Account, symbol: str, side: str) -> Decimal:
    """Shares that orders of this side can close."""
    qty = account.qty(symbol)
    return abs(qty) if (qty > 0) == (side == "sell") else ZERO
