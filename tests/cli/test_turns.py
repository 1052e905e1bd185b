"""Who may trade an account: one process, whoever else starts, waits, freezes or wakes."""

import contextlib
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from gambler_ai.errors import DatabaseUnavailable
from gambler_ai.storage import schema
from gambler_ai.storage.database import BUSY_TIMEOUT_S, Database
from gambler_ai.storage.lease import TTL
from tests.support.gambler import Running
from tests.support.waiting import eventually
from tests.support.world import World

STARTS = 8


@pytest.fixture
def worlds(tmp_path: Path, sqlite_url: str, postgres_url: str) -> Iterator[list[World]]:
    both = [World(tmp_path / "sqlite", sqlite_url), World(tmp_path / "postgresql", postgres_url)]
    yield both
    for world in both:
        world.end()


def on_both(worlds: list[World], check: Callable[[World], None]) -> None:
    """At the same time: most of it is waiting for a lease."""
    with ThreadPoolExecutor(len(worlds)) as pool:
        for done in [pool.submit(check, world) for world in worlds]:
            done.result()


def trading(world: World, *flags: str) -> Running:
    running = world.gambler.trade("--duration", "380", *flags)
    running.says('"event": "fill"', times=2)
    return running


def test_a_frozen_trader_is_replaced_by_one_of_eight_and_sends_nothing_when_it_wakes(worlds: list[World]) -> None:
    on_both(worlds, one_of_eight)


def one_of_eight(world: World) -> None:
    frozen = trading(world)
    freeze(world, frozen)
    time.sleep(TTL.total_seconds() + 5)
    world.exchange.clock(speed="manual")  # so that the one who trades is still there when the slowest one asks
    starts = [world.gambler.start("run", "--resume") for _ in range(STARTS)]
    eventually(lambda: sum(start.process.poll() is not None for start in starts) >= STARTS - 1, 120, "seven refusals")
    world.exchange.clock(speed="paced")
    ends = [start.ended(120) for start in starts]
    assert sorted(end.code for end in ends) == [0] + [4] * (STARTS - 1), [end.message for end in ends]
    winner = next(start.process.pid for start, end in zip(starts, ends, strict=True) if end.code == 0)
    assert all(f"process {winner} " in end.message for end in ends if end.code)
    before = len(world.exchange.truth()["requests"])
    frozen.signal(signal.SIGCONT)
    assert frozen.ended().code == 4
    late = [(one["method"], one["path"]) for one in world.exchange.truth()["requests"][before:]]
    assert {method for method, _ in late} <= {"GET"}, "only a read it was in the middle of may go to its end"
    world.prove_one_finished_session()


def freeze(world: World, running: Running) -> None:
    """Not in mid-transaction: PostgreSQL ends that one, a SQLite file stays locked as long as its writer stands."""
    while True:
        running.signal(signal.SIGSTOP)
        if not world.database_url.startswith("sqlite"):
            return
        with contextlib.closing(sqlite3.connect(make_url(world.database_url).database or "", timeout=0)) as probe:
            try:
                probe.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError:
                running.signal(signal.SIGCONT)
                time.sleep(0.05)


def test_a_trader_frozen_in_mid_transaction_keeps_no_lock_on_postgresql(postgres_url: str) -> None:
    first, second = Database(postgres_url), Database(postgres_url)
    schema.upgrade(first)
    with first.connect() as frozen:
        frozen.exec_driver_sql("BEGIN")
        frozen.exec_driver_sql("LOCK TABLE accounts IN ACCESS EXCLUSIVE MODE")
        eventually(lambda: unlocked(second), 2 * BUSY_TIMEOUT_S, "the end of the frozen transaction")
        frozen.invalidate()
    first.close()
    second.close()


def unlocked(database: Database) -> bool:
    try:
        with database.connect() as connection:
            connection.exec_driver_sql("SELECT 1 FROM accounts")
        return True
    except DatabaseUnavailable:
        return False


def test_a_second_start_is_refused_at_once_and_told_who_trades(worlds: list[World]) -> None:
    for world in worlds:
        first = trading(world)
        first.signal(signal.SIGSTOP)  # so that it still trades when the second one asks
        second = world.gambler("run", "--resume")
        assert second.code == 4
        assert f"process {first.process.pid} " in second.message
        first.signal(signal.SIGCONT)
        assert first.ended().code == 0


def test_a_standby_goes_on_when_the_trader_is_killed(worlds: list[World]) -> None:
    on_both(worlds, killed_with_a_standby)


def killed_with_a_standby(world: World) -> None:
    first = world.gambler.trade("--duration", "380")
    first.says('"event": "fill"')
    second = world.gambler.trade("--duration", "380", "--standby")
    first.signal(signal.SIGSTOP)
    second.says("standby.waiting")
    killed = time.monotonic()
    first.kill()
    second.says("while you were down")
    assert time.monotonic() - killed < TTL.total_seconds(), "a dead holder is not waited for"
    assert second.ended().code == 0
    world.prove_one_finished_session()


def test_a_standby_with_nobody_to_stand_by_for_trades(worlds: list[World]) -> None:
    for world in worlds:
        assert world.gambler.trade("--duration", "12", "--standby").ended().code == 0
        world.prove_one_finished_session()


def test_a_standby_ends_with_the_session_it_stood_by_for(worlds: list[World]) -> None:
    world = worlds[0]
    first = world.gambler.trade("--duration", "60")
    first.says('"event": "fill"')
    first.signal(signal.SIGSTOP)
    second = world.gambler.trade("--duration", "60", "--standby")
    second.says("standby.waiting")
    first.signal(signal.SIGCONT)
    assert first.ended().code == 0
    assert second.ended().code == 0
    world.prove_one_finished_session()


def test_a_waiting_standby_stops_when_it_is_asked_to(worlds: list[World]) -> None:
    world = worlds[0]
    first = trading(world)
    first.signal(signal.SIGSTOP)
    second = world.gambler.trade("--standby")
    second.says("standby.waiting")
    second.signal(signal.SIGTERM)
    assert second.ended(10).code == 0
    first.kill()
    eventually(lambda: world.gambler("run", "--resume").code == 0, what="the resume")
