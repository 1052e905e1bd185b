"""Order requests: the fields of POST /v2/orders, checked as far as the request alone can tell.

Status and code are the contract, the text is not (reference sections 4.1 and 7).
"""

from decimal import Decimal
from typing import Any, NamedTuple

from gambler_ai.paper_exchange.book import NANO
from gambler_ai.paper_exchange.market import CENT
from gambler_ai.paper_exchange.refusal import malformed, read_flag, read_number, unprocessable

_INTENTS = {"buy_to_open", "buy_to_close", "sell_to_open", "sell_to_close"}
_TYPES = {"market", "limit", "stop", "stop_limit", "trailing_stop"}
_CLASSES = {"", "simple", "bracket", "oco", "oto"}
_SMALLEST_TRAIL = Decimal("0.1")
FIELDS = (
    *("symbol", "side", "type", "time_in_force", "qty", "notional", "limit_price", "stop_price", "client_order_id"),
    *("position_intent", "extended_hours", "trail_price", "trail_percent", "order_class", "take_profit", "stop_loss"),
)


class Ticket(NamedTuple):
    """A well-formed order request. Quantities in shares, amounts and prices in USD.

    `order_class` is empty for a simple order. `take_profit`, `stop_loss` and `stop_loss_limit` are the prices of
    the legs; an oco's `limit_price` is its take-profit's.
    """

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
    extended_hours: bool = False
    trail_price: Decimal | None = None
    trail_percent: Decimal | None = None
    order_class: str = ""
    take_profit: Decimal | None = None
    stop_loss: Decimal | None = None
    stop_loss_limit: Decimal | None = None

    @property
    def fractional(self) -> bool:
        """Whether it may end in a part of a share."""
        return self.qty is None or self.qty != self.qty.to_integral_value()


def read_ticket(fields: dict[str, Any]) -> Ticket:
    """The order a body asks for. Refused when it makes no sense whatever the account holds."""
    symbol = fields.get("symbol")
    if not isinstance(symbol, str) or not symbol:
        malformed("symbol is required")
    intent = fields.get("position_intent") or None
    if intent is not None and intent not in _INTENTS:
        malformed("invalid position_intent")
    take_profit, stop_loss = _leg(fields, "take_profit"), _leg(fields, "stop_loss")
    order_class = fields.get("order_class") or ""
    if order_class not in _CLASSES:
        unprocessable(f"order_class {order_class} is not available on this exchange")
    take_profit_price = read_number(take_profit, "limit_price")
    limit = read_number(fields, "limit_price")
    ticket = Ticket(
        symbol=symbol,
        side=_choice(fields, "side", {"buy", "sell"}, "invalid side"),
        type=_choice(fields, "type", _TYPES, "invalid order type"),
        time_in_force=_choice(
            fields, "time_in_force", {"day", "gtc", "ioc", "fok", "opg", "cls"}, "invalid time_in_force"
        ),
        qty=read_number(fields, "qty"),
        notional=read_number(fields, "notional"),
        limit_price=take_profit_price if order_class == "oco" and limit is None else limit,
        stop_price=read_number(fields, "stop_price"),
        client_order_id=read_client_order_id(fields),
        position_intent=intent,
        extended_hours=read_flag(fields, "extended_hours"),
        trail_price=read_number(fields, "trail_price"),
        trail_percent=read_number(fields, "trail_percent"),
        order_class="" if order_class == "simple" else order_class,
        take_profit=limit if order_class == "oco" and take_profit_price is None else take_profit_price,
        stop_loss=read_number(stop_loss, "stop_price"),
        stop_loss_limit=read_number(stop_loss, "limit_price"),
    )
    _check_size(ticket)
    _check_prices(ticket)
    _check_time_in_force(ticket)
    if ticket.order_class:
        _check_class(ticket)
    elif take_profit or stop_loss:
        unprocessable("take_profit and stop_loss require order_class bracket, oco or oto")
    return ticket


def read_client_order_id(fields: dict[str, Any]) -> str | None:
    """The client's own id, if it gave one."""
    named = fields.get("client_order_id") or None
    if named is not None and not isinstance(named, str):
        malformed("client_order_id must be a string")
    if named is not None and len(named) > 128:
        malformed("client_order_id must be no more than 128 characters")
    return named


def check_price(name: str, price: Decimal | None) -> None:
    """Above zero, and in whole cents from one USD on, hundredths of a cent below."""
    if price is None:
        return
    if price <= 0:
        malformed(f"{name} must be > 0")
    if price % (CENT if price >= 1 else CENT * CENT):
        unprocessable(f"invalid {name} {price}. sub-penny increment does not fulfill minimum pricing criteria")


