"""Whatever is done to the exchange, money, shares and events add up after every step.

Sixty flows of 300 steps by default; GAMBLER_TEST_FLOWS=500 runs five hundred, in about a minute and a half.
"""

import os
from collections.abc import Callable
from decimal import Decimal

import pytest

from .flows import Flow, run_flow
from .rig import Desk

OpenDesk = Callable[..., Desk]
FLOWS = int(os.environ.get("GAMBLER_TEST_FLOWS", "60"))


@pytest.mark.parametrize("first", range(0, FLOWS, 10))
def test_every_step_conserves_money_and_shares(open_desk: OpenDesk, first: int) -> None:
    for seed in range(first, first + 10):
        run_flow(open_desk(rate="0.2", seed=seed), seed)


def test_the_flows_reach_every_kind_of_end(open_desk: OpenDesk) -> None:
    ends: set[str] = set()
    events: set[str] = set()
    for seed in range(130, 140):
        flow = run_flow(open_desk(rate="0.2", seed=seed), seed, steps=150)
        ends |= {order.status for order in flow.desk.exchange.venue.book.by_id.values()}
        events |= set(flow.desk.events())
    assert ends >= {"filled", "canceled", "expired", "replaced", "rejected"}
    assert events >= {"new", "accepted", "fill", "partial_fill", "replaced", "pending_cancel", "pending_replace"}


def test_a_wrong_book_is_noticed(open_desk: OpenDesk) -> None:
    flow = Flow(open_desk(), 0)
    flow.desk.order()
    flow.check()
    flow.account.cash += 1
    with pytest.raises(AssertionError, match="cash"):
        flow.check()


def test_shares_held_twice_are_noticed(open_desk: OpenDesk) -> None:
    flow = Flow(open_desk(), 0)
    flow.desk.order()
    for side, price in (("sell", "110"), ("buy", "90")):
        order = flow.desk.order(side=side, type="limit", limit_price=price, time_in_force="gtc")
        flow.check()
        book = flow.desk.exchange.venue.book
        book.by_id[order].held_qty += 1
        with pytest.raises(AssertionError, match="shares"):
            flow.check()
        book.by_id[order].held_qty -= 1


def test_an_order_beyond_the_buying_power_is_noticed(open_desk: OpenDesk) -> None:
    flow = Flow(open_desk(), 0)
    _, answer = flow.desk.send(type="limit", limit_price="90")
    flow._check_power(answer, Decimal(900))
    with pytest.raises(AssertionError, match="buying power"):
        flow._check_power(answer, Decimal(899))
