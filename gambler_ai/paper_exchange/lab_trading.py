"""The lab's hand on trading: switches, halts and corporate actions."""

from decimal import Decimal
from typing import Any

from gambler_ai.paper_exchange import actions
from gambler_ai.paper_exchange.audience import Status
from gambler_ai.paper_exchange.exchange import Exchange
from gambler_ai.paper_exchange.fields import FLAG, Kind, listed, number, read_fields, word
from gambler_ai.paper_exchange.market import CENT

_PAUSE = "LUDP"
_REASONS = {
    "T1": "Halt News Pending",
    "T12": "Trading Halted; For Information Requested by Listing Market",
    _PAUSE: "Volatility Trading Pause",
}
_BAND = Decimal("0.05")
_ACTIONS: dict[str, dict[str, Kind]] = {
    "split": {"ratio": number(0, 1000, above=True).must()},
    "dividend": {"per_share": number(0, 10**6, above=True).must()},
    "name_change": {},
    "delisting": {},
}


def set_switches(exchange: Exchange, wanted: dict[str, Any]) -> dict[str, Any]:
    """Set switches by name; shows all of them. UsageError for an unknown name or value."""
    exchange.venue.switches.set(wanted)
    exchange.commit()
    return exchange.venue.switches.show()


def halt(exchange: Exchange, fields: dict[str, Any]) -> dict[str, Any]:
    """Halt trading of a `symbol`, or resume it (`"halted": false`); `reason` is a code of the tape."""
    known = {"symbol": listed(exchange.venue.market.symbols).must(), "halted": FLAG, "reason": word(*_REASONS)}
    read = read_fields("halt", fields, known)
    symbol, halted, reason = read["symbol"], read.get("halted", True), read.get("reason", "T12")
    switches, band = exchange.venue.switches, None
    others = {*switches.halted.split(",")} - {"", symbol}
    switches.set({"halted": ",".join(sorted({*others, symbol} if halted else others))})
    code, message = ("H", "Trading Halt") if halted else ("T", "Trading Resumption")
    if halted and reason == _PAUSE:
        last = exchange.venue.mark(symbol)
        code, message = "P", "Volatility Trading Pause"
        band = (last * (1 - _BAND)).quantize(CENT), (last * (1 + _BAND)).quantize(CENT)
    told: tuple[str, str] = (reason, _REASONS[reason]) if halted else ("", "")
    exchange.show_status(Status(symbol, exchange.now, code, message, *told, band))
    return {"halted": switches.halted}


def corporate_action(exchange: Exchange, fields: dict[str, Any]) -> dict[str, Any]:
    """One event of a symbol, by `type`: what it needs beside is read from `fields`.

    split `ratio` (new shares for one old), dividend `per_share` (USD), name_change `new_symbol`, delisting.
    """
    venue, named = exchange.venue, {"type": word(*_ACTIONS).must()}
    kind = read_fields("corporate action", {"type": fields.get("type")}, named)["type"]
    known = listed(venue.market.symbols).must()
    symbols = {"symbol": known, "new_symbol": known} if kind == "name_change" else {"symbol": known}
    read = read_fields(kind, fields, {**named, **symbols, **_ACTIONS[kind]})
    if kind == "split":
        actions.split(venue, read["symbol"], read["ratio"])
    elif kind == "dividend":
        actions.pay_dividend(venue, read["symbol"], read["per_share"])
    elif kind == "name_change":
        actions.change_name(venue, read["symbol"], read["new_symbol"])
    else:
        actions.delist(venue, read["symbol"])
    exchange.commit()
    return {"type": kind, "symbol": read["symbol"]}
