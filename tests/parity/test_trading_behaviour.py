"""What trading does: lists, groups, replacing, cancelling, money. One fact a test, its source in the docstring."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from alpaca.trading.enums import OrderSide, OrderStatus, QueryOrderStatus, TimeInForce
from alpaca.trading.models import ClosePositionResponse, Order
from alpaca.trading.requests import (
    ClosePositionRequest,
    GetOrdersRequest,
    MarketOrderRequest,
    ReplaceOrderRequest,
    StopLossRequest,
    TakeProfitRequest,
)

from gambler_ai.paper_exchange import actions
from gambler_ai.paper_exchange.exchange import Exchange
from gambler_ai.paper_exchange.markets import open_market

from ..paper_exchange.rig import FRIDAY_OPEN, Desk, wall
from .rig import alpaca

OpenDesk = Callable[..., Desk]
LIMIT: dict[str, Any] = {"type": "limit", "limit_price": "99"}
EXITS: dict[str, Any] = {"take_profit": {"limit_price": "105"}, "stop_loss": {"stop_price": "95"}}
BRACKET: dict[str, Any] = {"order_class": "bracket", "time_in_force": "gtc", **EXITS}


def bracket(desk: Desk, **order: Any) -> tuple[str, str, str]:
    """A bracket's ids: entry, take-profit, stop-loss."""
    status, sent = desk.send(**{**BRACKET, **order})
    assert status == 200, sent
    return sent["id"], sent["legs"][0]["id"], sent["legs"][1]["id"]


def listed(desk: Desk, **query: str) -> set[str]:
    return {order["id"] for order in desk.get("/v2/orders", **query)}


# -- lists (section 2) ---------------------------------------------------------------------------------


def test_a_held_stop_is_listed_as_closed(desk: Desk) -> None:
    """2 and 0.9: `held` is not in status=open, it is in closed (alpaca-trade-api-python #322)."""
    entry, profit, stop = bracket(desk)
    assert listed(desk) == {profit}
    assert listed(desk, status="closed") == {entry, stop}


def test_nested_puts_legs_under_their_parent(desk: Desk) -> None:
    """2: with nested=true children leave the top level and are put in `legs`."""
    entry, profit, stop = bracket(desk, **LIMIT)
    orders = alpaca(desk).get_orders(GetOrdersRequest(nested=True))
    assert [str(order.id) for order in orders] == [entry]
    assert {str(leg.id) for leg in orders[0].legs} == {profit, stop}


def test_nested_and_open_hide_live_legs_of_a_filled_parent(desk: Desk) -> None:
    """2: not returned at all when the parent does not match (alpaca-trade-api-js #80 and #87)."""
    _, profit, _ = bracket(desk)
    assert alpaca(desk).get_orders(GetOrdersRequest(status=QueryOrderStatus.OPEN, nested=True)) == []
    assert listed(desk, nested="false") == {profit}


def test_flat_lists_have_no_legs(desk: Desk) -> None:
    """2: nested=false gives a flat list, `legs` null."""
    bracket(desk, **LIMIT)
    orders = desk.get("/v2/orders", status="all")
    assert len(orders) == 3
    assert all(order["legs"] is None for order in orders)


def test_a_group_shares_submitted_at(desk: Desk) -> None:
    """5.3: all members share submitted_at (forum staff reply, t/3697)."""
    bracket(desk)
    assert len({order["submitted_at"] for order in desk.get("/v2/orders", status="all")}) == 1


def test_legs_have_server_made_client_ids(desk: Desk) -> None:
    """5.3: you cannot choose them."""
    _, sent = desk.send(**BRACKET, client_order_id="mine")
    names = [leg["client_order_id"] for leg in sent["legs"]]
    assert "mine" not in names
    assert len(set(names)) == 2


def test_ids_without_dashes_are_understood(desk: Desk) -> None:
    """1: apca sends ids without dashes in paths (Alpaca-API #111 log)."""
    order = desk.order(**LIMIT)
    assert desk.get(f"/v2/orders/{order.replace('-', '')}")["id"] == order


def test_numbers_may_be_json_numbers_or_strings(desk: Desk) -> None:
    """1 [run]: accept both; alpaca-py sends floats."""
    assert desk.send(qty=1.0, type="limit", limit_price=99)[1]["qty"] == "1"
    assert desk.send(qty="1", type="limit", limit_price="99")[1]["limit_price"] == "99"


