"""Alpaca's JSON to our values and back: pure, tolerant of what we do not need, strict with what money hangs on.

Unknown extra fields and unknown statuses pass; a missing id, a side that is not buy or sell, an amount that is not an
exact number raise ValueError, KeyError or TypeError, and the caller takes the answer for none. Shapes: OpenAPI
document of Alpaca's Trading API (2026-06) and its documentation of market data and streaming.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from gambler_ai.broker.gateway import (
    BrokerAccount,
    BrokerPosition,
    FillActivity,
    MarketClock,
    OrderEvent,
)
from gambler_ai.domain.corporate import ShareChange
from gambler_ai.domain.market import Bar, TradingDay, parse_time
from gambler_ai.domain.money import ZERO, amount, text
from gambler_ai.domain.orders import BrokerOrder, Order, Role, Side

Raw = Mapping[str, Any]

_NEW_YORK = ZoneInfo("America/New_York")
_EXECUTIONS = ("fill", "partial_fill")


def order_fields(order: Order) -> dict[str, Any]:
    """The body of POST /v2/orders, every amount a string: no float ever stands between our Decimal and the wire.

    Raises ValueError for an order without client_order_id (Alpaca would give it one of its own, and a repeat would be
    a second order), and for one without exactly one of qty and notional.

    An exit says so: where there is nothing to close any more Alpaca refuses it (422, position intent mismatch; docs:
    placing orders) instead of opening a position with it, however late it arrives.
    """
    if not order.client_order_id:
        raise ValueError(f"an order for {order.symbol} has no client_order_id; it is not sent")
    if (order.qty is None) == (order.notional is None):
        raise ValueError(f"order {order.client_order_id} needs exactly one of qty and notional; it is not sent")
    amounts = {
        "qty": order.qty,
        "notional": order.notional,
        "limit_price": order.limit_price,
        "stop_price": order.stop_price,
    }
    return {
        "client_order_id": order.client_order_id,
        "symbol": order.symbol,
        "side": order.side.value,
        "type": order.type,
        "time_in_force": order.time_in_force,
        **({} if order.role is Role.ENTRY else {"position_intent": f"{order.side.value}_to_close"}),
        **{name: text(value) for name, value in amounts.items() if value is not None},
        **(_group_fields(order) if order.order_class else {}),
    }


def _group_fields(order: Order) -> dict[str, Any]:
    """The legs of a bracket, oto or oco; an oco is itself the take-profit (reference: placing orders, orders.md)."""
    target = order.limit_price if order.order_class == "oco" else order.take_profit
    fields: dict[str, Any] = {"order_class": order.order_class}
    if target is not None:
        fields["take_profit"] = {"limit_price": text(target)}
    if order.stop_loss is not None:
        fields["stop_loss"] = {"stop_price": text(order.stop_loss)}
    return fields


def broker_order(raw: Raw) -> BrokerOrder:
    """An order of REST or of a stream frame. Alpaca documents updated_at and submitted_at as nullable.

    The parent of a multi-leg option order has neither symbol nor side (OAS-T, order_class mleg): its symbol is "" here,
    and no list of ours shows it.
    """
    several = raw.get("order_class") == "mleg"
    created = raw.get("submitted_at") or raw["created_at"]
    return BrokerOrder(
        broker_order_id=_word(raw, "id"),
        client_order_id=_word(raw, "client_order_id"),
        symbol=raw.get("symbol") or "" if several else _word(raw, "symbol"),
        side=Side(raw.get("side") or "buy") if several else Side(raw["side"]),
        type=raw.get("type") or _word(raw, "order_type"),
        time_in_force=_word(raw, "time_in_force"),
        status=_word(raw, "status"),
        filled_qty=amount(raw["filled_qty"]),
        submitted_at=parse_time(created),
        updated_at=parse_time(raw.get("updated_at") or created),
        qty=_optional(raw, "qty"),
        notional=_optional(raw, "notional"),
        limit_price=_optional(raw, "limit_price"),
        stop_price=_optional(raw, "stop_price"),
        filled_avg_price=_optional(raw, "filled_avg_price"),
        replaced_by=raw.get("replaced_by") or None,
        replaces=raw.get("replaces") or None,
        order_class=raw.get("order_class") or "",
        legs=() if several else tuple(broker_order(leg) for leg in raw.get("legs") or ()),
    )


def fill_activity(raw: Raw) -> FillActivity:
    """A FILL of the account's activities; its id is `<New York time>::<uuid>`, and the uuid is the execution's."""
    activity_id = _word(raw, "id")
    return FillActivity(
        activity_id=activity_id,
        execution_id=activity_id.rpartition("::")[2],
        broker_order_id=_word(raw, "order_id"),
        symbol=_word(raw, "symbol"),
        side=_word(raw, "side"),
        qty=amount(raw["qty"]),
        cum_qty=amount(raw["cum_qty"]),
        price=amount(raw["price"]),
        at=parse_time(raw["transaction_time"]),
    )


def share_change(raw: Raw) -> ShareChange:
    """A non-trade activity; one without a symbol moved no shares of it."""
    activity_id = _word(raw, "id")
    return ShareChange(
        activity_id=activity_id,
        kind=_word(raw, "activity_type"),
        symbol=raw.get("symbol") or "",
        qty=_optional(raw, "qty") or ZERO,
        group=raw.get("group_id") or activity_id,
        at=parse_time(raw.get("created_at") or raw["date"]),
    )


def broker_position(raw: Raw) -> BrokerPosition:
    """A position, its quantity signed by `side` as well: the sign of a short's `qty` is not documented."""
    qty = amount(raw["qty"])
    return BrokerPosition(
        symbol=_word(raw, "symbol"),
        qty=-abs(qty) if raw.get("side") == "short" else qty,
        avg_entry_price=amount(raw["avg_entry_price"]),
    )


