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
    """`{"type": "split", "symbol", "ratio"}` (new shares for one old share) or `{"type": "delisting", "symbol"}`."""
    kind, symbol = fields.get("type"), str(fields["symbol"])
    if kind == "split":
        actions.split(exchange.venue, symbol, Decimal(str(fields["ratio"])))
    elif kind == "delisting":
        actions.delist(exchange.venue, symbol)
    else:
        raise Refused(422, None, f"corporate action {kind!r}: want split or delisting")
    exchange.commit()
    return {"type": kind, "symbol": symbol}
