"""Orders that did not get through: which are sent again, and when."""

import json
from dataclasses import replace

import pytest

from gambler_ai.broker.alpaca_rest import Reply
from gambler_ai.domain.orders import OrderStatus
from gambler_ai.domain.reconciliation import Action
from tests.trading.rig import BUY, RESTING, SELL, Rig


def test_an_exit_that_could_not_reach_the_broker_is_sent_again(rig: Rig) -> None:
    rig.held()
    rig.weather.posts = ["unreachable"]
    order = rig.placed(SELL, key="out")
    assert order.status is OrderStatus.IN_DOUBT
    rig.settle_for(5)
    rig.pass_time(60)
    rig.recovery.run()
    assert (rig.order(order).status, rig.order(order).attempts, rig.shares) == (OrderStatus.FILLED, 2, {})


@pytest.mark.parametrize("halted", ["AAA", "BBB"])
def test_the_gate_is_asked_again_before_an_entry_is_sent_again(rig: Rig, halted: str) -> None:
    rig.weather.posts = ["lost before"]
    order = rig.placed(RESTING)
    rig.state.raise_halt(Action("R7", halted, "halt symbol", "numbers differ", {}))
    rig.settle_for(3)
    assert rig.order(order).attempts == (1 if halted == "AAA" else 2)


def test_an_exit_of_more_than_is_held_by_now_is_not_sent_again(rig: Rig) -> None:
    rig.held()
    rig.weather.posts = ["lost before"]
    order = rig.placed(SELL, key="out")
    rig.by_hand("AAA", "4", "sell")
    rig.pass_time(60)
    rig.rounds(1)
    rig.settle_for(3)
    assert rig.order(order).attempts == 1


@pytest.mark.parametrize(("wait_s", "attempts"), [("20", 1), ("2", 2)])
def test_nothing_is_sent_again_before_the_time_the_broker_names(rig: Rig, wait_s: str, attempts: int) -> None:
    rig.weather.posts = [Reply(429, json.dumps({"message": "slow down"}), {"Retry-After": wait_s})]
    order = rig.placed(replace(BUY, type="limit", limit_price=RESTING.limit_price))
    rig.settle_for(10)
    assert rig.order(order).attempts == len(rig.weather.sent) == attempts
    rig.settle_for(30)
    assert rig.order(order).attempts == len(rig.weather.sent) == 2


def test_a_broker_that_keeps_asking_to_wait_is_not_pressed(rig: Rig) -> None:
    rig.weather.posts = [Reply(429, "{}", {"Retry-After": "10"})] * 20
    rig.placed(RESTING)
    rig.settle_for(15)
    assert len(rig.weather.sent) == 2
