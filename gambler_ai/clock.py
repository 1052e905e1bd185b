"""Time, from one place.

Two kinds that are never mixed (design: "Which clock"): *exchange time* orders bars, durations and every
time in tables; *wall and monotonic time* measure leases, limits and waits. Exchange time comes from the
broker, so that a year can be rehearsed in an hour and a wrong clock on this machine changes nothing.
"""

import math
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""A deadline must pass while the machine sleeps too; Linux's plain monotonic clock stands still then."""


class Clock(Protocol):
    """What every part may ask about time. All datetimes are aware and in UTC."""

    def now(self) -> datetime:
        """Exchange time, as far as it is known; never runs backwards."""

    def wall(self) -> datetime:
        """This machine's wall clock; for people and leases, never for ordering."""

    def monotonic(self) -> float:
        """Seconds that only grow, from an arbitrary start."""

    def sleep(self, seconds: float) -> None:
        """Wait. The only way any part of the trading loop waits."""

    def observe(self, exchange_time: datetime) -> None:
        """Tell the clock that the exchange has reached this time."""


class SystemClock:
    """This machine's time, for programs that are their own exchange."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def wall(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.clock_gettime(_STEADY)

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def observe(self, exchange_time: datetime) -> None:
        """Nothing to learn: the machine's clock is the exchange's."""


class ExchangeClock(SystemClock):
    """Exchange time as last heard from the broker: clock answers, bars and order events.

    It stands still between two observations, so a replay at sixty times the speed, a pause at night and
    real time all read the same. `now()` before the first observation is the wall clock.
    """

    def __init__(self) -> None:
        self._heard: datetime | None = None

    def now(self) -> datetime:
        return self._heard or self.wall()

    def observe(self, exchange_time: datetime) -> None:
        if self._heard is None or exchange_time > self._heard:
            self._heard = exchange_time


class SimulatedClock:
    """A clock that moves only when told to; waiting moves it. Wall and exchange time are one here."""

    def __init__(self, start: datetime) -> None:
        self._now = start
        self._start = start

    def now(self) -> datetime:
        return self._now

    def wall(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return (self._now - self._start).total_seconds()

    def sleep(self, seconds: float) -> None:
        self._now += timedelta(microseconds=math.ceil(seconds * 1e6))  # time that rounds to nothing would never pass

    def observe(self, exchange_time: datetime) -> None:
        if exchange_time > self._now:
            self._now = exchange_time
