"""Orders that did not get through: which are sent again, and when."""

import json
from dataclasses import replace

import pytest

from gambler_ai import crashpoints
from gambler_ai.broker.alpaca_rest import Reply
from gambler_ai.crashpoints import CrashPlan, SimulatedCrash
from gambler_ai.domain.orders import Order, OrderStatus
from gambler_ai.domain.reconciliation import Action
from gambler_ai.errors import HumanNeeded
from gambler_ai.trading.maintenance import reconcile
from gambler_ai.trading.messages import Tick
from gambler_ai.trading.session_run import SessionRun
from gambler_ai.trading.sessions import Request
from tests.trading.rig import BUY, PROTECTED, RESTING, SELL, Rig


def test_an_exit_that_could_not_reach_the_broker_is_sent_again(rig: Rig) -> None:
    rig.held()
    rig.weather.posts = ["unreachable"]
    order = rig.placed(SELL, key="out")
    assert order.status is OrderStatus.IN_DOUBT
    rig.settle_for(5)
    rig.pass_time(60)
    rig.recovery.run()
    assert (rig.order(order).status, rig.order(order).attempts, rig.shares) == (OrderStatus.FILLED, 1, {})


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


def killed_before_the_request(rig: Rig, symbol: str = "AAA") -> Order:
    """An entry of which the books say that it may have left, and which never did."""
    crashpoints.arm(CrashPlan("order.before_send", in_process=True))
    with pytest.raises(SimulatedCrash):
        rig.place(replace(PROTECTED, symbol=symbol), "bar:two:0")
    rig.close()
    return next(order for order in rig.state.book.orders.values() if order.status is OrderStatus.SENDING)


def test_reconcile_opens_no_position(rig: Rig) -> None:
    order = killed_before_the_request(rig)
    code, report = reconcile(rig.opened_anew(), dry_run=False)
    rig.open()
    assert (rig.at_exchange(), rig.order(order).status) == ([], OrderStatus.ABSENT)
    assert (code, [action["row"] for action in report["applied"]]) == (0, ["R14"])


def test_after_a_start_exits_leave_before_entries(rig: Rig) -> None:
    rig.bought()
    killed_before_the_request(rig, "BBB")
    rig.open()
    rig.recovery.run()
    assert [(o["symbol"], o["side"]) for o in rig.at_exchange()[1:]] == [("AAA", "sell")]
    rig.settle_for(1)  # the session goes on, and the signal is still valid
    assert [(o["symbol"], o["side"]) for o in rig.at_exchange()[1:]] == [("AAA", "sell"), ("BBB", "buy")]


def test_an_entry_that_may_still_leave_does_so_in_the_session_that_is_resumed(rig: Rig, run: SessionRun) -> None:
    rig.open()
    order = killed_before_the_request(rig)
    loop = run.begin(Request(resume=""))
    assert rig.at_exchange() == []
    rig.clock.sleep(0.5)
    loop.step(Tick())
    assert [o["client_order_id"] for o in rig.at_exchange()] == [order.client_order_id]


def test_entries_leave_room_for_exits_in_a_minutes_orders(rig: Rig) -> None:
    rig.bought()
    wild = rig.placed(replace(RESTING, symbol="BBB"), key="wild")
    for number in range(79):
        rig.parts.gateway.submit(replace(wild, client_order_id=f"g1-e-wild-{number}"))
    with pytest.raises(HumanNeeded, match="80 orders left within one minute; no more are sent, but exits"):
        rig.parts.gateway.submit(replace(wild, client_order_id="g1-e-wild-79"))
    rig.protection.run()
    assert rig.live_exits() == [("stop", "10", "95", "new")]


def test_an_exit_that_cannot_leave_keeps_its_attempts_until_it_can(rig: Rig) -> None:
    rig.bought()
    rig.weather.posts = ["unreachable"] * 9
    rig.protection.run()
    rig.settle_for(20)
    assert rig.weather.posts == []
    assert rig.live_exits() == [("stop", "10", "95", "new")]
    assert len(rig.weather.sent) == 2
