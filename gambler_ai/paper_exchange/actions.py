"""Corporate actions, made by the lab: splits and delistings (reference 5.2 row 21 and section 6)."""

from decimal import ROUND_FLOOR, Decimal

from gambler_ai.paper_exchange.book import NANO
from gambler_ai.paper_exchange.floor import Floor
from gambler_ai.paper_exchange.refusal import Refused


def split(venue: Floor, symbol: str, ratio: Decimal) -> None:
    """Every share becomes `ratio` shares: positions as the switch says; simple orders end, legs stay as they are."""
    if symbol not in venue.market.symbols or ratio <= 0:
        raise Refused(422, None, "a split wants a known symbol and a ratio above zero")
    for account in venue.accounts.values():
        _end_orders(venue, account.id, symbol, everything=False)
        position = account.positions.get(symbol)
        if position is not None and venue.switches.split_positions:
            position.qty = (position.qty * ratio).quantize(NANO, ROUND_FLOOR)
            venue.changes.accounts[account.id] = account


def delist(venue: Floor, symbol: str) -> None:
    """The symbol can no longer be traded; its orders end, positions stay."""
    if symbol not in venue.market.symbols:
        raise Refused(422, None, "a delisting wants a known symbol")
    listed = {*venue.switches.inactive.split(","), symbol} - {""}
    venue.switches.set({"inactive": ",".join(sorted(listed))})
    for account in venue.accounts.values():
        _end_orders(venue, account.id, symbol, everything=True)


def _end_orders(venue: Floor, account: str, symbol: str, everything: bool) -> None:
    for order in list(venue.book.alive(account, symbol)):
        if everything or (not order.group and venue.switches.split_orders == "cancel"):
            venue.end(order, "canceled", alone=True)
