"""The log on disk: lines of JSON, turned over before it grows too long, shared by the processes of an account.

Nobody waits for anybody: a line is one write at the file's end, and only turning a page takes a lock that is given up
at once when another process has it. A process that stands still holds nothing the others need.
"""

import contextlib
import fcntl
import os
import sys
from pathlib import Path

MOST_BYTES = 10_000_000
KEPT = 5
"""Older files beside the current one: NAME.1 is the youngest."""


class LogFile:
    """`path` is made with the first line. A disk that refuses is told once on stderr, and trading goes on."""

    def __init__(self, path: Path, most_bytes: int = MOST_BYTES) -> None:
        self.path = path
        self._most = most_bytes
        self._fd: int | None = None
        self._refused = False

    def write(self, line: str) -> None:
        try:
            os.write(self._opened(), line.encode() + b"\n")
            self._refused = False
        except OSError as error:
            if not self._refused:
                sys.stderr.write(f"the log {self.path} cannot be written ({error.strerror}); going on\n")
            self._refused = True

    def _opened(self) -> int:
        if self._fd is not None and not self._is_current(self._fd):
            self.close()
        if self._fd is None:
            self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        if os.fstat(self._fd).st_size >= self._most:
            self._turn(self._fd)
            return self._opened() if self._fd is None else self._fd
        return self._fd

    def _is_current(self, fd: int) -> bool:
        """Whether the name still means this file: another process may have turned the page."""
        try:
            there = os.stat(self.path)
        except FileNotFoundError:
            return False
        here = os.fstat(fd)
        return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)

    def _turn(self, fd: int) -> None:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if self._is_current(fd):
                for number in range(KEPT - 1, 0, -1):
                    older = self.path.with_name(f"{self.path.name}.{number}")
                    if older.exists():
                        older.replace(self.path.with_name(f"{self.path.name}.{number + 1}"))
                self.path.replace(self.path.with_name(f"{self.path.name}.1"))
            self.close()

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
