"""Waiting for a condition instead of for a while, and limits that a busy machine does not break."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

NAP_S = 0.01
T = TypeVar("T")


def eventually(check: Callable[[], T], seconds: float = 30, what: str = "it") -> T:
    """Wait until `check` gives something true, and return that."""
    deadline = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds} s"
        time.sleep(0.02)
    return found


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    """What is done inside takes no longer; time in which the machine let none of our threads run is not counted."""
    stalled, over = 0.0, threading.Event()

    def watch() -> None:
        nonlocal stalled
        while not over.is_set():
            asleep = time.monotonic()
            over.wait(NAP_S)
            stalled += max(0.0, time.monotonic() - asleep - NAP_S)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    began = time.monotonic()
    try:
        yield
        took = time.monotonic() - began
    finally:
        over.set()
        watcher.join()
    assert took - stalled < seconds, f"took {took:.2f} s, {stalled:.2f} s of them in the machine's queue"
