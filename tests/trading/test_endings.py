"""How a session ends: no order after its time, and nothing called clean that is not."""

from datetime import timedelta
from decimal import Decimal

import pytest

from gambler_ai.domain.orders import OrderStatus, Role
from gambler_ai.domain.sessions import SessionStatus
from gambler_ai.errors import DatabaseUnavailable
from gambler_ai.storage.journal import Ledger
from gambler_ai.trading.loop import Loop
from gambler_ai.trading.maintenance import reconcile
from gambler_ai.trading.session_run import SessionRun
from gambler_ai.trading.sessions import Request
from gambler_ai.trading.shutdown import EXIT_DIRTY
from tests.trading.driving import FAST, Eager, begun, eager, market_moves, minutes, take_all
from tests.trading.rig import PROTECTED, Rig


@pytest.mark.parametrize("late_s", [60, 90, 600])
def test_no_order_leaves_when_the_sessions_time_is_over(rig: Rig, run: SessionRun, late_s: int) -> None:
    loop, strategy = eager(run, minutes=3)
    minutes(rig, run, loop, 2)
    sent, shown = loop.desk.requests, len(strategy.bars)
    assert sent == 2
    market_moves(rig, run, late_s)
    take_all(run, loop)
    assert loop.finished == "the session's time is over"
    assert run.end(loop) == 0
    assert (loop.desk.requests, len(strategy.bars) > shown) == (sent, True)


def test_a_resume_after_the_sessions_end_sends_nothing(rig: Rig, run: SessionRun) -> None:
    loop, _ = eager(run, minutes=4)
    minutes(rig, run, loop, 3)
    run.close()
    rig.pass_time(90)
    again = SessionRun(rig.opened_anew().parts)
    resumed = again.begin(Request(resume=loop.session.session_id))
    strategy = resumed.host.strategy
    assert isinstance(strategy, Eager)
    assert (len(strategy.bars), resumed.desk.requests) == (1, 0)
    again.close()


def test_a_signal_while_the_database_is_down_stops_dirty(
    rig: Rig, run: SessionRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = begun(run)

    def gone(*_: object) -> None:
        raise DatabaseUnavailable("gone")

    monkeypatch.setattr(Ledger, "commit", gone)
    run.parts.shutdown.ask()
    assert run.end(loop) == EXIT_DIRTY
    left = run.house.books.state.records.session(loop.session.session_id)
    assert left is not None
    assert left.status is SessionStatus.ACTIVE


def test_every_stopped_session_has_a_checkpoint(rig: Rig, run: SessionRun) -> None:
    loop = begun(run)  # it closes the rig's own session, which crashed
    assert run.end(loop) == 0
    run.close()
    rig.open()
    stopped = {s.session_id for s in rig.state.records.sessions(SessionStatus.STOPPED)}
    with rig.parts.database.connect() as connection:
        rows = connection.exec_driver_sql("SELECT session_id FROM account_snapshots").fetchall()
    assert stopped == {row[0] for row in rows}
    assert len(stopped) == 2


def test_an_interrupted_reconcile_is_dirty_and_not_ok(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.held()
    rig.close()
    house = rig.opened_anew()
    read = house.parts.gateway.positions

    def stop_meanwhile() -> object:
        house.parts.shutdown.ask()
        return read()

    monkeypatch.setattr(house.parts.gateway, "positions", stop_meanwhile)
    code, report = reconcile(house, dry_run=False)
    assert (code, report["ok"]) == (EXIT_DIRTY, False)


def test_a_session_that_ran_its_time_books_everything_before_it_stops(rig: Rig, run: SessionRun) -> None:
    loop, _ = eager(run, minutes=3)
    minutes(rig, run, loop, 3, deaf=True)
    assert run.end(loop) == 0
    held = sum((p.quantity for p in run.house.books.state.book.open_positions()), Decimal(0))
    assert held == sum(Decimal(p["qty"]) for p in rig.exchange.truth(None)["positions"])


def test_shares_that_only_the_last_look_finds_get_their_stop_before_the_session_ends(rig: Rig, run: SessionRun) -> None:
    request = Request(symbols=("AAA",), params={**FAST, "stop_pct": "20"}, duration_min=Decimal(60))
    loop = run.begin(request)
    minutes(rig, run, loop, 4, deaf=True)  # bought, and nobody told us
    run.parts.shutdown.ask()
    take_all(run, loop)
    assert run.end(loop) == 0
    assert [(kind, price) for kind, _, price, _ in rig.live_exits()] == [("stop", "80.8")]


def test_shares_of_a_half_filled_entry_are_not_left_without_a_stop_by_the_end(rig: Rig, run: SessionRun) -> None:
    rig.exchange.venue.partial_fill_rate = Decimal(1)
    loop = run.begin(Request(symbols=("AAA",), params={**FAST, "stop_pct": "20"}, duration_min=Decimal(60)))
    while not [o for o in rig.at_exchange() if o["status"] == "partially_filled"]:
        minutes(rig, run, loop, 1)
    run.parts.shutdown.ask()
    take_all(run, loop)
    assert run.end(loop) == 0
    (entry,) = [o for o in rig.at_exchange() if o["side"] == "buy"]
    (stop,) = rig.live_stops()
    assert (entry["status"], stop[1]) == ("canceled", entry["filled_qty"])


def test_a_session_that_stops_with_its_stop_in_doubt_sends_it_before_it_ends(rig: Rig, run: SessionRun) -> None:
    loop = bought_with_a_lost_stop(rig, run, losses=1)
    run.parts.shutdown.ask()
    assert run.end(loop) == 0
    assert rig.live_exits() == [("stop", "10", "95", "new")]


def test_a_session_whose_stop_never_arrives_stops_dirty(rig: Rig, run: SessionRun) -> None:
    loop = bought_with_a_lost_stop(rig, run, losses=50)
    run.parts.shutdown.ask()
    assert run.end(loop) == EXIT_DIRTY
    assert rig.live_exits() == []
    left = run.house.books.state.records.session(loop.session.session_id)
    assert left is not None
    assert left.status is SessionStatus.ACTIVE


def bought_with_a_lost_stop(rig: Rig, run: SessionRun, losses: int) -> Loop:
    loop = begun(run)
    loop.desk.place(loop.session, PROTECTED, "bar:one:0", rig.clock.now() + timedelta(minutes=2))
    market_moves(rig, run)
    rig.weather.posts = ["lost before"] * losses
    take_all(run, loop)
    assert [o.status for o in loop.state.book.orders.values() if o.role is Role.STOP] == [OrderStatus.IN_DOUBT]
    return loop
