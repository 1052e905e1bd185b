"""The order road: every way a submit can end, and what stops one before it leaves."""

import json
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import pytest

from gambler_ai import crashpoints
from gambler_ai.crashpoints import CrashPlan, SimulatedCrash
from gambler_ai.domain.orders import OrderStatus
from gambler_ai.domain.reconciliation import Action
from gambler_ai.trading.order_desk import Blocked
from tests.trading.rig import BUY, NO_ORDER, RESTING, SELL, Rig

S = OrderStatus
REFUSED = (403, {"code": 40310000, "message": "insufficient buying power"})
DUPLICATE = (422, {"code": 40010001, "message": "client_order_id must be unique"})


def test_an_intent_is_committed_before_its_request_leaves(rig: Rig) -> None:
    rig.weather.posts = ["lost before"]
    order = rig.placed()
    assert rig.kinds()[-2:] == ["order.intended", "order.changed"]
    assert (order.status, order.attempts) == (S.IN_DOUBT, 1)


def test_the_same_decision_made_again_is_the_order_it_already_became(rig: Rig) -> None:
    first = rig.placed()
    assert rig.placed().client_order_id == first.client_order_id
    assert len(rig.at_exchange()) == 1
    assert rig.weather.sent == ["POST"]


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ("lost before", S.IN_DOUBT),
        ("lost after", S.IN_DOUBT),
        ("unreachable", S.WITHDRAWN),
        (REFUSED, S.REJECTED),
        ((400, {"code": 40010001, "message": "malformed"}), S.REJECTED),
        (DUPLICATE, S.IN_DOUBT),
        ((429, {"code": 42910000, "message": "rate limit exceeded"}), S.IN_DOUBT),
        ((403, {"message": "forbidden."}), S.REJECTED),
        ((404, {"message": "a page that has no code"}), S.IN_DOUBT),
        ((500, {"message": "internal"}), S.IN_DOUBT),
        ((504, {}), S.IN_DOUBT),
        ((200, {}), S.IN_DOUBT),
        ((302, {}), S.IN_DOUBT),
    ],
)
def test_only_an_explicit_refusal_is_a_rejection(rig: Rig, answer: object, status: OrderStatus) -> None:
    rig.weather.posts = [answer]  # type: ignore[list-item]
    assert rig.placed().status is status


def test_a_refusal_as_duplicate_is_looked_up_before_it_is_believed(rig: Rig) -> None:
    rig.by_hand(client_order_id=rig.id_of(RESTING), type="limit", limit_price="50")
    rig.weather.posts = [DUPLICATE]
    assert rig.placed(RESTING).status is S.WORKING


def test_a_duplicate_that_a_lagging_look_up_does_not_show_is_in_doubt_not_rejected(rig: Rig) -> None:
    rig.by_hand(client_order_id=rig.id_of(RESTING), type="limit", limit_price="50")
    rig.weather.posts = [DUPLICATE]
    rig.weather.answers["/v2/orders:by_client_order_id"] = NO_ORDER
    assert rig.placed(RESTING).status is S.IN_DOUBT


def test_a_refusal_of_a_second_attempt_proves_nothing_about_the_first(rig: Rig) -> None:
    rig.weather.posts = ["lost before", REFUSED]
    order = rig.desk.send_again(rig.placed())
    assert (order.status, order.attempts) == (S.IN_DOUBT, 2)


def test_a_refusal_of_a_second_attempt_finds_the_first_that_arrived_late(rig: Rig) -> None:
    rig.weather.posts = ["lost before", REFUSED]
    order = rig.placed(RESTING)
    rig.by_hand(client_order_id=order.client_order_id, type="limit", limit_price="50")
    assert rig.desk.send_again(order).status is S.WORKING
    assert len(rig.at_exchange()) == 1


def test_an_order_frozen_past_its_send_deadline_does_not_leave(rig: Rig) -> None:
    rig.clock.pause = 2.5
    order = rig.placed()
    assert (order.status, rig.weather.sent) == (S.WITHDRAWN, [])
    assert "deadline" in (order.error or "")


def test_a_second_attempt_frozen_past_its_deadline_stays_in_doubt(rig: Rig) -> None:
    rig.weather.posts = ["lost before"]
    order = rig.placed()
    rig.clock.pause = 2.5
    assert rig.desk.send_again(order).status is S.IN_DOUBT
    assert rig.weather.sent == ["POST"]


def test_nothing_is_sent_once_we_were_asked_to_stop(rig: Rig) -> None:
    rig.parts.shutdown.ask()
    assert rig.place() == Blocked("the session is stopping")
    assert "order.intended" not in rig.kinds()


def stop_by_halt(rig: Rig) -> None:
    rig.state.raise_halt(Action("R7", "AAA", "halt symbol", "numbers differ", {}))