# -- complex orders (5.3) ------------------------------------------------------------------------------


def test_legs_wait_until_the_entry_is_filled_whole(open_desk: OpenDesk) -> None:
    """0.8 and 5.3: exits are inactive until the entry is completely filled."""
    desk = open_desk(rate="1")
    entry, profit, stop = bracket(desk, qty="40")
    assert desk.status(entry) == "partially_filled"
    assert (desk.status(profit), desk.status(stop)) == ("held", "held")
    while desk.status(entry) != "filled":
        desk.price("100", "101")
    assert (desk.status(profit), desk.status(stop)) == ("new", "held")


def test_alpaca_py_sends_a_bracket(desk: Desk) -> None:
    """5.3: parent entry, TP limit leg, SL stop leg in one POST."""
    order = alpaca(desk).submit_order(
        MarketOrderRequest(
            symbol="AAA",
            qty=10,
            side=OrderSide.BUY,
            time_in_force=TimeInForce.GTC,
            order_class="bracket",
            take_profit=TakeProfitRequest(limit_price=105),
            stop_loss=StopLossRequest(stop_price=95, limit_price=94.5),
        )
    )
    assert [(leg.type.value, leg.status, leg.side) for leg in order.legs] == [
        ("limit", OrderStatus.HELD, OrderSide.SELL),
        ("stop_limit", OrderStatus.HELD, OrderSide.SELL),
    ]


def test_a_part_of_the_profit_reduces_the_stop(open_desk: OpenDesk) -> None:
    """5.3 docs: TP partially filled, SL quantity reduced to the remainder."""
    desk = open_desk()
    _, profit, stop = bracket(desk, qty="40")
    desk.exchange.venue.partial_fill_rate = Decimal(1)
    desk.price("105.1", "105.2")
    left = 40 - int(desk.get(f"/v2/orders/{profit}")["filled_qty"])
    assert 0 < left < 40
    assert desk.get(f"/v2/orders/{stop}")["qty"] == str(left)


def test_both_exits_hold_the_shares_once(desk: Desk) -> None:
    """4.2 and 5.3: the pair reserves the position once."""
    bracket(desk)
    assert desk.get("/v2/positions/AAA")["qty_available"] == "0"
    desk.order(qty="5")
    assert desk.get("/v2/positions/AAA")["qty_available"] == "5"


def test_a_split_does_not_adjust_legs(desk: Desk) -> None:
    """5.3: legs are DNR/DNC (alpaca-py #469: a 1:10 split sold on the old stop)."""
    _, profit, stop = bracket(desk)
    actions.split(desk.exchange.venue, "AAA", Decimal(10))
    assert desk.get("/v2/positions/AAA")["qty"] == "100"
    assert (desk.get(f"/v2/orders/{profit}")["limit_price"], desk.get(f"/v2/orders/{stop}")["qty"]) == ("105", "10")
    desk.price("9.99", "10.01", "10")
    assert desk.status(stop) == "filled"


@pytest.mark.parametrize("leg", [1, 2], ids=["5.3: limit_price of TP", "5.3: stop_price of SL"])
def test_prices_of_bracket_legs_can_be_replaced(desk: Desk, leg: int) -> None:
    """5.3: PATCH of limit_price / stop_price of legs allowed for bracket and oco."""
    ids = bracket(desk)
    change = {"limit_price": 104.0} if leg == 1 else {"stop_price": 96.0}
    new = alpaca(desk).replace_order_by_id(ids[leg], ReplaceOrderRequest(**change))
    assert str(new.replaces) == ids[leg]
    nested = desk.get(f"/v2/orders/{ids[0]}", nested="true")
    assert str(new.id) in {one["id"] for one in nested["legs"]}


