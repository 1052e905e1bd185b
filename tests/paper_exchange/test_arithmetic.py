"""Cash, positions and buying power while prices move: every figure worked out by hand (reference 3.2, 3.3 and 4.2)."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from gambler_ai.paper_exchange import actions
from gambler_ai.paper_exchange.faults import Faults

from .rig import FRIDAY_OPEN, Desk

EVENING, NIGHT = timedelta(hours=7, minutes=30), timedelta(hours=13)
MONDAY = timedelta(days=3, minutes=1)


def at(desk: Desk, after_opening: timedelta) -> None:
    desk.exchange.advance_to(FRIDAY_OPEN + after_opening)


def account(desk: Desk, *names: str) -> list[Decimal]:
    found = desk.get("/v2/account")
    return [Decimal(found[name]) for name in names]


def position(desk: Desk, *names: str) -> list[Any]:
    found = desk.get("/v2/positions/AAA")
    return [found[name] for name in names]


@pytest.fixture
def parts(moving: Desk) -> Faults:
    """Fills in parts, forced by fault rules."""
    faults = Faults(lambda: Decimal(0))
    moving.exchange.venue.fault = faults.on_order
    return faults


def use(desk: Desk, **switches: Any) -> None:
    desk.exchange.venue.switches.set(switches)


def test_reducing_a_position_keeps_its_entry_price(moving: Desk) -> None:
    moving.order(qty="10")
    at(moving, timedelta(minutes=3))
    moving.order(qty="4", side="sell")
    assert position(moving, "qty", "cost_basis", "avg_entry_price") == ["6", "600.06", "100.01"]
    moving.order(qty="4")
    assert position(moving, "qty", "cost_basis", "avg_entry_price") == ["10", "1028.26", "102.826"]


def test_crossing_zero_begins_a_position_anew(moving: Desk, parts: Faults) -> None:
    use(moving, replace_original_qty=True)
    exits = {"take_profit": {"limit_price": "125"}, "stop_loss": {"stop_price": "90"}}
    legs = moving.send(time_in_force="gtc", order_class="bracket", **exits)[1]["legs"]
    at(moving, MONDAY)
    parts.add({"act": "partial_fill", "qty": "4", "times": 1})
    moving.price("125.1", "125.2")
    assert moving.call("PATCH", f"/v2/orders/{legs[0]['id']}", {"limit_price": "126"})[0] == 200
    moving.price("126.1", "126.2")
    names = ("qty", "cost_basis", "avg_entry_price", "side", "unrealized_intraday_pl")
    assert position(moving, *names) == ["-4", "-504.4", "126.1", "short", "0"], "ten sold of six"


def test_a_split_changes_no_profit(moving: Desk) -> None:
    use(moving, multiplier=4)
    moving.order(qty="10")
    at(moving, MONDAY)
    power = account(moving, "buying_power")
    actions.split(moving.exchange.venue, "AAA", Decimal(2))
    moving.exchange.commit()
    moving.price("58.49", "58.51", "58.5")
    assert position(moving, "qty", "unrealized_pl", "unrealized_intraday_pl") == ["20", "169.9", "60"]
    assert account(moving, "buying_power") == power, "all of it is still held over night"


def test_profit_is_value_less_cost(moving: Desk) -> None:
    moving.order(qty="10")
    at(moving, timedelta(minutes=1))
    names = ("market_value", "unrealized_pl", "unrealized_plpc", "current_price")
    assert position(moving, *names) == ["1020", "19.9", "0.0198980102", "102"]


def test_the_last_days_price_is_the_close_of_the_day_before(moving: Desk) -> None:
    moving.order(qty="10")
    at(moving, MONDAY)
    assert position(moving, "lastday_price", "change_today") == ["111", "0.0540540541"]


def test_profit_of_the_day_counts_what_was_held_over_night_from_the_close(moving: Desk) -> None:
    moving.order(qty="10")
    at(moving, MONDAY)
    assert position(moving, "unrealized_pl", "unrealized_intraday_pl") == ["169.9", "60"]
    assert position(moving, "unrealized_intraday_plpc") == ["0.0540540541"]
    moving.order(qty="10")
    moving.order(qty="5", side="sell")
    assert position(moving, "unrealized_intraday_pl") == ["44.925"], "15 of 20 shares: 10 from 111, 10 from 117.01"


def test_two_trades_at_two_prices_average_to_nine_digits(moving: Desk, parts: Faults) -> None:
    at(moving, timedelta(minutes=1))
    parts.add({"act": "partial_fill", "qty": "1", "times": 1})
    order = moving.order(qty="3")
    moving.price("101.48", "101.52")
    assert moving.get(f"/v2/orders/{order}")["filled_avg_price"] == "101.686666667"
    assert position(moving, "avg_entry_price") == ["101.686666667"]


def test_margins_are_half_and_thirty_percent_of_what_is_held(moving: Desk) -> None:
    moving.order(qty="100")
    moving.order(symbol="BBB", qty="50", side="sell")
    names = ("long_market_value", "short_market_value", "equity", "initial_margin", "maintenance_margin")
    assert account(moving, *names) == [10000, -2000, Decimal("99998"), 6000, 3600]


def test_the_close_keeps_equity_and_maintenance(moving: Desk) -> None:
    moving.order(qty="100")
    at(moving, MONDAY)
    assert account(moving, "last_equity", "last_maintenance_margin", "equity") == [101_099, 3330, 101_699]


def test_twice_the_equity_less_the_margin_less_what_orders_reserve(moving: Desk) -> None:
    moving.order(qty="100")
    moving.order(type="limit", limit_price="90", qty="100")
    assert account(moving, "buying_power", "regt_buying_power") == [2 * (99_999 - 5000) - 9000] * 2


def test_cash_that_is_not_marginable_knows_reserves_and_short_sales(moving: Desk) -> None:
    """What a short sale brought in cannot be spent, and buying the shares back costs as much again."""
    moving.order(symbol="BBB", qty="100", side="sell")
    moving.order(type="limit", limit_price="90", qty="100")
    cash = 100_000 + Decimal("3998")
    assert account(moving, "cash", "non_marginable_buying_power") == [cash, cash - 8000 - 9000]


@pytest.mark.parametrize("multiplier", [1, 4])
def test_cash_and_day_traders_buying_power_while_an_order_rests(moving: Desk, multiplier: int) -> None:
    use(moving, multiplier=multiplier)
    moving.order(qty="100")
    moving.order(type="limit", limit_price="90", qty="100")
    wanted = {1: 100_000 - 10_001 - 9000, 4: 400_000 - 10_000 - 9000}
    assert account(moving, "buying_power") == [wanted[multiplier]]


def test_four_times_what_the_close_left_and_only_what_is_bought_since_counts_against_it(moving: Desk) -> None:
    use(moving, multiplier=4)
    moving.order(qty="100")
    at(moving, MONDAY)
    assert account(moving, "buying_power") == [(101_099 - 3330) * 4]
    moving.order(qty="10")
    assert account(moving, "buying_power") == [(101_099 - 3330) * 4 - 1170]
    moving.order(qty="60", side="sell")
    assert account(moving, "buying_power") == [(101_099 - 3330) * 4], "fifty of the hundred are left"


@pytest.mark.parametrize(("when", "price"), [(timedelta(minutes=1), "102.02"), (EVENING, "119.5"), (NIGHT, "120")])
def test_a_market_order_reserves_the_ask_then_the_middle_then_the_last_trade(
    moving: Desk, when: timedelta, price: str
) -> None:
    at(moving, when)
    order = moving.order(qty="10")
    assert moving.exchange.venue.book.by_id[order].reserve_price == Decimal(price)


@pytest.mark.parametrize(
    ("symbol", "stop", "reached", "beyond"), [("BBB", "40.5", "42.12", "42.13"), ("AAA", "110", "112.75", "112.76")]
)
def test_a_buy_stop_is_a_limit_four_or_two_and_a_half_percent_above(
    moving: Desk, symbol: str, stop: str, reached: str, beyond: str
) -> None:
    """4.1: 4 % above a stop below 50 USD, 2.5 % above others."""
    order = moving.order(symbol=symbol, type="stop", stop_price=stop)
    moving.price(reached, beyond, stop, symbol=symbol)
    assert moving.status(order) == "new"
    moving.price(reached, reached, stop, symbol=symbol)
    assert moving.status(order) == "filled"


def test_the_first_short_sale_is_told_as_one(moving: Desk) -> None:
    for side, qty in (("sell", "5"), ("sell", "1"), ("buy", "6"), ("buy", "1"), ("sell", "1")):
        moving.order(side=side, qty=qty)
    told = [one["side"] for one in moving.get("/v2/account/activities/FILL", direction="asc")]
    assert told == ["sell_short", "sell_short", "buy", "buy", "sell"]


def test_a_list_of_orders_holds_fifty_unless_asked_for_more(moving: Desk) -> None:
    for number in range(51):
        moving.order(type="limit", limit_price="90", qty="1", client_order_id=f"n{number}")
    listed = moving.get("/v2/orders")
    assert [len(listed), listed[-1]["client_order_id"]] == [50, "n1"]
    assert len(moving.get("/v2/orders", limit="500")) == 51


def test_until_ends_a_list_of_activities(moving: Desk) -> None:
    moving.order(qty="1")
    at(moving, timedelta(minutes=1))
    moving.order(qty="2")
    until = (FRIDAY_OPEN + timedelta(seconds=30)).isoformat()
    assert [one["qty"] for one in moving.get("/v2/account/activities/FILL", until=until)] == ["1"]
    assert [one["qty"] for one in moving.get("/v2/account/activities/FILL", after=until)] == ["2"]
