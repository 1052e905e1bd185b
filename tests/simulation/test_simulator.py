"""The simulator itself: a seed is a run, and a run is judged."""

import os
import subprocess
import sys

from gambler_ai.simulation import run
from gambler_ai.simulation.many import Summary, run_many
from gambler_ai.simulation.network import ON_CHANGES, ON_READS
from gambler_ai.simulation.stream import ON_FRAMES

SEED, STEPS = 11, 60
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


def test_some_seeds_keep_every_promise_and_every_kind_of_accident_happens() -> None:
    summary = Summary()
    for report in run_many(range(20), 100):
        summary.add(report)
    assert [(report.seed, report.violations) for report in summary.failed] == []
    assert {*ON_CHANGES, *ON_READS, *ON_FRAMES, "crash", "freeze", "twin start", "commit fails"} <= set(summary.fired)
