"""What moves the exchange's clock: the wall at some speed, as fast as possible, the traders, or nobody."""

import asyncio
import logging
import time
from datetime import datetime, timedelta
from typing import Any

from gambler_ai.errors import UsageError
from gambler_ai.paper_exchange.exchange import Exchange
from gambler_ai.paper_exchange.fields import Kind, read_fields
from gambler_ai.paper_exchange.pacing import Pacing

_LOG = logging.getLogger(__name__)
_TICK_S = 0.05
_LEAD = timedelta(seconds=1)
_NIGHT = timedelta(minutes=2)
_NAMED, _FOLLOWED = ("max", "paced", "manual"), ("max", "paced")


def _speed(value: Any) -> str | float:
    text = str(value)
    if text in _NAMED:
        return text
    factor = float(text)
    if not 0 < factor < 1e6:
        raise ValueError
    return factor


SPEED = Kind("a factor above 0, max, paced or manual", _speed)


def read_speed(text: str) -> str | float:
    """`max`, `paced`, `manual`, or a factor of wall time above zero. UsageError for anything else."""
    found: str | float = read_fields("exchange", {"speed": text}, {"speed": SPEED})["speed"]
    return found


class Driver:
    """One task of the server's loop. `night` is "skip" or "run": whether closed hours pass at speed X."""

    def __init__(self, exchange: Exchange, pacing: Pacing, speed: str, night: str) -> None:
        if night not in ("skip", "run"):
            raise UsageError(f"night {night!r}: want skip or run")
        self._exchange = exchange
        self._pacing = pacing
        self._night = night
        self._speed = read_speed(speed)
        self._awaited = self._speed in _FOLLOWED
        self._changed = asyncio.Event()
        self._anchor()
        self._free = self._factor() is not None
        pacing.changed = self.wake

    @property
    def speed(self) -> str:
        """As given."""
        return self._speed if isinstance(self._speed, str) else f"{self._speed:g}"

    def set_speed(self, speed: str | float) -> None:
        """From now on, as `SPEED` reads it; `max` then waits for nobody."""
        self.catch_up()
        self._speed, self._awaited = speed, speed == "paced"
        self.moved()

    def moved(self) -> None:
        """Somebody else moved the clock, or ended accounts: count from where it stands, wait for nobody gone."""
        self._anchor()
        self._pacing.keep({one.id for one in self._exchange.venue.accounts.values() if not one.closed})

    def catch_up(self) -> None:
        """Bring a continuous clock to this instant, so that an answer shows it."""
        factor = self._factor()
        if factor is not None:
            self._exchange.advance_to(self._began + timedelta(seconds=(time.monotonic() - self._wall) * factor))

    async def advance(self, to: datetime) -> None:
        """Move the clock there step by step, and let the others of the loop work between the steps."""
        while (event := self._exchange.next_awaited()) is not None and event < to:
            self._exchange.advance_to(event)
            await asyncio.sleep(0)
        self._exchange.advance_to(to)

    async def run(self) -> None:
        """For ever."""
        while True:
            self._changed.clear()
            if self._factor() is not None:
                self._skip_night()
                self.catch_up()
                await self._pause(_TICK_S)
            elif self._may_step() and self._step():
                await asyncio.sleep(0)
            else:
                await self._pause(None)

    async def keep_stored(self) -> None:
        """Store the clock once a second, and keep the state file tidy, for ever."""
        while True:
            await asyncio.sleep(1)
            self._exchange.tidy()

    async def keep_wall(self) -> None:
        """Decide what is due by the wall's clock, for ever."""
        while True:
            await asyncio.sleep(_TICK_S)
            self._exchange.settle_wall()

    def wake(self) -> None:
        """The traders' part of pacing changed; a clock that begins to run by itself counts from here."""
        self._awaited = self._speed == "paced" or (self._awaited and not self._pacing.begun)
        free = self._factor() is not None
        if free != self._free:
            self._free = free
            self._anchor()
        self._changed.set()

    def _factor(self) -> float | None:
        """The factor of a continuous clock. A market whose first follower has yet to come goes at wall speed."""
        if isinstance(self._speed, float):
            return self._speed
        return 1.0 if self._awaited and not self._pacing.begun else None

    def _may_step(self) -> bool:
        return self._speed == "max" or (self._speed == "paced" and self._pacing.ready())

    def _step(self) -> bool:
        event = self._exchange.next_event()
        if event is None:
            if self._exchange.venue.market.next_time(self._exchange.now) is not None:
                _LOG.warning("the exchange's calendar has ended: the market stands still")
            return False
        self._exchange.advance_to(event)
        return True

    async def _pause(self, seconds: float | None) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return

    def _skip_night(self) -> None:
        exchange = self._exchange
        if self._night == "run" or exchange.venue.session is not None:
            return
        event = exchange.next_event()
        if event is not None and event - exchange.now > _NIGHT:
            exchange.advance_to(event - _LEAD)
            self._anchor()

    def _anchor(self) -> None:
        self._wall, self._began = time.monotonic(), self._exchange.now
