"""One schedule: a world, a trader in it, and what the seed does to both."""

import atexit
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from gambler_ai import crashpoints
from gambler_ai.domain.orders import OrderStatus
from gambler_ai.logs import silence
from gambler_ai.simulation import disk
from gambler_ai.simulation.examiner import Examiner
from gambler_ai.simulation.hand import Hand
from gambler_ai.simulation.network import ENDPOINTS, LONGEST_LAG_S, ON_CHANGES, ON_READS, READ, Network
from gambler_ai.simulation.nights import Nights
from gambler_ai.simulation.person import Person
from gambler_ai.simulation.process import LABEL, LOOK_EVERY_S
from gambler_ai.simulation.report import Report
from gambler_ai.simulation.schedule import Step, schedule
from gambler_ai.simulation.stream import ON_FRAMES
from gambler_ai.simulation.traders import Traders
from gambler_ai.simulation.world import CLOCK_JUMPS, World
from gambler_ai.storage import schema
from gambler_ai.storage.commands import FLATTEN, HALT, UNHALT
from gambler_ai.storage.database import Database
from gambler_ai.trading import maintenance
from gambler_ai.trading.house import House

DEFAULT_STEPS = 200
CALM_STEPS = 120
MEMORY = Path("/dev/shm")
"""Where a disk in memory usually is; a simulated crash needs no real disk."""