@pytest.mark.parametrize("fires_as_new", ["false", "true"])
@pytest.mark.parametrize("kind", ["bracket", "oco"])
def test_a_profit_leg_called_replaced_leads_to_what_filled(desk: Desk, kind: str, fires_as_new: str) -> None:
    """5.3, quirk 35, 16: the take-profit shows as `replaced`; every id of the chain resolves, the last one filled."""
    desk.exchange.venue.switches.set({"oco_loser_status": "replaced", "stop_fires_as_new_order": fires_as_new})
    if kind == "bracket":
        head, profit, _ = bracket(desk)
    else:
        desk.order()
        head = profit = desk.order(**{**BRACKET, "side": "sell", "order_class": "oco", "type": "limit"})
    desk.price("94.9", "95", "94.9")
    chain = [desk.get(f"/v2/orders/{profit}")]
    while chain[-1]["replaced_by"]:
        chain.append(desk.get(f"/v2/orders/{chain[-1]['replaced_by']}"))
        assert chain[-1]["replaces"] == chain[-2]["id"]
    assert [one["status"] for one in chain] == ["replaced"] * (len(chain) - 1) + ["filled"]
    assert len(chain) == (3 if fires_as_new == "true" else 2)
    nested = desk.get("/v2/orders", status="all", nested="true")
    shown = {one["id"] for order in nested for one in (order, *(order["legs"] or ()))}
    assert {head, chain[-1]["id"]} <= shown


# -- replace and cancel (5.4, 5.5) ---------------------------------------------------------------------


def test_replace_answers_a_new_order_with_a_new_id(desk: Desk) -> None:
    """0.1 and 5.4: new id, `replaces` the old one, filled_qty of its own; the old one ends as replaced."""
    old = desk.order(**LIMIT, client_order_id="first")
    new = alpaca(desk).replace_order_by_id(old, ReplaceOrderRequest(limit_price=98.0))
    shown = alpaca(desk).get_order_by_id(old)
    assert str(new.replaces) == old != str(new.id)
    assert new.client_order_id != "first"
    assert (new.filled_qty, new.limit_price) == ("0", "98")
    assert (shown.status, shown.replaced_by, shown.limit_price) == (OrderStatus.REPLACED, new.id, "99")
    assert shown.replaced_at is not None


def test_the_replaced_event_carries_the_old_order(desk: Desk) -> None:
    """5.2 row 13, csharp #149: `replaced` with the old order's data, `new` for the new id."""
    frames = desk.listen()
    old = desk.order(**LIMIT)
    new = desk.call("PATCH", f"/v2/orders/{old}", {"limit_price": "98"})[1]["id"]
    told = [(frame["event"], frame["order"]["id"], frame["order"]["limit_price"]) for frame in frames[1:]]
    assert told == [("replaced", old, "99"), ("new", new, "98")]


def test_the_old_client_order_id_leads_to_the_old_order(desk: Desk) -> None:
    """0.1: the chain is followed by replaced_by."""
    old = desk.order(**LIMIT, client_order_id="first")
    new = desk.call("PATCH", f"/v2/orders/{old}", {"qty": "5"})[1]["id"]
    assert alpaca(desk).get_order_by_client_id("first").replaced_by.hex == new.replace("-", "")


def test_replace_reserves_the_larger_while_it_is_pending(desk: Desk) -> None:
    """4.2: reserve the larger of old and new."""
    desk.exchange.venue.switches.set({"replace_seconds": 30})
    order = desk.order(**LIMIT, qty="100")
    desk.call("PATCH", f"/v2/orders/{order}", {"qty": "150"})
    assert desk.get("/v2/account")["buying_power"] == str(200000 - 150 * 99)
    desk.pass_time(seconds=30)
    assert desk.get("/v2/account")["buying_power"] == str(200000 - 150 * 99)


def test_a_replacement_needs_buying_power_for_the_whole(desk: Desk) -> None:
    """4.2 and 7: 403 `insufficient buying power`."""
    order = desk.order(**LIMIT, qty="100")
    status, body = desk.call("PATCH", f"/v2/orders/{order}", {"qty": "2100"})
    assert (status, body["code"], body["cost_basis"]) == (403, 40310000, "207900")


def test_a_replacement_may_miss_the_shares_its_old_order_holds(desk: Desk) -> None:
    """5.4: 40310000 insufficient qty because the old order still holds them (Alpaca-API #282): a switch."""
    desk.order()
    order = desk.order(side="sell", type="limit", limit_price="110")
    desk.exchange.venue.switches.set({"replace_holds_old": True})
    status, body = desk.call("PATCH", f"/v2/orders/{order}", {"limit_price": "111"})
    assert (status, body["code"], body["related_orders"]) == (403, 40310000, [order])


