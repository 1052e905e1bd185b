"""Recovery with 1,000,000 rows in the journal against the same with 10,000: history must cost nothing.

From opening the database to the proof, with 20 positions and 50 resting orders. Nothing happened meanwhile, so the same
books are recovered again and again.

    python -m benchmarks.history
"""

import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.account import Account
from benchmarks.timing import Result, in_turns

ROUNDS = 15
LONG, SHORT = 1_000_000, 10_000
BAR, GOAL = 1.2, 1.05


def measure(folder: Path, long: int = LONG, short: int = SHORT, rounds: int = ROUNDS) -> Result:
    taken = in_turns(
        {"ours": _recovery(folder / "long", long), "anchor": _recovery(folder / "short", short)}, rounds=rounds
    )
    median = {name: statistics.median(seconds) for name, seconds in taken.items()}
    return Result("history", median["ours"], median["anchor"], BAR, GOAL)


def _recovery(folder: Path, rows: int) -> Callable[[], float]:
    account = Account(folder, positions=20, orders=50, rows=rows)

    def once() -> float:
        done = account.recover(folder / "prepared")
        assert not done.applied
        return done.opening_s + done.recovery_s

    return once


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="bench-history-") as name:
        result = measure(Path(name))
    print(result)
    return 0 if result.holds else 1


if __name__ == "__main__":
    sys.exit(main())
