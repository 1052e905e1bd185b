"""The error catalogue of section 7 and the rules of section 4: status, code, text and extra keys.

Every row is named after its source in the reference.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from alpaca.common.exceptions import APIError
from alpaca.trading.enums import OrderClass, OrderSide, TimeInForce
from alpaca.trading.requests import (
    LimitOrderRequest,
    MarketOrderRequest,
    ReplaceOrderRequest,
    StopLossRequest,
    TakeProfitRequest,
    TrailingStopOrderRequest,
)

from ..paper_exchange.rig import FRIDAY_OPEN, Desk
from .rig import alpaca

OpenDesk = Callable[..., Desk]
Fields = dict[str, Any]
LIMIT: Fields = {"type": "limit", "limit_price": "99"}
TP, SL = {"limit_price": "105"}, {"stop_price": "95"}
MALFORMED, RULE, FORBIDDEN = (422, 40010001), (422, 42210000), (403, 40310000)

SUBMISSIONS: dict[str, tuple[Fields, tuple[int, int], str]] = {
    "7 learn page: bad type": ({"type": "magic"}, MALFORMED, "invalid order type"),
    "7 learn page: bad tif": ({"time_in_force": "soon"}, MALFORMED, "invalid time_in_force"),
    "7 learn page: bad side": ({"side": "hold"}, MALFORMED, "invalid side"),
    "7 report: qty missing": ({"qty": None}, MALFORMED, "qty or notional is required"),
    "7 report: qty zero": ({"qty": "0"}, MALFORMED, "qty must be > 0"),
    "7 report: both sizes": ({"notional": "5"}, MALFORMED, "only one of qty or notional is accepted"),
    "7 report: id too long": (
        {"client_order_id": "x" * 129},
        MALFORMED,
        "client_order_id must be no more than 128 characters",
    ),
    "7 report: limit price missing": ({"type": "limit"}, MALFORMED, "limit orders require a limit price"),
    "7 report: stop price missing": ({"type": "stop"}, MALFORMED, "stop orders require a stop price"),
    "7 report: stop limit prices missing": (
        {"type": "stop_limit", "stop_price": "101"},
        MALFORMED,
        "stop limit orders require both stop and limit price",
    ),
    "7 report: market with a price": ({"limit_price": "99"}, MALFORMED, "market orders require no stop or limit price"),
    "7 report: trail missing": (
        {"type": "trailing_stop"},
        MALFORMED,
        "trailing stop orders must specify one of trail_price or trail_percent",
    ),
    "4.1: both trails": (
        {"type": "trailing_stop", "trail_price": "1", "trail_percent": "1"},
        MALFORMED,
        "trailing stop orders must specify one of trail_price or trail_percent",
    ),
    "7 report: trail too small": (
        {"type": "trailing_stop", "trail_percent": "0.05"},
        MALFORMED,
        "trail_percent must be greater than or equal to 0.1",
    ),
    "7 docs: sub-penny limit": (
        {"type": "limit", "limit_price": "290.123"},
        RULE,
        "invalid limit_price 290.123. sub-penny increment does not fulfill minimum pricing criteria",
    ),
    "4.1 docs: sub-penny stop": (
        {"type": "stop", "stop_price": "101.001"},
        RULE,
        "invalid stop_price 101.001. sub-penny increment does not fulfill minimum pricing criteria",
    ),
    "4.1 docs: four decimals below a dollar": (
        {"type": "limit", "limit_price": "0.12345"},
        RULE,
        "invalid limit_price 0.12345. sub-penny increment does not fulfill minimum pricing criteria",
    ),
    "7 report: fractional gtc": (
        {"qty": "0.5", "time_in_force": "gtc"},
        RULE,
        "fractional orders must be DAY orders",
    ),
    "4.1 probe 2026-09: fractional bracket": (
        {"qty": "0.5", "order_class": "bracket", "take_profit": TP, "stop_loss": SL},
        RULE,
        "fractional orders must be simple orders",
    ),
    "4.1 probe 2026-09: fractional oto": (
        {"qty": "0.5", "order_class": "oto", "stop_loss": SL},
        RULE,
        "fractional orders must be simple orders",
    ),
    "4.1: fractional trailing": (
        {"qty": "0.5", "type": "trailing_stop", "trail_price": "1"},
        RULE,
        "fractional orders must be simple orders",
    ),
    "7 report: fractional short": ({"qty": "0.5", "side": "sell"}, RULE, "fractional orders cannot be sold short"),
    "7 report: notional too small": ({"qty": None, "notional": "0.5"}, RULE, "notional must be >= 1.00"),
    "7 report: cost basis too small": (
        {"qty": "0.001"},
        FORBIDDEN,
        "cost basis must be >= minimal amount of order 1",
    ),
    "7 report: unknown asset": ({"symbol": "NOPE"}, RULE, 'asset "NOPE" not found'),
    "7 report: extended market": (
        {"extended_hours": True},
        RULE,
        "extended hours order must be DAY or GTC limit orders",
    ),
    "7 report: extended stop": (
        {"extended_hours": True, "type": "stop", "stop_price": "101"},
        RULE,
        "stop orders are not eligible for extended hours trading",
    ),
    "4.1: extended ioc": (
        {**LIMIT, "extended_hours": True, "time_in_force": "ioc"},
        RULE,
        "extended hours order must be DAY or GTC limit orders",
    ),
    "4.1: stop ioc": (
        {"type": "stop", "stop_price": "101", "time_in_force": "ioc"},
        RULE,
        "invalid time_in_force ioc for stop orders",
    ),
    "4.1: trailing fok": (
        {"type": "trailing_stop", "trail_price": "1", "time_in_force": "fok"},
        RULE,
        "invalid time_in_force fok for trailing_stop orders",
    ),
    "7 OpenAlice #342: bracket without profit": (
        {"order_class": "bracket", "stop_loss": SL},
        RULE,
        "bracket orders require take_profit.limit_price",
    ),
    "7 OpenAlice #342: bracket without stop": (
        {"order_class": "bracket", "take_profit": TP},
        RULE,
        "bracket orders require stop_loss.stop_price",
    ),
    "7 inferred: profit below the base": (
        {**LIMIT, "order_class": "bracket", "take_profit": {"limit_price": "99"}, "stop_loss": SL},
        RULE,
        "take_profit.limit_price must be >= base_price + 0.01",
    ),
    "7 inferred: stop above the base": (
        {**LIMIT, "order_class": "bracket", "take_profit": TP, "stop_loss": {"stop_price": "99"}},
        RULE,
        "stop_loss.stop_price must be <= base_price - 0.01",
    ),
    "5.3 docs: bracket ioc": (
        {"order_class": "bracket", "take_profit": TP, "stop_loss": SL, "time_in_force": "ioc"},
        RULE,
        "bracket orders must be DAY or GTC orders",
    ),
    "5.3 docs: bracket extended": (
        {**LIMIT, "order_class": "bracket", "take_profit": TP, "stop_loss": SL, "extended_hours": True},
        RULE,
        "extended hours orders must be simple orders",
    ),
    "5.3 docs: oto with both legs": (
        {"order_class": "oto", "take_profit": TP, "stop_loss": SL},
        RULE,
        "oto orders require exactly one of take_profit.limit_price or stop_loss.stop_price",
    ),
    "5.3 docs: oco is an exit": (
        {"type": "limit", "side": "sell", "order_class": "oco", "take_profit": TP, "stop_loss": SL},
        FORBIDDEN,
        "oco orders must be exit orders",
    ),
    "7 docs: position intent": (
        {"position_intent": "sell_to_close"},
        RULE,
        "position intent mismatch, inferred: buy_to_open, specified: sell_to_close",
    ),
    "7 report: buying power": ({"qty": "100000"}, FORBIDDEN, "insufficient buying power"),
    "7 report: opg in the session": (
        {"time_in_force": "opg"},
        FORBIDDEN,
        "opg orders must be submitted after 7:00pm and before 9:28am",
    ),
}


@pytest.mark.parametrize("source", SUBMISSIONS)
def test_a_submission_is_refused_as_the_source_says(desk: Desk, source: str) -> None:
    """Section 7; no order exists afterwards (5.2 row 4)."""
    fields, (status, code), message = SUBMISSIONS[source]
    answered, body = desk.send(**fields)
    assert (answered, body["code"], body["message"]) == (status, code, message)
    assert desk.get("/v2/orders", status="all") == []


def test_alpaca_py_raises_the_code(desk: Desk) -> None:
    """12: APIError parses code and message from the body."""
    with pytest.raises(APIError) as refused:
        alpaca(desk).submit_order(
            TrailingStopOrderRequest(
                symbol="AAA", qty=1, side=OrderSide.BUY, time_in_force=TimeInForce.DAY, trail_percent=0.01
            )
        )
    assert (refused.value.status_code, refused.value.code) == (422, 40010001)


def test_insufficient_buying_power_names_power_and_cost(desk: Desk) -> None:
    """4.2: 403 40310000 with `buying_power` and `cost_basis` strings."""
    _, body = desk.send(**LIMIT, qty="5000")
    assert (body["buying_power"], body["cost_basis"]) == ("200000", "495000")


def test_a_duplicate_client_order_id_is_422_for_ever(desk: Desk) -> None:
    """0.2 and d-e-s-o/apca: 422 40010001, also after cancel."""
    order = desk.order(**LIMIT, client_order_id="mine")
    desk.call("DELETE", f"/v2/orders/{order}")
    request = MarketOrderRequest(
        symbol="AAA", qty=1, side=OrderSide.BUY, time_in_force=TimeInForce.DAY, client_order_id="mine"
    )
    with pytest.raises(APIError, match="client_order_id must be unique") as refused:
        alpaca(desk).submit_order(request)
    assert (refused.value.status_code, refused.value.code) == (422, 40010001)


def test_held_shares_are_refused_with_their_numbers(desk: Desk) -> None:
    """7, alpaca-py tests: available, existing_qty, held_for_orders, symbol, related_orders."""
    desk.order()
    stop = desk.order(side="sell", type="stop", stop_price="90")
    assert desk.send(side="sell") == (
        403,
        {
            "code": 40310000,
            "message": "insufficient qty available for order (requested: 10, available: 0)",
            "available": "0",
            "existing_qty": "10",
            "held_for_orders": "10",
            "symbol": "AAA",
            "related_orders": [stop],
        },
    )


WASH = {
    ("market", "market"): True,
    ("limit", "market"): True,
    ("limit", "limit crossing"): True,
    ("limit", "limit apart"): False,
    ("limit", "stop"): True,
    ("limit", "stop_limit apart"): False,
    ("stop", "limit apart"): True,
    ("stop", "stop"): True,
    ("stop_limit", "limit crossing"): True,
    ("stop_limit", "limit apart"): False,
    ("limit", "trailing_stop"): False,
    ("trailing_stop", "limit apart"): False,
}
BUYS: dict[str, Fields] = {
    "market": {},
    "limit": {"type": "limit", "limit_price": "98"},
    "stop": {"type": "stop", "stop_price": "103"},
    "stop_limit": {"type": "stop_limit", "stop_price": "103", "limit_price": "104"},
    "trailing_stop": {"type": "trailing_stop", "trail_price": "2"},
}
SELLS: dict[str, Fields] = {
    "market": {},
    "limit crossing": {"type": "limit", "limit_price": "97"},
    "limit apart": {"type": "limit", "limit_price": "110"},
    "stop": {"type": "stop", "stop_price": "95"},
    "stop_limit apart": {"type": "stop_limit", "stop_price": "99.5", "limit_price": "99"},
    "trailing_stop": {"type": "trailing_stop", "trail_price": "2"},
}


@pytest.mark.parametrize(("existing", "new"), WASH, ids=lambda kind: f"4.3 user-protection: {kind}")
def test_the_wash_trade_table(open_desk: OpenDesk, existing: str, new: str) -> None:
    """4.3: new sell against an existing buy; two limits may stand when they do not cross."""
    desk = open_desk()
    desk.order()
    if existing == "market":
        desk.exchange.advance_to(FRIDAY_OPEN.replace(hour=22))
    first = desk.order(**BUYS[existing])
    status, body = desk.send(side="sell", **SELLS[new])
    if not WASH[existing, new]:
        assert status == 200
        return
    assert (status, body["code"], body["existing_order_id"]) == (403, 40310000, first)
    assert body["message"] == "potential wash trade detected. use complex orders"
    assert body["reject_reason"] == f"opposite side {'limit' if existing == 'limit' else 'market/stop'} order exists"


def test_wash_trades_were_422_once(desk: Desk) -> None:
    """4.3: 2024 reports show 422/42210000 (Petersoj/alpaca-java #145): a switch."""
    desk.exchange.venue.switches.set({"wash_trade_status": 422})
    desk.order()
    desk.order(**LIMIT)
    assert desk.refused(side="sell") == (422, 42210000)


def test_groups_are_no_wash_trade(desk: Desk) -> None:
    """4.3: bracket, oco and oto groups are exempt."""
    desk.order()
    desk.order(**LIMIT)
    oco = {"type": "limit", "side": "sell", "order_class": "oco", "take_profit": TP, "stop_loss": SL}
    assert desk.send(**oco)[0] == 200


def test_a_short_is_refused_beside_an_opening_buy(desk: Desk) -> None:
    """7, public bots: `cannot open a short sell while a long buy order is open`, and the mirror."""
    desk.order(**LIMIT)
    sell = {"side": "sell", "type": "limit", "limit_price": "110"}
    assert desk.send(**sell)[1]["message"] == "cannot open a short sell while a long buy order is open"
    desk.call("DELETE", "/v2/orders")
    desk.order(**sell)
    assert desk.send(**LIMIT)[1]["message"] == "cannot open a long buy while a short sell order is open"


def test_a_bracket_is_an_entry(desk: Desk) -> None:
    """7 report: 403 `bracket orders must be entry orders`."""
    desk.order()
    legs = {"take_profit": {"limit_price": "95"}, "stop_loss": {"stop_price": "105"}}
    status, body = desk.send(side="sell", order_class="bracket", **legs)
    assert (status, body["code"], body["message"]) == (403, 40310000, "bracket orders must be entry orders")


def test_an_asset_may_be_inactive_or_whole_shares_only(desk: Desk) -> None:
    """7: `asset X is not active` 422; learn page: `asset "X" is not fractionable` 403."""
    desk.exchange.venue.switches.set({"inactive": "AAA", "not_fractionable": "BBB"})
    assert desk.send()[1] == {"code": 42210000, "message": "asset AAA is not active"}
    assert desk.send(symbol="BBB", qty="0.5") == (
        403,
        {"code": 40310000, "message": 'asset "BBB" is not fractionable'},
    )


@pytest.mark.parametrize(
    ("hours", "tif", "status"),
    [(-14, "opg", 200), (-1, "opg", 200), (6, "opg", 403), (6.4, "cls", 403), (5, "cls", 200), (10, "cls", 200)],
    ids=lambda value: f"4.1 docs: {value}",
)
def test_auction_orders_have_their_windows(open_desk: OpenDesk, hours: float, tif: str, status: int) -> None:
    """4.1: opg is refused from 09:28 to 19:00, cls from 15:50 to 19:00 in New York."""
    desk = open_desk(FRIDAY_OPEN + timedelta(hours=hours))
    answered, body = desk.send(**LIMIT, time_in_force=tif)
    assert answered == status
    assert status == 200 or body["code"] == 40310000


REPLACEMENTS: dict[str, tuple[Fields, str]] = {
    "5.4 js #123: nothing changes": ({"limit_price": "99", "qty": "10"}, "order parameters are not changed"),
    "5.4: fraction": ({"qty": "10.5"}, "qty must be an integer"),
    "5.4: sub-penny": (
        {"limit_price": "99.001"},
        "invalid limit_price 99.001. sub-penny increment does not fulfill minimum pricing criteria",
    ),
}


@pytest.mark.parametrize("source", REPLACEMENTS)
def test_a_replacement_is_refused_as_the_source_says(desk: Desk, source: str) -> None:
    """5.4: 422 42210000, and the order stays as it is."""
    fields, message = REPLACEMENTS[source]
    order = desk.order(**LIMIT)
    status, body = desk.call("PATCH", f"/v2/orders/{order}", fields)
    assert (status, body["code"], body["message"]) == (422, 42210000, message)
    assert desk.status(order) == "new"


@pytest.mark.parametrize(
    ("end", "message"),
    [
        ("replaced", "order already replaced"),
        ("canceled", "unable to replace order, order is not open"),
        ("accepted", "cannot replace order in accepted status"),
        ("pending_cancel", "cannot replace order in pending_cancel status"),
        ("pending_replace", "cannot replace order in pending_replace status"),
        ("chain", "order chain not fully replaced"),
        ("held", "cannot replace order in held status"),
        ("notional", "notional orders cannot be replaced"),
        ("oto", "oto orders cannot be replaced"),
    ],
    ids=lambda value: f"5.1 and 5.4: {value}",
)
def test_an_order_cannot_be_replaced_when(open_desk: OpenDesk, end: str, message: str) -> None:
    """5.1: not in accepted, pending_new, pending_cancel, pending_replace, held with inactive parent; 5.3: not oto."""
    desk = open_desk(FRIDAY_OPEN.replace(hour=13) if end == "accepted" else FRIDAY_OPEN)
    switches = {"pending_cancel": {"cancel_seconds": 60}, "pending_replace": {"replace_seconds": 60}}
    desk.exchange.venue.switches.set(switches.get(end if end != "chain" else "pending_replace", {}))
    extra: dict[str, Fields] = {
        "held": {"order_class": "bracket", "take_profit": TP, "stop_loss": SL},
        "oto": {"order_class": "oto", "stop_loss": SL},
        "notional": {"qty": None, "notional": "100"},
    }
    _, sent = desk.send(**LIMIT, **extra.get(end, {}))
    order = sent["id"]
    if "cancel" in end:
        desk.call("DELETE", f"/v2/orders/{order}")
    if end in ("replaced", "pending_replace", "chain"):
        new = desk.call("PATCH", f"/v2/orders/{order}", {"limit_price": "98"})[1]["id"]
        order = new if end == "chain" else order
    if end == "held":
        order = sent["legs"][0]["id"]
    status, body = desk.call("PATCH", f"/v2/orders/{order}", {"limit_price": "97"})
    assert (status, body) == (422, {"code": 42210000, "message": message})


def test_qty_must_be_above_what_is_filled(open_desk: OpenDesk) -> None:
    """5.4: `qty must be > filled_qty`."""
    desk = open_desk(rate="1")
    order = desk.order(**{**LIMIT, "limit_price": "101"})
    filled = desk.get(f"/v2/orders/{order}")["filled_qty"]
    assert int(filled) > 0
    assert desk.call("PATCH", f"/v2/orders/{order}", {"qty": filled})[1]["message"] == "qty must be > filled_qty"


def test_no_change_was_403_once(desk: Desk) -> None:
    """5.4: seen as 403 in js #123: a switch."""
    desk.exchange.venue.switches.set({"no_change_status": 403})
    order = desk.order(**LIMIT)
    assert desk.call("PATCH", f"/v2/orders/{order}", {"limit_price": "99"})[0] == 403


def test_a_replaced_id_may_be_taken(desk: Desk) -> None:
    """5.4: a given client_order_id; unique as everywhere."""
    first, second = desk.order(**LIMIT, client_order_id="one"), desk.order(**LIMIT)
    change = ReplaceOrderRequest(qty=3, client_order_id="one")
    with pytest.raises(APIError, match="must be unique"):
        alpaca(desk).replace_order_by_id(second, change)
    change.client_order_id = "two"
    assert alpaca(desk).replace_order_by_id(first, change).client_order_id == "two"


def test_cancelling_a_filled_order_is_422(desk: Desk) -> None:
    """7 and 5.5: `order is already in "filled" state`, quotes inside."""
    order = desk.order()
    with pytest.raises(APIError) as refused:
        alpaca(desk).cancel_order_by_id(order)
    assert (refused.value.status_code, refused.value.code) == (422, 42210000)
    assert refused.value.message == 'order is already in "filled" state'


def test_a_repeated_cancel_may_succeed_by_switch(desk: Desk) -> None:
    """5.5: answered with success on paper [report 2026-08-14]."""
    order = desk.order(**LIMIT)
    desk.call("DELETE", f"/v2/orders/{order}")
    assert desk.call("DELETE", f"/v2/orders/{order}")[0] == 422
    desk.exchange.venue.switches.set({"repeat_cancel": "accept"})
    assert desk.call("DELETE", f"/v2/orders/{order}")[0] == 204


@pytest.mark.parametrize(
    ("method", "path", "message"),
    [
        ("GET", "/v2/orders/61c3d0a2-5f0e-4b8e-9d0c-2f0a6a6b1c11", "order not found for 61c3d0a2"),
        ("PATCH", "/v2/orders/61c3d0a2-5f0e-4b8e-9d0c-2f0a6a6b1c11", "order not found for 61c3d0a2"),
        ("DELETE", "/v2/orders/61c3d0a2-5f0e-4b8e-9d0c-2f0a6a6b1c11", "order not found for 61c3d0a2"),
        ("GET", "/v2/positions/AAA", "position does not exist"),
        ("DELETE", "/v2/positions/AAA", "position does not exist"),
        ("GET", "/v2/positions/NOPE", "symbol not found: NOPE"),
        ("GET", "/v2/assets/NOPE", "asset not found for NOPE"),
    ],
    ids=lambda value: f"7: {value}",
)
def test_unknown_things_are_404(desk: Desk, method: str, path: str, message: str) -> None:
    """7: 404 with 40410000."""
    status, body = desk.call(method, path, {} if method == "PATCH" else None)
    assert (status, body["code"]) == (404, 40410000)
    assert body["message"].startswith(message)


def test_broken_json_is_400(desk: Desk) -> None:
    """7 inferred: `request body format is invalid`."""
    assert desk.call("POST", "/v2/orders", "{") == (
        400,
        {"code": 40010000, "message": "request body format is invalid"},
    )


def test_alpaca_py_sends_an_oco_without_a_top_level_price(desk: Desk) -> None:
    """4 [run]: the parent's limit_price is then take_profit.limit_price."""
    desk.order()
    request = LimitOrderRequest(
        symbol="AAA",
        qty=10,
        side=OrderSide.SELL,
        time_in_force=TimeInForce.GTC,
        order_class=OrderClass.OCO,
        take_profit=TakeProfitRequest(limit_price=105),
        stop_loss=StopLossRequest(stop_price=95),
    )
    order = alpaca(desk).submit_order(request)
    assert (order.limit_price, order.legs[0].stop_price) == ("105", "95")
