"""One schedule: a world, a trader in it, and what the seed does to both."""

import atexit
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from gambler_ai import crashpoints
from gambler_ai.simulation.examiner import Examiner
from gambler_ai.simulation.network import Network
from gambler_ai.simulation.process import AGAIN, ANEW, Process
from gambler_ai.simulation.report import Report, Violation
from gambler_ai.simulation.schedule import Step, schedule
from gambler_ai.simulation.world import World
from gambler_ai.storage import schema
from gambler_ai.storage.database import Database
from gambler_ai.trading import maintenance
from gambler_ai.trading.house import House

DEFAULT_STEPS = 200
CALM_LIMIT = 120
MEMORY = Path("/dev/shm")
"""Where a disk in memory usually is; a simulated crash needs no real disk."""


def run(seed: int, steps: int = DEFAULT_STEPS) -> Report:
    """Run one schedule to its end; a violation ends it early. Files live in a folder of their own and are removed."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        shutil.copy(_empty_books(), Path(folder) / "books.db")
        simulator = Simulator(seed, steps, Path(folder))
        with simulator.watching():
            simulator.run()
        return simulator.report


@cache
def _empty_books() -> Path:
    """A database with our tables, made once per process: migrations take longer than a schedule."""
    folder = tempfile.mkdtemp(prefix="gambler-simulation-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    database = Database(f"sqlite:///{folder}/empty.db")
    schema.upgrade(database)
    database.close()
    return Path(folder) / "empty.db"


class Simulator:
    """See the module's text. `trader` is the process that should trade; another may be frozen or just starting."""

    def __init__(self, seed: int, steps: int, folder: Path) -> None:
        self.report = Report(seed, steps)
        self.world = World(seed, folder)
        self.network = Network(self.world)
        self.examiner = Examiner(self.world)
        self.trader: Process | None = None
        self._chance = Random(f"{seed}/accidents")
        self._acting: list[Process] = []
        self._started = 0
        self._step = 0
        self._start_at = 0.0

    @contextmanager
    def watching(self) -> Iterator[None]:
        """While it runs every crash point of the program is passed under our eyes."""
        crashpoints.arm(self._passed)
        try:
            yield
        finally:
            crashpoints.arm(None)
            self.examiner.close()
            if self.trader is not None and self.trader.ended is None:
                self.trader.vanish()
            self.world.exchange.close()

    def run(self) -> None:
        report = self.report
        for step in schedule(report.seed, report.steps):
            self._take(step)
            if report.violations:
                return
        self._converge(report.steps)

    # --- steps ------------------------------------------------------------------------------------------------

    def _take(self, step: Step) -> None:
        self._pass(step.bars * self.world.seconds_per_bar)
        self._tend()
        self._note(step)

    def _pass(self, seconds: float) -> None:
        self.world.pass_time(seconds)
        if self.trader is not None:
            self.trader.keep_lease()

    def _tend(self) -> None:
        """The trader works; one that ended is started again after a while, as a supervisor would."""
        trader = self.trader
        if trader is not None and trader.is_trading:
            self._let(trader, trader.work)
        elif self.world.elapsed >= self._start_at:
            self.trader = trader = self._new_process()
            request = AGAIN if self.examiner.may_resume() else ANEW
            self._let(trader, lambda: trader.start(request))
        else:
            return
        if trader.ended is not None:
            self._start_at = self.world.elapsed + self._chance.choice((0.5, 3.0, 20.0))

    def _new_process(self) -> Process:
        self._started += 1
        self.report.happened["starts"] += 1
        return Process(self.world, self.network, self._started, self._passed_by)

    def _let(self, process: Process, act: Callable[[], None]) -> None:
        self._acting.append(process)
        try:
            act()
        finally:
            self._acting.pop()
        if process.error is not None:
            self._violated("I00", f"the trader ended with {type(process.error).__name__}: {process.error}")

    def _passed(self, point: str) -> None:
        if self._acting:
            self._passed_by(self._acting[-1], point)

    def _passed_by(self, process: Process, point: str) -> None:
        pass

    # --- judging ----------------------------------------------------------------------------------------------

    def _violated(self, invariant: str, detail: str, step: int | None = None) -> None:
        self.report.violations.append(Violation(step or self._step, invariant, detail))

    def _note(self, step: Step) -> None:
        self._step = step.number
        head = self.examiner.head()
        state = "-" if self.trader is None else self.trader.ended or "trading"
        self.report.log.append(
            f"{step.number} {step.act} {self.world.elapsed:.6f} {self.world.exchange.now.isoformat()} {state} "
            f"{head.seq} {head.hash[:16]} {head.token}"
        )

    def _converge(self, steps: int) -> None:
        """Nothing fails any more: books and broker must become equal, and stay so."""
        for number in range(steps + 1, steps + 1 + CALM_LIMIT):
            self._take(Step(number, "calm", 1.0))
            if self.report.violations:
                return
            if self._is_quiet():
                break
        else:
            self._violated("I20", f"after {CALM_LIMIT} minutes without faults: {self._unrest()}")
            return
        trader = self.trader
        assert trader is not None
        self._let(trader, trader.stop)
        if trader.ended != "exit 0":
            self._violated("I08", f"a clean stop ended with {trader.ended}")
        for invariant, detail in self.examiner.at_rest():
            self._violated(invariant, detail)
        self._reconcile_again()

    def _is_quiet(self) -> bool:
        return not self._unrest()

    def _unrest(self) -> list[str]:
        trader = self.trader
        if trader is None or trader.loop is None or not trader.is_trading:
            return ["nobody trades"]
        doubtful = [f"{order.client_order_id} is {order.status}" for order in trader.loop.in_doubt.orders()]
        blocks = [f"{symbol}: {why}" for symbol, why in trader.loop.blocks.all().items()]
        return doubtful + blocks

    def _reconcile_again(self) -> None:
        """A second recovery finds nothing to do and sends nothing."""
        process = self._new_process()
        code, report = 0, dict[str, Any]()

        def act() -> None:
            nonlocal code, report
            code, report = maintenance.reconcile(House(process.parts), dry_run=False)

        self._let(process, act)
        if code or report["requests"] or report["plan"]:
            self._violated(
                "I13", f"a second reconcile ended with {code}: {report['requests']} requests, {report['plan']}"
            )
