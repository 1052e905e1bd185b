"""What a process cannot lose by dying: time, the exchange, the network, the database file.

Time moves only here. Whoever waits moves it, and everything that is due meanwhile happens: the market goes on, and
requests that were held up on their way arrive.
"""

import heapq
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from gambler_ai.clock import ExchangeClock
from gambler_ai.paper_exchange.exchange import Answer, Exchange
from gambler_ai.paper_exchange.synthetic import Synthetic
from gambler_ai.simulation.disk import Disk, SharedDatabase

KEYS = ("PKSIMULATION00000001", "simulated-no-secret")
OPEN = datetime(2026, 11, 16, 14, 30, tzinfo=UTC)
WALL = datetime(2030, 1, 1, tzinfo=UTC)
"""The machines' clocks have nothing to do with the exchange's."""
JUMP = timedelta(days=1)
"""Our machine's clock jumps by multiples of this, far more than a run takes: what it showed tells the true time."""
CLOCK_JUMPS = {
    1: "clock jumps forward",
    4: "clock jumps far forward",
    -1: "clock jumps back",
    -4: "clock jumps far back",
}
"""By how many days."""
MINUTE = timedelta(minutes=1)
_AFTER_THE_CLOSE = 5 * MINUTE
_HOUR_S = 45.0


@dataclass(frozen=True, slots=True)
class Nature:
    """What a seed draws once: exchange seconds in a second of the machines, how often fills are partial, whether the
    lock file or, as on PostgreSQL, the lease's time decides who may trade, whether another hand trades what we
    trade, and whether everything is closed at the end."""

    speed: int
    partial_fill_rate: Decimal
    lock_file: bool
    is_meddled_with: bool
    ends_flat: bool

    @classmethod
    def of(cls, seed: int) -> "Nature":
        chance = Random(f"{seed}/nature")
        rate = chance.choice((Decimal(0), Decimal("0.2"), Decimal("0.5")))
        speed, lock_file, meddled = chance.choice((6, 12, 20)), chance.random() < 0.4, chance.random() < 0.5
        return cls(speed, rate, lock_file, meddled, chance.random() < 0.25)


@cache
def _market(number: int) -> Synthetic:
    """A pure function of its number, and its days take long to invent: a few markets serve all seeds."""
    return Synthetic(number)


@dataclass(order=True)
class _Due:
    at: float
    number: int
    act: Callable[[], None] = field(compare=False)


class World:
    """`elapsed` is the only time there is: seconds since the beginning, as every machine's monotonic clock counts."""

    def __init__(self, seed: int, folder: Path, fired: Counter[str]) -> None:
        self.seed = seed
        self.folder = folder
        self.nature = Nature.of(seed)
        self.elapsed = 0.0
        self.market_stands = False
        self.jumped_at = 0.0
        self._jumped = timedelta(0)
        self.disk = Disk(self.database_url, lambda: self.elapsed, fired)
        self.taken_at: dict[str, timedelta] = {}
        self._exchange_is = (0.0, OPEN)
        self._due: list[_Due] = []
        self._numbers = 0
        self.exchange = Exchange.open(
            ":memory:",
            _market(seed % 8),
            OPEN,
            wall=self.wall,
            seed=seed,
            partial_fill_rate=self.nature.partial_fill_rate,
        )
        account_id = self.exchange.account_of(*KEYS)
        assert account_id is not None
        self.account_id = account_id

    def database(self) -> SharedDatabase:
        return self.disk.opened_again(lock_file=self.nature.lock_file)

    @property
    def database_url(self) -> str:
        return f"sqlite:///{self.folder / 'books.db'}"

    def wall(self) -> datetime:
        """The exchange's own wall clock, which is right."""
        return WALL + timedelta(seconds=self.elapsed)

    def shown(self) -> datetime:
        """What our machine's wall clock shows."""
        return self.wall() + self._jumped

    @property
    def since_the_beginning(self) -> timedelta:
        return self.wall() - WALL

    def when(self, shown: datetime) -> timedelta:
        """How long after the beginning our machine's clock showed this, whatever jumps came before and after."""
        return (shown - WALL) % JUMP

    def clock_jumps(self, times: int) -> None:
        """Our machine's wall clock; forward, or back when negative."""
        self._jumped += times * JUMP
        self.jumped_at = self.elapsed

    @property
    def clock_is_wrong(self) -> bool:
        return self.jumped_at > 0

    def request(self, method: str, path: str, fields: dict[str, str], at: Exchange | None = None) -> Answer:
        """What arrives at the exchange, however late, or at an earlier state of it. `path` begins with /v2."""
        query, body = ({}, json.dumps(fields)) if method == "POST" else (fields, None)
        answer = (at or self.exchange).request(method, path, query, body, *KEYS)
        if method == "POST" and answer.status == 200:
            self.taken_at.setdefault(fields["client_order_id"], self.since_the_beginning)
        return answer

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        """Do this when so much time has passed, whoever lives then."""
        self._numbers += 1
        heapq.heappush(self._due, _Due(self.elapsed + seconds, self._numbers, act))

    @property
    def something_is_due(self) -> bool:
        return bool(self._due)

    def pass_time(self, seconds: float) -> None:
        end = self.elapsed + seconds
        while self._due and self._due[0].at <= end:
            due = heapq.heappop(self._due)
            self._stand_at(max(self.elapsed, due.at))
            due.act()
        self._stand_at(max(self.elapsed, end))

    def _stand_at(self, elapsed: float) -> None:
        self.elapsed = elapsed
        if self.market_stands:
            return
        since, at = self._exchange_is
        now = at + timedelta(seconds=(elapsed - since) * self.nature.speed)
        sessions = self.exchange.venue.sessions
        if sessions.running(now) is None and now > sessions.last_closed(now).close + _AFTER_THE_CLOSE:
            now = max(now, sessions.next_after(now).open - MINUTE)  # nobody trades at night
            self._exchange_is = (elapsed, now)
        self.exchange.advance_to(now)

    def evening(self) -> None:
        """To shortly after the close."""
        close = self.exchange.venue.sessions.current_or_next(self.exchange.now).close
        self.pass_time((close + MINUTE - self.exchange.now).total_seconds() / self.nature.speed)

    def hour_of_the_night(self) -> None:
        """Time passes and the market stands, as it does at night; how long a night is matters to nobody."""
        self.market_stands = True
        self.pass_time(_HOUR_S)
        self.market_stands = False
        self._exchange_is = (self.elapsed, self.exchange.now)

    @property
    def seconds_per_bar(self) -> float:
        return 60 / self.nature.speed

    def truth(self) -> dict[str, Any]:
        return self.exchange.truth(self.account_id)


class ProcessClock(ExchangeClock):
    """One process's view of time: it learns the exchange's from answers only, and waiting moves the world."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def wall(self) -> datetime:
        return self._world.shown()

    def monotonic(self) -> float:
        return self._world.elapsed

    def sleep(self, seconds: float) -> None:
        self._world.pass_time(seconds)
