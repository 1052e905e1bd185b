"""What the loop takes from its one inbox."""

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass

from gambler_ai.broker.gateway import OrderEvent, StreamState
from gambler_ai.domain.market import Bar, Quote

OVERFLOW = "inbox"
"""The stream name of a gap that we made ourselves."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Nothing arrived for a while: look after what is due."""


@dataclass(frozen=True, slots=True)
class StopAsked:
    """Finish what is in flight, checkpoint, stop."""

    why: str


Message = OrderEvent | Bar | Quote | StreamState | Tick | StopAsked


class Inbox:
    """One queue with a depth; what does not fit is dropped and told as a gap of the stream it came from."""

    def __init__(self, limit: int = 50_000) -> None:
        self._queue: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._limit = limit
        self._overflowed = threading.Event()

    def put(self, message: Message) -> None:
        """From any thread; never waits."""
        if self._queue.qsize() >= self._limit and not isinstance(message, StopAsked):
            self._overflowed.set()
            return
        self._queue.put(message)

    def take(self, timeout_s: float) -> Message:
        """The next message; Tick when none comes in time."""
        if self._overflowed.is_set() and self._queue.empty():
            self._overflowed.clear()
            return StreamState(OVERFLOW, listening=False, detail="the inbox overflowed")
        try:
            return self._queue.get(timeout=timeout_s) if timeout_s > 0 else self._queue.get_nowait()
        except queue.Empty:
            return Tick()

    @property
    def is_empty(self) -> bool:
        return self._queue.empty() and not self._overflowed.is_set()


Put = Callable[[Message], None]
