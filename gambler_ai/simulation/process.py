"""One process of ours: from its first instruction until it ends, dies, or finds itself replaced."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from random import Random
from typing import TYPE_CHECKING

from gambler_ai.config import Settings, read_settings
from gambler_ai.crashpoints import SimulatedCrash
from gambler_ai.errors import AccountHeld, AlreadyStored, Fenced, GamblerError, HumanNeeded, Retry
from gambler_ai.simulation.network import FaultyGateway
from gambler_ai.simulation.strategy import NAME
from gambler_ai.simulation.world import ProcessClock, World
from gambler_ai.storage.holder import Holder
from gambler_ai.storage.lease import RENEW_EVERY
from gambler_ai.trading import maintenance, rebuilding
from gambler_ai.trading.loop import Loop
from gambler_ai.trading.messages import Inbox, Message, Tick
from gambler_ai.trading.session_run import SessionRun
from gambler_ai.trading.sessions import Request
from gambler_ai.trading.shutdown import Shutdown
from gambler_ai.wiring import Outside, build

if TYPE_CHECKING:
    from gambler_ai.simulation.network import Network

LABEL = "default"
SYMBOLS = ("AAPL", "MSFT")
LOOK_EVERY_S = 30
WAITS = {"settle_s": 20, "confirm_span_s": 20, "look_every_s": LOOK_EVERY_S}
REBUILT = "rebuilt"
ANEW = Request(symbols=SYMBOLS, strategy=NAME, duration_min=Decimal(60 * 24 * 5))
AGAIN = Request(resume="")


def _settings(world: World) -> Settings:
    own = {"database_url": world.database_url, "data_dir": str(world.folder), "symbols": ",".join(SYMBOLS)}
    waits = {name: str(seconds) for name, seconds in WAITS.items()}
    return read_settings({}, world.folder, {**own, **waits, "account_label": LABEL})


class WaitingInbox(Inbox):
    """Waiting for a message is waiting in the world's time."""

    def __init__(self, clock: ProcessClock) -> None:
        super().__init__()
        self._clock = clock

    def take(self, timeout_s: float) -> Message:
        if self.is_empty and timeout_s > 0:
            self._clock.sleep(timeout_s)
        return super().take(0.0)


class Process:
    """`ended` is None while it lives, else why it does not: an exit code, or the point at which it died."""

    def __init__(
        self,
        world: World,
        network: "Network",
        number: int,
        passing: Callable[["Process", str], None],
        leaving: Callable[["Process", str], None],
        stayed: Callable[["Process", str], None],
    ) -> None:
        self.number = number
        self.ended: str | None = None
        self.loop: Loop | None = None
        self.error: Exception | None = None
        self.clock = ProcessClock(world)
        self._world = world
        self.renewed = world.elapsed
        self.gateway = FaultyGateway(
            world,
            network,
            self.clock,
            lambda point: passing(self, point),
            lambda name: leaving(self, name),
            lambda name: stayed(self, name),
        )
        self.database = world.database()
        outside = Outside(
            self.database,
            self.gateway,
            "simulation",
            self.clock,
            WaitingInbox(self.clock),
            Random(f"{world.seed}/ids/{number}"),
            Holder("simulation", "", number, "", "0"),
            lease_thread=False,
        )
        self.parts = build(_settings(world), Shutdown(), outside=outside)
        self.run = SessionRun(self.parts)

    @property
    def is_trading(self) -> bool:
        return self.ended is None and self.loop is not None

    def start(self, request: Request) -> None:
        with self._mortal():
            self.loop = self.run.begin(request)

    def work(self) -> None:
        """Take what arrived, one message after the other, and look after what is due."""
        with self._mortal():
            loop, inbox = self._loop, self.parts.inbox
            self.gateway.deliver()
            while loop.finished is None and (not inbox.is_empty or loop.owes_clock):
                loop.step(inbox.take(0.0))
                self.gateway.deliver()
            if loop.finished is None:
                loop.step(Tick())
            if loop.finished is not None:
                self._end()

    def stop(self) -> None:
        """SIGTERM: as the signal's watcher would tell it."""
        with self._mortal():
            self.parts.shutdown.ask()
            self._end()

    def obey(self) -> None:
        """`gambler flatten` and the like, when nobody else holds the account."""
        with self._mortal():
            maintenance.obey(self.run.house)
            self.ended = "exit 0"

    def rebuild(self) -> None:
        """`gambler recover --from-broker`. What keeps moving while it reads is tried again later."""
        with self._mortal():
            try:
                rebuilding.recover(self.run.house, dry_run=False)
                self.ended = REBUILT
            except AlreadyStored:  # an earlier try was killed after its last word
                self.ended = REBUILT
            except HumanNeeded:
                self.ended = "exit 3"

    def die(self) -> None:
        """At this instruction: what still runs of it, because exceptions do, reaches nothing any more."""
        self.database.is_dead = True

    def keep_lease(self) -> None:
        """What the lease's thread would have done by now; not while the process is frozen, and not after its end."""
        keeper = self.run.house.keeper
        if (
            self.ended is None
            and keeper is not None
            and self._world.elapsed - self.renewed >= RENEW_EVERY.total_seconds()
        ):
            self.renewed = self._world.elapsed
            keeper.beat()

    def wake(self) -> None:
        """It was frozen: the lease's thread is no quicker than the others to find out what happened meanwhile."""
        self.renewed = self._world.elapsed

    @property
    def _loop(self) -> Loop:
        assert self.loop is not None, "start comes first"
        return self.loop

    def _end(self) -> None:
        code = self.run.end(self._loop)
        self.run.close()
        self.ended = f"exit {code}"

    @contextmanager
    def _mortal(self) -> Iterator[None]:
        """However it ends: a crash loses what is in memory and leaves no chance to clean up; an error is an exit."""
        try:
            with self.run.house.unless_replaced():
                yield
        except SimulatedCrash as crash:
            self.ended = f"died at {crash}"
            self.vanish()
        except (AccountHeld, Fenced, Retry) as error:
            self.ended = f"exit {error.exit_code}"
            self._close()
        except Exception as error:  # noqa: BLE001 - whatever else ends a trader is for the examiner to judge
            self.error = error
            self.ended = f"exit {error.exit_code if isinstance(error, GamblerError) else 1}"
            self._close()

    def _close(self) -> None:
        """What `gambler run` does on its way out, which may be a place to die too."""
        try:
            self.run.close()
        except SimulatedCrash as crash:
            self.ended = f"died at {crash}"
            self.vanish()

    def vanish(self) -> None:
        """The kernel takes back what a dead process held; nothing of ours runs any more."""
        self.gateway.vanish()
        if self.run.house.opened:
            self.run.house.books.state.close()
        self.parts.database.close()
