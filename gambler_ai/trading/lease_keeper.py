"""Renewing the lease: a small thread on its own connection, only while the loop itself makes progress.

The thread only calls `beat`; where there is none, in a simulation, whoever moves the clock does.
"""

import threading
from collections.abc import Callable

from gambler_ai.clock import Clock
from gambler_ai.errors import Fenced
from gambler_ai.logs import get_logger
from gambler_ai.storage import lease
from gambler_ai.storage.database import Database
from gambler_ai.trading.loop import Progress

log = get_logger("lease")

STUCK_AFTER_S = 30.0


class LeaseKeeper:
    """`on_fenced` is called once, from the keeper's thread, when another process has taken over."""

    def __init__(
        self,
        database: Database,
        account_id: str,
        token: int,
        clock: Clock,
        progress: Progress,
        on_fenced: Callable[[], None],
    ) -> None:
        self._database = database
        self._account_id = account_id
        self._token = token
        self._clock = clock
        self._progress = progress
        self._on_fenced = on_fenced
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def _run(self) -> None:
        while not self._ended.wait(lease.RENEW_EVERY.total_seconds()) and self.beat():
            pass

    def beat(self) -> bool:
        """Renew the lease once, if the loop made progress; False when it is lost for good."""
        if self._clock.monotonic() - self._progress.at > STUCK_AFTER_S:
            log.warning("lease.not_renewed", why="the loop makes no progress")
            return True
        try:
            lease.renew(self._database, self._account_id, self._token, self._clock)
        except Fenced as error:
            log.error("lease.lost", why=str(error))
            self._on_fenced()
            return False
        except Exception as error:  # noqa: BLE001 - whatever it was, a thread that ended would renew nothing
            log.warning("lease.not_renewed", why=str(error))
        return True

    def end(self) -> None:
        """Stop renewing; the lease itself is released by whoever took it."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(timeout=2)