def check_trail(price: Decimal | None, percent: Decimal | None) -> None:
    """Exactly one of them, and not too small."""
    if (price is None) == (percent is None):
        malformed("trailing stop orders must specify one of trail_price or trail_percent")
    if percent is not None and percent < _SMALLEST_TRAIL:
        malformed("trail_percent must be greater than or equal to 0.1")
    check_price("trail_price", price)


def check_trailing_stop(stop_price: Decimal | None) -> None:
    """The stop that a trail makes is a price."""
    if stop_price is not None and stop_price <= 0:
        unprocessable(f"the trail is wider than the price: its stop would be {stop_price}")


def _leg(fields: dict[str, Any], name: str) -> dict[str, Any]:
    leg = fields.get(name) or {}
    if not isinstance(leg, dict):
        malformed(f"invalid {name}")
    return leg


def _choice(fields: dict[str, Any], name: str, allowed: set[str], message: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or value not in allowed:
        malformed(message)
    return value


def _check_size(ticket: Ticket) -> None:
    qty, notional = ticket.qty, ticket.notional
    if qty is None and notional is None:
        malformed("qty or notional is required")
    if qty is not None and notional is not None:
        malformed("only one of qty or notional is accepted")
    if qty is not None:
        if qty <= 0:
            malformed("qty must be > 0")
        if qty % NANO:
            unprocessable("qty must be limited to 9 decimal places")
    if notional is not None:
        if notional <= 0:
            malformed("notional must be > 0")
        if notional < 1:
            unprocessable("notional must be >= 1.00")
        if notional % CENT:
            unprocessable("notional amount must be limited to 2 decimal places")
    if ticket.fractional:
        if ticket.order_class or ticket.type == "trailing_stop":
            unprocessable("fractional orders must be simple orders")
        if ticket.time_in_force != "day":
            unprocessable("fractional orders must be DAY orders")


def _check_prices(ticket: Ticket) -> None:
    kind, limit, stop = ticket.type, ticket.limit_price, ticket.stop_price
    if kind == "market" and (limit is not None or stop is not None):
        malformed("market orders require no stop or limit price")
    if kind == "limit" and limit is None and ticket.order_class != "oco":
        malformed("limit orders require a limit price")
    if kind == "limit" and stop is not None:
        malformed("limit orders require no stop price")
    if kind == "stop" and stop is None:
        malformed("stop orders require a stop price")
    if kind == "stop" and limit is not None:
        malformed("stop orders require no limit price")
    if kind == "stop_limit" and (limit is None or stop is None):
        malformed("stop limit orders require both stop and limit price")
    if kind == "trailing_stop":
        if limit is not None or stop is not None:
            malformed("trailing stop orders require no stop or limit price")
        check_trail(ticket.trail_price, ticket.trail_percent)
    elif ticket.trail_price is not None or ticket.trail_percent is not None:
        malformed(f"{kind} orders require no trail_price or trail_percent")
    check_price("limit_price", limit)
    check_price("stop_price", stop)
    check_price("take_profit.limit_price", ticket.take_profit)
    check_price("stop_loss.stop_price", ticket.stop_loss)
    check_price("stop_loss.limit_price", ticket.stop_loss_limit)


def _check_time_in_force(ticket: Ticket) -> None:
    tif = ticket.time_in_force
    if tif in ("ioc", "fok", "opg", "cls") and ticket.type not in ("market", "limit"):
        unprocessable(f"invalid time_in_force {tif} for {ticket.type} orders")
    if not ticket.extended_hours:
        return
    if ticket.order_class:
        unprocessable("extended hours orders must be simple orders")
    if ticket.type == "stop":
        unprocessable("stop orders are not eligible for extended hours trading")
    if ticket.type != "limit" or tif not in ("day", "gtc"):
        unprocessable("extended hours order must be DAY or GTC limit orders")


def _check_class(ticket: Ticket) -> None:
    name, take_profit, stop_loss = ticket.order_class, ticket.take_profit, ticket.stop_loss
    if ticket.time_in_force not in ("day", "gtc"):
        unprocessable(f"{name} orders must be DAY or GTC orders")
    if name == "oto":
        if (take_profit is None) == (stop_loss is None):
            unprocessable("oto orders require exactly one of take_profit.limit_price or stop_loss.stop_price")
    elif take_profit is None:
        unprocessable(f"{name} orders require take_profit.limit_price")
    elif stop_loss is None:
        unprocessable(f"{name} orders require stop_loss.stop_price")
    if ticket.stop_loss_limit is not None and stop_loss is None:
        unprocessable(f"{name} orders require stop_loss.stop_price")
    if name == "oco" and ticket.type != "limit":
        unprocessable("oco orders must be limit orders")
    if ticket.type == "trailing_stop":
        unprocessable(f"trailing stop orders cannot be {name} orders")