def test_held_shares_stay_held_until_the_cancel_is_done(desk: Desk) -> None:
    """5.5: released only when it is really canceled (alpaca-py #400)."""
    desk.order()
    desk.exchange.venue.switches.set({"cancel_seconds": 60})
    order = desk.order(side="sell", type="stop", stop_price="90")
    desk.call("DELETE", f"/v2/orders/{order}")
    assert (desk.status(order), desk.get("/v2/positions/AAA")["qty_available"]) == ("pending_cancel", "0")
    desk.pass_time(seconds=60)
    assert (desk.status(order), desk.get("/v2/positions/AAA")["qty_available"]) == ("canceled", "10")


def test_a_cancel_at_night_may_wait_for_the_open(desk: Desk) -> None:
    """5.2 row 10: DELETE outside hours on a routed order is pending until the next open (a switch)."""
    desk.exchange.venue.switches.set({"cancel_when_closed": "at_open"})
    order = desk.order(**LIMIT, time_in_force="gtc")
    desk.exchange.advance_to(FRIDAY_OPEN + timedelta(hours=8))
    desk.call("DELETE", f"/v2/orders/{order}")
    due = desk.exchange.venue.book.by_id[order].due
    assert due == FRIDAY_OPEN + timedelta(days=3)


def test_cancel_all_answers_207_with_an_item_each(desk: Desk) -> None:
    """5.5: 207, items id and status; an empty list when there is nothing."""
    client = alpaca(desk)
    orders = {desk.order(**LIMIT), *bracket(desk, **LIMIT)}
    assert {(str(item.id), item.status) for item in client.cancel_orders()} == {(one, 200) for one in orders}
    assert client.cancel_orders() == []


def test_gtc_is_cancelled_after_ninety_days() -> None:
    """5.2 row 16: pending_cancel, then canceled."""
    exchange = Exchange.open(":memory:", open_market("synthetic:7"), FRIDAY_OPEN, wall)
    desk = Desk(exchange)
    frames = desk.listen()
    order = desk.order(symbol="F", type="limit", limit_price="1", time_in_force="gtc")
    desk.pass_time(days=89)
    assert desk.status(order) == "new"
    desk.pass_time(days=4)
    assert [frame["event"] for frame in frames] == ["new", "pending_cancel", "canceled"]


# -- closing positions (5.6) ---------------------------------------------------------------------------


def test_closing_is_an_ordinary_market_day_order(desk: Desk) -> None:
    """5.6: market, day, accepted or pending_new in the answer."""
    desk.order()
    order = alpaca(desk).close_position("AAA")
    assert isinstance(order, Order)
    assert (order.type.value, order.time_in_force.value, order.qty, order.side.value) == ("market", "day", "10", "sell")
    assert order.status == OrderStatus.PENDING_NEW
    assert desk.get("/v2/positions") == []


@pytest.mark.parametrize(
    ("how", "left"), [({"qty": "2.5"}, "7.5"), ({"percentage": "25"}, "7.5")], ids=["2: qty", "2: percentage"]
)
def test_a_part_of_a_position_is_closed(desk: Desk, how: dict[str, str], left: str) -> None:
    """2: `qty` or `percentage` (0-100), 9 decimals."""
    desk.order()
    alpaca(desk).close_position("AAA", ClosePositionRequest(**how))
    assert desk.get("/v2/positions/AAA")["qty"] == left


def test_closing_does_not_cancel_orders(desk: Desk) -> None:
    """5.6: if orders hold the shares, 403 with related_orders."""
    desk.order()
    stop = desk.order(side="sell", type="stop", stop_price="90")
    status, body = desk.call("DELETE", "/v2/positions/AAA")
    assert (status, body["code"], body["related_orders"]) == (403, 40310000, [stop])


def test_closing_all_is_207_with_403_inside(desk: Desk) -> None:
    """5.6 and quirk 21: each item has its own status and body (alpaca-py tests; csharp #811)."""
    desk.order()
    desk.order(symbol="BBB")
    desk.order(side="sell", type="stop", stop_price="90")
    items = {item.symbol: item for item in alpaca(desk).close_all_positions(cancel_orders=False)}
    assert all(isinstance(item, ClosePositionResponse) for item in items.values())
    assert (items["AAA"].status, items["AAA"].body.code) == (403, 40310000)
    assert (items["BBB"].status, items["BBB"].body.symbol) == (200, "BBB")


