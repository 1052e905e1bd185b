"""SIGINT and SIGTERM at every stage of a run: how it ends, how soon, and that the next start goes on."""

import contextlib
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg2
import pytest
from sqlalchemy.engine import make_url

from tests.support.gambler import Running
from tests.support.waiting import eventually
from tests.support.world import World

SIGNALS = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])


@pytest.fixture
def world(tmp_path: Path, database_url: str) -> Iterator[World]:
    one = World(tmp_path, database_url)
    yield one
    one.end()


@pytest.fixture
def on_sqlite(tmp_path: Path) -> Iterator[World]:
    one = World(tmp_path, f"sqlite:///{tmp_path / 'gambler.db'}")
    yield one
    one.end()


def trading(world: World) -> Running:
    """A session in the middle of its day, with shares bought and sold."""
    running = world.gambler.trade("--duration", "380")
    running.says('"event": "fill"', times=2)
    return running


def hanging(world: World, act: str) -> Running:
    """A session whose order is on its way and gets no answer."""
    world.gambler.start("init-db").ended()
    world.exchange.fault(act, seconds=60)
    running = world.gambler.trade("--duration", "12")
    eventually(lambda: in_the_books(world), what="an order sent")
    return running


def in_the_books(world: World) -> bool:
    return bool(world.query("SELECT 1 FROM orders WHERE status = 'SENDING'"))


def statuses(world: World) -> list[str]:
    return [session["status"] for session in world.sessions()]


def resume(world: World) -> None:
    """The next start goes on, and the books are whole."""
    world.exchange.heal()
    again = world.gambler("run", "--resume", "--duration", "12")
    assert again.code == 0, again.err
    world.prove_one_finished_session()


@SIGNALS
def test_a_signal_in_mid_session_checkpoints_and_stops(world: World, number: signal.Signals) -> None:
    running = trading(world)
    sent = running.signal(number)
    ended = running.ended(15)
    assert ended.code == 0, ended.err
    assert "Traceback" not in ended.err
    assert time.monotonic() - sent < 10
    world.prove_one_finished_session()
    kinds = [row["kind"] for row in world.query("SELECT kind FROM order_journal ORDER BY seq")]
    assert kinds[-2:] == ["checkpoint", "session.stopped"]
    assert world.query("SELECT 1 FROM account_snapshots")
    assert world.gambler("run", "--resume", "--duration", "5").code == 0


@pytest.mark.parametrize("act", ["hang_after", "hang_before"])
def test_a_signal_while_an_order_hangs_ends_dirty_in_ten_seconds_and_the_restart_settles_it(
    on_sqlite: World, act: str
) -> None:
    running = hanging(on_sqlite, act)
    sent = running.signal(signal.SIGTERM)
    assert running.ended(15).code == 75
    assert time.monotonic() - sent < 10
    assert statuses(on_sqlite) == ["active"]
    resume(on_sqlite)


@SIGNALS
def test_a_second_signal_ends_a_hanging_request_at_once(on_sqlite: World, number: signal.Signals) -> None:
    running = hanging(on_sqlite, "hang_after")
    running.signal(signal.SIGTERM)
    time.sleep(0.2)  # two signals of one number that come together are one
    ends_at_once(running, number)
    assert statuses(on_sqlite) == ["active"]
    resume(on_sqlite)


def ends_at_once(running: Running, number: signal.Signals) -> None:
    sent = running.signal(number)
    assert running.ended(5).code == 128 + number
    assert time.monotonic() - sent < 1


@SIGNALS
def test_a_second_signal_ends_a_wait_for_the_database_at_once(world: World, number: signal.Signals) -> None:
    running = trading(world)
    with locked(world.database_url):
        eventually(standing_still(world), what="the trader's wait for the lock")
        running.signal(number)
        time.sleep(0.2)  # two signals of one number that come together are one
        ends_at_once(running, number)
    assert statuses(world) == ["active"]
    resume(world)


def test_one_signal_in_a_wait_for_the_database_ends_dirty_in_ten_seconds(on_sqlite: World) -> None:
    running = trading(on_sqlite)
    with locked(on_sqlite.database_url):
        eventually(standing_still(on_sqlite), what="the trader's wait for the lock")
        sent = running.signal(signal.SIGTERM)
        assert running.ended(15).code == 75
        assert time.monotonic() - sent < 10
    assert statuses(on_sqlite) == ["active"]
    resume(on_sqlite)


@contextlib.contextmanager
def locked(database_url: str) -> Iterator[None]:
    """Somebody else holds what every transaction of ours needs first."""
    if database_url.startswith("sqlite"):
        path = str(make_url(database_url).database)
        with contextlib.closing(sqlite3.connect(path, isolation_level=None, timeout=10)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield
            connection.execute("ROLLBACK")
        return
    with contextlib.closing(psycopg2.connect(database_url)) as connection:
        connection.cursor().execute("SELECT * FROM accounts FOR UPDATE")
        yield


def standing_still(world: World) -> Callable[[], bool]:
    """Whether the exchange has heard nothing from the trader for half a second."""
    heard = [len(world.exchange.truth()["requests"]), time.monotonic()]

    def look() -> bool:
        count = len(world.exchange.truth()["requests"])
        if count != heard[0]:
            heard[:] = [count, time.monotonic()]
        return time.monotonic() - heard[1] > 0.5

    return look


@pytest.mark.parametrize(
    ("path", "step", "act", "code"),
    [
        ("/v2/account$", "meet the broker", "delay_before", 0),
        ("/v2/positions$", "look and apply", "delay_before", 0),
        ("/v2/stocks/bars$", "warm up", "delay_before", 0),
        ("/v2/account$", "meet the broker", "hang_before", 75),
        ("/v2/positions$", "look and apply", "hang_before", 75),
    ],
)
def test_a_signal_during_the_start_ends_it_and_the_next_one_is_whole(
    on_sqlite: World, path: str, step: str, act: str, code: int
) -> None:
    on_sqlite.exchange.fault(act, "GET", path, **({"seconds": 60} if code else {"seconds": 2, "times": 1}))
    running = on_sqlite.gambler.trade("--duration", "12")
    running.says(step)
    sent = running.signal(signal.SIGTERM)
    ended = running.ended(15)
    assert ended.code == code, ended.err
    assert "Traceback" not in ended.err
    assert time.monotonic() - sent < 10
    assert not on_sqlite.exchange.posts()
    on_sqlite.exchange.heal()
    assert on_sqlite.gambler.trade("--duration", "12").ended().code == 0
    on_sqlite.prove()
    assert "active" not in statuses(on_sqlite)


def test_a_signal_during_the_wait_for_the_exchange_ends_it_cleanly(on_sqlite: World) -> None:
    on_sqlite.exchange.end()
    running = on_sqlite.gambler.trade("--duration", "12")
    running.says("broker.waiting")
    sent = running.signal(signal.SIGINT)
    assert running.ended(15).code == 0
    assert time.monotonic() - sent < 3


def test_a_signal_during_a_recovery_leaves_the_crash_for_the_next_start(on_sqlite: World) -> None:
    crashed = on_sqlite.gambler.trade("--duration", "12", GAMBLER_TEST="1", GAMBLER_CRASH_AT="order.after_send")
    assert crashed.ended().code == 137
    on_sqlite.exchange.fault("hang_after", "GET", "/v2/orders:by_client_order_id", seconds=60)
    running = on_sqlite.gambler.start("run", "--resume")
    running.says("settle what is in doubt")
    running.signal(signal.SIGTERM)
    assert running.ended(15).code == 75
    resume(on_sqlite)
