"""Who trades: processes that start, die, freeze and are replaced, as a supervisor and bad luck would have it."""

import sqlite3
from collections.abc import Callable
from random import Random

from gambler_ai.crashpoints import POINTS, SimulatedCrash
from gambler_ai.simulation.examiner import Examiner
from gambler_ai.simulation.network import Network
from gambler_ai.simulation.process import AGAIN, ANEW, REBUILT, Process
from gambler_ai.simulation.report import Report
from gambler_ai.simulation.world import World

REQUESTS = tuple(f"{method} {when}" for method in ("GET", "POST", "DELETE") for when in ("before", "after"))
PLACES = (*(point for point in POINTS if not point.startswith("schedule.")), *REQUESTS)
"""Where a process may die or freeze: every named point of the program, and both sides of every request."""
ACCIDENTS = (
    *("crash", "freeze", "taken over from a frozen one", "commit fails"),
    *("second start", "twin start", "stop", "commands without a trader"),
)

_RESTART_EVERY_S = 9.0
"""How soon a supervisor tries again while another process stands still."""


class Traders:
    """`trader` is the process that should trade; another may be frozen in the middle of something, or just starting.

    A frozen process is one whose call stack waits below us: the world goes on inside of the point it froze at.
    """

    def __init__(self, world: World, network: Network, examiner: Examiner, report: Report) -> None:
        self.trader: Process | None = None
        self.must_rebuild = False
        """The database is lost: the next one to start rebuilds it, and who does that lets nobody trade meanwhile."""
        self._world, self._network, self._examiner, self._report = world, network, examiner, report
        self._chance = Random(f"{world.seed}/accidents")
        self._acting: list[Process] = []
        self._woken: list[Process] = []
        self._holder: Process | None = None
        self._started = 0
        self._start_at = 0.0
        self._crash: tuple[str | None, int] | None = (PLACES[world.seed % len(PLACES)], 1)
        """Neighbouring seeds begin with deaths at different places, so that none is left out."""
        self._freeze: tuple[int, float] | None = None
        self._interrupted_start = False
        self._commit_fails = 0

    # --- what the schedule does -------------------------------------------------------------------------------

    def crash(self) -> None:
        """At a named place as soon as it is passed, or after so many places."""
        named = self._chance.random() < 0.5
        self._crash = (self._chance.choice(PLACES), 1) if named else (None, self._chance.randint(1, 25))

    def freeze(self) -> None:
        self._freeze = (self._chance.randint(1, 25), self._chance.uniform(0.5, 45.0))

    def fail_commit(self) -> None:
        self._commit_fails += 1

    def start_twins(self) -> None:
        """The next two starts happen at the same time."""
        self._interrupted_start = True

    def start_another(self) -> None:
        """While one trades: the other must be refused."""
        if self.trader is not None and self.trader.is_trading:
            self.trader.keep_lease()
            self._report.fired["second start"] += 1
            self._start_one()

    def calm(self) -> None:
        self._crash = self._freeze = None
        self._interrupted_start = False
        self._commit_fails = 0
        self._start_at = self._world.elapsed

    # --- trading ----------------------------------------------------------------------------------------------

    def tend(self) -> None:
        """The trader works; one that ended is started again after a while. So does one that was replaced while it was
        frozen, until it notices."""
        self._woken = [process for process in self._woken if process.is_trading and process is not self.trader]
        for process in self._woken:
            process.keep_lease()
            self.let(process, process.work)
        trader = self.trader
        if trader is not None and trader.is_trading:
            trader.keep_lease()
            self.let(trader, trader.work)
        elif self._world.elapsed >= self._start_at:
            trader = self._rebuild() if self.must_rebuild else self._start_one()
        if trader is not None and trader.ended is not None:
            self._start_at = self._world.elapsed + self._chance.choice((0.5, 6.0, 20.0))

    def cut_power(self) -> None:
        """All processes are gone at once."""
        for process in (*self._woken, *([self.trader] if self.trader else [])):
            if process.is_trading:
                process.ended = "power cut"
                process.vanish()

    def _rebuild(self) -> Process:
        process = self.new_process()
        self.let(process, process.rebuild)
        self.must_rebuild = process.ended != REBUILT
        return process

    def obey(self) -> None:
        """Carry out what a person asked for, if nobody trades; else the trader does."""
        if self.trader is None or not self.trader.is_trading:
            process = self.new_process()
            self.let(process, process.obey)
            self._report.fired["commands without a trader"] += process.ended == "exit 0"

    def stop(self) -> None:
        trader = self.trader
        if trader is not None and trader.is_trading:
            self._report.fired["stop"] += 1
            self.let(trader, trader.stop)

    def vanish(self) -> None:
        """The world ends."""
        for process in (*self._woken, *([self.trader] if self.trader else [])):
            process.vanish()

    def new_process(self) -> Process:
        self._started += 1
        self._report.happened["starts"] += 1
        return Process(self._world, self._network, self._started, self._passed_by, self._leaving, self._stayed)

    def _start_one(self) -> Process:
        """It becomes the trader if it gets there."""
        process = self.new_process()
        request = AGAIN if self._examiner.may_resume() else ANEW
        self.let(process, lambda: process.start(request))
        if process.is_trading:
            self._replaces(process)
            self.trader = process
        return process

    def _replaces(self, process: Process) -> None:
        """Only a frozen trader may be replaced, or one whose time ran out: the machine's clock jumped, or the database
        was away when it wanted to renew its lease."""
        trader = self.trader
        if trader is None or not trader.is_trading or self._is_frozen(trader):
            return
        if trader.renewed <= max(self._world.jumped_at, self._world.disk.away_until):
            self._report.happened["taken over when its time was over"] += 1
            self._woken.append(trader)
        else:
            self._examiner.found("I17", f"process {process.number} started while {trader.number} was trading")

    def _is_frozen(self, process: Process) -> bool:
        return process in self._acting

    def let(self, process: Process, act: Callable[[], None]) -> None:
        self._acting.append(process)
        try:
            act()
        finally:
            self._acting.pop()
        if process.error is not None:
            told = str(process.error).replace(str(self._world.folder), "")
            self._examiner.found("exit", f"a trader ended with {type(process.error).__name__}: {told}")

    # --- accidents --------------------------------------------------------------------------------------------

    def passed(self, point: str) -> None:
        """A crash point of the program was passed by whoever acts."""
        if self._acting:
            self._passed_by(self._acting[-1], point)

    def _passed_by(self, process: Process, point: str) -> None:
        if point == "lease.after_take":
            self._holder = process
        elif point == "transaction.after_commit" and process is not self._holder:
            self._examiner.found("I17", f"process {process.number} committed, but process {self._number} has the lease")
        if point == "transaction.before_commit":
            self._maybe_fail_commit()
        else:  # nobody else could write while a transaction is open
            process.keep_lease()
            self._maybe_interrupt_start(process)
            self._maybe_freeze(process)
        self._maybe_crash(process, point)

    def _leaving(self, process: Process, client_order_id: str) -> None:
        """An order leaves. One from a process that was frozen at the last instant nobody can hold back (S15); one that
        knows that it was replaced sends nothing (I18)."""
        if process.ended is not None or process.run.house.sends_nothing:
            self._examiner.found("I18", f"process {process.number} sent {client_order_id}, and knew that it must not")
        if process is self._holder:
            self._examiner.leaves(client_order_id)
        else:
            self._report.happened["sent by the replaced"] += 1

    def _stayed(self, process: Process, client_order_id: str) -> None:
        if process is self._holder:
            self._examiner.stayed(client_order_id)

    @property
    def _number(self) -> int:
        return self._holder.number if self._holder is not None else 0

    def _maybe_crash(self, process: Process, point: str) -> None:
        if self._crash is None:
            return
        name, left = self._crash
        if name not in (None, point):
            return
        self._crash = (name, left - 1)
        if left <= 1:
            self._crash = None
            self._report.fired["crash"] += 1
            self._report.died_at[point] += 1
            process.die()
            raise SimulatedCrash(point)

    def _maybe_fail_commit(self) -> None:
        if self._commit_fails:
            self._commit_fails -= 1
            self._report.fired["commit fails"] += 1
            raise sqlite3.OperationalError("database or disk is full")

    def _maybe_interrupt_start(self, process: Process) -> None:
        if self._interrupted_start and not self.must_rebuild and process.loop is None and self._chance.random() < 0.1:
            self._interrupted_start = False
            self._report.fired["twin start"] += 1
            self._start_one()

    def _maybe_freeze(self, process: Process) -> None:
        if self._freeze is None or len(self._acting) > 1 or self.must_rebuild:
            return
        left, seconds = self._freeze
        self._freeze = (left - 1, seconds)
        if left <= 1:
            self._freeze = None
            self._report.fired["freeze"] += 1
            self._go_on_without(seconds)
            process.wake()
            self._woken.append(process)

    def _go_on_without(self, seconds: float) -> None:
        """One process stands still; the market does not, and a supervisor starts another."""
        end = self._world.elapsed + seconds
        frozen = self._acting[-1]
        while self._world.elapsed < end:
            self._world.pass_time(min(_RESTART_EVERY_S, seconds))
            trader = self.trader
            if trader is not None and trader is not frozen and trader.is_trading:
                trader.keep_lease()
                self.let(trader, trader.work)
            elif self._start_one().is_trading:
                self._report.fired["taken over from a frozen one"] += 1
