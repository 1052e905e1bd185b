"""Who holds a lease, and the proof that it is gone: for writers, and for readers that open the bare driver only."""

import os
import socket
import uuid
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

GRACE = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lease: enough to prove from the same machine that it is gone. `locked` = it also has the lock file
    of a SQLite database, so whoever gets that file has the proof."""

    host: str
    boot_id: str
    pid: int
    started: str
    nonce: str
    locked: bool = False

    def __str__(self) -> str:
        return "|".join((self.host, self.boot_id, str(self.pid), self.started, self.nonce, "locked" * self.locked))

    @classmethod
    def of_this_process(cls) -> "Holder":
        return cls(socket.gethostname(), _boot_id(), os.getpid(), _started(os.getpid()) or "", uuid.uuid4().hex[:8])

    @classmethod
    def parse(cls, text: str) -> "Holder":
        host, boot_id, pid, started, nonce, locked = text.split("|")
        return cls(host, boot_id, int(pid), started, nonce, bool(locked))

    @property
    def shown(self) -> str:
        return f"process {self.pid} on {self.host}"

    @property
    def is_here(self) -> bool:
        return self.host == socket.gethostname()

    def is_dead(self) -> bool:
        """Proven: this machine, this boot, and no process with that number and start time. False when unsure."""
        if not self.boot_id or self.boot_id != _boot_id() or not self.is_here:
            return False
        return _started(self.pid) != self.started


def _boot_id() -> str:
    """This start of this machine, as far as its process numbers reach (a container counts its own); empty where the
    system does not tell, and then nothing is proven."""
    path = Path("/proc/sys/kernel/random/boot_id")
    if not path.exists():
        return ""
    return f"{path.read_text().strip()}:{os.readlink('/proc/self/ns/pid')}"


def _started(pid: int) -> str | None:
    """The process's start time in clock ticks since boot, None when there is none (a zombie has ended too)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, *rest = stat.rpartition(")")[2].split()
    return None if state in "ZX" else rest[18]
