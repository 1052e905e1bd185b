"""The loop: a gap in what it hears makes it look, and a signal that came too late is not traded."""

from datetime import timedelta

from gambler_ai.broker.direct import DirectGateway
from gambler_ai.broker.gateway import StreamState
from gambler_ai.domain.orders import OrderStatus
from gambler_ai.trading.loop import POLL_EVERY_S
from gambler_ai.trading.messages import OVERFLOW, StopAsked, Tick
from gambler_ai.trading.session_run import SessionRun
from tests.trading.driving import begun, minutes
from tests.trading.rig import Rig


def test_fills_nobody_told_us_of_are_found_when_the_stream_had_a_gap(rig: Rig, run: SessionRun) -> None:
    loop = begun(run)
    minutes(rig, run, loop, 4, deaf=True)
    state = run.house.books.state
    assert state.book.open_positions() == []
    loop.step(StreamState("trade_updates", listening=False))
    assert [p.quantity > 0 for p in state.book.open_positions()] == [True]


def test_a_gap_blocks_new_risk_until_a_complete_look(rig: Rig, run: SessionRun) -> None:
    loop = begun(run)
    rig.weather.answers["/v2/positions"] = "<html>"
    loop.step(StreamState("trade_updates", listening=False))
    minutes(rig, run, loop, 6)
    assert (loop.desk.requests, "*" in loop.blocks.all()) == (0, True)
    del rig.weather.answers["/v2/positions"]
    minutes(rig, run, loop, 6)
    assert loop.desk.requests > 0


def test_with_the_order_stream_down_it_trades_on_by_looking_often(rig: Rig, run: SessionRun) -> None:
    loop = begun(run)
    loop.step(StreamState("trade_updates", listening=False, detail="connection limit exceeded"))
    minutes(rig, run, loop, 4, deaf=True)
    assert loop.desk.requests > 0
    rig.clock.sleep(POLL_EVERY_S)
    loop.step(Tick())
    assert [p.quantity > 0 for p in run.house.books.state.book.open_positions()] == [True]


def test_an_inbox_that_overflowed_is_forgotten_after_a_look(rig: Rig, run: SessionRun) -> None:
    loop = begun(run)
    rig.weather.answers["/v2/positions"] = "<html>"
    loop.step(StreamState(OVERFLOW, listening=False))
    assert "*" in loop.blocks.all()
    del rig.weather.answers["/v2/positions"]
    rig.clock.sleep(60)
    loop.step(Tick())
    assert loop.blocks.all() == {}


def test_a_signal_older_than_its_validity_is_told_and_not_traded(rig: Rig, run: SessionRun) -> None:
    loop = begun(run)
    gateway, inbox = run.parts.gateway, run.parts.inbox
    assert isinstance(gateway, DirectGateway)
    rig.pass_time(600)
    gateway.deliver()
    run.parts.clock.observe(rig.exchange.now + timedelta(minutes=10))
    while not inbox.is_empty:
        loop.step(inbox.take(0.0))
    assert loop.desk.requests == 0
    assert loop.signals_missed > 0


def test_orders_in_doubt_are_settled_beside_the_session(rig: Rig, run: SessionRun) -> None:
    loop = begun(run)
    rig.weather.posts = ["lost after"]
    minutes(rig, run, loop, 6)
    orders = run.house.books.state.book.orders.values()
    assert not [order for order in orders if order.status in (OrderStatus.SENDING, OrderStatus.IN_DOUBT)]
    assert len(rig.at_exchange()) == loop.desk.requests


def test_a_broker_that_does_not_answer_degrades_and_comes_back(rig: Rig, run: SessionRun) -> None:
    loop = begun(run)
    rig.weather.answers["/v2/clock"] = "<html>"
    rig.clock.sleep(10)
    loop.step(Tick())
    assert "broker" in loop.blocks.degraded
    del rig.weather.answers["/v2/clock"]
    for _ in range(3):
        rig.clock.sleep(10)
        loop.step(Tick())
    assert loop.blocks.degraded == {}


def test_asked_to_stop_it_takes_no_further_decision(rig: Rig, run: SessionRun) -> None:
    loop = begun(run)
    loop.step(StopAsked("asked to stop"))
    assert loop.finished == "asked to stop"
    assert run.end(loop) == 0
    run.close()
    rig.open()
    assert [s.status.value for s in rig.state.records.sessions()] == ["stopped", "stopped"]
