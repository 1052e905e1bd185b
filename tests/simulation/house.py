"""The whole application on a simulated clock, through the direct gateway: no sockets, no threads, no chance."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random

from gambler_ai.broker.direct import DirectGateway
from gambler_ai.clock import SimulatedClock
from gambler_ai.paper_exchange.exchange import Exchange
from gambler_ai.paper_exchange.markets import open_market
from gambler_ai.storage.database import Database
from gambler_ai.storage.holder import Holder
from gambler_ai.trading.house import Parts, Rules
from gambler_ai.trading.loop import Loop
from gambler_ai.trading.messages import Inbox, Tick
from gambler_ai.trading.session_run import SessionRun
from gambler_ai.trading.sessions import Request
from gambler_ai.trading.shutdown import Shutdown

KEYS = ("PKSIM", "simulated")
HOLDER = Holder("simulation", "", 1, "", "0")


@dataclass
class House:
    """An exchange, a clock, and what a session is built from."""

    exchange: Exchange
    clock: SimulatedClock
    database_url: str
    folder: Path
    seed: int

    def parts(self) -> Parts:
        return Parts(
            database=Database(self.database_url),
            gateway=DirectGateway(self.exchange, *KEYS, self.clock),
            clock=self.clock,
            shutdown=Shutdown(),
            inbox=Inbox(),
            label="default",
            endpoint="direct",
            data_dir=self.folder,
            rules=Rules(settle_s=2, confirm_span_s=2),
            default_symbols=("SPY",),
            chance=Random(self.seed),
            holder=HOLDER,
            create_tables=True,
            lease_thread=False,
        )

    def trade(self, request: Request, until: datetime | None = None) -> int:
        """One session, step by step: the market moves, frames are delivered at step borders, the loop takes each."""
        parts = self.parts()
        run = SessionRun(parts)
        try:
            loop = run.begin(request)
            self._drive(parts, loop, until)
            return run.end(loop)
        finally:
            run.close()

    def _drive(self, parts: Parts, loop: Loop, until: datetime | None) -> None:
        gateway = parts.gateway
        assert isinstance(gateway, DirectGateway)
        while loop.finished is None and (until is None or self.clock.now() < until):
            at = self.exchange.next_event()
            if at is None:
                break
            self.exchange.advance_to(at)
            self.clock.observe(at)
            gateway.deliver()
            while not parts.inbox.is_empty or loop.owes_clock:
                loop.step(parts.inbox.take(0.0))
                gateway.deliver()
            loop.step(Tick())


@contextmanager
def house(
    folder: Path, market: str, start: datetime, database_url: str | None = None, seed: int = 3
) -> Iterator[House]:
    clock = SimulatedClock(start)
    exchange = Exchange.open(
        folder / "exchange.db",
        open_market(market),
        start,
        seed=seed,
        wall=clock.wall,
        partial_fill_rate=Decimal("0.1"),
    )
    try:
        yield House(exchange, clock, database_url or f"sqlite:///{folder / 'books.db'}", folder, seed)
    finally:
        exchange.close()


DAY = timedelta(minutes=390)
