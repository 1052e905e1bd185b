"""The simulator itself: a seed is a run, and a run is judged."""

import os
import subprocess
import sys

from gambler_ai.simulation import run

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


def test_without_faults_books_and_exchange_come_to_agree() -> None:
    report = run(3)
    assert report.violations == []
    assert report.happened["starts"] == 2
