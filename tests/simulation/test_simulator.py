"""The simulator itself: a seed is a run, and a run is judged."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from gambler_ai.logs import silence
from gambler_ai.simulation import disk, nights, run
from gambler_ai.simulation.kinds import HAPPENINGS
from gambler_ai.simulation.many import Summary, run_many
from gambler_ai.simulation.network import ON_CHANGES
from gambler_ai.simulation.simulator import Simulator, _empty_books
from gambler_ai.simulation.stream import ON_FRAMES
from gambler_ai.simulation.world import World

SEED, STEPS = 11, 60
ENOUGH = 500
SEEDS = int(os.environ.get("GAMBLER_TEST_SEEDS") or (ENOUGH if os.environ.get("CI") else 20))
DIGEST = f"from gambler_ai.simulation import run; r = run({SEED}, {STEPS}); print(r.digest, len(r.log))"


def test_the_same_seed_is_the_same_run_line_by_line() -> None:
    first, second = run(SEED, STEPS), run(SEED, STEPS)
    assert len(first.log) > STEPS
    assert first.log == second.log
    assert first.log != run(SEED + 1, STEPS).log


def test_the_same_seed_is_the_same_run_in_processes_that_hash_differently() -> None:
    told = {
        subprocess.run(
            [sys.executable, "-c", DIGEST],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        ).stdout
        for seed in ("1", "2")
    }
    report = run(SEED, STEPS)
    assert told == {f"{report.digest} {len(report.log)}\n"}


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_seed_keeps_every_promise_and_nothing_is_left_out() -> None:
    """CI runs 500, which is the proof: every kind of fault, every read that can be spoilt, every place to die."""
    summary = Summary()
    for report in run_many(range(SEEDS), 200 if SEEDS >= ENOUGH else 100):
        summary.add(report)
    assert [(report.seed, report.violations) for report in summary.failed] == []
    assert set(summary.fired) <= HAPPENINGS
    assert {*ON_CHANGES, *ON_FRAMES, disk.LOST_COMMIT, disk.AWAY, *nights.ACTS, "crash", "freeze"} <= set(summary.fired)
    if SEEDS >= ENOUGH:
        assert [name for name in summary.never if "epoch." not in name] == []  # in no session's reach


def traded(seed: int, steps: int, folder: Path) -> tuple[set[str], list[object]]:
    """What fired, and every order and execution of the exchange's own record."""
    folder.mkdir()
    shutil.copy(_empty_books(), folder / "books.db")
    simulator = Simulator(seed, steps, folder)
    with silence(), simulator.watching():
        simulator.run()
        truth = simulator.world.truth()
    return set(simulator.report.fired), [
        *((o["client_order_id"], o["submitted_at"], o["side"], o["qty"], o["status"]) for o in truth["orders"]),
        *((e["client_order_id"], e["at"], e["cum_qty"], e["price"]) for e in truth["executions"]),
    ]


def test_jumps_of_the_clock_change_no_order_and_no_ordering(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """I30."""
    fired, jumped = traded(16, 40, tmp_path / "jumped")
    monkeypatch.setattr(World, "clock_jumps", lambda _world, _times: None)
    _, steady = traded(16, 40, tmp_path / "steady")
    assert {"clock jumps far forward", "clock jumps back"} <= fired
    assert len(jumped) > 20
    assert jumped == steady


def test_no_connection_leaves_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def connected(*_: object) -> None:
        raise AssertionError("I26: the simulated world has no network")

    monkeypatch.setattr(socket.socket, "connect", connected)
    assert run(SEED, 10).ok
