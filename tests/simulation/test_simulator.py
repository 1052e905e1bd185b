"""The simulator itself: a seed is a run, and a run is judged."""

import os
import socket
import subprocess
import sys

import pytest

from gambler_ai.simulation import disk, nights, run
from gambler_ai.simulation.kinds import HAPPENINGS
from gambler_ai.simulation.many import Summary, run_many
from gambler_ai.simulation.network import ON_CHANGES
from gambler_ai.simulation.stream import ON_FRAMES

SEED, STEPS = 11, 60
SEEDS, ENOUGH = int(os.environ.get("GAMBLER_TEST_SEEDS", "20")), 500
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
    """GAMBLER_TEST_SEEDS=500 is the proof: every kind of fault, every read that can be spoilt, every place to die."""
    summary = Summary()
    for report in run_many(range(SEEDS), 200 if SEEDS >= ENOUGH else 100):
        summary.add(report)
    assert [(report.seed, report.violations) for report in summary.failed] == []
    assert set(summary.fired) <= HAPPENINGS
    assert {*ON_CHANGES, *ON_FRAMES, *disk.FAULTS, *nights.ACTS, "crash", "freeze"} <= set(summary.fired)
    if SEEDS >= ENOUGH:
        assert [name for name in summary.never if "epoch." not in name] == []  # in no session's reach


def test_no_connection_leaves_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def connected(*_: object) -> None:
        raise AssertionError("I26: the simulated world has no network")

    monkeypatch.setattr(socket.socket, "connect", connected)
    assert run(SEED, 10).ok
