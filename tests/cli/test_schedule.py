"""`gambler schedule` as a person uses it: real schedulers and sessions, killed and frozen, and everything refused."""

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gambler_ai.storage.database import Database
from tests.support.databases import KINDS, new_database
from tests.support.gambler import QUICK, Result
from tests.support.schedules import IN_THE_WINDOW_S, add, run_is_done, scheduled
from tests.support.waiting import eventually
from tests.support.world import World

STRATEGY = """
from dataclasses import dataclass

from gambler_ai.strategies.base import Strategy


@dataclass
class {name}(Strategy):
    name = "mine"

    def on_bar(self, bar, view):
        return ()
"""


@pytest.fixture(params=KINDS)
def world_on_both(request: pytest.FixtureRequest, tmp_path: Path, postgres: str) -> Iterator[World]:
    one = World(tmp_path, new_database(request.param, tmp_path, postgres))
    yield one
    one.end()


@pytest.fixture
def world(tmp_path: Path, sqlite_url: str) -> Iterator[World]:
    one = World(tmp_path, sqlite_url)
    yield one
    one.end()


def runs(world: World) -> list[dict[str, Any]]:
    return world.query("SELECT * FROM schedule_runs ORDER BY window_start")


def refused(ended: Result, *words: str) -> None:
    assert ended.code == 2, ended.err
    assert "Traceback" not in ended.err
    for word in words:
        assert word in ended.message, ended.err


def test_one_scheduler_frozen_and_woken_one_killed_with_its_session_and_still_one_session(world_on_both: World) -> None:
    world = world_on_both
    scheduled(world)
    world.exchange.clock(speed="manual")
    frozen = world.gambler.start("schedule", "run")
    frozen.says("schedule.started")
    second = world.gambler.start("schedule", "run")
    second.says("schedule.standby")
    frozen.signal(signal.SIGSTOP)
    _end_the_lease(world)
    second.says("schedule.begins")
    eventually(world.sessions, what="the session")
    third = world.gambler.start("schedule", "run")
    sessions = set(world.gambler.strays()) - {one.process.pid for one in (frozen, second, third)}
    second.kill()
    for pid in sessions:
        _kill(pid)
    third.says("schedule.started")
    frozen.signal(signal.SIGCONT)
    assert frozen.ended().code == 4
    world.exchange.clock(speed="paced")
    run_is_done(world, third)
    world.prove_one_finished_session()
    (run,) = runs(world)
    assert (run["status"], run["starts"]) == ("done", 2)


def _end_the_lease(world: World) -> None:
    database = Database(world.database_url)
    with database.connect() as connection:
        connection.exec_driver_sql("UPDATE schedulers SET expires_at = '2020-01-01T00:00:00.000000Z'")
    database.close()


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def test_once_starts_the_session_watches_it_and_closes_the_run(world: World) -> None:
    scheduled(world)
    assert world.gambler("schedule", "run", "--once").code == 0
    eventually(lambda: [one["status"] for one in world.sessions()] == ["stopped"], 60, "the session's end")
    again = world.gambler("schedule", "run", "--once")
    assert again.code == 0, again.err
    assert [run["status"] for run in runs(world)] == ["done"]
    (shown,) = world.gambler("schedule", "list", "--json").json()
    assert shown["last_run"]["session_id"] == world.sessions()[0]["session_id"]
    assert shown["next_runs"][0]["trading_day"] == "2026-11-23"
    assert shown["next_runs"][0]["start_exchange"] == "2026-11-23 09:32 EST"


def test_a_strategy_that_no_longer_loads_fails_its_run_by_name_and_loses_no_schedule(world: World) -> None:
    module = world.gambler.directory / "mymodule.py"
    module.parent.mkdir(parents=True, exist_ok=True)
    module.write_text(STRATEGY.format(name="Mine"))
    assert world.gambler("init-db").code == 0
    flags = ("--strategy", "mymodule:Mine", "--symbols", "AAA", "--at", "open+2m", "--until", "open+14m")
    assert world.gambler("schedule", "add", "mine", *flags).code == 0
    module.write_text(STRATEGY.format(name="Renamed"))
    world.exchange.clock(advance_s=IN_THE_WINDOW_S)
    run_is_done(world)
    (run,) = runs(world)
    assert run["status"] == "failed"
    assert "exit code 2" in run["result"]
    assert "the strategy 'mymodule:Mine' cannot be imported" in run["result"]
    listed = world.gambler("schedule", "list")
    assert "2026-11-23 09:32 EST" in listed.out
    assert "warning: mine: the strategy 'mymodule:Mine' cannot be imported" in listed.err
    assert world.sessions() == []


def test_a_session_id_is_begun_once_and_gone_on_with(world: World) -> None:
    flags = ("--session", "by-hand", "--until", "2026-11-20T14:34:00Z")
    first = world.gambler("run", "--init-db", *QUICK, *flags)
    assert first.code == 0, first.err
    before = world.sessions()
    assert [one["session_id"] for one in before] == ["by-hand"]
    again = world.gambler("run", *QUICK, *flags)
    assert again.code == 0, again.err
    assert world.sessions() == before
    refused(world.gambler("run", *QUICK, "--session", "another", *flags[2:]), "is past", "no session was begun")


def test_a_schedule_from_its_beginning_to_its_end(world: World) -> None:
    gambler = world.gambler
    world.exchange.clock(speed="manual")
    assert gambler("init-db").code == 0
    added = add(world, "daily", "--at", "open+5h", "--until", "close-10m")
    assert added.code == 0, added.err
    said = "warning: daily: 2026-11-27: no session, the market closes at 13:00 New York and open+5h to close-10m"
    assert said in added.err
    refused(
        add(world, "late", "--at", "open+6h", "--until", "close", "--days", "mon"),
        "late (15:30 to 16:00 New York) and daily (14:30 to 15:50 New York) would trade one account at once",
    )
    refused(gambler("schedule", "show", "late"), "there is no schedule 'late'; there are: daily")
    assert "daily is paused" in gambler("schedule", "pause", "daily").out
    shown = gambler("schedule", "show", "daily", "--json").json()
    assert (shown["paused"], shown["next_runs"], shown["runs"]) == (True, [], [])
    assert "daily goes on" in gambler("schedule", "resume", "daily").out
    assert "2026-11-20 14:30 EST" in gambler("schedule", "list").out
    assert gambler("schedule", "remove", "daily").code == 0
    assert gambler("schedule", "list", "--json").json() == []
