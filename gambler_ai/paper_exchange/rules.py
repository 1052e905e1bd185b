"""What may be ordered: the checks of POST /v2/orders with Alpaca's statuses, codes and texts.

Status and code are the contract, the text is not (reference section 7). `read_ticket` looks at the
request alone; `admit` looks at it beside the account's position and working orders.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn

from gambler_ai.paper_exchange.book import NANO, ZERO, Order
from gambler_ai.paper_exchange.market import CENT

_LARGEST = Decimal(10) ** 12
_INTENTS = {"buy_to_open", "buy_to_close", "sell_to_open", "sell_to_close"}


class Refused(Exception):
    """A request Alpaca would refuse: HTTP status, code, text, and extra keys of the body."""

    def __init__(self, status: int, code: int | None, message: str, **extra: Any) -> None:
        super().__init__(message)
        self.status = status
        self.body: dict[str, Any] = {"message": message, **extra}
        if code is not None:
            self.body = {"code": code, **self.body}


@dataclass(frozen=True, slots=True)
class Ticket:
    """A well-formed order request. Quantities in shares, amounts and prices in USD."""

    symbol: str
    side: str
    type: str
    time_in_force: str
    qty: Decimal | None = None
    notional: Decimal | None = None
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    client_order_id: str | None = None
    position_intent: str | None = None

    @property
    def fractional(self) -> bool:
        """Whether it may end in a part of a share."""
        return self.qty is None or self.qty != self.qty.to_integral_value()


def _malformed(message: str) -> NoReturn:
    raise Refused(422, 40010001, message)


def _unprocessable(message: str) -> NoReturn:
    raise Refused(422, 42210000, message)


def forbidden(message: str, **extra: Any) -> Refused:
    """The 403 of an account that may not do this."""
    return Refused(403, 40310000, message, **extra)


def read_body(body: str | bytes | None) -> dict[str, Any]:
    """A JSON object; numbers become Decimal or int, never float."""
    try:
        parsed = json.loads(body or "", parse_float=Decimal, parse_constant=_constant)
    except ValueError as broken:
        raise Refused(400, 40010000, "request body format is invalid") from broken
    if not isinstance(parsed, dict):
        raise Refused(400, 40010000, "request body format is invalid")
    return parsed


def _constant(name: str) -> NoReturn:
    raise ValueError(name)


def read_ticket(fields: dict[str, Any]) -> Ticket:
    """The order a body asks for. Refused when it makes no sense whatever the account holds."""
    symbol = fields.get("symbol")
    if not isinstance(symbol, str) or not symbol:
        _malformed("symbol is required")
    side = _choice(fields, "side", {"buy", "sell"}, "invalid side")
    kind = _choice(fields, "type", {"market", "limit", "stop"}, "invalid order type")
    tif = _choice(fields, "time_in_force", {"day", "gtc"}, "invalid time_in_force")
    order_class = fields.get("order_class")
    if order_class not in (None, "", "simple"):
        _unprocessable(f"order_class {order_class} is not available on this exchange")
    qty, notional = _number(fields, "qty"), _number(fields, "notional")
    limit, stop = _number(fields, "limit_price"), _number(fields, "stop_price")
    _check_size(qty, notional, kind, tif)
    _check_prices(kind, limit, stop)
    if fields.get("extended_hours"):
        if kind != "limit":
            _unprocessable("extended hours order must be DAY or GTC limit orders")
        _unprocessable("extended hours orders are not available on this exchange")
    client_id = fields.get("client_order_id") or None
    if client_id is not None and (not isinstance(client_id, str) or len(client_id) > 128):
        _malformed("client_order_id must be no more than 128 characters")
    intent = fields.get("position_intent") or None
    if intent is not None and intent not in _INTENTS:
        _malformed("invalid position_intent")
    return Ticket(symbol, side, kind, tif, qty, notional, limit, stop, client_id, intent)


def _choice(fields: dict[str, Any], name: str, allowed: set[str], message: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or value not in allowed:
        _malformed(message)
    return value


def _number(fields: dict[str, Any], name: str) -> Decimal | None:
    value = fields.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        _malformed(f"invalid {name}")
    try:
        number = Decimal(value)
    except InvalidOperation:
        _malformed(f"invalid {name}")
    if not number.is_finite() or abs(number) > _LARGEST:
        _malformed(f"invalid {name}")
    return number


def _check_size(qty: Decimal | None, notional: Decimal | None, kind: str, tif: str) -> None:
    if qty is None and notional is None:
        _malformed("qty or notional is required")
    if qty is not None and notional is not None:
        _malformed("only one of qty or notional is accepted")
    if qty is not None:
        if qty <= 0:
            _malformed("qty must be > 0")
        if qty % NANO:
            _unprocessable("qty must be limited to 9 decimal places")
        if qty % 1 and tif != "day":
            _unprocessable("fractional orders must be DAY orders")
    if notional is not None:
        if notional <= 0:
            _malformed("notional must be > 0")
        if notional < 1:
            _unprocessable("notional must be >= 1.00")
        if notional % CENT:
            _unprocessable("notional amount must be limited to 2 decimal places")
        if tif != "day":
            _unprocessable("fractional orders must be DAY orders")
        if kind != "market":
            _unprocessable("notional orders must be market orders on this exchange")


def _check_prices(kind: str, limit: Decimal | None, stop: Decimal | None) -> None:
    if kind == "market" and (limit is not None or stop is not None):
        _malformed("market orders require no stop or limit price")
    if kind == "limit":
        if limit is None:
            _malformed("limit orders require a limit price")
        if stop is not None:
            _malformed("limit orders require no stop price")
    if kind == "stop":
        if stop is None:
            _malformed("stop orders require a stop price")
        if limit is not None:
            _malformed("stop orders require no limit price")
    for name, price in (("limit_price", limit), ("stop_price", stop)):
        if price is None:
            continue
        if price <= 0:
            _malformed(f"{name} must be > 0")
        if price % (CENT if price >= 1 else CENT * CENT):
            _unprocessable(f"invalid {name} {price}. sub-penny increment does not fulfill minimum pricing criteria")


@dataclass(frozen=True, slots=True)
class Admission:
    """What an admitted order is to the account: its intent, and whether it closes."""

    intent: str
    closing: bool


def admit(ticket: Ticket, position: Decimal, working: Sequence[Order], estimate: Decimal) -> Admission:
    """Check a ticket against the position (signed shares) and the working orders of the same symbol.

    `estimate` is its size in shares. Refused for wash trades, reserved shares, opposite opening orders, and
    fractional shorts; buying power is the caller's question.
    """
    sign = 1 if ticket.side == "buy" else -1
    closing = position * sign < 0
    intent = f"{ticket.side}_to_{'close' if closing else 'open'}"
    if ticket.position_intent not in (None, intent):
        _unprocessable(f"position intent mismatch, inferred: {intent}, specified: {ticket.position_intent}")
    for other in working:
        if other.side != ticket.side:
            _refuse_wash_trade(ticket, other)
    if closing:
        _refuse_reserved(ticket, abs(position), [o for o in working if o.side == ticket.side], estimate)
        return Admission(intent, closing)
    opposite_opening = any(o.side != ticket.side and o.position_intent.endswith("open") for o in working)
    if ticket.side == "sell":
        if opposite_opening:
            raise forbidden("cannot open a short sell while a long buy order is open")
        if ticket.fractional:
            _unprocessable("fractional orders cannot be sold short")
    elif opposite_opening:
        raise forbidden("cannot open a long buy while a short sell order is open")
    return Admission(intent, closing)


def _refuse_wash_trade(ticket: Ticket, other: Order) -> None:
    """Reference table 4.3: two limits may stand against each other when they do not cross, nothing else may."""
    if ticket.type == "limit" and other.type == "limit" and ticket.limit_price and other.limit_price:
        buy, sell = (
            (ticket.limit_price, other.limit_price) if ticket.side == "buy" else (other.limit_price, ticket.limit_price)
        )
        if buy < sell:
            return
    kind = "limit" if other.type == "limit" else "market/stop"
    raise forbidden(
        "potential wash trade detected. use complex orders",
        reject_reason=f"opposite side {kind} order exists",
        existing_order_id=other.id,
    )


def _refuse_reserved(ticket: Ticket, existing: Decimal, same_side: list[Order], estimate: Decimal) -> None:
    held = sum((order.held for order in same_side), ZERO)
    available = max(ZERO, existing - held)
    if estimate > available:
        free = f"{available.normalize():f}"
        raise forbidden(
            f"insufficient qty available for order (requested: {estimate.normalize():f}, available: {free})",
            available=free,
            existing_qty=f"{existing.normalize():f}",
            held_for_orders=f"{held.normalize():f}",
            symbol=ticket.symbol,
            related_orders=[order.id for order in same_side if order.held],
        )
