"""`gambler halt`, `flatten`, `cancel` and `unhalt` as processes of their own, beside a session and without one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.waiting import eventually
from tests.support.world import World


@pytest.fixture
def world(tmp_path: Path, database_url: str) -> Iterator[World]:
    """A market that trades at 240 times the speed."""
    one = World(tmp_path, database_url, partial="0", speed="240")
    yield one
    one.end()


def test_commands_reach_a_running_session_and_work_without_one(world: World) -> None:
    session = world.gambler.trade("--duration", "380")
    eventually(lambda: bool(world.exchange.truth()["executions"]), 40, "the first trade")
    halted = world.gambler("halt", "--reason", "me, 3 a.m.", "--json")
    assert (halted.code, halted.json()) == (0, {"ok": True}), halted.err
    mistyped = world.gambler("flatten", "AAB")
    assert (mistyped.code, "has AAB. Did you mean AAA?" in mistyped.err) == (2, True), mistyped.err
    flat = world.gambler("flatten", "--json")
    assert (flat.code, flat.json()["open"]) == (0, {}), flat.err
    assert not [p for p in world.exchange.truth()["positions"] if p["qty"] != "0"]
    requests = len(world.exchange.posts())
    status = world.gambler("status").out
    assert "exits only" in status
    assert "me, 3 a.m." in status
    assert len(world.exchange.posts()) == requests
    session.process.terminate()
    assert session.ended().code == 3
    lifted = world.gambler("unhalt", "--reason", "it was nothing")
    assert (lifted.code, "lifted account" in lifted.out) == (0, True), lifted.err
    world.exchange.order("BBB", "3", "buy", type="limit", limit_price="10")
    world.gambler("reconcile")
    cancelled = world.gambler("cancel")
    assert (cancelled.code, "has no open orders left" in cancelled.out) == (0, True), cancelled.err
    world.prove()
