"""Order events that say too little, too late or too much: what they leave open is looked for at once."""

import json
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from gambler_ai.broker.gateway import OrderEvent
from gambler_ai.domain.orders import Order, OrderStatus, Role, client_order_id
from gambler_ai.domain.reconciliation import UNKNOWN_ORDERS
from gambler_ai.trading.loop import Loop
from gambler_ai.trading.messages import Message, Tick
from gambler_ai.trading.session_run import SessionRun
from tests.trading.driving import awake, begun, market_moves, take_all
from tests.trading.rig import BUY, PROTECTED, RESTING, Rig

STRANGER = client_order_id(
    role=Role.ENTRY, owner="alpha", account_id="x", session_id="s9", symbol="AAA", decision_key="bar:1:0"
)


def of_another_database(rig: Rig, run: SessionRun) -> Loop:
    """A session that hears of an order and its shares, under an id of our form that it never made."""
    loop = begun(run)
    rig.by_hand("AAA", "3", client_order_id=STRANGER)
    market_moves(rig, run, 1)
    return loop


def test_an_order_of_another_database_halts_its_symbol_also_when_an_event_tells_of_it(
    rig: Rig, run: SessionRun
) -> None:
    loop = of_another_database(rig, run)
    take_all(run, loop)
    assert [(h.symbol, h.evidence["row"]) for h in loop.state.records.active_halts()] == [("AAA", "R11")]
    assert UNKNOWN_ORDERS in loop.blocks.all()["AAA"]
    take_all(run, loop)
    loop._look()
    assert len(loop.state.records.active_halts()) == 1


def test_an_order_of_another_database_is_in_the_books_with_its_halt_or_not_at_all(
    rig: Rig, run: SessionRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = of_another_database(rig, run)
    commits = []
    real = loop.state._ledger.commit

    def commit(facts, *more):  # type: ignore[no-untyped-def]
        commits.append([fact.kind for fact in facts])
        return real(facts, *more)

    monkeypatch.setattr(loop.state._ledger, "commit", commit)
    take_all(run, loop)
    (adopting,) = [kinds for kinds in commits if "order.adopted" in kinds]
    assert "halt.raised" in adopting


def entry(loop: Loop) -> Order:
    wish = replace(PROTECTED, type="limit", limit_price=Decimal("102.01"))
    order = loop.desk.place(loop.session, wish, "bar:one:0", loop.clock.now() + timedelta(minutes=2))
    assert isinstance(order, Order)
    return order


def explained_soon(rig: Rig, loop: Loop, order: Order) -> None:
    """Long before the next look is due the books hold every share that the exchange gave."""
    for _ in range(4):
        rig.clock.sleep(0.25)
        loop.step(Tick())
    filled = rig.raw(f"/v2/orders/{order.broker_order_id}")["filled_qty"]
    assert Decimal(filled) > 0
    assert sum(p.quantity for p in loop.state.book.open_positions()) == Decimal(filled)


def told(run: SessionRun, loop: Loop, lose: bool) -> None:
    """Its events, of which the fills are lost, or come without their execution (alpaca-py #210, #371)."""
    awake(loop)
    while not run.parts.inbox.is_empty:
        message: Message = run.parts.inbox.take(0.0)
        if isinstance(message, OrderEvent) and message.qty is not None:
            if lose:
                continue
            message = replace(message, qty=None, price=None, execution_id=None)
        loop.step(message)


def test_shares_whose_event_lacks_its_execution_are_looked_for_at_once(rig: Rig, run: SessionRun) -> None:
    loop = begun(run)
    order = entry(loop)
    market_moves(rig, run)
    told(run, loop, lose=False)
    explained_soon(rig, loop, order)


def test_shares_whose_event_is_lost_are_looked_for_with_the_next_one(rig: Rig, run: SessionRun) -> None:
    loop = begun(run)
    rig.exchange.venue.partial_fill_rate = Decimal(1)
    order = entry(loop)
    market_moves(rig, run)
    loop.desk.cancel(order, "enough")
    market_moves(rig, run, 1)
    told(run, loop, lose=True)
    explained_soon(rig, loop, order)


def test_a_stop_moved_twice_is_ours_also_when_only_its_last_event_arrives(rig: Rig, run: SessionRun) -> None:
    loop = begun(run)
    entry(loop)
    market_moves(rig, run, 20)  # no bar ends, so the strategy has no say
    take_all(run, loop)
    stop = next(order for order in rig.at_exchange() if order["type"] == "stop" and order["status"] == "new")
    second = rig.replace_by_hand(stop["id"], "94")
    market_moves(rig, run, 1)
    take_all(run, loop, deaf=True)
    third = rig.replace_by_hand(second, "93")
    market_moves(rig, run, 1)
    awake(loop)
    while not run.parts.inbox.is_empty:
        message = run.parts.inbox.take(0.0)
        if isinstance(message, OrderEvent) and message.order.broker_order_id == third:
            loop.step(message)
    order = loop.state.book.order_by_broker_id(third)
    assert order is not None
    assert (order.role, order.owner) == (Role.STOP, loop.session.owner)


@pytest.mark.parametrize("seen_in", ["a look", "an event", "a look-up by its id"])
def test_an_order_that_contradicts_itself_halts_its_symbol_and_nothing_else(
    rig: Rig, run: SessionRun, seen_in: str
) -> None:
    loop = begun(run)
    order = loop.desk.place(loop.session, RESTING, "bar:one:0", loop.clock.now() + timedelta(minutes=2))
    assert isinstance(order, Order)
    raw = {**rig.raw(f"/v2/orders/{order.broker_order_id}"), "id": "00000000-0000-4000-8000-000000000001"}
    market_moves(rig, run, 1)
    take_all(run, loop)
    if seen_in == "a look":
        rig.weather.answers["/v2/orders"] = json.dumps([raw])
        loop._look()
    elif seen_in == "a look-up by its id":
        rig.weather.answers[f"/v2/orders/{order.broker_order_id}"] = json.dumps(raw)
        loop.protection._read(order, [])
    else:
        at = loop.clock.now()
        seen = run.parts.gateway.order_by_id(str(order.broker_order_id))
        assert seen is not None
        loop.step(OrderEvent("new", replace(seen, broker_order_id=str(raw["id"])), at))
    assert [(h.symbol, h.evidence["row"]) for h in loop.state.records.active_halts()] == [("AAA", "contradiction")]
    assert loop.state.book.orders[order.client_order_id].status is OrderStatus.WORKING
    other = replace(BUY, symbol="BBB")
    loop.session = replace(loop.session, symbols=("AAA", "BBB"))
    assert isinstance(loop.desk.place(loop.session, other, "bar:two:0", loop.clock.now()), Order)


def test_two_orders_under_one_id_do_not_end_the_look(rig: Rig) -> None:
    theirs = rig.by_hand("BBB", "3", type="limit", limit_price="50", client_order_id=STRANGER)
    twin = {**theirs, "id": "00000000-0000-4000-8000-000000000001"}
    rig.weather.answers["/v2/orders"] = json.dumps([theirs, twin])
    rig.recovery.reconciler.round()
    assert {h.evidence["row"] for h in rig.state.records.active_halts()} == {"R11", "contradiction"}
