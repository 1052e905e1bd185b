"""The JSON shapes of Alpaca (reference sections 3, 10 and 11), built from the exchange's own objects.

Trading amounts are decimal strings without padding, market data are JSON numbers, times RFC 3339.
"""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any

from pydantic_core import to_json

from gambler_ai.paper_exchange.account import Account, Balances, Position
from gambler_ai.paper_exchange.assets import Asset, asset
from gambler_ai.paper_exchange.audience import Status
from gambler_ai.paper_exchange.book import Activity, Execution, Order
from gambler_ai.paper_exchange.calendar import NEW_YORK, Session, Sessions, new_york_day
from gambler_ai.paper_exchange.market import Bar, Quote
from gambler_ai.paper_exchange.switches import Switches
from gambler_ai.paper_exchange.ticks import Trade

_CENT = Decimal("0.01")
_NINE = Decimal("0.000000001")
_TEN = Decimal("0.0000000001")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@lru_cache(4096)
def number(value: Decimal) -> str:
    """A Decimal as Alpaca prints it: no exponent, no padding."""
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def money(value: Decimal) -> str:
    """An amount that was calculated: whole cents."""
    return number(value.quantize(_CENT))


def maybe(value: Decimal | None) -> str | None:
    """`number`, or null."""
    return None if value is None else number(value)


@lru_cache(4096)
def stamp(at: datetime) -> str:
    """A UTC time with microseconds and `Z`."""
    return at.isoformat(timespec="microseconds")[:26] + "Z"


