"""The objects of section 3: field sets, types and nulls as raw JSON, and the same through alpaca-py's models."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from alpaca.trading import models
from alpaca.trading.enums import OrderClass, OrderStatus, OrderType, PositionIntent, PositionSide
from alpaca.trading.requests import GetCalendarRequest, GetOrderByIdRequest, GetOrdersRequest
from pydantic import ValidationError

from ..paper_exchange.rig import FRIDAY_OPEN, Desk
from .rig import alpaca

OpenDesk = Callable[..., Desk]
DECIMAL = re.compile(r"-?(0|[1-9]\d*)(\.\d*[1-9])?")
RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
ORDER_TIMES = {"created_at", "updated_at", "submitted_at", "expires_at"}
ORDER_MAYBE_TIMES = {"filled_at", "expired_at", "canceled_at", "failed_at", "replaced_at"}
ORDER_MAYBE_NUMBERS = {
    "notional",
    "qty",
    "filled_avg_price",
    "limit_price",
    "stop_price",
    "trail_percent",
    "trail_price",
    "hwm",
}
ORDER_WORDS = {
    "id",
    "client_order_id",
    "asset_id",
    "symbol",
    "asset_class",
    "order_class",
    "order_type",
    "type",
    "side",
    "position_intent",
    "time_in_force",
    "status",
    "filled_qty",
}
ORDER_OTHERS = {"replaced_by", "replaces", "extended_hours", "legs", "subtag", "source"}
BRACKET = {
    "order_class": "bracket",
    "time_in_force": "gtc",
    "take_profit": {"limit_price": "105"},
    "stop_loss": {"stop_price": "95"},
}
KINDS: dict[str, dict[str, Any]] = {
    "market": {},
    "limit": {"type": "limit", "limit_price": "99"},
    "stop": {"type": "stop", "stop_price": "101"},
    "stop_limit": {"type": "stop_limit", "stop_price": "101", "limit_price": "102"},
    "trailing_stop": {"type": "trailing_stop", "trail_percent": "2"},
    "notional": {"qty": None, "notional": "100"},
    "bracket": BRACKET,
    "oto": {**BRACKET, "order_class": "oto", "take_profit": None},
}


def is_number(value: Any) -> bool:
    return isinstance(value, str) and DECIMAL.fullmatch(value) is not None


def prove_order(order: dict[str, Any]) -> None:
    assert order.keys() == ORDER_TIMES | ORDER_MAYBE_TIMES | ORDER_MAYBE_NUMBERS | ORDER_WORDS | ORDER_OTHERS
    assert all(RFC3339.fullmatch(order[name]) for name in ORDER_TIMES)
    assert all(order[name] is None or RFC3339.fullmatch(order[name]) for name in ORDER_MAYBE_TIMES)
    assert all(order[name] is None or is_number(order[name]) for name in ORDER_MAYBE_NUMBERS)
    assert all(isinstance(order[name], str) for name in ORDER_WORDS)
    assert (order["qty"] is None) != (order["notional"] is None)
    assert order["extended_hours"] in (True, False)
    assert order["type"] == order["order_type"]
    for name in ("id", "asset_id"):
        assert str(UUID(order[name])) == order[name]


@pytest.mark.parametrize("kind", KINDS)
def test_order_has_the_fields_of_3_1(desk: Desk, kind: str) -> None:
    """3.1 and OAS-T: every key is there, null or not; numbers are unpadded strings, times end in Z."""
    _, answer = desk.send(**KINDS[kind])
    prove_order(answer)
    for leg in answer["legs"] or []:
        prove_order(leg)
        assert leg["legs"] is None, "legs are never deeper than one level"
    prove_order(desk.get(f"/v2/orders/{answer['id']}"))


@pytest.mark.parametrize("kind", KINDS)
def test_order_loads_into_alpaca_py(desk: Desk, kind: str) -> None:
    """3.1: alpaca-py 0.44's Order model takes it [run]."""
    sent = desk.order(**KINDS[kind])
    order = alpaca(desk).get_order_by_id(sent, GetOrderByIdRequest(nested=True))
    assert isinstance(order, models.Order)
    assert order.id == UUID(sent)
    assert order.order_class == {"bracket": OrderClass.BRACKET, "oto": OrderClass.OTO}.get(kind, OrderClass.SIMPLE)


