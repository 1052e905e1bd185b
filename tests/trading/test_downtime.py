"""What happened while we were down, whatever interrupted us, and however late the broker tells of it."""

import contextlib
import json
import shutil
import sqlite3
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from gambler_ai.domain.orders import OrderStatus
from gambler_ai.domain.positions import EXTERNAL
from gambler_ai.domain.schedules import Run, RunStatus, Slot, read
from gambler_ai.face_report import report_lines
from gambler_ai.storage.records import find_account
from gambler_ai.storage.scheduler_lease import SchedulerLease
from gambler_ai.storage.schedules import Schedules
from gambler_ai.trading.order_desk import Blocked
from gambler_ai.trading.session_run import SessionRun
from gambler_ai.trading.sessions import Request
from tests.operations.rig import definition
from tests.trading.driving import begun, minutes
from tests.trading.rig import RESTING, SELL, Rig

OURS = {("AAA", "alpha"): Decimal(10)}


@pytest.mark.parametrize("interrupted", [False, True])
def test_a_recovery_that_was_interrupted_still_sees_the_whole_downtime(rig: Rig, interrupted: bool) -> None:
    rig.held()
    (held,) = rig.state.book.open_positions()
    alive = rig.clock.now()
    rig.close()
    rig.by_hand("AAA", "10", "sell")
    rig.pass_time(3600)
    if interrupted:
        house = rig.opened_anew()
        house.open()
        house.mark_crashed()
        house.close()
        rig.pass_time(60)
    rig.open()
    assert rig.recovery.before.last_alive <= alive
    rig.recovery.run()
    closed = rig.state.book.position(held.position_id)
    assert closed is not None
    assert (closed.quantity, closed.exit_price is None) == (Decimal(0), False)


def test_an_exit_in_doubt_is_not_sent_again_when_its_shares_were_sold_by_hand(rig: Rig) -> None:
    rig.held()
    rig.weather.posts = ["lost before"]
    exit_order = rig.placed(SELL, key="out")
    rig.close()
    rig.by_hand("AAA", "10", "sell")
    rig.pass_time(60)
    rig.restart()
    rig.settle_for(30)
    assert (rig.order(exit_order).attempts, rig.shares) == (1, {})
    assert rig.exchange.truth(None)["positions"] == []


def test_an_exit_in_doubt_is_sent_again_while_its_shares_are_held(rig: Rig) -> None:
    rig.held()
    rig.weather.posts = ["lost before"]
    exit_order = rig.placed(SELL, key="out")
    rig.restart()
    assert rig.order(exit_order).attempts == 2
    rig.pass_time(60)
    rig.recovery.run()
    assert (rig.shares, rig.exchange.truth(None)["positions"]) == ({}, [])


def test_an_execution_of_an_order_that_ended_long_ago_is_booked(rig: Rig) -> None:
    order = rig.placed(RESTING)
    rig.desk.cancel(rig.order(order), "test")
    rig.pass_time(1800)
    rig.rounds(1)
    assert rig.order(order).status is OrderStatus.CANCELED
    there = rig.raw(f"/v2/orders/{rig.order(order).broker_order_id}")
    rig.the_broker_tells_of(there, ("10", "10", "50"), at=rig.clock.now())
    rig.weather.answers["/v2/orders"] = "[]"
    rig.the_broker_shows(AAA="10")
    rig.rounds(6)
    assert rig.shares == OURS


def test_shares_booked_at_an_average_learn_their_executions_when_the_activities_catch_up(rig: Rig) -> None:
    order = rig.placed(RESTING)
    there = rig.raw(f"/v2/orders/{rig.order(order).broker_order_id}")
    done = {**there, "status": "filled", "filled_qty": "10", "filled_avg_price": "49.5"}
    rig.pass_time(1200)
    rig.weather.answers |= {f"/v2/orders/{there['id']}": json.dumps(done), "/v2/orders": "[]"}
    rig.rounds(1)
    assert [fill.inferred for fill in rig.state.book.fills(order.client_order_id)] == [True]
    rig.the_broker_tells_of(there, ("4", "4", "49.8"), ("10", "6", "49.3"), at=rig.clock.now())
    rig.rounds(2)
    fills = rig.state.book.fills(order.client_order_id)
    executed = [(fill.qty, fill.price, fill.inferred) for fill in fills]
    assert executed == [(Decimal(4), Decimal("49.8"), False), (Decimal(6), Decimal("49.3"), False)]


