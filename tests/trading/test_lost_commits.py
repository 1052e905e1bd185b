"""A COMMIT whose answer was lost, with the database away afterwards: done once, known late."""

from decimal import Decimal

import pytest

from gambler_ai.broker.gateway import OrderEvent
from gambler_ai.domain.market import MINUTE
from gambler_ai.domain.orders import Order, OrderStatus
from gambler_ai.errors import DatabaseUnavailable
from gambler_ai.storage.journal import Ledger
from gambler_ai.trading.messages import Tick
from gambler_ai.trading.session_run import SessionRun
from tests.trading.driving import awake, database_lost_at_commit, eager, market_moves, minutes, take_all
from tests.trading.rig import RESTING, Rig


def test_an_intent_whose_commit_was_lost_is_found_and_settled(rig: Rig) -> None:
    with database_lost_at_commit(rig.state), pytest.raises(DatabaseUnavailable):
        rig.place(RESTING)
    assert rig.kinds()[-1] == "order.intended"
    assert rig.weather.sent == []
    rig.recovery.run()
    rig.settle_for(1)
    order = rig.placed(RESTING)
    assert (order.status, order.attempts, len(rig.at_exchange())) == (OrderStatus.WORKING, 2, 1)


def test_an_outcome_whose_commit_was_lost_is_booked_once(rig: Rig) -> None:
    with database_lost_at_commit(rig.state, which=2), pytest.raises(DatabaseUnavailable):
        rig.place()
    rig.pass_time(60)
    rig.settle_for(2)
    rig.recovery.run()
    assert rig.shares == {("AAA", "alpha"): Decimal(10)}
    assert (len(rig.at_exchange()), rig.kinds().count("fill.booked")) == (1, 1)


def test_a_fill_whose_commit_was_lost_is_booked_once_by_the_look_that_follows(rig: Rig, run: SessionRun) -> None:
    loop, strategy = eager(run)
    minutes(rig, run, loop, 1)
    market_moves(rig, run)
    awake(loop)
    state, inbox = run.house.books.state, run.parts.inbox
    while not isinstance(event := inbox.take(0.0), OrderEvent) or event.qty is None:
        loop.step(event)
    with database_lost_at_commit(state):
        loop.step(event)
        assert "database" in loop.blocks.degraded
    rig.clock.sleep(5)
    loop.step(Tick())
    assert loop.blocks.degraded == {}
    assert [p.quantity for p in state.book.open_positions()] == [Decimal(event.qty)]
    take_all(run, loop)
    assert sum((f.signed_qty for f in strategy.fills), Decimal(0)) == event.qty


def test_a_wish_waits_for_the_database_as_long_as_it_is_valid(
    rig: Rig, run: SessionRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, _ = eager(run)

    def gone(*_: object) -> None:
        raise DatabaseUnavailable("a lock was held too long")

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "commit", gone)
        minutes(rig, run, loop, 1)
    assert loop.desk.requests == 0
    rig.clock.sleep(2)
    loop.step(Tick())
    rig.clock.sleep(2)
    loop.step(Tick())
    (order,) = run.house.books.state.book.orders.values()
    assert isinstance(order, Order)
    assert (loop.desk.requests, loop.signals_missed) == (1, 0)


def test_a_wish_that_waited_too_long_is_told_and_not_traded(
    rig: Rig, run: SessionRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, _ = eager(run)

    def gone(*_: object) -> None:
        raise DatabaseUnavailable("a lock was held too long")

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "commit", gone)
        minutes(rig, run, loop, 1)
    rig.pass_time(600)
    loop.host.seen["AAA"] = rig.exchange.now - MINUTE  # the market's bars came meanwhile as they should
    for _ in range(2):
        rig.clock.sleep(2)
        loop.step(Tick())
    assert (loop.desk.requests, loop.signals_missed) == (0, 1)
