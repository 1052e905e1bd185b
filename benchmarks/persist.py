"""One order, durable: its intent and its outcome in two synced transactions, against freqtrade's commit of a Trade and
its Order: in the same run and on the same disk after `make bench-peers` has installed it; else its 1.3 ms are a
constant, measured beside on another machine.

    python -m benchmarks.persist
"""

import sys
import tempfile
from pathlib import Path

from benchmarks import peers
from benchmarks.commit import Desk
from benchmarks.timing import Result, interleaved

ROUNDS, EACH = 30, 40
BESIDE_S = 0.0013
BAR, GOAL = 0.3, 0.15


def measure(folder: Path, rounds: int = ROUNDS, each: int = EACH) -> Result:
    desk = Desk(f"sqlite:///{folder / 'ours.db'}", folder)
    try:
        median = interleaved({"ours": desk.one_order}, rounds=rounds, each=each)
    finally:
        desk.close()
    beside = BESIDE_S, "anchor: freqtrade, measured beside"
    anchor, note = peers.seconds("freqtrade", "freqtrade_persist.py", folder, rounds, each) or beside
    return Result("persist (sqlite)", median["ours"], anchor, BAR, GOAL, note=note)


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="bench-persist-") as name:
        result = measure(Path(name))
    print(result)
    return 0 if result.holds else 1


if __name__ == "__main__":
    sys.exit(main())