def stop_by_command(rig: Rig) -> None:
    with rig.parts.database.connect() as connection:
        connection.exec_driver_sql(
            "INSERT INTO commands (account_id, id, kind, symbol, reason, requested_at) VALUES "
            f"('{rig.state.account_id}', 'c1', 'halt', 'AAA', 'by command', '2026-11-20T14:35:00.000000Z')"
        )


def stop_by_file(rig: Rig) -> None:
    (rig.folder / ".default_emergency_stop").write_text(json.dumps({"reason": "by file"}))


def stop_by_a_file_nobody_can_read(rig: Rig) -> None:
    (rig.folder / ".default_emergency_stop").write_bytes(b"\xff\x00{")


@pytest.mark.parametrize("stop", [stop_by_halt, stop_by_command, stop_by_file, stop_by_a_file_nobody_can_read])
def test_a_stop_refuses_new_risk_inside_the_sending_transaction_and_lets_exits_pass(
    rig: Rig, stop: Callable[[Rig], None]
) -> None:
    rig.placed()
    rig.recovery.run()
    stop(rig)
    rows = rig.kinds()
    assert isinstance(rig.place(replace(BUY, symbol="AAA"), key="later"), Blocked)
    assert rig.kinds() == rows
    assert rig.placed(SELL, key="out").status in (S.WORKING, S.FILLED)


def test_another_order_under_our_id_halts_the_account_and_is_never_touched(rig: Rig) -> None:
    theirs = rig.by_hand(client_order_id=rig.id_of(RESTING), type="limit", limit_price="50", qty="11")
    order = rig.placed(RESTING)
    assert order.status is S.IN_DOUBT
    assert [halt.symbol for halt in rig.state.records.active_halts()] == [None]
    assert (rig.folder / ".default_emergency_stop").exists()
    assert isinstance(rig.place(replace(BUY, symbol="BBB"), key="later"), Blocked)
    assert rig.weather.sent == ["POST"]
    assert [(o["id"], o["qty"], o["status"]) for o in rig.at_exchange()] == [(theirs["id"], "11", "new")]


@pytest.mark.parametrize("answer", [None, "lost before", "lost after", "unreachable"])
def test_a_cancel_is_written_before_it_is_asked_and_believed_only_from_the_broker(rig: Rig, answer: str | None) -> None:
    order = rig.placed(RESTING)
    rig.weather.posts = [answer] if answer else []
    rig.desk.cancel(rig.order(order), "test")
    assert rig.kinds()[-2:] == ["order.changed", "cancel.outcome"]
    rig.recovery.run()
    canceled = answer in (None, "lost after")
    assert rig.order(order).status is (S.CANCELED if canceled else S.WORKING)


def test_a_cancel_frozen_past_its_deadline_does_not_leave_and_is_asked_for_again(rig: Rig) -> None:
    rig.bought()
    rig.protection.run()
    rig.placed(SELL, key="out")  # it waits: the stop holds its shares
    rig.weather.sent.clear()
    rig.clock.pause = 2.5
    rig.protection.run()
    assert (rig.weather.sent, rig.kinds().count("cancel.outcome")) == ([], 1)
    rig.clock.pause = 0
    for _ in range(3):
        rig.clock.sleep(1)
        rig.protection.run()
    assert rig.weather.sent == ["DELETE", "POST"]


def test_who_may_send_nothing_any_more_takes_no_protection_off(rig: Rig) -> None:
    rig.bought()
    rig.protection.run()
    rig.placed(SELL, key="out")
    rig.parts.shutdown.ask()
    rig.parts.shutdown.aborted = True  # six seconds after the signal
    assert "cancel exit" not in [action.action for action in rig.protection.run()]
    assert rig.live_exits() == [("stop", "10", "95", "new")]
    assert [order.cancel_asked_at for order in rig.state.book.orders.values()] == [None, None]


CRASHES = {  # failure model 2.3: the intent after the restart, how often it was sent, requests that left
    "order.before_intent:1": (None, 0),
    "transaction.before_commit:1": (None, 0),
    "order.after_intent:1": (2, 1),
    "order.before_send:1": (2, 1),
    "order.after_send:1": (1, 1),
    "order.before_outcome:1": (1, 1),
    "transaction.before_commit:2": (1, 1),
    "order.after_outcome:1": (1, 1),
}


@pytest.mark.parametrize("point", CRASHES)
def test_a_crash_on_the_order_road_leaves_nothing_or_an_intent_that_finds_its_order(rig: Rig, point: str) -> None:
    attempts, requests = CRASHES[point]
    name, _, passing = point.partition(":")
    crashpoints.arm(CrashPlan(name, int(passing), in_process=True))
    with pytest.raises(SimulatedCrash):
        rig.place()
    rig.restart()
    rig.settle_for(1)  # the session goes on: only now an entry may be sent again
    assert len(rig.weather.sent) == requests
    assert len(rig.at_exchange()) == requests
    assert rig.placed().attempts == (attempts or 1)
    assert len(rig.at_exchange()) == 1
    rig.recovery.run()
    assert [p.quantity for p in rig.state.book.open_positions()] == [Decimal(10)]