@pytest.mark.parametrize("status", ["filled", "canceled", "expired", "replaced"])
def test_the_time_of_an_end_is_set_and_the_others_are_null(desk: Desk, status: str) -> None:
    """5.2 rows 8, 9, 13, 15: filled_at, canceled_at, replaced_at, expired_at."""
    order = desk.order(type="limit", limit_price="101" if status == "filled" else "99")
    if status == "canceled":
        desk.call("DELETE", f"/v2/orders/{order}")
    elif status == "expired":
        desk.pass_time(hours=8)
    elif status == "replaced":
        desk.call("PATCH", f"/v2/orders/{order}", {"limit_price": "98"})
    shown = desk.get(f"/v2/orders/{order}")
    assert shown["status"] == status
    assert {name for name in ORDER_MAYBE_TIMES if shown[name]} == {f"{status}_at"}


def test_a_plain_order_has_an_empty_class_or_simple_by_switch(desk: Desk) -> None:
    """3.1: "" as in OAS-T examples, `simple` in older captures."""
    assert desk.send()[1]["order_class"] == ""
    desk.exchange.venue.switches.set({"plain_order_class": "simple"})
    assert desk.send()[1]["order_class"] == "simple"


def test_a_trailing_stop_shows_its_mark_and_its_stop(desk: Desk) -> None:
    """4.1: hwm and stop_price appear in the order and move with the market."""
    desk.order()
    _, sent = desk.send(side="sell", type="trailing_stop", trail_price="2", time_in_force="gtc")
    assert (sent["hwm"], sent["stop_price"], sent["trail_price"], sent["trail_percent"]) == ("100", "98", "2", None)
    desk.price("104", "104.1", "104")
    order = alpaca(desk).get_order_by_id(sent["id"])
    assert (order.hwm, order.stop_price, order.type) == ("104", "102", OrderType.TRAILING_STOP)


def test_gtc_expires_ninety_days_after_it_was_made(desk: Desk) -> None:
    """3.1: expires_at for GTC = creation + 90 days (placing-orders page)."""
    order = alpaca(desk).get_order_by_id(desk.order(type="limit", limit_price="99", time_in_force="gtc"))
    assert (order.expires_at.date() - order.created_at.date()).days == 90


def test_a_day_order_expires_at_the_close(desk: Desk) -> None:
    """3.1 example: expires_at is the close of the session."""
    assert desk.send(type="limit", limit_price="99")[1]["expires_at"] == "2026-11-20T21:00:00.000000Z"


POSITION = {
    "asset_id",
    "symbol",
    "exchange",
    "asset_class",
    "asset_marginable",
    "qty",
    "qty_available",
    "side",
    "avg_entry_price",
    "cost_basis",
    "market_value",
    "unrealized_pl",
    "unrealized_plpc",
    "unrealized_intraday_pl",
    "unrealized_intraday_plpc",
    "current_price",
    "lastday_price",
    "change_today",
}


@pytest.mark.parametrize("side", ["buy", "sell"])
def test_position_has_the_fields_of_3_2(desk: Desk, side: str) -> None:
    """3.2: all numbers are strings; a short has negative qty, market_value and cost_basis [inferred]."""
    desk.order(side=side)
    position = desk.get("/v2/positions")[0]
    words = {"asset_id", "symbol", "exchange", "asset_class", "asset_marginable", "side"}
    assert position.keys() == POSITION
    assert all(is_number(position[name]) for name in POSITION - words)
    assert position["asset_marginable"] is True
    for name in ("qty", "market_value", "cost_basis"):
        assert position[name].startswith("-") == (side == "sell")
    model = alpaca(desk).get_open_position("AAA")
    assert model.side == (PositionSide.LONG if side == "buy" else PositionSide.SHORT)


