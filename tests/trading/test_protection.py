"""Protection: whatever a position wants as exits, the exchange has them, and never for more shares than there are."""

from dataclasses import replace
from decimal import Decimal

from gambler_ai.domain.orders import OrderStatus, Role
from tests.trading.rig import BRACKETED, KEYS, PROTECTED, SELL, Rig


def test_bought_shares_get_their_stop(rig: Rig) -> None:
    rig.bought()
    rig.protection.run()
    assert rig.live_exits() == [("stop", "10", "95", "new")]
    assert rig.protection.decision().exposed == {}


def test_a_second_pass_does_nothing(rig: Rig) -> None:
    rig.bought()
    rig.protection.run()
    sent = rig.desk.requests
    assert rig.protection.run() == []
    assert rig.desk.requests == sent


def test_recovery_places_the_stop_that_a_crash_prevented(rig_on_both: Rig) -> None:
    rig = rig_on_both
    rig.bought()
    recovery = rig.restart()
    assert rig.live_exits() == [("stop", "10", "95", "new")]
    assert [action.reason for action in recovery.applied if action.row == "R3"] == [
        "10 of 10 shares had no exit: a stop at 95, until cancelled"
    ]


def test_stop_and_target_live_as_one_oco(rig: Rig) -> None:
    rig.bought(BRACKETED)
    rig.protection.run()
    assert rig.live_exits() == [("limit", "10", "120", "new"), ("stop", "10", "95", "held")]
    roles = {o.role for o in rig.state.book.orders.values() if o.status is OrderStatus.WORKING}
    assert roles == {Role.STOP, Role.TAKE_PROFIT}


def test_a_strategys_exit_waits_until_the_stop_has_let_go_of_the_shares(rig: Rig) -> None:
    rig.bought()
    rig.protection.run()
    order = rig.placed(SELL, key="bar:two:0")
    assert order.status is OrderStatus.PLANNED
    rig.protection.run()
    rig.pass_time(60)
    rig.recovery.run()
    assert [o["status"] for o in rig.at_exchange()] == ["filled", "canceled", "filled"]
    assert rig.shares == {}


def test_what_a_partial_exit_leaves_is_protected_again(rig: Rig) -> None:
    rig.bought()
    rig.protection.run()
    rig.placed(SELL.__class__("AAA", SELL.side, Decimal(4), Role.EXIT), key="bar:two:0")
    rig.protection.run()
    rig.pass_time(60)
    rig.recovery.run()
    assert rig.shares == {("AAA", "alpha"): Decimal(6)}
    assert rig.live_exits() == [("stop", "6", "95", "new")]


def test_a_stop_that_fired_while_nobody_looked_closes_the_position(rig: Rig) -> None:
    rig.bought(PROTECTED.__class__("AAA", PROTECTED.side, Decimal(10), stop_loss=Decimal("101.50")))
    rig.protection.run()
    rig.close()
    rig.pass_time(600)
    rig.open()
    rig.recovery.run()
    assert rig.shares == {}
    assert rig.live_exits() == []


def test_a_group_whose_head_was_cancelled_by_hand_protects_nothing_although_nobody_told_of_its_leg(rig: Rig) -> None:
    rig.bought(BRACKETED)
    rig.protection.run()
    head = next(order for order in rig.at_exchange() if order["type"] == "limit")
    assert rig.exchange.request("DELETE", f"/v2/orders/{head['id']}", {}, None, *KEYS).status == 204
    seen = rig.parts.gateway.order_by_id(head["id"])
    assert seen is not None
    rig.desk.found(rig.order(head["client_order_id"]), replace(seen, legs=()), "event canceled")
    rig.protection.mark()
    rig.protection.run()
    assert rig.live_exits() == [("limit", "10", "120", "new"), ("stop", "10", "95", "held")]
    assert len([order for order in rig.at_exchange() if order["type"] == "limit"]) == 2


def test_a_cancel_that_was_lost_is_repeated_however_much_else_happens(rig: Rig) -> None:
    rig.bought()
    rig.protection.run()
    rig.placed(SELL, key="bar:two:0")
    rig.weather.posts = ["lost before"]
    rig.protection.run()
    for _ in range(8):
        rig.clock.sleep(0.3)
        rig.protection.mark()  # news of another order
        rig.protection.run()
    assert rig.live_exits() == []
    assert [o["type"] for o in rig.at_exchange() if o["side"] == "sell"] == ["stop", "market"]
