"""The scheduler: starts the session of every slot once, watches it, resumes it, and gives up loudly.

Time is the exchange's, asked anew at every look. What is true stands in the tables: a look reads them, does what
`domain.schedules` says, and may die anywhere. The claim of a slot is one row, unique by (account, schedule, trading
day), and names the session before there is one; `gambler run --session ID` begins that session or goes on with it, and
settles which of both while it holds the account's lease. Killed in between, the next scheduler finds:

| dead after              | in the tables                     | what the next scheduler does                         |
|-------------------------|-----------------------------------|------------------------------------------------------|
| nothing yet             | no run                            | claims the slot, late or missed by the policy        |
| the claim               | run open, no session, 0 starts    | starts the process; after the window: missed         |
| the start was written   | run open, no session, 1 start     | the same, after the wait                             |
| the process was started | the same, and perhaps a process   | the same: a second process finds the account held    |
|                         | that has not opened its session   | (exit 4), or goes on with the session: never two     |
| the session was opened  | session active, account held      | watches                                              |
| and its process died    | session active, its holder dead   | starts it again, and the session goes on             |
| the session ended       | session stopped, its time over    | closes the run                                       |
| the run was closed      | run done                          | nothing                                              |

A frozen scheduler that wakes has an old token: no write of it takes effect, and it ends with 4. The process it may
have started meanwhile is the second process of the table.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Protocol

from gambler_ai.broker.gateway import Gateway
from gambler_ai.clock import Clock
from gambler_ai.crashpoints import crashpoint
from gambler_ai.domain import schedules as policy
from gambler_ai.domain.schedules import Run, RunStatus, Schedule, Slot, Step
from gambler_ai.logs import get_logger
from gambler_ai.operations.calendar import Calendar
from gambler_ai.storage import lease
from gambler_ai.storage.calendar import StoredCalendar
from gambler_ai.storage.commands import HALT, CommandRows
from gambler_ai.storage.database import Database
from gambler_ai.storage.holder import Holder
from gambler_ai.storage.records import Records, find_account_by_id
from gambler_ai.storage.scheduler_lease import SchedulerLease
from gambler_ai.storage.schedules import Schedules
from gambler_ai.trading.emergency_stop import EmergencyStopFile
from gambler_ai.trading.order_desk import StopFlag
from gambler_ai.trading.sessions import new_id

log = get_logger("schedule")

REMEMBERED = timedelta(days=370)
RENEW_EVERY_S = 4.0
OPENS_WITHIN_S = 60.0
"""A process that has not taken the account so long after its start does not keep another from it: it may be frozen."""


class Process(Protocol):
    """A session's process as the scheduler sees it."""

    pid: int

    def ended(self) -> tuple[int, str] | None: ...


@dataclass(frozen=True, slots=True)
class _Child:
    """A process we started, at `since` (monotonic seconds)."""

    session_id: str
    process: Process
    since: float


@dataclass
class SchedulerParts:
    """What a scheduler is made of. `spawn` starts the process of a run's session."""

    database: Database
    gateway: Gateway
    clock: Clock
    stop: StopFlag
    label: str
    data_dir: Path
    holder: Holder
    chance: Random
    spawn: Callable[[Run], Process]
    restart_wait_s: float = 2.0