def test_qty_available_is_what_no_order_holds(desk: Desk) -> None:
    """3.2: `qty_available` = |qty| minus what open orders hold."""
    desk.order()
    desk.order(side="sell", type="stop", stop_price="90", qty="6")
    assert alpaca(desk).get_all_positions()[0].qty_available == "4"


def test_a_flat_position_does_not_exist(desk: Desk) -> None:
    """3.2, OAS-T: it leaves the list, GET gives 404 with 40410000."""
    desk.order()
    desk.order(side="sell")
    assert desk.get("/v2/positions") == []
    assert desk.call("GET", "/v2/positions/AAA") == (404, {"code": 40410000, "message": "position does not exist"})


ACCOUNT_NUMBERS = {
    "cash",
    "portfolio_value",
    "equity",
    "last_equity",
    "buying_power",
    "regt_buying_power",
    "non_marginable_buying_power",
    "options_buying_power",
    "long_market_value",
    "short_market_value",
    "initial_margin",
    "maintenance_margin",
    "last_maintenance_margin",
    "sma",
    "multiplier",
    "accrued_fees",
    "pending_reg_taf_fees",
    "intraday_adjustments",
}
ACCOUNT_OTHERS = {
    "id": str,
    "account_number": str,
    "status": str,
    "crypto_status": str,
    "currency": str,
    "options_approved_level": int,
    "options_trading_level": int,
    "shorting_enabled": bool,
    "trading_blocked": bool,
    "transfers_blocked": bool,
    "account_blocked": bool,
    "trade_suspended_by_user": bool,
    "balance_asof": str,
    "created_at": str,
}


def test_account_has_the_fields_of_3_3(desk: Desk) -> None:
    """3.3: money as strings, levels as integers, flags as booleans; nothing of pattern day trading."""
    account = desk.get("/v2/account")
    assert account.keys() == ACCOUNT_NUMBERS | ACCOUNT_OTHERS.keys()
    assert all(is_number(account[name]) for name in ACCOUNT_NUMBERS)
    assert all(type(account[name]) is kind for name, kind in ACCOUNT_OTHERS.items())
    assert isinstance(alpaca(desk).get_account(), models.TradeAccount)


def test_the_retired_fields_come_back_by_switch(desk: Desk) -> None:
    """3.3: a legacy switch adds the three removed fields with their types."""
    desk.exchange.venue.switches.set({"legacy_pdt_fields": True})
    account = desk.get("/v2/account")
    retired = (account["pattern_day_trader"], account["daytrade_count"], account["daytrading_buying_power"])
    assert retired == (False, 0, "200000")
    assert alpaca(desk).get_account().pattern_day_trader is False


def test_an_account_starts_with_100000_usd(desk: Desk) -> None:
    """6: start 100,000 USD."""
    account = alpaca(desk).get_account()
    assert (account.cash, account.equity, account.buying_power) == ("100000", "100000", "200000")


CONFIGURATIONS = {
    "fractional_trading": True,
    "max_margin_multiplier": "4",
    "no_shorting": False,
    "suspend_trade": False,
    "trade_confirm_email": "all",
    "ptp_no_exception_entry": False,
    "max_options_trading_level": None,
    "disable_overnight_trading": False,
}


def test_configurations_are_those_of_3_4(desk: Desk) -> None:
    """3.4: the object and its defaults, without dtbp_check and pdt_check."""
    assert desk.get("/v2/account/configurations") == CONFIGURATIONS