def test_the_items_of_a_207_have_three_fields(desk: Desk) -> None:
    """2, OAS-T: `[{"symbol","status","body"}]`, body = Order or error."""
    desk.order()
    status, items = desk.call("DELETE", "/v2/positions")
    assert (status, [item.keys() for item in items]) == (207, [{"symbol", "status", "body"}])
    assert items[0]["body"].keys() == desk.get(f"/v2/orders/{items[0]['body']['id']}").keys()


def test_closing_all_can_cancel_orders_first(desk: Desk) -> None:
    """2 and 12: alpaca-py sends `cancel_orders=True`."""
    desk.order()
    desk.order(side="sell", type="stop", stop_price="90")
    assert [item.status for item in alpaca(desk).close_all_positions(cancel_orders=True)] == [200]
    assert desk.get("/v2/positions") == desk.get("/v2/orders") == []


# -- money (3.3, 4.2) ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("multiplier", "power"), [(1, "100000"), (2, "200000"), (4, "400000")], ids=lambda value: f"3.3 OAS-T: {value}"
)
def test_buying_power_follows_the_multiplier(desk: Desk, multiplier: int, power: str) -> None:
    """3.3: 1 cash; 2 (equity - initial margin) x 2; 4 (last equity - last maintenance margin) x 4."""
    desk.exchange.venue.switches.set({"multiplier": multiplier})
    account = desk.get("/v2/account")
    assert (account["multiplier"], account["buying_power"]) == (str(multiplier), power)


def test_equity_is_cash_and_positions(desk: Desk) -> None:
    """3.3: equity = cash + long_market_value + short_market_value (short negative)."""
    desk.order(qty="100")
    desk.order(symbol="BBB", side="sell", qty="50")
    account = {
        name: Decimal(value)
        for name, value in desk.get("/v2/account").items()
        if name in ("cash", "equity", "long_market_value", "short_market_value", "initial_margin", "buying_power")
    }
    assert (account["long_market_value"], account["short_market_value"]) == (10000, -2500)
    assert account["equity"] == account["cash"] + 10000 - 2500
    assert account["buying_power"] == (account["equity"] - account["initial_margin"]) * 2


def test_an_opening_short_reserves_three_percent_above_the_ask(desk: Desk) -> None:
    """4.2: max(limit price, 1.03 x ask) x qty."""
    desk.order(side="sell", type="limit", limit_price="101", qty="100")
    assert Decimal(desk.get("/v2/account")["buying_power"]) == 200000 - Decimal("100.01") * Decimal("1.03") * 100


def test_closing_orders_free_nothing_before_they_fill(desk: Desk) -> None:
    """4.2: closing orders do not free any until executed."""
    desk.order(qty="100")
    before = desk.get("/v2/account")["buying_power"]
    desk.order(side="sell", type="limit", limit_price="110", qty="100")
    assert desk.get("/v2/account")["buying_power"] == before


def test_a_buy_to_cover_reserves_the_position(desk: Desk) -> None:
    """4.2: a buy to cover reserves position quantity (`qty_available`) too."""
    desk.order(side="sell")
    desk.order(type="limit", limit_price="90", qty="4")
    assert desk.get("/v2/positions/AAA")["qty_available"] == "6"


def test_last_equity_is_that_of_the_close(desk: Desk) -> None:
    """3.3: equity at the previous trading day's close."""
    desk.order(qty="100")
    desk.exchange.advance_to(FRIDAY_OPEN + timedelta(hours=7))
    account = desk.get("/v2/account")
    assert (account["last_equity"], account["balance_asof"]) == ("99999", "2026-11-20")


# -- configurations (3.4) ------------------------------------------------------------------------------


def configure(desk: Desk, **wanted: Any) -> int:
    return desk.call("PATCH", "/v2/account/configurations", wanted)[0]


