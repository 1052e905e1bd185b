"""Recovery of 1,000 positions and 1,000 resting orders, 100 of them filled while nobody looked, against its minimal
broker calls alone, with raw answers; and the budget: 100 positions, 1,000 orders of which 50 are in doubt.

Ours looks, decides, books what happened with every commit synced, and proves it by a second look; nothing needs the
confirmation span. The budget's full recovery is a session's start after its imports: from opening the database until
its strategy may decide.

    python -m benchmarks.recover
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.account import Account
from benchmarks.timing import Result, in_turns, p95
from gambler_ai.trading.session_run import SessionRun
from gambler_ai.trading.sessions import Request

ROUNDS, REPETITIONS = 7, 20
BAR, GOAL = 2.0, 1.3
POSITION_RECOVERY_S, FULL_RECOVERY_S = 1.0, 3.0
_OF_POSITIONS = {"settle what is in doubt", "look and apply", "protect", "prove"}


def measure(folder: Path, size: int = 1000, rounds: int = ROUNDS) -> Result:
    """`size` positions, as many resting orders, and a tenth of these filled meanwhile."""
    account = Account(folder / "account", size, size, filled=size // 10)

    def ours() -> float:
        return account.recover(account.copy()).recovery_s

    def anchor() -> float:
        started = time.perf_counter()
        account.least()
        return time.perf_counter() - started

    taken = in_turns({"ours": ours, "anchor": anchor}, rounds=rounds)
    median = {name: statistics.median(seconds) for name, seconds in taken.items()}
    return Result("recover", median["ours"], median["anchor"], BAR, GOAL)


def budget(
    folder: Path,
    positions: int = 100,
    orders: int = 1000,
    in_doubt: int = 50,
    rows: int = 10_000,
    times: int = REPETITIONS,
) -> tuple[float, float]:
    """p95 seconds of position recovery, and of a whole start; each on books of its own, as the dead process left them.

    One order in ten opened a position, one in ten was filled meanwhile, the others rest."""
    account = Account(folder / "budget", positions, orders - positions, orders // 10, in_doubt, rows)
    position_s, full_s = [], []
    for _ in range(times):
        run = SessionRun(account.house(account.copy()).parts)
        try:
            started = time.perf_counter()
            run.begin(Request(resume=""))
            full_s.append(time.perf_counter() - started)
        finally:
            run.close()
        position_s.append(sum(seconds for name, seconds in run.house.steps.done if name in _OF_POSITIONS))
    return p95(position_s), p95(full_s)


def told(name: str, seconds: float, limit: float) -> str:
    verdict = "held" if seconds < limit else "MISSED"
    return f"{name:<28} p95  {seconds:7.3f} s   budget {limit:.0f} s   {verdict}"


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="bench-recover-") as name:
        result = measure(Path(name))
        print(result, flush=True)
        positions, full = budget(Path(name))
        print(told("recover, positions", positions, POSITION_RECOVERY_S))
        print(told("recover, whole start", full, FULL_RECOVERY_S), flush=True)
    return 0 if result.holds and positions < POSITION_RECOVERY_S and full < FULL_RECOVERY_S else 1


if __name__ == "__main__":
    sys.exit(main())