def broker_account(raw: Raw) -> BrokerAccount:
    """The account; blocked when Alpaca or the user blocked trading in any of the three ways."""
    blocked = any(raw.get(name) for name in ("trading_blocked", "account_blocked", "trade_suspended_by_user"))
    return BrokerAccount(
        account_id=_word(raw, "id"),
        number=_word(raw, "account_number"),
        status=_word(raw, "status"),
        equity=amount(raw["equity"]),
        cash=amount(raw["cash"]),
        buying_power=amount(raw["buying_power"]),
        trading_blocked=blocked,
    )


def market_clock(raw: Raw) -> MarketClock:
    return MarketClock(
        now=parse_time(raw["timestamp"]),
        is_open=_yes_or_no(raw, "is_open"),
        next_open=parse_time(raw["next_open"]),
        next_close=parse_time(raw["next_close"]),
    )


def trading_day(raw: Raw) -> TradingDay:
    """A day of /v2/calendar, whose HH:MM are New York's."""
    day = date.fromisoformat(raw["date"])
    return TradingDay(day=day, open=_new_york(day, raw["open"]), close=_new_york(day, raw["close"]))


def tradable_asset(raw: Raw) -> bool:
    return _yes_or_no(raw, "tradable") and raw.get("status", "active") == "active"


def bar(symbol: str, raw: Raw) -> Bar:
    """A minute bar of REST (t is text) or of the msgpack socket (t is a Timestamp, prices are binary doubles)."""
    at = raw["t"]
    return Bar(
        symbol=symbol,
        start=parse_time(at) if isinstance(at, str) else at.to_datetime().astimezone(UTC),
        open=_market_number(raw["o"]),
        high=_market_number(raw["h"]),
        low=_market_number(raw["l"]),
        close=_market_number(raw["c"]),
        volume=_market_number(raw["v"]),
    )


def order_event(data: Raw) -> OrderEvent:
    """The `data` of a trade_updates frame; even on a fill some lack the execution fields (alpaca-py #210, #371)."""
    order = broker_order(data["order"])
    event = _word(data, "event")
    at = data.get("timestamp") or data.get("at")
    executed = event in _EXECUTIONS
    return OrderEvent(
        event=event,
        order=order,
        at=parse_time(at) if at else order.updated_at,
        execution_id=(data.get("execution_id") or None) if executed else None,
        qty=_optional(data, "qty") if executed else None,
        price=_optional(data, "price") if executed else None,
    )


def _word(raw: Raw, name: str) -> str:
    value = raw[name]
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name} is {value!r}, not a text")
    return value


def _yes_or_no(raw: Raw, name: str) -> bool:
    value = raw[name]
    if not isinstance(value, bool):
        raise ValueError(f"{name} is {value!r}, not true or false")
    return value


def _optional(raw: Raw, name: str) -> Decimal | None:
    value = raw.get(name)
    return None if value is None else amount(value)


def _market_number(value: object) -> Decimal:
    """The data socket speaks msgpack, where a price is a double; the shortest text naming it is what was written."""
    if isinstance(value, float):
        return amount(repr(value))
    if isinstance(value, int | str | Decimal):
        return amount(value)
    raise ValueError(f"{value!r} is not a number")


def _new_york(day: date, hours: str) -> datetime:
    hour, minute = hours[:2], hours[-2:]
    return datetime(day.year, day.month, day.day, int(hour), int(minute), tzinfo=_NEW_YORK).astimezone(UTC)