def test_suspend_trade_blocks_new_orders(desk: Desk) -> None:
    """3.4: `suspend_trade` true blocks new orders; the account says so."""
    desk.order()
    assert configure(desk, suspend_trade=True) == 200
    assert desk.send()[1]["message"] == "account is not authorized to trade"
    assert desk.call("DELETE", "/v2/positions/AAA")[0] == 403
    assert desk.get("/v2/account")["trade_suspended_by_user"] is True
    configure(desk, suspend_trade=False)
    assert desk.send()[0] == 200


def test_no_shorting_is_long_only(desk: Desk) -> None:
    """3.4 and 7: 403 `account is not allowed to short`; selling what one has is fine."""
    configure(desk, no_shorting=True)
    status, body = desk.send(side="sell")
    assert (status, body["code"], body["message"]) == (403, 40310000, "account is not allowed to short")
    desk.order()
    assert desk.send(side="sell")[0] == 200
    assert desk.get("/v2/account")["shorting_enabled"] is False


def test_a_smaller_multiplier_means_less_buying_power(desk: Desk) -> None:
    """3.4: max_margin_multiplier."""
    configure(desk, max_margin_multiplier="1")
    account = desk.get("/v2/account")
    assert (account["multiplier"], account["buying_power"]) == ("1", "100000")
    assert desk.send(side="sell")[1]["message"] == "account is not allowed to short"


def test_whole_shares_only(desk: Desk) -> None:
    """3.4: fractional_trading false."""
    configure(desk, fractional_trading=False)
    assert (desk.send(qty="0.5")[0], desk.send(qty="1")[0]) == (403, 200)


@pytest.mark.parametrize(
    "wanted",
    [{"suspend_trade": "maybe"}, {"max_margin_multiplier": "3"}, {"trade_confirm_email": "some"}],
    ids=lambda wanted: f"2 apca account_config.rs: {wanted}",
)
def test_bad_configurations_are_400(desk: Desk, wanted: dict[str, Any]) -> None:
    """2: 400 on bad values, and nothing changes."""
    before = desk.get("/v2/account/configurations")
    assert configure(desk, **wanted) == 400
    assert desk.get("/v2/account/configurations") == before


def test_liquidation_only_lets_positions_be_closed_and_no_more(desk: Desk) -> None:
    """7 learn page: 403 `account is restricted to liquidation only`."""
    desk.order()
    desk.exchange.venue.accounts[desk.get("/v2/account")["id"]].liquidation_only = True
    status, body = desk.send(symbol="BBB")
    assert (status, body["code"], body["message"]) == (403, 40310000, "account is restricted to liquidation only")
    assert desk.call("DELETE", "/v2/positions/AAA")[0] == 200


def test_no_notional_order_after_hours_beside_a_closing_one(desk: Desk) -> None:
    """7 docs: `unable to open new notional orders while having open closing position orders`."""
    desk.order()
    desk.order(side="sell", type="limit", limit_price="110", time_in_force="gtc")
    desk.exchange.advance_to(FRIDAY_OPEN + timedelta(hours=8))
    status, body = desk.send(qty=None, notional="50", type="limit", limit_price="90")
    assert (status, body["message"]) == (
        403,
        "unable to open new notional orders while having open closing position orders",
    )


# -- what the exchange remembers -----------------------------------------------------------------------


def test_groups_replacements_and_switches_survive_a_restart(open_desk: OpenDesk, tmp_path: Any) -> None:
    """16: server restart with persistence: same ids, same orders."""
    first = open_desk(state=tmp_path / "state.db")
    first.exchange.venue.switches.set({"cancel_seconds": 60, "emit_held_cancel": True})
    configure(first, no_shorting=True)
    entry, profit, stop = bracket(first)
    pending = first.order(symbol="BBB", type="limit", limit_price="40")
    first.call("DELETE", f"/v2/orders/{pending}")
    new = first.call("PATCH", f"/v2/orders/{profit}", {"limit_price": "104"})[1]["id"]
    first.exchange._store.close()
    second = open_desk(state=tmp_path / "state.db")
    assert second.get("/v2/account/configurations")["no_shorting"] is True
    second.pass_time(seconds=60)
    assert second.status(pending) == "canceled"
    frames = second.listen()
    second.price("104.1", "104.2")
    assert [(frame["event"], frame["order"]["id"]) for frame in frames] == [("fill", new), ("canceled", stop)]
    assert second.get(f"/v2/orders/{entry}")["status"] == "filled"
