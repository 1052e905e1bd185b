"""SIGINT and SIGTERM.

Python runs signal handlers only between bytecodes (seconds late in a lock wait), so the C-level handler writes the
signal's number to a socket and a watcher thread reads it. First signal: stop, let the request in flight finish, then
checkpoint. Second: gone at once, like kill -9.
"""

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Callable
from types import FrameType

REQUEST_PATIENCE_S = 6.0
HARD_EXIT_S = 9.0
EXIT_DONE = 0
EXIT_NEEDS_A_HUMAN = 3
EXIT_DIRTY = 75


class Shutdown:
    """`is_set` is the flag every send checks. `aborted` = the request in flight had to be cut off: stop dirty."""

    def __init__(self) -> None:
        self._asked = threading.Event()
        self._done = threading.Event()
        self.aborted = False
        self.on_stop: Callable[[], None] = lambda: None
        self.abort_request: Callable[[], None] = lambda: None
        self._sockets: tuple[socket.socket, socket.socket] | None = None
        self._previous: dict[signal.Signals, object] = {}
        self._previous_fd = -1

    def is_set(self) -> bool:
        return self._asked.is_set()

    def ask(self) -> None:
        """Stop as if the first signal had come."""
        self._asked.set()
        self.on_stop()

    def install(self) -> None:
        """From the main thread: take over both signals and start the watcher."""
        receiver, sender = self._sockets = socket.socketpair()
        sender.setblocking(False)
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, _noticed)
        self._previous_fd = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=self._watch, args=(receiver,), name="signals", daemon=True).start()

    def uninstall(self) -> None:
        """Give the signals back; for programs that go on after a session."""
        if self._sockets is None:
            return
        self._done.set()
        signal.set_wakeup_fd(self._previous_fd)
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        for end in self._sockets:
            end.close()

    def _watch(self, receiver: socket.socket) -> None:
        while True:
            received = receiver.recv(1)
            if not received:
                return
            if received[0] in (signal.SIGINT, signal.SIGTERM):
                break
        self.ask()
        receiver.settimeout(REQUEST_PATIENCE_S)
        if not self._second_signal(receiver):
            self.aborted = True
            self.abort_request()
            receiver.settimeout(HARD_EXIT_S - REQUEST_PATIENCE_S)
            if not self._second_signal(receiver) and not self._done.is_set():
                os._exit(EXIT_DIRTY)

    def _second_signal(self, receiver: socket.socket) -> bool:
        """Wait for it; it ends the process here. True = the socket was closed, the process is ending by itself."""
        with contextlib.suppress(TimeoutError):
            while received := receiver.recv(1):
                if received[0] in (signal.SIGINT, signal.SIGTERM):
                    os._exit(128 + received[0])
            return True
        return self._done.is_set()


def _noticed(_number: int, _frame: FrameType | None) -> None:
    """The wakeup descriptor has already told the watcher; the handler exists so that the default does not kill us."""
