"""`gambler ...` as a process of its own, with an environment in which nothing of this machine's user is left."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.waiting import eventually

ROOT = Path(__file__).resolve().parents[2]
KEYS = {"APCA_API_KEY_ID": "PKTEST", "APCA_API_SECRET_KEY": "sssecret"}
RULES = {
    "GAMBLER_SETTLE_S": "1",
    "GAMBLER_CONFIRM_SPAN_S": "0.6",
    "GAMBLER_CONFIRM_ROUNDS": "3",
    "GAMBLER_LOOK_EVERY_S": "5",
}
QUICK = ("--symbols", "AAA,BBB", "--param", "fast=1", "--param", "slow=2", "--param", "notional=2000")


@dataclass(frozen=True)
class Result:
    """How a command ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def message(self) -> str:
        """The clear line: what `gambler: ...` said on stderr, continued lines included."""
        found = re.search(r"^(?:gambler: |Error: )(.*)\Z", self.err, re.MULTILINE | re.DOTALL)
        return found[1].strip() if found else ""


@dataclass
class Running:
    """A command that has not ended yet."""

    process: subprocess.Popen[bytes]
    out: Path
    err: Path

    def log(self) -> str:
        return self.err.read_text(errors="replace")

    def says(self, text: str, seconds: float = 30, times: int = 1) -> None:
        """Wait until stderr says so."""
        eventually(
            lambda: self.log().count(text) >= times or self.process.poll() is not None, seconds, f"{text!r} in the log"
        )
        assert self.log().count(text) >= times, self.log()

    def signal(self, number: signal.Signals) -> float:
        """Send it; returns when that was (monotonic seconds)."""
        at = time.monotonic()
        self.process.send_signal(number)
        return at

    def ended(self, seconds: float = 60) -> Result:
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"still running after {seconds} s:\n{self.log()}") from None
        return Result(code, self.out.read_text(), self.log())

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@dataclass
class Gambler:
    """A data directory, a database and the environment to use them with. `end` kills what still runs."""

    directory: Path
    database_url: str
    exchange_url: str
    environment: dict[str, str] = field(default_factory=dict)
    prefix: tuple[str, ...] = ()
    _running: list[Running] = field(default_factory=list)

    def variables(self, more: dict[str, str | None]) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
        ours: dict[str, str | None] = {
            "HOME": str(self.directory),
            "PYTHONPATH": str(ROOT),  # this checkout, whatever is installed
            "GAMBLER_DATA_DIR": str(self.directory / "data"),
            "GAMBLER_DATABASE_URL": self.database_url,
            "APCA_API_BASE_URL": self.exchange_url,
            **KEYS,
            **RULES,
            **self.environment,
            **more,
        }
        return kept | {name: value for name, value in ours.items() if value is not None}

    def start(self, *arguments: str, **more: str | None) -> Running:
        """Begin `gambler <arguments>`; keywords change the environment, None takes a variable away."""
        self.directory.mkdir(parents=True, exist_ok=True)
        number = len(self._running)
        out, err = self.directory / f"{number}.out", self.directory / f"{number}.err"
        with out.open("wb") as stdout, err.open("wb") as stderr:
            process = subprocess.Popen(
                [*self.prefix, sys.executable, "-m", "gambler_ai", *arguments],
                cwd=self.directory,
                env=self.variables(more),
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
            )
        running = Running(process, out, err)
        self._running.append(running)
        return running

    def __call__(self, *arguments: str, seconds: float = 60, **more: str | None) -> Result:
        return self.start(*arguments, **more).ended(seconds)

    def trade(self, *flags: str, **more: str | None) -> Running:
        """A session that trades at once."""
        return self.start("run", "--init-db", *QUICK, *flags, **more)

    def crash(self, point: str, *arguments: str) -> Result:
        return self(*arguments, GAMBLER_TEST="1", GAMBLER_CRASH_AT=point)

    def end(self) -> None:
        for running in self._running:
            if running.process.poll() is None:
                running.kill()
        for pid in self.strays():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def strays(self) -> list[int]:
        """Processes that belong to this data directory, whoever started them: sessions outlive their scheduler."""
        mine = f"GAMBLER_DATA_DIR={self.directory / 'data'}".encode()
        found = []
        for place in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                if mine in place.read_bytes().split(b"\0"):
                    found.append(int(place.parent.name))
        return found
