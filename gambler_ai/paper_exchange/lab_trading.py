"""The lab's hand on trading: switches and corporate actions."""

from decimal import Decimal
from typing import Any

from gambler_ai.paper_exchange import actions
from gambler_ai.paper_exchange.exchange import Exchange
from gambler_ai.paper_exchange.refusal import Refused


def set_switches(exchange: Exchange, wanted: dict[str, Any]) -> dict[str, Any]:
    """Set switches by name; shows all of them. UsageError for an unknown name or value."""
    exchange.venue.switches.set(wanted)
    exchange.commit()
    return exchange.venue.switches.show()


def corporate_action(exchange: Exchange, fields: dict[str, Any]) -> dict[str, Any]:
    """One event of a symbol, by `type`: what it needs beside is read from `fields`.

    split `ratio` (new shares for one old), dividend `per_share` (USD), name_change `new_symbol`, delisting.
    """
    kind, symbol, venue = fields.get("type"), str(fields["symbol"]), exchange.venue
    if kind == "split":
        actions.split(venue, symbol, Decimal(str(fields["ratio"])))
    elif kind == "dividend":
        actions.pay_dividend(venue, symbol, Decimal(str(fields["per_share"])))
    elif kind == "name_change":
        actions.change_name(venue, symbol, str(fields["new_symbol"]))
    elif kind == "delisting":
        actions.delist(venue, symbol)
    else:
        raise Refused(422, None, f"corporate action {kind!r}: want split, dividend, name_change or delisting")
    exchange.commit()
    return {"type": kind, "symbol": symbol}
