"""The lab's hand on trading: switches, halts and corporate actions."""

from decimal import Decimal
from typing import Any

from gambler_ai.paper_exchange import actions
from gambler_ai.paper_exchange.audience import Status
from gambler_ai.paper_exchange.exchange import Exchange
from gambler_ai.paper_exchange.market import CENT
from gambler_ai.paper_exchange.refusal import Refused

_PAUSE = "LUDP"
_REASONS = {
    "T1": "Halt News Pending",
    "T12": "Trading Halted; For Information Requested by Listing Market",
    _PAUSE: "Volatility Trading Pause",
}
_BAND = Decimal("0.05")


def set_switches(exchange: Exchange, wanted: dict[str, Any]) -> dict[str, Any]:
    """Set switches by name; shows all of them. UsageError for an unknown name or value."""
    exchange.venue.switches.set(wanted)
    exchange.commit()
    return exchange.venue.switches.show()


def halt(exchange: Exchange, fields: dict[str, Any]) -> dict[str, Any]:
    """Halt trading of a `symbol`, or resume it (`"halted": false`); `reason` is a code of the tape."""
    symbol, halted, reason = str(fields["symbol"]), fields.get("halted", True), str(fields.get("reason", "T12"))
    if symbol not in exchange.venue.market.symbols or not isinstance(halted, bool) or reason not in _REASONS:
        raise Refused(422, None, f"a halt wants a known symbol, halted true or false, reason {', '.join(_REASONS)}")
    switches, band = exchange.venue.switches, None
    others = {*switches.halted.split(",")} - {"", symbol}
    switches.set({"halted": ",".join(sorted({*others, symbol} if halted else others))})
    code, message = ("H", "Trading Halt") if halted else ("T", "Trading Resumption")
    if halted and reason == _PAUSE:
        last = exchange.venue.mark(symbol)
        code, message = "P", "Volatility Trading Pause"
        band = (last * (1 - _BAND)).quantize(CENT), (last * (1 + _BAND)).quantize(CENT)
    told = (reason, _REASONS[reason]) if halted else ("", "")
    exchange.show_status(Status(symbol, exchange.now, code, message, *told, band))
    return {"halted": switches.halted}


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
