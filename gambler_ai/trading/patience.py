"""Waiting for the broker, and for a signal to stop meanwhile."""

from collections.abc import Callable
from typing import TypeVar

from gambler_ai.clock import Clock
from gambler_ai.domain.reconciliation import unreadable
from gambler_ai.errors import BrokerUnreachable, RateLimited
from gambler_ai.logs import get_logger
from gambler_ai.trading.order_desk import StopFlag

log = get_logger("patience")

T = TypeVar("T")

READ_TRIES = 5
GIVEN_UP = f"Read {READ_TRIES} times; nothing was concluded from it (R15). Start again when the broker answers"


def nap(clock: Clock, stop: StopFlag, seconds: float) -> None:
    """Sleep so long, or until a signal to stop."""
    end = clock.monotonic() + seconds
    while not stop.is_set() and (left := end - clock.monotonic()) > 0:
        clock.sleep(min(left, 0.2))


def read_patiently(read: Callable[[], T], clock: Clock, stop: StopFlag) -> T:
    """What `read` returns, tried again when the broker does not answer. Raises its last error, at once when asked to
    stop; then nothing was concluded."""
    for tried in range(1, READ_TRIES):
        try:
            return read()
        except (BrokerUnreachable, RateLimited) as error:
            log.warning("look.read_failed", row=unreadable(error).row, error=str(error), attempt=tried)
            nap(clock, stop, min(0.5 * 2 ** (tried - 1), 5.0))
            if stop.is_set():
                raise
    try:
        return read()
    except (BrokerUnreachable, RateLimited) as error:
        raise type(error)(f"{error}. {GIVEN_UP}") from error