def test_a_new_database_counts_no_share_twice_that_a_foreign_order_brought_before(rig: Rig, tmp_path: Path) -> None:
    rig.close()
    rig.database_url = f"sqlite:///{tmp_path}/new.db"
    order = rig.by_hand("BBB", "100", type="limit", limit_price="10")
    sold = {"side": "sell", "status": "partially_filled", "filled_qty": "40", "filled_avg_price": "50"}
    rig.pass_time(600)
    rig.weather.answers["/v2/orders"] = json.dumps([{**order, **sold, "limit_price": "60"}])
    rig.the_broker_shows(BBB="60")
    rig.open()
    rig.rounds(6)
    assert rig.shares == {("BBB", EXTERNAL): Decimal(60)}
    assert rig.state.records.active_halts() == []


def test_a_saved_state_that_was_changed_is_rebuilt_from_bars(rig: Rig, run: SessionRun) -> None:
    loop = begun(run)
    minutes(rig, run, loop, 4)
    rig.pass_time(1)
    assert run.end(loop) == 0
    run.close()
    with contextlib.closing(sqlite3.connect(rig.database_url.removeprefix("sqlite:///"))) as connection, connection:
        changed = connection.execute("UPDATE strategy_states SET state = replace(state, ':', ': ')")
        assert changed.rowcount > 0
    again = SessionRun(rig.opened_anew().parts)
    resumed = again.begin(Request(resume=loop.session.session_id))
    assert again.house.books.state.records.strategy_state(loop.session.session_id) is not None
    assert resumed.host.save()["strategy"] == loop.host.save()["strategy"]
    again.close()


def test_an_older_copy_of_the_database_halts_the_account(rig: Rig, tmp_path: Path) -> None:
    database = Path(rig.database_url.removeprefix("sqlite:///"))
    rig.close()
    shutil.copy(database, tmp_path / "old.db")
    rig.open()
    rig.held()
    rig.restart()
    rig.close()
    shutil.copy(tmp_path / "old.db", database)
    rig.restart()
    halts = rig.state.records.active_halts()
    assert [(halt.symbol, halt.evidence["row"]) for halt in halts] == [(None, "R11"), ("AAA", "R11")]
    assert rig.shares == OURS  # bought after the copy was made, and found at the broker
    assert isinstance(rig.place(key="later"), Blocked)


def test_windows_of_schedules_that_nobody_began_are_told_once(rig: Rig, run: SessionRun) -> None:
    told: list[dict[str, Any]] = []
    run.parts.show_report = told.append
    missed_while_down(run)
    begun(run)
    window = {"schedule": "daily", "trading_day": "2026-11-23", "why": "no scheduler ran"}
    assert told[0]["report"]["windows_missed"] == [window]
    assert "  missed    daily on 2026-11-23: no scheduler ran" in report_lines(told[0])


def missed_while_down(run: SessionRun) -> None:
    """Two windows, of which the books have seen the first pass."""
    database, clock = run.parts.database, run.parts.clock
    account = find_account(database, "default")
    assert account is not None
    lease = SchedulerLease(database, account.account_id, clock)
    lease.take(run.parts.holder)
    schedules, plan = Schedules(database, account.account_id), read("daily", definition(), clock.now())
    schedules.add(plan)
    for day, end in ((20, clock.now() - timedelta(days=1)), (23, clock.now() + timedelta(days=1))):
        slot = Slot("daily", date(2026, 11, day), end - timedelta(hours=1), end)
        missed = Run(slot, f"s{day}", RunStatus.MISSED, plan, ended_at=end, result="no scheduler ran")
        assert schedules.claim(missed, lease.token)