@dataclass
class Scheduler:
    """The scheduler of one account. `take` the lease, then `look` again and again, from one thread."""

    parts: SchedulerParts
    account_id: str
    _children: list[_Child] = field(default_factory=list)
    _ends: dict[str, tuple[int, str]] = field(default_factory=dict)
    _renewed: float | None = None

    def __post_init__(self) -> None:
        parts = self.parts
        self.schedules = Schedules(parts.database, self.account_id)
        self.calendar = Calendar(StoredCalendar(parts.database, self.account_id), parts.gateway, parts.clock)
        self.lease = SchedulerLease(parts.database, self.account_id, parts.clock)

    def take(self) -> None:
        """Raises AccountHeld while another scheduler lives."""
        self.lease.take(self.parts.holder)

    def close(self) -> None:
        """Give up connections; processes of sessions go on."""
        self.parts.gateway.close()
        self.parts.database.close()

    def look(self) -> None:
        """Do everything that is to be done now. Raises Fenced when another scheduler has taken over, Retry when
        broker or database do not answer: the next look does it."""
        if self.parts.stop.is_set():
            return
        clock = self.parts.clock
        if self._renewed is None or clock.monotonic() - self._renewed >= RENEW_EVERY_S:
            self.lease.renew()
            self._renewed = clock.monotonic()
        clock.observe(self.parts.gateway.clock().now)
        plans = self.schedules.all()
        oldest = min((plan.since.date() for plan in plans), default=self.calendar.today)
        self.calendar.refresh(max(oldest, self.calendar.today - REMEMBERED))
        for plan in plans:
            if not plan.paused:
                self._claim_what_is_due(plan)
        self._reap()
        wanted = {plan.name for plan in plans if not plan.paused}
        for run in self.schedules.runs(status=RunStatus.OPEN):
            self._attend(run, wanted=run.slot.schedule in wanted)

    def until_next(self) -> dict[str, timedelta]:
        """For each schedule, how long from now its next window begins, in exchange time; as of the last look."""
        now, today = self.parts.clock.now(), self.calendar.today
        days = self.calendar.days(today, today + timedelta(days=14))
        coming = {plan.name: policy.next_slots(plan, days, now, 1) for plan in self.schedules.all()}
        return {name: slots[0].start - now for name, slots in coming.items() if slots}

    def _claim_what_is_due(self, plan: Schedule) -> None:
        now, today = self.parts.clock.now(), self.calendar.today
        first = max(plan.since.date(), today - REMEMBERED) - timedelta(days=1)
        used = self.schedules.days_used(plan.name)
        for slot in policy.slots(plan, self.calendar.days(first, today + timedelta(days=1))):
            verdict = policy.judged(slot, plan, now) if slot.day not in used else None
            if verdict is not None and (verdict[0] is not RunStatus.OPEN or self._still_open(plan, slot)):
                self._claim(plan, slot, *verdict)

    def _still_open(self, plan: Schedule, slot: Slot) -> bool:
        """By the broker's newest calendar: the day may have been closed, or shortened, since it was asked."""
        self.calendar.ask(slot.day, slot.day)
        days = self.calendar.days(slot.day, slot.day)
        if policy.slots(plan, days) == [slot]:
            return True
        log.warning("schedule.calendar_changed", schedule=plan.name, day=str(slot.day), hours=[str(d) for d in days])
        return False

    def _claim(self, plan: Schedule, slot: Slot, status: RunStatus, why: str) -> None:
        now = self.parts.clock.now()
        records = Records(self.parts.database, self.account_id)
        run = Run(slot, new_id(slot.start, records, self.parts.chance), status, plan, claimed_at=now, result=why)
        if status is not RunStatus.OPEN:
            run = replace(run, ended_at=now)
        crashpoint("schedule.before_claim")
        if not self.schedules.claim(run, self.lease.token):
            return
        crashpoint("schedule.after_claim")
        tell = log.info if status is RunStatus.OPEN else log.warning
        tell(f"schedule.{'claimed' if status is RunStatus.OPEN else status}", **_named(run), why=why)

    def _attend(self, run: Run, *, wanted: bool) -> None:
        parts = self.parts
        held = self._held()  # first: of an account that was free then, the session's row says the truth
        session = Records(parts.database, self.account_id).session(run.session_id)
        wall = lease.database_time(parts.database, parts.clock)
        step, status, why = policy.next_step(
            run, session, parts.clock.now(), wall, held=held, wanted=wanted, last=self._ends.get(run.session_id)
        )
        if step is Step.START:
            self._start(run, wall + policy.wait_after(run.starts + 1, parts.restart_wait_s))
        elif step is Step.GIVE_UP:
            if session is not None or run.starts > run.plan.restarts:
                self._halt(f"schedule {run.slot.schedule} of {run.slot.day}: {why}")
            self._close(run, status, why)
        elif step is Step.CLOSE:
            self._close(run, status, why)

    def _reap(self) -> None:
        for child in self._children[:]:
            how = child.process.ended()
            if how is not None:
                self._children.remove(child)
                self._ends[child.session_id] = how
                log.info("schedule.process_ended", session=child.session_id, code=how[0], said=how[1])

    def _held(self) -> bool:
        """A living process has the account, or one of ours may be about to take it."""
        database, clock = self.parts.database, self.parts.clock
        if any(clock.monotonic() - child.since < OPENS_WITHIN_S for child in self._children):
            return True
        account = find_account_by_id(database, self.account_id)
        now = lease.database_time(database, clock)
        return account is not None and lease.must_wait_until(account, database, now) is not None

    def _start(self, run: Run, wait_until: datetime) -> None:
        if self.parts.stop.is_set():
            return
        self.schedules.starting(run, wait_until, self.lease.token)
        crashpoint("schedule.before_start")
        process = self.parts.spawn(run)
        crashpoint("schedule.after_start")
        self._children.append(_Child(run.session_id, process, self.parts.clock.monotonic()))
        log.info("schedule.started", **_named(run), pid=process.pid, start=run.starts + 1)

    def _close(self, run: Run, status: RunStatus, why: str) -> None:
        crashpoint("schedule.before_close")
        self.schedules.close(run, status, why, self.parts.clock.now(), self.lease.token)
        crashpoint("schedule.after_close")
        tell = log.info if status is RunStatus.DONE else log.warning
        tell(f"schedule.{status}", **_named(run), why=why)

    def _halt(self, reason: str) -> None:
        """No new risk until a person has looked; the next holder of the account writes it into the books. It is no
        word of a scheduler that slept through its replacement."""
        parts = self.parts
        self.lease.renew()
        file = EmergencyStopFile.of(parts.data_dir, parts.label)
        file.write(parts.label, reason, parts.clock.wall(), {"row": "schedule"})
        CommandRows(parts.database).ask(self.account_id, HALT, None, reason, parts.clock.wall())


def _named(run: Run) -> dict[str, str]:
    return {"schedule": run.slot.schedule, "day": str(run.slot.day), "session": run.session_id}
