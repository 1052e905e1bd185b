"""DELETE of positions: closing by an ordinary market order of the day (reference 5.6)."""

from decimal import ROUND_FLOOR, Decimal
from typing import Any

from gambler_ai.paper_exchange.account import Account
from gambler_ai.paper_exchange.book import NANO
from gambler_ai.paper_exchange.drift import drifted
from gambler_ai.paper_exchange.floor import Floor
from gambler_ai.paper_exchange.refusal import Refused, malformed, read_number
from gambler_ai.paper_exchange.tickets import Ticket

_ALL = Decimal(100)


def close_position(venue: Floor, account: Account, symbol: str, query: dict[str, str]) -> dict[str, Any]:
    """Close a position, or `qty` shares or `percentage` of it; returns the order. Refused when shares are held."""
    if symbol not in account.positions:
        raise Refused(404, 40410000, "position does not exist")
    position = account.qty(symbol)
    qty, percentage = read_number(dict(query), "qty"), read_number(dict(query), "percentage")
    if qty is not None and percentage is not None:
        malformed("only one of qty or percentage is accepted")
    if percentage is not None:
        if not 0 < percentage <= _ALL:
            malformed("percentage must be between 0 and 100")
        qty = (abs(position) * percentage / _ALL).quantize(NANO, ROUND_FLOOR)
    if qty is not None and (qty <= 0 or qty % NANO):
        malformed("qty must be > 0 with at most 9 decimal places")
    side = "sell" if position > 0 else "buy"
    return venue.submit(account, Ticket(symbol, side, "market", "day", abs(position) if qty is None else qty))


def close_all(venue: Floor, account: Account, cancel_orders: bool) -> list[dict[str, Any]]:
    """Close every position; one item each, with the order or the refusal. Orders are cancelled first if asked."""
    if cancel_orders:
        cancel_all(venue, account)
    items = []
    for symbol in sorted(account.positions):
        status, body = 200, {}
        try:
            body = drifted(close_position(venue, account, symbol, {}), venue.switches)
        except Refused as refusal:
            status, body = refusal.status, refusal.body
        items.append({"symbol": symbol, "status": status, "body": body})
    return items


def cancel_all(venue: Floor, account: Account) -> list[dict[str, Any]]:
    """Cancel every open order; one item each. A member that its group took along counts as cancelled."""
    items: list[dict[str, Any]] = []
    for order in list(venue.book.alive(account.id)):
        item: dict[str, Any] = {"id": order.id, "status": 200}
        if order.is_alive:
            try:
                venue.cancel(order)
            except Refused as refusal:
                item |= {"status": refusal.status, "body": refusal.body}
        items.append(item)
    return items