def edge(at: datetime) -> str:
    """A UTC time of a bar: whole seconds and `Z`."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def maybe_stamp(at: datetime | None) -> str | None:
    """`stamp`, or null."""
    return None if at is None else stamp(at)


def dump(body: Any) -> str:
    """Compact JSON."""
    return to_json(body).decode()


def order(shown: Order, legs: list[Order] | None = None) -> dict[str, Any]:
    """Section 3.1. `filled_avg_price` is rounded to nine decimals."""
    average = None if not shown.filled_qty else (shown.filled_cost / shown.filled_qty).quantize(_NINE)
    return {
        "id": shown.id,
        "client_order_id": shown.client_order_id,
        "created_at": stamp(shown.created_at),
        "updated_at": stamp(shown.updated_at),
        "submitted_at": stamp(shown.submitted_at),
        "filled_at": maybe_stamp(shown.filled_at),
        "expired_at": maybe_stamp(shown.expired_at),
        "expires_at": stamp(shown.expires_at),
        "canceled_at": maybe_stamp(shown.canceled_at),
        "failed_at": maybe_stamp(shown.failed_at),
        "replaced_at": maybe_stamp(shown.replaced_at),
        "replaced_by": shown.replaced_by if shown.status == "replaced" else None,
        "replaces": shown.replaces,
        "asset_id": asset(shown.symbol).id,
        "symbol": shown.symbol,
        "asset_class": "us_equity",
        "notional": maybe(shown.notional),
        "qty": maybe(shown.qty),
        "filled_qty": number(shown.filled_qty),
        "filled_avg_price": maybe(average),
        "order_class": shown.order_class,
        "order_type": shown.type,
        "type": shown.type,
        "side": shown.side,
        "position_intent": shown.position_intent,
        "time_in_force": shown.time_in_force,
        "limit_price": maybe(shown.limit_price),
        "stop_price": maybe(shown.stop_price),
        "status": shown.status,
        "extended_hours": shown.extended_hours,
        "legs": None if legs is None else [order(leg) for leg in legs],
        "trail_percent": maybe(shown.trail_percent),
        "trail_price": maybe(shown.trail_price),
        "hwm": maybe(shown.hwm),
        "subtag": None,
        "source": shown.source,
    }


def trade_update(
    shown: Order, event: str, event_id: str, execution_id: str, execution: Execution | None
) -> dict[str, Any]:
    """Section 3.9: what the stream says of an order. Without an execution, no price and no quantity."""
    at = stamp(shown.updated_at)
    data: dict[str, Any] = {"event": event, "event_id": event_id, "at": at, "timestamp": at}
    if event != "accepted":
        data["execution_id"] = execution_id
    if execution:
        data |= {
            "price": number(execution.price),
            "qty": number(execution.qty),
            "position_qty": number(execution.position_qty),
        }
    return {"stream": "trade_updates", "data": {**data, "order": order(shown)}}


def position(symbol: str, held: Position, price: Decimal, before: Decimal, held_for_orders: Decimal) -> dict[str, Any]:
    """Section 3.2. `price` is the last trade, `before` the last trade at the previous close; USD."""
    known = asset(symbol)
    value = held.qty * price
    profit = value - held.cost
    today = value - held.day_cost
    return {
        "asset_id": known.id,
        "symbol": symbol,
        "exchange": known.exchange,
        "asset_class": "us_equity",
        "asset_marginable": True,
        "qty": number(held.qty),
        "qty_available": number(abs(held.qty) - held_for_orders),
        "side": "long" if held.qty > 0 else "short",
        "avg_entry_price": number(held.average.quantize(_NINE)),
        "cost_basis": number(held.cost),
        "market_value": number(value),
        "unrealized_pl": number(profit),
        "unrealized_plpc": _ratio(profit, held.cost),
        "unrealized_intraday_pl": number(today),
        "unrealized_intraday_plpc": _ratio(today, held.day_cost),
        "current_price": number(price),
        "lastday_price": number(before),
        "change_today": _ratio(price - before, before),
    }


def _ratio(part: Decimal, whole: Decimal) -> str:
    return number((part / abs(whole)).quantize(_TEN)) if whole else "0"


def account(account: Account, sums: Balances, balance_day: str, legacy: bool = False) -> dict[str, Any]:
    """Section 3.3; with `legacy` the pattern-day-trader fields that left the API on 2026-07-06."""
    retired = {"pattern_day_trader": False, "daytrade_count": 0, "daytrading_buying_power": money(sums.buying_power)}
    return (retired if legacy else {}) | {
        "id": account.id,
        "account_number": account.number,
        "status": "ACTIVE",
        "crypto_status": "ACTIVE",
        "currency": "USD",
        "cash": number(sums.cash),
        "portfolio_value": number(sums.equity),
        "equity": number(sums.equity),
        "last_equity": number(account.last_equity),
        "buying_power": money(sums.buying_power),
        "regt_buying_power": money(sums.regt_buying_power),
        "non_marginable_buying_power": money(sums.non_marginable),
        "options_buying_power": money(sums.non_marginable),
        "options_approved_level": 3,
        "options_trading_level": 3,
        "long_market_value": number(sums.long_value),
        "short_market_value": number(sums.short_value),
        "initial_margin": money(sums.initial_margin),
        "maintenance_margin": money(sums.maintenance_margin),
        "last_maintenance_margin": money(account.last_maintenance),
        "sma": "0",
        "multiplier": str(account.margin),
        "shorting_enabled": account.margin > 1 and not account.configurations["no_shorting"],
        "accrued_fees": "0",
        "pending_reg_taf_fees": "0",
        "intraday_adjustments": "0",
        "trading_blocked": account.trading_blocked,
        "transfers_blocked": False,
        "account_blocked": False,
        "trade_suspended_by_user": account.configurations["suspend_trade"],
        "balance_asof": balance_day,
        "created_at": stamp(account.created_at),
    }


def activity_id(entry: Execution | Activity, switches: Switches) -> str:
    """Section 3.5: New York time to the millisecond, then its own id; without a trade, the time a switch says."""
    local = entry.at.astimezone(NEW_YORK)
    if isinstance(entry, Activity) and switches.activity_ids == "midnight":
        return f"{local:%Y%m%d}000000000::{entry.id}"
    return f"{local:%Y%m%d%H%M%S}{local.microsecond // 1000:03d}::{entry.id}"


def activity(entry: Execution | Activity, switches: Switches) -> dict[str, Any]:
    """Section 3.5. What an activity without a trade has no use for is not there."""
    if isinstance(entry, Activity):
        return _non_trade(entry, activity_id(entry, switches))
    return {
        "id": activity_id(entry, switches),
        "activity_type": "FILL",
        "transaction_time": stamp(entry.at),
        "type": "fill" if entry.order_status == "filled" else "partial_fill",
        "price": number(entry.price),
        "qty": number(entry.qty),
        "side": entry.activity_side,
        "symbol": entry.symbol,
        "leaves_qty": number(entry.leaves_qty),
        "cum_qty": number(entry.cum_qty),
        "order_id": entry.order_id,
        "order_status": entry.order_status,
    }


def _non_trade(entry: Activity, name: str) -> dict[str, Any]:
    shown: dict[str, Any] = {"id": name, "activity_type": entry.type}
    if entry.sub_type:
        shown["activity_sub_type"] = entry.sub_type
    shown |= {"date": new_york_day(entry.at).isoformat(), "created_at": stamp(entry.at)}
    shown["net_amount"] = number(entry.net_amount)
    if entry.symbol:
        shown |= {"symbol": entry.symbol, "cusip": asset(entry.symbol).cusip}
    amounts = (("qty", entry.qty), ("price", entry.price), ("per_share_amount", entry.per_share))
    shown |= {key: number(value) for key, value in amounts if value is not None}
    return shown | {
        "status": "executed",
        "currency": "USD",
        "description": entry.description,
        "group_id": entry.group,
    }


def clock(now: datetime, sessions: Sessions) -> dict[str, Any]:
    """Section 3.6; times carry New York's offset."""
    return {
        "timestamp": now.astimezone(NEW_YORK).isoformat(timespec="microseconds"),
        "is_open": sessions.running(now) is not None,
        "next_open": sessions.next_after(now).open.astimezone(NEW_YORK).isoformat(),
        "next_close": sessions.current_or_next(now).close.astimezone(NEW_YORK).isoformat(),
    }


