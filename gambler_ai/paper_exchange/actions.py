"""Corporate actions, made by the lab: splits, cash dividends, name changes, delistings (reference 3.5, 5.2 and 6)."""

from decimal import ROUND_FLOOR, ROUND_HALF_UP, Decimal

from gambler_ai.errors import UsageError
from gambler_ai.paper_exchange import activities, holding
from gambler_ai.paper_exchange.account import Account
from gambler_ai.paper_exchange.book import NANO
from gambler_ai.paper_exchange.floor import Floor
from gambler_ai.paper_exchange.market import CENT


def split(venue: Floor, symbol: str, ratio: Decimal) -> None:
    """Every share becomes `ratio` shares, and prices are of those from now on.

    Positions as the switch says; simple orders end, legs stay as they are.
    """
    group = venue.ids.uuid("event")
    venue.split_prices(symbol, ratio)
    kinds = ("SPLIT", "FSPLIT" if ratio >= 1 else "RSPLIT")
    for account in _open(venue):
        _end_orders(venue, account.id, symbol, everything=False)
        if symbol in account.positions and venue.switches.split_positions:
            qty = (account.qty(symbol) * ratio).quantize(NANO, ROUND_FLOOR)
            activities.exchange_shares(venue, account, kinds, symbol, symbol, qty, group)
            holding.fit(venue, account, symbol)


def pay_dividend(venue: Floor, symbol: str, per_share: Decimal) -> None:
    """Every holder gets `per_share` USD for each share, rounded to a cent; who is short pays."""
    for account in _open(venue):
        amount = (account.qty(symbol) * per_share).quantize(CENT, ROUND_HALF_UP)
        if symbol in account.positions:
            activities.dividend(venue, account, symbol, per_share, amount)


def change_name(venue: Floor, old: str, new: str) -> None:
    """The shares of `old` are now called `new`, a symbol of this market that nobody holds; orders of `old` end."""
    if old == new or any(new in account.positions for account in _open(venue)):
        raise UsageError(f"a name change wants another symbol that nobody holds, and {new} is not")
    group = venue.ids.uuid("event")
    delist(venue, old)
    for account in _open(venue):
        if old in account.positions:
            activities.exchange_shares(venue, account, ("NC", "SNC"), old, new, account.qty(old), group)


def delist(venue: Floor, symbol: str) -> None:
    """The symbol can no longer be traded; its orders end, positions stay."""
    if venue.switches.names("inactive", symbol):
        raise UsageError(f"{symbol} is delisted already: it is in the switch inactive")
    inactive = {*venue.switches.inactive.split(","), symbol} - {""}
    venue.switches.set({"inactive": ",".join(sorted(inactive))})
    for account in venue.accounts.values():
        _end_orders(venue, account.id, symbol, everything=True)


def _open(venue: Floor) -> list[Account]:
    return [account for account in venue.accounts.values() if not account.closed]


def _end_orders(venue: Floor, account: str, symbol: str, everything: bool) -> None:
    for order in list(venue.book.alive(account, symbol)):
        if everything or (not order.group and venue.switches.split_orders == "cancel"):
            venue.end(order, "canceled", alone=True)
