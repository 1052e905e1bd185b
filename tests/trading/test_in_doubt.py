"""Orders in doubt: found, sent again under their own id, or absent; and absent ones that come after all."""

from decimal import Decimal

from gambler_ai.domain.orders import OrderStatus
from gambler_ai.trading.order_desk import Blocked
from tests.trading.rig import BUY, RESTING, Rig

S = OrderStatus


def test_an_order_that_arrived_is_found_by_its_id(rig: Rig) -> None:
    rig.weather.posts = ["lost after"]
    order = rig.placed(RESTING)
    assert rig.in_doubt.settle() == 0
    assert (rig.order(order).status, rig.weather.sent) == (S.WORKING, ["POST"])


def test_an_order_that_did_not_arrive_is_sent_again_under_the_same_id(rig: Rig) -> None:
    rig.weather.posts = ["lost before"]
    order = rig.placed(RESTING)
    rig.in_doubt.settle()
    assert (rig.order(order).status, rig.order(order).attempts) == (S.WORKING, 2)
    assert [o["client_order_id"] for o in rig.at_exchange()] == [order.client_order_id]


def test_an_entry_whose_signal_is_over_is_absent_only_after_the_settle_window_and_two_paths(rig: Rig) -> None:
    rig.weather.posts = ["lost before"]
    order = rig.placed(ttl_s=-1)
    rig.settle_for(3)
    assert rig.order(order).status is S.IN_DOUBT
    rig.settle_for(8)
    assert rig.order(order).status is S.ABSENT
    assert rig.weather.sent == ["POST"]


def test_no_answer_is_no_absence(rig: Rig) -> None:
    rig.weather.posts = ["lost before"]
    order = rig.placed(ttl_s=-1)
    rig.weather.answers["/v2/orders:by_client_order_id"] = "<html>"
    rig.settle_for(120)
    assert rig.order(order).status is S.IN_DOUBT


def test_a_doubt_blocks_its_symbol_for_new_risk(rig: Rig) -> None:
    rig.weather.posts = ["lost before"]
    rig.placed()
    assert isinstance(rig.place(key="later"), Blocked)


def test_an_order_is_not_sent_for_ever(rig: Rig) -> None:
    rig.weather.posts = ["lost before"] * 50
    order = rig.placed(ttl_s=10_000)
    rig.settle_for(120)
    assert len(rig.weather.sent) == 5
    assert rig.order(order).status is S.ABSENT


def test_an_absent_order_that_comes_late_is_adopted_with_its_shares(rig: Rig) -> None:
    rig.weather.posts = ["lost before"]
    order = rig.placed(ttl_s=-1)
    rig.settle_for(12)
    assert rig.order(order).status is S.ABSENT
    rig.by_hand(client_order_id=order.client_order_id)
    rig.recovery.run()
    late = rig.order(order)
    assert (late.status, late.session_id) == (S.FILLED, "s1")
    assert late.late_at is not None
    assert [(p.owner, p.quantity) for p in rig.state.book.open_positions()] == [("alpha", Decimal(10))]


def test_the_settle_window_begins_again_with_every_process(rig: Rig) -> None:
    rig.weather.posts = ["lost before"]
    order = rig.placed(BUY, ttl_s=-1)
    rig.settle_for(3.5)
    rig.restart()
    rig.settle_for(3)
    assert rig.order(order).status is S.IN_DOUBT