def calendar_day(session: Session, settlement: Session) -> dict[str, str]:
    """Section 3.6; New York times."""
    return {
        "date": session.day.isoformat(),
        "open": f"{session.open.astimezone(NEW_YORK):%H:%M}",
        "close": f"{session.close.astimezone(NEW_YORK):%H:%M}",
        "session_open": "0400",
        "session_close": "2000",
        "settlement_date": settlement.day.isoformat(),
    }


def asset_object(known: Asset, switches: Switches) -> dict[str, Any]:
    """Section 3.7; three switches name the symbols that are not as the others."""
    active = not switches.names("inactive", known.symbol)
    shortable = not switches.names("not_shortable", known.symbol)
    fractionable = not switches.names("not_fractionable", known.symbol)
    return {
        "id": known.id,
        "class": "us_equity",
        "exchange": known.exchange,
        "symbol": known.symbol,
        "name": known.name,
        "status": "active" if active else "inactive",
        "tradable": active,
        "marginable": True,
        "maintenance_margin_requirement": 30,
        "margin_requirement_long": "30",
        "margin_requirement_short": "30",
        "shortable": shortable,
        "easy_to_borrow": shortable,
        "borrow_status": "easy_to_borrow" if shortable else "not_shortable",
        "fractionable": fractionable,
        "attributes": ["fractional_eh_enabled", "has_options"] if fractionable else ["has_options"],
    }


def bar(bar: Bar) -> dict[str, Any]:
    """Section 10. Trade count and average price are estimates: a tape has neither."""
    typical = (bar.open + bar.high + bar.low + bar.close) / 4
    return {
        "t": edge(bar.start),
        "o": float(bar.open),
        "h": float(bar.high),
        "l": float(bar.low),
        "c": float(bar.close),
        "v": bar.volume,
        "n": max(1, bar.volume // 100),
        "vw": float(round(typical, 6)),
    }


def quote(quote: Quote) -> dict[str, Any]:
    """Section 10."""
    return {
        "t": stamp(quote.at),
        "ax": "V",
        "ap": float(quote.ask),
        "as": quote.ask_size,
        "bx": "V",
        "bp": float(quote.bid),
        "bs": quote.bid_size,
        "c": ["R"],
        "z": "C",
    }


def status(told: Status) -> dict[str, Any]:
    """Section 11: a halt, a pause, a resumption."""
    words = {"sc": told.code, "sm": told.message, "rc": told.reason, "rm": told.reason_message}
    return {**words, "t": stamp(told.at), "z": "C"}


def luld(told: Status, band: tuple[Decimal, Decimal]) -> dict[str, Any]:
    """Section 11: the limits a price may not leave."""
    return {"u": float(band[1]), "d": float(band[0]), "i": "B", "t": stamp(told.at), "z": "C"}


def trade(quote: Quote) -> dict[str, Any]:
    """Section 10: the last trade of a quote that comes without a bar."""
    return bar_trade(Trade(quote.symbol, quote.at, quote.last, 100))


def bar_trade(trade: Trade) -> dict[str, Any]:
    """Section 10: a trade. Its id grows with time."""
    micros = (trade.at - _EPOCH) // timedelta(microseconds=1)
    size, price = trade.size, float(trade.price)
    return {"t": stamp(trade.at), "x": "V", "p": price, "s": size, "i": micros, "c": ["@"], "z": "C"}