def test_alpaca_py_sends_configurations_whole_with_nulls(desk: Desk) -> None:
    """2: alpaca-py sends the full model incl. nulls; ignore nulls."""
    client = alpaca(desk)
    wanted = client.get_account_configurations()
    wanted.no_shorting = True
    assert client.set_account_configurations(wanted).no_shorting is True
    assert desk.get("/v2/account/configurations") == {**CONFIGURATIONS, "no_shorting": True}


def test_a_fill_activity_has_the_fields_of_3_5(open_desk: OpenDesk) -> None:
    """3.5: numbers as strings, New York time in the id, no account_id."""
    desk = open_desk()
    desk.order(qty="4")
    fill = desk.get("/v2/account/activities")[0]
    numbers = {"price", "qty", "leaves_qty", "cum_qty"}
    words = {"id", "activity_type", "transaction_time", "type", "side", "symbol", "order_id", "order_status"}
    assert fill.keys() == numbers | words
    assert all(is_number(fill[name]) for name in numbers)
    assert re.fullmatch(r"20261120093000\d{3}::[0-9a-f-]{36}", fill["id"])
    assert models.TradeActivity(**fill, account_id="5a1b0c52-9c5d-47f3-8a3a-0d8a0b6c1f10").qty == 4


def test_clock_is_that_of_3_6(desk: Desk) -> None:
    """3.6: four fields, New York's offset."""
    clock = desk.get("/v2/clock")
    assert clock.keys() == {"timestamp", "is_open", "next_open", "next_close"}
    assert clock["next_close"].endswith("-05:00")
    assert alpaca(desk).get_clock().next_close == datetime(2026, 11, 20, 21, tzinfo=UTC)


def test_calendar_is_that_of_3_6(desk: Desk) -> None:
    """3.6: HH:MM for the session, HHMM for the extended one, a settlement date."""
    request = GetCalendarRequest(start="2026-11-27", end="2026-11-27")
    day = desk.get("/v2/calendar", start="2026-11-27", end="2026-11-27")[0]
    assert day == {
        "date": "2026-11-27",
        "open": "09:30",
        "close": "13:00",
        "session_open": "0400",
        "session_close": "2000",
        "settlement_date": "2026-11-30",
    }
    assert alpaca(desk).get_calendar(request)[0].close == datetime(2026, 11, 27, 13)  # noqa: DTZ001 - as it gives it


def test_asset_has_the_fields_of_3_7(desk: Desk) -> None:
    """3.7: the key is `class`, the margin requirement a number, its halves strings."""
    asset = desk.get("/v2/assets/AAA")
    kinds = {name: type(value) for name, value in asset.items()}
    words = ("id", "class", "exchange", "symbol", "name", "status", "borrow_status")
    flags = ("tradable", "marginable", "shortable", "easy_to_borrow", "fractionable")
    assert kinds == {
        **dict.fromkeys(words, str),
        **dict.fromkeys(flags, bool),
        "maintenance_margin_requirement": int,
        "margin_requirement_long": str,
        "margin_requirement_short": str,
        "attributes": list,
    }
    assert alpaca(desk).get_asset("AAA").fractionable is True


def test_assets_are_found_by_their_attributes(desk: Desk) -> None:
    """2: `attributes` csv; an asset has all that are asked for."""
    desk.exchange.venue.switches.set({"not_fractionable": "BBB"})
    named = lambda attributes: [one["symbol"] for one in desk.get("/v2/assets", attributes=attributes)]  # noqa: E731
    assert named("has_options") == ["AAA", "BBB"]
    assert named("has_options,fractional_eh_enabled") == ["AAA"]
    assert named("ipo") == []


def test_the_calendar_is_found_by_settlement_too(desk: Desk) -> None:
    """2: `date_type`=TRADING|SETTLEMENT."""
    days = desk.get("/v2/calendar", start="2026-11-30", end="2026-11-30", date_type="SETTLEMENT")
    assert [(day["date"], day["settlement_date"]) for day in days] == [("2026-11-27", "2026-11-30")]
    assert desk.call("GET", "/v2/calendar", date_type="SOME")[0] == 422


