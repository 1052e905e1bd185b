"""May this wish become an order? One rule a test."""

from dataclasses import replace
from typing import Any

import pytest

from gambler_ai.domain.orders import Order, OrderStatus, Role, Side, Wish
from gambler_ai.domain.positions import EXTERNAL
from gambler_ai.domain.risk import Exposure, Limits, why_not
from tests.builders import D, a_position, an_order

BUY = Wish("SPY", Side.BUY, D(10))
SELL = Wish("SPY", Side.SELL, D(100), Role.EXIT)
WORKING = an_order(status=OrderStatus.WORKING)


def asked(wish: Wish, held: Any = (), orders: Any = (), blocks: Any = None, limits: Limits | None = None) -> str | None:
    return why_not(wish, "alpha", ["SPY", "IBM"], Exposure(held, orders, blocks or {}), limits or Limits())


def orders(count: int, status: OrderStatus, symbol: str = "IBM") -> list[Order]:
    return [an_order(str(n), symbol=symbol, status=status) for n in range(count)]


def test_a_plain_entry_may_pass() -> None:
    assert asked(BUY) is None


@pytest.mark.parametrize("qty", ["0", "-1", "0.0000000001", "1E+40", "1000001"])
def test_a_quantity_that_cannot_be_meant_is_refused(qty: str) -> None:
    assert "quantity" in str(asked(replace(BUY, qty=D(qty))))


def test_the_largest_quantity_may_pass() -> None:
    assert asked(replace(BUY, qty=Limits().max_order_qty)) is None


@pytest.mark.parametrize("price", ["0", "-1", "10.001", "0.00001"])
def test_a_price_off_the_grid_is_refused(price: str) -> None:
    assert "tick grid" in str(asked(replace(BUY, limit_price=D(price))))
    assert "tick grid" in str(asked(replace(SELL, stop_price=D(price)), [a_position()]))


def test_a_symbol_outside_the_session_is_refused() -> None:
    assert asked(replace(BUY, symbol="AIG")) == "AIG is not among this session's symbols"


@pytest.mark.parametrize("scope", ["*", "SPY"])
def test_a_block_stops_entries_and_gives_its_reason(scope: str) -> None:
    assert asked(BUY, blocks={scope: "halted: because"}) == "halted: because"
    assert asked(BUY, blocks={"IBM": "halted: because"}) is None


def test_exits_pass_under_every_block() -> None:
    assert asked(SELL, [a_position()], blocks={"*": "no", "SPY": "no"}) is None


@pytest.mark.parametrize("status", [OrderStatus.SENDING, OrderStatus.IN_DOUBT])
def test_an_order_in_doubt_stops_entries_of_its_symbol(status: OrderStatus) -> None:
    assert asked(BUY, orders=orders(1, status, "SPY")) == "an order of SPY is in doubt"
    assert asked(BUY, orders=orders(2, status)) is None


def test_too_many_orders_in_doubt_stop_every_entry() -> None:
    assert asked(BUY, orders=orders(3, OrderStatus.IN_DOUBT)) == "3 orders are in doubt"


def test_a_strangers_open_order_stops_entries_of_its_symbol() -> None:
    stranger = replace(WORKING, role=Role.FOREIGN, owner=EXTERNAL)
    assert "not ours" in str(asked(BUY, orders=[stranger]))
    assert asked(BUY, orders=[replace(stranger, status=OrderStatus.FILLED)]) is None


def test_one_working_order_a_symbol_and_owner() -> None:
    assert asked(BUY, orders=[WORKING]) == "alpha already has a working order in SPY"
    assert asked(BUY, orders=[replace(WORKING, owner="beta")]) is None


def test_too_many_open_orders_stop_entries() -> None:
    assert asked(BUY, orders=orders(2, OrderStatus.WORKING), limits=Limits(max_open_orders=2)) is not None
    assert asked(BUY, orders=orders(1, OrderStatus.WORKING), limits=Limits(max_open_orders=2)) is None


@pytest.mark.parametrize(
    "held", [[], [a_position(owner="beta")], [a_position(quantity=-100)], [a_position(symbol="IBM")]]
)
def test_an_exit_needs_shares_of_the_owner_to_leave(held: Any) -> None:
    assert "nothing to sell" in str(asked(SELL, held))


def test_a_short_is_left_by_buying() -> None:
    cover = replace(SELL, side=Side.BUY)
    assert asked(cover, [a_position(quantity=-100)]) is None
    assert "nothing to buy" in str(asked(cover, [a_position()]))


@pytest.mark.parametrize("status", ["SENDING", "IN_DOUBT", "WORKING"])
def test_two_exits_never_sell_the_same_shares(status: str) -> None:
    leaving = replace(WORKING, side=Side.SELL, role=Role.EXIT, qty=D(60), filled_qty=D(20), status=OrderStatus(status))
    assert "only 60 of 100" in str(asked(SELL, [a_position()], [leaving]))
    assert asked(replace(SELL, qty=D(60)), [a_position()], [leaving]) is None


@pytest.mark.parametrize(("role", "status"), [(Role.STOP, "FILLED"), (Role.EXIT, "FILLED"), (Role.STOP, "CANCELED")])
def test_shares_that_an_ended_exit_sold_are_gone_before_their_fill_is_booked(role: Role, status: str) -> None:
    sold = replace(WORKING, side=Side.SELL, role=role, qty=D(60), status=OrderStatus(status), broker_filled_qty=D(60))
    assert "only 40 of 40" in str(asked(SELL, [a_position()], [sold]))
    assert asked(replace(SELL, qty=D(40)), [a_position()], [sold]) is None


def test_more_than_is_held_is_never_sold() -> None:
    assert asked(replace(SELL, qty=D("100.5")), [a_position()]) is not None


@pytest.mark.parametrize(("exit_price", "passes"), [("10.51", True), ("10.50", False), (None, False)])
def test_an_entry_passes_a_protecting_exit_when_both_are_limits_that_do_not_cross(
    exit_price: str | None, passes: bool
) -> None:
    wish = replace(BUY, type="limit", limit_price=D("10.50"))
    target = replace(WORKING, role=Role.TAKE_PROFIT, side=Side.SELL, type="limit" if exit_price else "stop")
    target = replace(target, limit_price=D(exit_price) if exit_price else None)
    assert (asked(wish, [a_position()], [target]) is None) is passes
    assert "wash trade" in str(asked(BUY, [a_position()], [target]))
