"""What the streams lost or told out of order is made good by a look, in order and once."""

import json
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from gambler_ai.broker.gateway import OrderEvent, StreamState
from gambler_ai.domain.market import Bar
from gambler_ai.paper_exchange.lab_trading import corporate_action
from gambler_ai.trading.messages import Tick
from gambler_ai.trading.session_run import SessionRun
from tests.trading.driving import awake, begun, eager, market_moves, minutes, take_all
from tests.trading.rig import RESTING, Rig


def test_bars_of_a_gap_are_shown_in_order_also_when_the_first_request_for_them_fails(rig: Rig, run: SessionRun) -> None:
    loop, strategy = eager(run)
    minutes(rig, run, loop, 2)
    market_moves(rig, run, 180)
    while not run.parts.inbox.is_empty:
        run.parts.inbox.take(0.0)  # lost with the socket
    rig.weather.answers["/v2/stocks/bars"] = "<html>"
    loop.step(StreamState("bars", listening=True))
    minutes(rig, run, loop, 1)
    del rig.weather.answers["/v2/stocks/bars"]
    rig.clock.sleep(5)
    loop.step(Tick())
    loop.step(Tick())
    first = strategy.bars[0]
    assert strategy.bars == [first + timedelta(minutes=n) for n in range(6)]


def test_a_bar_stream_that_is_open_and_mute_is_noticed_by_the_next_look(rig: Rig, run: SessionRun) -> None:
    loop, strategy = eager(run)
    minutes(rig, run, loop, 2)
    first = strategy.bars[0]
    for _ in range(3):
        market_moves(rig, run, 120)
        while not run.parts.inbox.is_empty:
            run.parts.inbox.take(0.0)  # the socket is open, and says nothing
        loop._look_due = 0
        for _ in range(3):
            awake(loop)
            loop.step(Tick())
    assert len(strategy.bars) >= 7
    assert strategy.bars == [first + timedelta(minutes=n) for n in range(len(strategy.bars))]


def test_a_quiet_market_after_its_close_is_not_asked_for_bars(rig: Rig, run: SessionRun) -> None:
    loop, _ = eager(run, minutes=3 * 24 * 60)
    minutes(rig, run, loop, 2)
    market_moves(rig, run, 7 * 3600)
    take_all(run, loop)
    asked: list[str] = []
    real = rig.weather.before
    rig.weather.before = lambda method, path: (asked.append(path), real(method, path))[1]  # type: ignore[method-assign]
    for _ in range(3):
        loop._look_due = 0
        awake(loop)
        loop.step(Tick())
    assert "/v2/positions" in asked
    assert "/v2/stocks/bars" not in asked


def test_an_event_whose_order_is_newer_than_its_execution_is_inferred_and_refined_later(
    rig: Rig, run: SessionRun
) -> None:
    loop = begun(run)
    state, now = run.house.books.state, loop.clock.now()
    order = loop.desk.place(loop.session, RESTING, "k", now + timedelta(minutes=2))
    there = rig.raw("/v2/orders")[0]
    done = {**there, "status": "filled", "filled_qty": "10", "filled_avg_price": "49.5"}
    seen = run.parts.gateway.order_by_id(there["id"])
    assert seen is not None
    newer = replace(seen, status="filled", filled_qty=Decimal(10), filled_avg_price=Decimal("49.5"))
    loop.step(OrderEvent("partial_fill", newer, now, "20261120::e4", Decimal(4), Decimal("49.8")))
    rig.weather.answers |= {f"/v2/orders/{there['id']}": json.dumps(done), "/v2/orders": json.dumps([done])}
    rig.the_broker_tells_of(there, ("4", "4", "49.8"), ("10", "6", "49.3"), at=now)
    rig.the_broker_shows(AAA="10")
    rig.clock.sleep(5)
    loop.step(Tick())
    fills = state.book.fills(order.client_order_id)  # type: ignore[union-attr]
    executed = [(fill.qty, fill.price, fill.inferred) for fill in fills]
    assert executed == [(Decimal(4), Decimal("49.8"), False), (Decimal(6), Decimal("49.3"), False)]
    assert loop.blocks.all() == {}


def test_executions_that_lag_behind_their_order_after_a_long_downtime_are_asked_for_again(rig: Rig) -> None:
    order = rig.placed()
    rig.pass_time(60)
    rig.pass_time(3600)
    rig.weather.answers["/v2/account/activities/FILL"] = "[]"
    rig.recovery.reconciler.round()
    rig.pass_time(3600)
    rig.recovery.reconciler.round()
    assert [fill.inferred for fill in rig.state.book.fills(order.client_order_id)] == [True]
    del rig.weather.answers["/v2/account/activities/FILL"]
    rig.pass_time(60)
    rig.restart()
    executed = [(e["qty"], e["price"]) for e in rig.exchange.truth()["executions"]]
    fills = rig.state.book.fills(order.client_order_id)
    assert [(str(fill.qty), str(fill.price), fill.inferred) for fill in fills] == [(*executed[0], False)]


def test_a_process_that_stood_still_knows_of_a_split_before_it_acts_on_what_waited(
    rig: Rig, run: SessionRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, strategy = eager(run)
    minutes(rig, run, loop, 2)
    corporate_action(rig.exchange, {"type": "split", "symbol": "AAA", "ratio": "2"})
    market_moves(rig, run)
    while not isinstance(waited := run.parts.inbox.take(0.0), Bar):
        pass  # lost: only a look can know
    seen: list[Decimal] = []
    monkeypatch.setattr(strategy, "on_bar", lambda _bar, view: seen.append(view.position("AAA")) or [])
    loop.step(waited)
    assert seen == [2 * len(rig.exchange.truth()["executions"])]


def test_a_strategy_hears_of_fills_that_only_a_look_found(rig: Rig, run: SessionRun) -> None:
    loop, strategy = eager(run)
    minutes(rig, run, loop, 3, deaf=True)
    assert strategy.fills == []
    loop.step(StreamState("trade_updates", listening=False))
    held = sum((p.quantity for p in run.house.books.state.book.open_positions()), Decimal(0))
    assert sum((f.signed_qty for f in strategy.fills), Decimal(0)) == held > 0
    market_moves(rig, run)
    take_all(run, loop)
    minutes(rig, run, loop, 3)
    held = sum((p.quantity for p in run.house.books.state.book.open_positions()), Decimal(0))
    assert sum((f.signed_qty for f in strategy.fills), Decimal(0)) == held


def test_an_account_that_may_not_trade_takes_no_entries_until_it_may_again(rig: Rig, run: SessionRun) -> None:
    loop, _ = eager(run)
    rig.weather.answers["/v2/account"] = json.dumps({**rig.raw("/v2/account"), "trading_blocked": True})
    loop.step(StreamState("trade_updates", listening=False))
    minutes(rig, run, loop, 2)
    assert (loop.desk.requests, list(loop.blocks.all())) == (0, ["*"])
    del rig.weather.answers["/v2/account"]
    loop.step(StreamState("trade_updates", listening=False))
    minutes(rig, run, loop, 2)
    assert loop.desk.requests > 0
