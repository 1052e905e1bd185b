"""Kill at every named point, start again, count the shares: real sessions against a real exchange."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gambler_ai.crashpoints import POINTS
from tests.support.databases import KINDS, new_database
from tests.support.gambler import ROOT
from tests.support.schedules import run_is_done, scheduled
from tests.support.together import begun, chosen
from tests.support.world import World

IN_A_RESUME = {
    "session.before_resume": "order.after_outcome",
    "session.after_resume": "order.after_outcome",
    "recovery.before_lookup": "order.after_send",
    "recovery.after_lookup": "order.after_send",
    "recovery.before_resolve": "order.after_send",
    "recovery.after_resolve": "order.after_send",
    "recovery.before_apply": "order.after_outcome",
    "recovery.after_apply": "order.after_outcome",
}
"""Points only a recovery passes, and where the session before it has to be killed."""

LATER = {
    "order.before_intent": (3,),
    "order.after_intent": (3,),
    "order.before_send": (2,),
    "order.after_send": (4,),
    "order.before_outcome": (3,),
    "order.after_outcome": (3,),
    "fill.before_commit": (1, 3),
    "fill.after_commit": (2,),
    "protection.before_step": (1, 2),
    "protection.after_step": (1, 3),
    "transaction.before_commit": (1, 4, 9),
    "transaction.after_commit": (3, 8),
}
"""Which passing of a point ends the process, when not the first."""

IN_PROCESS = {point for point in POINTS if point.startswith("schedule.")} - {"schedule.after_start"}
"""Points of the scheduler that leave no process behind: tests/operations/test_scheduler.py passes them all, cheaply."""

CASES = [f"{point}:{passing}" for point in POINTS if point not in IN_PROCESS for passing in LATER.get(point, (1,))]


@pytest.fixture(scope="module")
def ended(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., None]]:
    cases = chosen(request, "test_a_crash_at_every_point_loses_and_doubles_nothing")
    server = request.getfixturevalue("postgres") if any(case["kind"] == "postgresql" for case in cases) else ""
    root = tmp_path_factory.mktemp("crash")

    def run(kind: str, case: str) -> None:
        directory = root / f"{kind}-{case.replace(':', '-')}"
        crash_and_go_on(directory, new_database(kind, directory, server), case)

    with begun(cases, run) as wait:
        yield wait


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", CASES)
def test_a_crash_at_every_point_loses_and_doubles_nothing(ended: Callable[..., None], case: str, kind: str) -> None:
    ended(case=case, kind=kind)


def crash_and_go_on(directory: Path, database_url: str, case: str) -> None:
    """Session, crash, restart, proof; raises AssertionError when a promise is broken."""
    room = case.partition(".")[0]
    world = World(directory, database_url, speed="manual" if room in ("cancel", "event") else "paced")
    try:
        if room == "epoch":
            in_a_rebuilding(world, case)
            world.prove()
            return
        rooms = {"cancel": in_a_cancel, "event": in_an_order_by_hand, "schedule": in_a_scheduler}
        rooms.get(room, in_a_session)(world, case)
        world.prove_one_finished_session()
    finally:
        world.end()


def in_a_session(world: World, case: str) -> None:
    point = case.partition(":")[0]
    first = IN_A_RESUME.get(point, case)
    stops = ("--param", "stop_pct=9") if point.startswith("protection.") else ()
    crashed = world.gambler.trade("--duration", "12", *stops, GAMBLER_TEST="1", GAMBLER_CRASH_AT=first).ended()
    assert crashed.code == 137, f"{first} was not passed:\n{crashed.err}"
    if point in IN_A_RESUME:
        crashed = world.gambler.crash(case, "run", "--resume")
        assert crashed.code == 137, f"{case} was not passed:\n{crashed.err}"
    again = world.resume_to_the_end()
    assert again.code == 0, again.err


def in_an_order_by_hand(world: World, case: str) -> None:
    """Somebody else's resting order is the event without a fill."""
    running = world.gambler.trade("--duration", "12", GAMBLER_TEST="1", GAMBLER_CRASH_AT=case)
    running.says("stream.listening", times=2)
    world.exchange.order("AAA", "1", "buy", type="limit", limit_price="90")
    crashed = running.ended()
    assert crashed.code == 137, f"{case} was not passed:\n{crashed.err}"
    world.exchange.clock(speed="paced")
    again = world.resume_to_the_end()
    assert again.code == 0, again.err


def in_a_scheduler(world: World, case: str) -> None:
    """The scheduler dies, the next one finds out how far it came; the session's process outlives both."""
    scheduled(world)
    crashed = world.gambler.crash(case, "schedule", "run", "--once")
    assert crashed.code == 137, f"{case} was not passed:\n{crashed.err}"
    run_is_done(world)
    (run,) = world.query("SELECT * FROM schedule_runs")
    assert run["session_id"] == world.sessions()[0]["session_id"]


def in_a_rebuilding(world: World, case: str) -> None:
    """The session was killed, and its database is gone."""
    in_a_session(world, "session.after_stop")
    world.lose_the_database()
    crashed = world.gambler.crash(case, "recover", "--from-broker")
    assert crashed.code == 137, f"{case} was not passed:\n{crashed.err}"
    again = world.gambler("recover", "--from-broker")
    assert again.code == 0, again.err


def in_a_cancel(world: World, case: str) -> None:
    """No strategy cancels yet, so a small program does: it places one order, cancels it and waits until it is gone."""
    program = [sys.executable, "-m", "tests.crash.place_and_cancel"]
    environment = world.gambler.variables({"PYTHONPATH": str(ROOT), "GAMBLER_TEST": "1"})
    crashed = subprocess.run(program, env={**environment, "GAMBLER_CRASH_AT": case}, capture_output=True, timeout=60)
    assert crashed.returncode == 137, crashed.stderr.decode()
    again = subprocess.run(program, env=environment, capture_output=True, timeout=60)
    assert again.returncode == 0, again.stderr.decode()
    assert [order["status"] for order in world.exchange.truth()["orders"]] == ["canceled"]
    assert [row["status"] for row in world.query("SELECT status FROM orders")] == ["CANCELED"]
