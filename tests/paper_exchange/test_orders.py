"""What happens to an order, in process."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest

from gambler_ai.paper_exchange import actions

from .rig import FRIDAY_OPEN, Desk


def test_a_market_buy_fills_at_the_ask_and_a_sell_at_the_bid(desk: Desk) -> None:
    desk.listen()
    status, answer = desk.send(client_order_id="first")
    assert (status, answer["status"], answer["filled_qty"]) == (200, "pending_new", "0")
    assert desk.events() == ["new", "fill"]
    assert (desk.frames[1]["price"], desk.frames[1]["qty"], desk.frames[1]["position_qty"]) == ("100.01", "10", "10")
    assert desk.frames[1]["order"]["status"] == "filled"
    desk.order(side="sell", qty=4)
    assert desk.frames[-1]["price"] == "99.99"
    assert desk.get("/v2/positions/AAA")["qty"] == "6"
    assert desk.get("/v2/account")["cash"] == str(Decimal(100000) - 10 * Decimal("100.01") + 4 * Decimal("99.99"))


def test_a_limit_rests_until_the_quote_crosses_and_never_fills_worse(desk: Desk) -> None:
    order = desk.order(type="limit", limit_price="99.5")
    desk.pass_time(minutes=3)
    assert desk.status(order) == "new"
    desk.price("99.2", "99.4")
    found = desk.get(f"/v2/orders/{order}")
    assert (found["status"], found["filled_avg_price"]) == ("filled", "99.4")


def test_a_sell_stop_is_elected_by_the_last_trade_and_sells_at_the_bid(desk: Desk) -> None:
    desk.order()
    stop = desk.order(side="sell", type="stop", stop_price="98", time_in_force="gtc")
    desk.price("98.5", "98.6", "98.5")
    assert desk.status(stop) == "new"
    desk.price("97.4", "97.6", "97.9")
    assert desk.get(f"/v2/orders/{stop}")["filled_avg_price"] == "97.4"


def test_a_buy_stop_carries_a_collar(desk: Desk) -> None:
    stop = desk.order(type="stop", stop_price="110")
    desk.price("114", "115", "111")
    assert desk.status(stop) == "new", "2.5 % above the stop is 112.75: an ask of 115 is beyond it"
    desk.price("112", "112.5", "112")
    assert desk.get(f"/v2/orders/{stop}")["filled_avg_price"] == "112.5"


def test_fractional_and_notional_orders_fill_to_nine_decimals(desk: Desk) -> None:
    desk.order(qty="0.123456789")
    assert desk.get("/v2/positions/AAA")["qty"] == "0.123456789"
    order = desk.get(f"/v2/orders/{desk.order(qty=None, notional='1000', symbol='BBB')}")
    assert (order["qty"], order["notional"], order["filled_qty"]) == (None, "1000", "19.992003198")


@pytest.mark.parametrize(
    ("order", "answer"),
    [
        ({"qty": None}, (422, 40010001)),
        ({"qty": "0"}, (422, 40010001)),
        ({"qty": "-1"}, (422, 40010001)),
        ({"qty": "NaN"}, (422, 40010001)),
        ({"qty": True}, (422, 40010001)),
        ({"notional": "10"}, (422, 40010001)),
        ({"qty": None, "notional": "0.5"}, (422, 42210000)),
        ({"qty": "0.5", "time_in_force": "gtc"}, (422, 42210000)),
        ({"qty": "0.1234567891"}, (422, 42210000)),
        ({"side": "hold"}, (422, 40010001)),
        ({"type": "magic"}, (422, 40010001)),
        ({"time_in_force": "soon"}, (422, 40010001)),
        ({"limit_price": "5"}, (422, 40010001)),
        ({"type": "limit"}, (422, 40010001)),
        ({"type": "stop"}, (422, 40010001)),
        ({"type": "limit", "limit_price": "0"}, (422, 40010001)),
        ({"type": "limit", "limit_price": "99.123"}, (422, 42210000)),
        ({"type": "limit", "limit_price": 0.1 + 0.2}, (422, 42210000)),
        ({"type": "limit", "limit_price": "0.12345"}, (422, 42210000)),
        ({"symbol": "NOPE"}, (422, 42210000)),
        ({"order_class": "bracket"}, (422, 42210000)),
        ({"extended_hours": True}, (422, 42210000)),
        ({"client_order_id": "x" * 129}, (422, 40010001)),
        ({"position_intent": "sell_to_close"}, (422, 42210000)),
        ({"qty": "100000"}, (403, 40310000)),
        ({"side": "sell", "qty": "0.5"}, (422, 42210000)),
    ],
)
def test_a_senseless_order_is_refused_as_alpaca_refuses_it(desk: Desk, order: dict, answer: tuple) -> None:
    assert desk.refused(**order) == answer
    assert desk.get("/v2/orders", status="all") == []


def test_malformed_json_is_refused(desk: Desk) -> None:
    assert desk.call("POST", "/v2/orders", "{nope")[0] == 400
    assert desk.call("POST", "/v2/orders", "[]")[0] == 400


def test_a_client_order_id_is_taken_for_ever(desk: Desk) -> None:
    order = desk.order(client_order_id="mine", type="limit", limit_price="90")
    assert desk.call("DELETE", f"/v2/orders/{order}")[0] == 204
    assert desk.refused(client_order_id="mine") == (422, 40010001)
    assert desk.get("/v2/orders:by_client_order_id", client_order_id="mine")["id"] == order


def test_buying_power_is_reserved_by_working_orders(desk: Desk) -> None:
    assert desk.get("/v2/account")["buying_power"] == "200000"
    desk.order(type="limit", limit_price="90", qty="1000")
    assert desk.get("/v2/account")["buying_power"] == "110000"
    status, answer = desk.send(type="limit", limit_price="90", qty="1500")
    assert (status, answer["code"], answer["buying_power"], answer["cost_basis"]) == (403, 40310000, "110000", "135000")
    desk.call("DELETE", "/v2/orders")
    assert desk.get("/v2/account")["buying_power"] == "200000"


def test_shares_are_held_by_closing_orders(desk: Desk) -> None:
    desk.order()
    stop = desk.order(side="sell", type="stop", stop_price="90", qty=8)
    assert desk.get("/v2/positions/AAA")["qty_available"] == "2"
    status, answer = desk.send(side="sell", qty=3)
    assert (status, answer["code"], answer["available"], answer["existing_qty"]) == (403, 40310000, "2", "10")
    assert answer["related_orders"] == [stop]
    assert desk.send(side="sell", qty=11)[0] == 403, "a sell cannot cross from long to short"


def test_opposite_orders_are_a_wash_trade(desk: Desk) -> None:
    desk.order()
    resting = desk.order(type="limit", limit_price="95")
    status, answer = desk.send(side="sell")
    assert (status, answer["code"], answer["existing_order_id"]) == (403, 40310000, resting)
    assert desk.refused(side="sell", type="stop", stop_price="90") == (403, 40310000)
    assert desk.refused(side="sell", type="limit", limit_price="95") == (403, 40310000)
    assert desk.send(side="sell", type="limit", limit_price="110")[0] == 200, "limits that do not cross may stand"


def test_a_short_cannot_open_beside_an_opening_buy(desk: Desk) -> None:
    desk.order(type="limit", limit_price="95")
    status, answer = desk.send(side="sell", type="limit", limit_price="110")
    assert (status, answer["message"]) == (403, "cannot open a short sell while a long buy order is open")


def test_a_short_is_negative_and_is_covered(desk: Desk) -> None:
    desk.order(side="sell")
    position = desk.get("/v2/positions/AAA")
    assert (position["qty"], position["side"], position["market_value"]) == ("-10", "short", "-1000")
    assert desk.get("/v2/account/activities")[0]["side"] == "sell_short"
    assert desk.send(qty=11)[0] == 403, "a buy cannot cross from short to long"
    desk.order(qty=10)
    assert desk.call("GET", "/v2/positions/AAA") == (404, {"code": 40410000, "message": "position does not exist"})
    assert desk.get("/v2/positions") == []


def test_cancel_frees_and_cannot_be_done_twice(desk: Desk) -> None:
    desk.listen()
    order = desk.order(type="limit", limit_price="90")
    assert desk.call("DELETE", f"/v2/orders/{order}") == (204, None)
    assert desk.events() == ["new", "canceled"]
    status, answer = desk.call("DELETE", f"/v2/orders/{order}")
    assert (status, answer) == (422, {"code": 42210000, "message": 'order is already in "canceled" state'})
    assert desk.call("DELETE", "/v2/orders/00000000-0000-4000-8000-000000000000")[1]["code"] == 40410000
    working = [desk.order(type="limit", limit_price="90") for _ in range(2)]
    assert desk.call("DELETE", "/v2/orders") == (207, [{"id": one, "status": 200} for one in working])


def test_orders_wait_for_the_opening(open_desk) -> None:
    desk = open_desk(FRIDAY_OPEN - timedelta(minutes=10))
    desk.exchange.advance_to(FRIDAY_OPEN - timedelta(seconds=1))
    desk.price("101", "102", "101.5")
    desk.listen()
    order = desk.order(type="limit", limit_price="103")
    assert (desk.status(order), desk.events()) == ("accepted", ["accepted"])
    desk.exchange.advance_to(FRIDAY_OPEN)
    assert desk.events() == ["accepted", "new", "fill"]


def test_day_orders_expire_at_the_close_and_gtc_orders_live_on(desk: Desk) -> None:
    desk.listen()
    day, gtc = (desk.order(type="limit", limit_price="90", time_in_force=tif) for tif in ("day", "gtc"))
    desk.exchange.advance_to(FRIDAY_OPEN.replace(hour=21))
    assert (desk.status(day), desk.status(gtc)) == ("expired", "new")
    assert desk.events()[-1] == "expired"
    later = desk.order(type="limit", limit_price="90")
    assert desk.get(f"/v2/orders/{later}")["expires_at"].startswith("2026-11-23T21:00")


def test_yesterdays_quote_fills_nothing_today(open_desk) -> None:
    desk = open_desk(FRIDAY_OPEN + timedelta(days=3))
    order = desk.order()
    assert desk.status(order) == "new"
    desk.price("100", "101")
    assert desk.status(order) == "filled"


def test_partial_fills_come_from_the_seed_and_end_in_the_whole(open_desk) -> None:
    desk = open_desk(rate="1")
    desk.listen()
    order = desk.order(qty="40")
    for _ in range(60):
        desk.price("100", "101")
    events = [frame for frame in desk.frames if "fill" in frame["event"]]
    assert len(events) > 3
    assert [event["event"] for event in events] == ["partial_fill"] * (len(events) - 1) + ["fill"]
    assert sum(Decimal(event["qty"]) for event in events) == 40
    assert desk.status(order) == "filled"
    again = open_desk(rate="1")
    again.listen()
    again.order(qty="40")
    for _ in range(60):
        again.price("100", "101")
    assert again.frames == desk.frames


def test_keys_open_accounts_of_their_own_and_secrets_are_fixed(desk: Desk) -> None:
    other = Desk(desk.exchange, key="OTHER")
    assert other.get("/v2/account")["id"] != desk.get("/v2/account")["id"]
    assert desk.get("/v2/account")["account_number"].startswith("PA")
    assert Desk(desk.exchange, secret="WRONG").call("GET", "/v2/account") == (401, {"message": "unauthorized."})
    assert desk.exchange.request("GET", "/v2/account", {}, None, "", "").status == 401
    order = desk.order()
    assert other.call("GET", f"/v2/orders/{order}")[0] == 404


def test_the_name_of_a_simple_order_changes_no_rule(desk: Desk) -> None:
    """3.1 and 4.3: `simple` is another word for a plain order, which is not exempt from wash trade protection."""
    desk.exchange.venue.switches.set({"plain_order_class": "simple"})
    desk.order()
    assert desk.get(f"/v2/orders/{desk.order(type='limit', limit_price='95')}")["order_class"] == "simple"
    assert desk.refused(side="sell", type="stop", stop_price="90") == (403, 40310000)


def test_a_gtc_order_of_the_evening_ends_as_every_gtc_order(open_desk: Callable[..., Desk]) -> None:
    """5.2 row 16: after ninety days by pending_cancel and canceled."""
    desk = open_desk(start=FRIDAY_OPEN + timedelta(hours=7, minutes=30))
    desk.price("99.99", "100.01")
    desk.listen()
    desk.order(type="limit", limit_price="1", time_in_force="gtc", extended_hours=True)
    desk.pass_time(days=93)
    assert desk.events() == ["new", "pending_cancel", "canceled"]


@pytest.mark.parametrize("bar", ["trading_blocked", "suspend_trade", "liquidation_only"])
def test_who_may_not_order_may_not_enlarge_an_order(desk: Desk, bar: str) -> None:
    """Section 7: account blocked, suspended, liquidation only; a replacement is a new order."""
    opening = desk.order(type="limit", limit_price="90")
    desk.order()
    closing = desk.order(side="sell", type="limit", limit_price="120")
    account = desk.exchange.keyring.account(desk.key, desk.secret)
    assert account is not None
    if bar == "suspend_trade":
        account.configurations["suspend_trade"] = True
    else:
        setattr(account, bar, True)
    assert desk.call("PATCH", f"/v2/orders/{opening}", {"qty": "100"})[0] == 403
    status, _ = desk.call("PATCH", f"/v2/orders/{closing}", {"limit_price": "121"})
    assert status == (200 if bar == "liquidation_only" else 403), "an exit may be moved by who may only close"


def test_a_level_of_options_trading_may_be_written_with_a_point(desk: Desk) -> None:
    status, found = desk.call("PATCH", "/v2/account/configurations", '{"max_options_trading_level": 1.0}')
    assert (status, found["max_options_trading_level"]) == (200, 1)
    assert desk.get("/v2/account/configurations") == found


def test_a_split_that_leaves_nothing_leaves_no_position(desk: Desk) -> None:
    desk.order(qty="1")
    desk.order(side="sell", qty="0.999999999")
    actions.split(desk.exchange.venue, "AAA", Decimal("0.1"))
    desk.exchange.commit()
    assert desk.get("/v2/positions") == []


def test_a_quote_without_a_side_counts_at_the_last_trade(desk: Desk) -> None:
    """Section 10: ap or bp 0 = no quote on that side; a market order then waits, and reserves the last price."""
    desk.order(qty="5")
    desk.price("0", "100.01", "100")
    status, sale = desk.send(side="sell", qty=None, notional="100")
    assert (status, desk.status(sale["id"])) == (200, "new")
    desk.call("DELETE", f"/v2/orders/{sale['id']}")
    desk.price("99.99", "0", "100")
    before = Decimal(desk.get("/v2/account")["buying_power"])
    assert desk.status(desk.order(qty="5")) == "new"
    assert before - Decimal(desk.get("/v2/account")["buying_power"]) == 500
    assert desk.refused(qty="1000000") == (403, 40310000)


@pytest.mark.parametrize(("path", "status"), [("/v2/orders", 422), ("/v2/stocks/AAA/bars", 400)])
def test_a_limit_of_thousands_of_digits_is_refused(desk: Desk, path: str, status: int) -> None:
    assert desk.call("GET", path, timeframe="1Min", limit="9" * 5000)[0] == status