def test_fields_may_be_missing_and_unknown_ones_appear(desk: Desk) -> None:
    """16, quirks 62 and 63: missing optional fields and unknown extra fields, on REST and on the stream alike."""
    desk.exchange.venue.switches.set({"drop_fields": "hwm,subtag,sma,change_today", "set_fields": "new_in_2027"})
    frames = desk.listen()
    order = desk.send(**BRACKET)[1]
    shown = [order, order["legs"][0], frames[0]["order"], desk.get("/v2/positions")[0], desk.get("/v2/account")]
    for one in shown:
        assert one["new_in_2027"] is None
        assert not {"hwm", "subtag", "sma", "change_today"} & one.keys()
    assert isinstance(alpaca(desk).get_account(), models.TradeAccount)
    assert desk.exchange.truth()["orders"][0].keys() == order.keys() - {"new_in_2027", "legs"} | {
        "hwm",
        "subtag",
        "legs",
        "account",
        "group",
        "wall_at",
        "ended_wall_at",
    }


def test_one_unknown_status_fails_the_whole_list_of_alpaca_py(desk: Desk) -> None:
    """0.12 and quirk 45: an enum value nobody knows; raw data can still be read."""
    desk.order()
    desk.exchange.venue.switches.set({"set_fields": "status:mystery"})
    with pytest.raises(ValidationError):
        alpaca(desk).get_orders(GetOrdersRequest(status="all"))
    assert alpaca(desk, raw=True).get_orders(GetOrdersRequest(status="all"))[0]["status"] == "mystery"


def test_a_frame_has_the_fields_of_3_9(desk: Desk) -> None:
    """3.9: price, qty and position_qty on fills only, as strings, of this execution; timestamp always."""
    frames = desk.listen()
    desk.order(qty="10")
    desk.order(qty="5")
    always = {"event", "event_id", "at", "timestamp", "execution_id", "order"}
    assert [frame.keys() - always for frame in frames[:2]] == [set(), {"price", "qty", "position_qty"}]
    assert (frames[3]["qty"], frames[3]["position_qty"], frames[3]["order"]["filled_qty"]) == ("5", "15", "5")
    assert all(is_number(frames[3][name]) for name in ("price", "qty", "position_qty"))
    prove_order(frames[3]["order"])
    update = models.TradeUpdate(**frames[3])
    assert (update.event, update.position_qty, update.order.status) == ("fill", 15.0, OrderStatus.FILLED)


def test_accepted_carries_no_execution_id(open_desk: OpenDesk) -> None:
    """3.9: alpaca-py made it optional because `accepted` lacked it (alpaca-py #371)."""
    desk = open_desk(FRIDAY_OPEN.replace(hour=13))
    frames = desk.listen()
    desk.order(type="limit", limit_price="99")
    assert frames[0]["event"] == "accepted"
    assert "execution_id" not in frames[0]
    assert models.TradeUpdate(**frames[0]).execution_id is None


def test_event_ids_are_ulids_that_grow(desk: Desk) -> None:
    """3.9: event_id is a ULID (alpaca-trade-api-go entities.go)."""
    frames = desk.listen()
    desk.order()
    desk.pass_time(minutes=1)
    desk.order()
    ids = [frame["event_id"] for frame in frames]
    assert all(re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{26}", one) for one in ids)
    assert ids[0][:10] < ids[-1][:10]


def test_position_intent_is_inferred(desk: Desk) -> None:
    """3.1 and OAS-T: buy_to_open, sell_to_close and their mirror."""
    seen = []
    for side in ("buy", "sell", "sell", "buy"):
        seen.append(alpaca(desk).get_order_by_id(desk.order(side=side)).position_intent)
    open_, close = PositionIntent.BUY_TO_OPEN, PositionIntent.SELL_TO_CLOSE
    assert seen == [open_, close, PositionIntent.SELL_TO_OPEN, PositionIntent.BUY_TO_CLOSE]
