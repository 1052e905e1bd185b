"""A session's process: `gambler run`, started so that it outlives its scheduler, with a file for what it says."""

import os
import subprocess
import sys
from pathlib import Path

from gambler_ai.domain.market import iso
from gambler_ai.domain.schedules import Run
from gambler_ai.logs import masked

_LOOK_BACK = 4096


def command(run: Run) -> list[str]:
    """The session of a run, to be begun or gone on with. No secret stands in it: keys stay in the environment."""
    plan = run.plan
    words = [sys.executable, "-m", "gambler_ai", "run", "--session", run.session_id, "--until", iso(run.slot.end)]
    words += ["--strategy", plan.strategy, "--symbols", ",".join(plan.symbols)]
    return words + [word for name, value in plan.params for word in ("--param", f"{name}={value}")]


class SessionProcess:
    """A process of ours; one that an earlier scheduler started shows only in the account's lease."""

    def __init__(self, run: Run, data_dir: Path) -> None:
        """Start it, in a process group of its own: what ends its scheduler does not end it."""
        self.log = data_dir / "sessions" / f"{run.session_id}.log"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._from = os.fstat(descriptor).st_size
        try:
            self._child = subprocess.Popen(
                command(run), stdin=subprocess.DEVNULL, stdout=descriptor, stderr=descriptor, start_new_session=True
            )
        finally:
            os.close(descriptor)
        self.pid = self._child.pid

    def ended(self) -> tuple[int, str] | None:
        """Exit code (negative: the signal that killed it) and last words; None while it runs."""
        code = self._child.poll()
        return None if code is None else (code, self._last_words())

    def _last_words(self) -> str:
        """What `gambler: ...` said at its end, else its last line that is no log line. Of this process only."""
        with self.log.open("rb") as file:
            file.seek(max(self._from, self.log.stat().st_size - _LOOK_BACK))
            lines = file.read().decode(errors="replace").splitlines()
        text = "\n".join(["", *(line for line in lines if not line.startswith("{"))])
        _, clear, words = text.rpartition("\ngambler: ")
        return masked(" ".join((words if clear else text.rpartition("\n")[2]).split())[:500]) or "it said nothing"
