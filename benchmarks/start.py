"""How long a person waits for the first line: `gambler --help` and `gambler status`, as whole processes.

python -m benchmarks.start
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.commit import Desk
from benchmarks.timing import Result, interleaved

ROUNDS = 15
GAMBLER = (sys.executable, "-m", "gambler_ai")


def process(command: tuple[str, ...], environment: Mapping[str, str]) -> Callable[[], None]:
    def run() -> None:
        subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)

    return run


def measure(folder: Path, rounds: int = ROUNDS) -> list[Result]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GAMBLER_", "APCA_", "ALPACA_"))}
    environment = {**kept, "GAMBLER_DATA_DIR": str(folder), "GAMBLER_ACCOUNT_LABEL": "bench"}
    desk = Desk(f"sqlite:///{folder / 'gambler.db'}", folder)
    desk.one_order()
    desk.close()
    works = {
        "help": process((*GAMBLER, "--help"), environment),
        "click": process((sys.executable, "-c", "import click"), environment),
        "status": process((*GAMBLER, "status"), environment),
        "click and sqlite3": process((sys.executable, "-c", "import click, sqlite3"), environment),
    }
    median = interleaved(works, rounds=rounds)
    return [
        Result("gambler --help", median["help"], median["click"], 2.0, 1.5),
        Result("gambler status", median["status"], median["click and sqlite3"], 4.0, 2.0),
    ]


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="bench-start-") as name:
        results = measure(Path(name))
    for result in results:
        print(result)
    return 0 if all(result.holds for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
