"""Orders at rest: a quote looks at the orders it reaches, and at no others."""

from collections.abc import Iterator
from decimal import Decimal
from typing import NoReturn

import pytest

from gambler_ai.paper_exchange import matching
from gambler_ai.paper_exchange.book import Order

from .rig import Desk


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    seen: list[str] = []
    for name in ("fill_price", "elected"):
        real = getattr(matching, name)

        def counting(order: Order, *rest: object, real=real) -> object:
            seen.append(order.id)
            return real(order, *rest)

        monkeypatch.setattr(matching, name, counting)
    return seen


def rest_many(desk: Desk, number: int, symbol: str = "AAA") -> None:
    for index in range(number):
        desk.order(symbol=symbol, qty="0.1", type="limit", limit_price=f"{10 + index % 1000 / 100:.2f}")


def test_ten_thousand_resting_orders_cost_a_quote_nothing(desk: Desk, looked_at: list[str]) -> None:
    account = desk.exchange.keyring.account(desk.key, desk.secret)
    assert account is not None
    account.cash = Decimal(10_000_000)
    near = desk.order(qty="1", type="limit", limit_price="95")
    example = desk.exchange.venue.book.by_id[near]
    book = desk.exchange.venue.book
    for index in range(10_000):
        fields = {name: getattr(example, name) for name in Order.__slots__}
        extra = {
            "id": f"x{index}",
            "client_order_id": f"x{index}",
            "seq": index + 2,
            "limit_price": Decimal(10 + index % 50),
        }
        order = Order(**{**fields, **extra})
        book.add(order)
        book.index(order)
    looked_at.clear()
    desk.price("96", "96.5")
    assert looked_at == []
    desk.price("94", "94.5")
    assert looked_at == [near]
    assert desk.status(near) == "filled"


def test_other_symbols_are_not_looked_at(desk: Desk, looked_at: list[str]) -> None:
    rest_many(desk, 20, symbol="BBB")
    looked_at.clear()
    desk.price("10", "10.01", symbol="AAA")
    assert looked_at == []


def test_orders_reached_together_fill_in_the_order_they_came(desk: Desk) -> None:
    first = desk.order(type="limit", limit_price="94")
    second = desk.order(type="limit", limit_price="96")
    third = desk.order(type="limit", limit_price="95")
    frames = desk.listen()
    desk.price("93", "93.5")
    assert [frame["order"]["id"] for frame in frames] == [first, second, third]


def test_a_triggered_stop_rests_at_its_collar(desk: Desk, looked_at: list[str]) -> None:
    stop = desk.order(type="stop", stop_price="110")
    desk.price("140", "141", last="120")
    assert desk.status(stop) == "new", "beyond the collar of 112.75"
    looked_at.clear()
    desk.price("130", "131", last="90")
    assert looked_at == []
    desk.price("112", "112.5", last="90")
    assert desk.status(stop) == "filled"


def test_orders_of_extended_hours_are_looked_at_when_these_begin_and_end_only(desk: Desk) -> None:
    class Unseen(dict[str, Order]):
        def values(self) -> NoReturn:
            raise AssertionError("looked at")

    book = desk.exchange.venue.book
    desk.order(type="limit", limit_price="1", extended_hours=True)
    book.extended = Unseen(book.extended)
    desk.pass_time(minutes=30)
    desk.get("/v2/account")
    with pytest.raises(AssertionError, match="looked at"):
        desk.pass_time(hours=12)


def test_pending_cancels_are_decided_in_the_order_of_their_time(desk: Desk) -> None:
    orders = [desk.order(type="limit", limit_price="1") for _ in range(3)]
    for order, seconds in zip(orders, (90, 30, 60), strict=True):
        desk.exchange.venue.switches.set({"cancel_seconds": seconds})
        desk.call("DELETE", f"/v2/orders/{order}")
    desk.listen()
    desk.pass_time(seconds=60)
    assert [frame["order"]["id"] for frame in desk.frames] == [orders[1], orders[2]]
    desk.pass_time(seconds=30)
    assert desk.status(orders[0]) == "canceled"
