"""Schedulers in this process on a real exchange and real tables; traders that only open, end and lose sessions.

What `gambler run --session` does is told in a few lines here: take the account's lease, find the session or make it,
end it in its time. Real processes are in tests/cli and tests/crash.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from sqlalchemy import text

from gambler_ai import crashpoints
from gambler_ai.broker.direct import DirectGateway
from gambler_ai.clock import ExchangeClock
from gambler_ai.crashpoints import CrashPlan, SimulatedCrash
from gambler_ai.domain.schedules import Run, Schedule, read
from gambler_ai.domain.sessions import Session, SessionStatus
from gambler_ai.errors import AccountHeld
from gambler_ai.operations.scheduler import Scheduler, SchedulerParts
from gambler_ai.paper_exchange.exchange import Exchange
from gambler_ai.paper_exchange.markets import open_market
from gambler_ai.storage import lease, models, schema
from gambler_ai.storage.database import Database
from gambler_ai.storage.holder import Holder
from gambler_ai.storage.records import Records, find_account_by_id
from gambler_ai.storage.rows import session_row
from gambler_ai.storage.writes import bind_account
from gambler_ai.trading.shutdown import Shutdown
from tests.support.market import OPEN, write_tape

KEYS = ("PKRIG", "secret")
MINUTE = timedelta(minutes=1)


def dead(holder: Holder) -> Holder:
    """As it looks when its process was killed."""
    return replace(holder, started="0")


def definition(**more: Any) -> dict[str, Any]:
    """Of a schedule that trades from five minutes after the open to ten before the close."""
    usual = {"strategy": "sma_cross", "symbols": ["AAA"], "params": {}, "at": "open+5m", "until": "close-10m"}
    return usual | {"days": "mon-fri", "if_late": "run", "restarts": 5} | more


class Trader:
    """A process of a run's session. It opens the session when it is driven for the first time, as a process needs a
    while to start."""

    pid = 0

    def __init__(self, rehearsal: "Rehearsal", run: Run) -> None:
        self._world, self._run = rehearsal, run
        self._holder = Holder.of_this_process()
        self._token: int | None = None
        self._how: tuple[int, str] | None = None

    @property
    def alive(self) -> bool:
        return self._how is None

    def ended(self) -> tuple[int, str] | None:
        return self._how

    def kill(self) -> None:
        self._how = (-9, "it said nothing")
        table, dead_now = models.accounts, str(dead(self._holder))
        with self._world.database.connect() as connection:
            mine = table.c.lease_holder == str(self._holder)
            connection.execute(table.update().where(mine).values(lease_holder=dead_now))

    def drive(self) -> None:
        """What the process does in a while."""
        if self._how is not None:
            return
        if self._token is None and not self._begin():
            return
        session = self._world.session(self._run.session_id)
        if self._world.exchange.now >= session.ends_at:
            self._write(replace(session, status=SessionStatus.STOPPED, end_time=self._world.exchange.now))
            lease.release(self._world.database, self._world.account_id, self._token or 0)
            self._how = (0, "")

    def _begin(self) -> bool:
        world, run = self._world, self._run
        account = find_account_by_id(world.database, world.account_id)
        assert account is not None
        now = lease.database_time(world.database, world.clock)
        if lease.must_wait_until(account, world.database, now) is not None:
            self._how = (4, "another process holds the account")
            return False
        with suppress(AccountHeld):
            self._token = lease.take(world.database, account, self._holder, world.clock)
        if self._token is None:
            self._how = (4, "another process was quicker")
            return False
        if run.session_id not in world.session_ids():
            if world.exchange.now >= run.slot.end:
                self._how = (2, "--until is past")
                return False
            world.opened.append(run.session_id)
            self._write(
                Session(
                    run.session_id,
                    world.account_id,
                    "alpha",
                    run.plan.strategy,
                    run.plan.symbols,
                    (),
                    SessionStatus.ACTIVE,
                    world.exchange.now,
                    run.slot.end,
                ),
                new=True,
            )
        else:
            session = world.session(run.session_id)
            self._write(replace(session, status=SessionStatus.ACTIVE, end_time=None))
        return True

    def _write(self, session: Session, *, new: bool = False) -> None:
        table, row = models.trading_sessions, session_row(session)
        with self._world.database.connect() as connection:
            if new:
                connection.execute(table.insert().values(row))
            else:
                connection.execute(table.update().where(table.c.session_id == session.session_id).values(row))


class Rehearsal:
    """`drive` lets everybody who lives do what is to be done now; `opened` are the sessions that were ever begun."""

    def __init__(self, directory: Path, database_url: str, start: datetime = OPEN) -> None:
        market = open_market(write_tape(directory / "tape", minutes=1))
        self.exchange = Exchange.open(":memory:", market, OPEN, wall=lambda: datetime.now(UTC))
        self.exchange.advance_to(start)
        self.database = Database(database_url)
        schema.upgrade(self.database)
        self.clock = ExchangeClock()
        self.directory = directory
        self.traders: list[Trader] = []
        self.opened: list[str] = []
        self.deaths = 0
        self.shutdown = Shutdown()
        gateway = DirectGateway(self.exchange, *KEYS, self.clock)
        self.clock.observe(gateway.clock().now)
        at_broker = gateway.account()
        self.account_id = bind_account(
            self.database, "default", at_broker.account_id, at_broker.number, "http://127.0.0.1:1", self.clock
        ).account_id
        self.scheduler = self.another()

    def another(self) -> Scheduler:
        """One more scheduler, as a process of its own would be."""
        clock = ExchangeClock()
        parts = SchedulerParts(
            database=self.database,
            gateway=DirectGateway(self.exchange, *KEYS, clock),
            clock=clock,
            stop=self.shutdown,
            label="default",
            data_dir=self.directory,
            holder=Holder.of_this_process(),
            chance=Random(1),
            spawn=self._spawn,
            restart_wait_s=0,
        )
        parts.clock.observe(self.exchange.now)
        return Scheduler(parts, self.account_id)

    def _spawn(self, run: Run) -> Trader:
        self.traders.append(Trader(self, run))
        return self.traders[-1]

    def add(self, name: str = "daily", **more: Any) -> Schedule:
        made = read(name, definition(**more), self.exchange.now)
        self.scheduler.schedules.add(made)
        return made

    def drive(self) -> None:
        for trader in self.traders[:]:
            trader.drive()
        self.traders = [one for one in self.traders if one.alive]
        self.scheduler.look()

    def until(self, at: datetime) -> None:
        """Let the exchange's time come, and everybody notice."""
        self.exchange.advance_to(at)
        self.drive()
        self.drive()

    def kill_scheduler(self) -> None:
        """A new one is there at once; what the old one held is the dead one's."""
        table, mine = models.schedulers, self.scheduler.lease
        with self.database.connect() as connection:
            values = {"holder": str(dead(self.scheduler.parts.holder))}
            connection.execute(table.update().where(table.c.token == mine.token).values(values))
        self.scheduler = self.another()
        self.scheduler.take()

    def kill_traders(self) -> None:
        for trader in self.traders:
            trader.kill()
        self.traders.clear()

    @contextmanager
    def dying_at(self, point: str) -> Iterator[None]:
        """The scheduler dies at this point, if it comes there, and is replaced."""
        crashpoints.arm(CrashPlan(point, in_process=True))
        try:
            yield
        except SimulatedCrash:
            self.deaths += 1
            self.kill_scheduler()
        finally:
            crashpoints.arm(None)

    def expire(self, what: str = "schedulers") -> None:
        """As if so much time had passed: the lease of whoever is frozen is over."""
        column = "expires_at" if what == "schedulers" else "lease_expires_at"
        long_ago = "2020-01-01T00:00:00.000000Z"
        with self.database.connect() as connection:
            connection.execute(text(f"UPDATE {what} SET {column} = '{long_ago}'"))

    def session_ids(self) -> list[str]:
        with self.database.connect() as connection:
            return [row[0] for row in connection.execute(text("SELECT session_id FROM trading_sessions"))]

    def session(self, session_id: str) -> Session:
        found = Records(self.database, self.account_id).session(session_id)
        assert found is not None
        return found

    def sessions(self) -> list[Session]:
        return sorted((self.session(one) for one in self.session_ids()), key=lambda one: one.start_time)

    def runs(self) -> list[Run]:
        return self.scheduler.schedules.runs()

    def close(self) -> None:
        crashpoints.arm(None)
        self.exchange.close()
        self.database.close()
