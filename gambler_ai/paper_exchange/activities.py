"""What changes an account without a trade: the entries its cash and positions are explained by (reference 3.5).

On every account, cash is what these entries and the fills have moved, and so is every position.
"""

from decimal import Decimal
from typing import Any

from gambler_ai.paper_exchange.account import Account, Position
from gambler_ai.paper_exchange.book import NANO, ZERO, Activity
from gambler_ai.paper_exchange.floor import Floor
from gambler_ai.paper_exchange.wire import number


def journal(venue: Floor, account: Account, amount: Decimal, description: str) -> None:
    """Money in or out; the first one of an account is what it starts with."""
    account.cash += amount
    _record(venue, account, "JNLC", None, amount, description)


def dividend(venue: Floor, account: Account, symbol: str, per_share: Decimal, amount: Decimal) -> None:
    """A cash dividend on what the account holds; who is short pays it."""
    account.cash += amount
    held, text = account.qty(symbol), f"Cash DIV @ {number(per_share)}"
    _record(venue, account, "DIV", "CDIV", amount, text, symbol=symbol, qty=held, per_share=per_share)


def exchange_shares(
    venue: Floor, account: Account, kinds: tuple[str, str], old: str, new: str, qty: Decimal, group: str
) -> None:
    """The whole position in `old` becomes `qty` shares of `new` at the same cost: one leg takes, one gives."""
    before = account.positions.pop(old)
    overnight = before.overnight * qty / before.qty
    after = account.positions[new] = Position(qty, before.cost, overnight, before.day_cost)
    told = f"From QTY:{number(-before.qty)}, To QTY:{number(qty)}, Position Value:{number(before.cost)}"
    for word, symbol, held, sign in (("REMOVE", old, before, -1), ("ADD", new, after, 1)):
        price = held.average.quantize(NANO) if held.qty else ZERO
        text, qty = f"{word}, {told}", sign * held.qty
        _record(venue, account, *kinds, ZERO, text, symbol=symbol, qty=qty, price=price, group=group)
    if not after.qty:
        del account.positions[new]


def _record(
    venue: Floor, account: Account, kind: str, sub_type: str | None, amount: Decimal, description: str, **rest: Any
) -> None:
    entry = Activity(
        id=venue.ids.uuid("activity"),
        seq=venue.ids.count("activities"),
        account=account.id,
        type=kind,
        sub_type=sub_type,
        at=venue.stamp(),
        net_amount=amount,
        description=description,
        **rest,
    )
    venue.book.record(entry)
    venue.changes.activities.append(entry)
    venue.changes.accounts[account.id] = account