def run(seed: int, steps: int = DEFAULT_STEPS) -> Report:
    """Run one schedule to its end; a violation ends it early. Files live in a folder of their own and are removed."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        shutil.copy(_empty_books(), Path(folder) / "books.db")
        simulator = Simulator(seed, steps, Path(folder))
        with silence(), simulator.watching():
            simulator.run()
        return simulator.report


@cache
def _empty_books() -> Path:
    """A database with our tables, made once per process: migrations take longer than a schedule."""
    folder = Path(tempfile.mkdtemp(prefix="gambler-simulation-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    database = Database(f"sqlite:///{folder / 'empty.db'}")
    schema.upgrade(database)
    database.close()
    return folder / "empty.db"


class Simulator:
    """See the module's text. The steps come from the schedule; what they do in detail is drawn here."""

    def __init__(self, seed: int, steps: int, folder: Path) -> None:
        self.report = Report(seed, steps)
        self.world = World(seed, folder, self.report.fired)
        self.network = Network(self.world, self.report.fired)
        self.examiner = Examiner(self.world, self.report)
        self.traders = Traders(self.world, self.network, self.examiner, self.report)
        self.hand = Hand(self.world, LABEL, self.report.fired)
        self.nights = Nights(self.world, self.report.fired, self.traders.tend)
        self.person = Person(self.world, self.report.fired, self.examiner.promised)
        self._chance = Random(f"{seed}/details")

    @contextmanager
    def watching(self) -> Iterator[None]:
        """While it runs, every crash point of the program is passed under our eyes."""
        crashpoints.arm(self.traders.passed)
        try:
            yield
        finally:
            crashpoints.arm(None)
            self.network.calm()
            self.examiner.close()
            self.traders.vanish()
            self.world.exchange.close()

    def run(self) -> None:
        for step in schedule(self.report.seed, self.report.steps):
            if not self._take(step):
                return
        self._converge()

    # --- steps ------------------------------------------------------------------------------------------------

    def _take(self, step: Step) -> bool:
        """Whether every promise was kept."""
        self.examiner.step = step.number
        self._act(step.act)
        self.world.pass_time(step.bars * self.world.seconds_per_bar)
        self.traders.tend()
        self.examiner.after_step()
        self._note(step)
        return self.report.ok

    def _act(self, act: str) -> None:
        chance, traders = self._chance, self.traders
        match act:
            case "spoil change":
                self.network.spoil_change(chance.choice(ON_CHANGES))
            case "spoil read":
                self.network.spoil_read(chance.choice(READ), chance.choice(ON_READS))
            case "stale":
                self.network.make_stale(chance.choice(ENDPOINTS), chance.uniform(1.0, LONGEST_LAG_S))
            case "stream":
                self.network.stream.disturb(chance.choice(ON_FRAMES), chance.uniform(2.0, 25.0))
            case "crash":
                traders.crash()
            case "freeze":
                traders.freeze()
            case "second start":
                traders.start_another()
            case "twin start":
                traders.start_twins()
            case "commit fails":
                traders.fail_commit()
            case "commit answer lost":
                self.world.disk.lose_commit(chance.choice((0.0, 0.0, 1.0, 20.0)))
            case "clock jumps" if self.world.nature.lock_file:  # elsewhere leases are in the database server's time
                times = chance.choice(tuple(CLOCK_JUMPS))
                self.world.later(chance.uniform(0.0, 20.0), lambda: self._clock_jumps(times))
            case "database away":
                self.world.disk.go_away(chance.uniform(0.5, 40.0))
            case "hand trades" if self.examiner.may_resume():  # before, it would be history, not a trade
                self.hand.trades()
            case "hand cancels":
                self.hand.cancels()
            case "hand halts":
                self.hand.stops_us()
            case "hand lifts":
                self.hand.lets_us_go_on()
            case "database lost" if self.examiner.may_resume():
                self._backup.unlink(missing_ok=True)  # a copy from before a rebuilding is of another chain: refused
                self._other_books(disk.LOST, _empty_books())
                traders.must_rebuild = True
            case "backup" if self.examiner.may_resume() and not traders.must_rebuild:
                self.report.fired[disk.BACKUP] += 1
                self.examiner.back_up(self._backup)
            case "older copy" if self._backup.exists() and not traders.must_rebuild:
                self._other_books(disk.OLDER, self._backup)
            case "night" if self.examiner.may_resume():
                self.nights.one_passes()
            case "person asks" if self.examiner.may_resume():
                if self.person.asks():
                    traders.obey()
            case "stop":
                traders.stop()

    @property
    def _backup(self) -> Path:
        return self.world.folder / "backup.db"

    def _other_books(self, kind: str, copy: Path) -> None:
        """With everybody dead, the database file is another one."""
        self.report.fired[kind] += 1
        self.traders.cut_power()
        self.examiner.other_books(lambda: self.world.disk.put(copy))

    def _clock_jumps(self, times: int) -> None:
        self.report.fired[CLOCK_JUMPS[times]] += 1
        self.world.clock_jumps(times)

    def _note(self, step: Step) -> None:
        head = self.examiner.head()
        trader = self.traders.trader
        state = "nobody" if trader is None else f"{trader.number} {trader.ended or 'trading'}"
        self.report.log.append(
            f"{step.number} {step.act} | {self.world.elapsed:.6f} s {self.world.exchange.now.isoformat()} | {state} | "
            f"{head.seq} {head.hash[:16]} {head.token}"
        )

    # --- the end ----------------------------------------------------------------------------------------------

    def _converge(self) -> None:
        """Nothing fails any more: books and broker must become equal, and stay so. At the end the market stands still,
        so that nothing new happens while we look."""
        for quiet in (self.network.calm, self.world.disk.calm, self.traders.calm, self.hand.goes_away):
            quiet()
        if not self._comes_to_rest():
            return
        if self.world.nature.ends_flat and not (self._closes_under_a_halt() and self._comes_to_rest()):
            return
        self.world.market_stands = True
        if not self._comes_to_rest(since=self.world.elapsed):
            return
        trader = self.traders.trader
        assert trader is not None
        self.traders.let(trader, trader.stop)
        if trader.ended != "exit 0":
            self.examiner.found("I08", f"a clean stop ended with {trader.ended}")
        self.examiner.at_rest()
        self._reconcile_again()

    def _closes_under_a_halt(self) -> bool:
        """I16: what closes works while new risk is stopped."""
        self.person.asks(HALT)
        for _ in range(CALM_STEPS):
            if FLATTEN not in self.examiner.asked():
                self.person.asks(FLATTEN)
            if not self._take(Step(self.examiner.step + 1, "calm", 1.0)):
                return False
            if self.examiner.was_done(self.examiner.promised[-1]):
                return True
        self.examiner.found("I16", f"the account was not closed under a halt in {CALM_STEPS} steps without faults")
        return False

    def _comes_to_rest(self, since: float = 0.0) -> bool:
        """Nothing in doubt, blocked or to be done, and a look was taken since: an event that was lost without a word is
        found by nothing else."""
        for _ in range(CALM_STEPS):
            if self.examiner.is_halted() and not self.examiner.asked():
                self.person.asks(UNHALT)
            if not self._take(Step(self.examiner.step + 1, "calm", 1.0)):
                return False
            if not (unrest := self._unrest()) and self.world.elapsed > since + LOOK_EVERY_S:
                return True
        self.examiner.found("I20", f"no rest after {CALM_STEPS} steps without faults: {'; '.join(unrest)}")
        return False

    def _unrest(self) -> list[str]:
        trader = self.traders.trader
        if trader is None or trader.loop is None or not trader.is_trading:
            return ["nobody trades"]
        doubtful = [f"{order.client_order_id} is {order.status}" for order in trader.loop.in_doubt.orders()]
        steps = [f"{step.symbol}: to {step.act}" for step in trader.loop.protection.decision().steps]
        orders = trader.loop.state.book.orders.values()
        steps += [f"{order.client_order_id} waits" for order in orders if order.status is OrderStatus.PLANNED]
        self.examiner.blocked(trader.loop.blocks.all())
        blocks = [f"{symbol}: {why}" for symbol, why in sorted(trader.loop.blocks.all().items())]
        under_way = ["a request is still under way"] if self.world.something_is_due else []
        under_way += [f"{kind} is asked for" for kind in self.examiner.asked()]
        return doubtful + blocks + under_way + (steps if self.world.market_stands else [])

    def _reconcile_again(self) -> None:
        """A second recovery finds nothing to do and sends nothing."""
        process = self.traders.new_process()
        answers: list[tuple[int, dict[str, Any]]] = []
        self.traders.let(process, lambda: answers.append(maintenance.reconcile(House(process.parts), dry_run=False)))
        for code, report in answers:
            if code or report["requests"] or report["plan"]:
                found = f"exit {code}, {report['requests']} requests, plan {report['plan']}"
                self.examiner.found("I13", f"a second reconcile had something to do: {found}")
