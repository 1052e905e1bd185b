"""The scheduler's process: looks in a steady rhythm, and once more at the moment a window begins.

APScheduler only wakes us. Its jobs live in memory and are made anew from our tables after every look; what is to be
done is settled by the look itself, from the exchange's clock and the tables, so that a job that comes late, twice or
never changes nothing but how soon the next look is.
"""

import contextlib
import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.base import JobLookupError
from apscheduler.jobstores.memory import MemoryJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.interval import IntervalTrigger

from gambler_ai.errors import AccountHeld, GamblerError, Retry
from gambler_ai.logs import get_logger
from gambler_ai.operations.scheduler import Scheduler
from gambler_ai.trading import turn
from gambler_ai.trading.shutdown import EXIT_DONE

log = get_logger("schedule")

STANDBY_EVERY_S = 0.5
RHYTHM = "look"


class MarketTrigger(BaseTrigger):  # type: ignore[misc]
    """Fires once, when a schedule's next window begins by the market's calendar: so long from now, as of a look."""

    def __init__(self, until_next: timedelta) -> None:
        self._until_next = until_next

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime | None:
        return None if previous_fire_time is not None else now + max(self._until_next, timedelta(0))


class Timetable:
    """Runs a scheduler until it is asked to stop. All looks are made in one thread, one at a time."""

    def __init__(self, scheduler: Scheduler, every_s: float) -> None:
        self._scheduler = scheduler
        self._every_s = every_s
        self._broken: GamblerError | Exception | None = None
        self._over = threading.Event()
        self._silent = ""
        self._coming: dict[str, timedelta] = {}

    def once(self) -> int:
        """One look, for cron and timers. Raises AccountHeld while another scheduler lives."""
        self._scheduler.take()
        try:
            self._scheduler.look()
        finally:
            self._release()
        return EXIT_DONE

    def run(self) -> int:
        """Wait until no other scheduler lives, then look until asked to stop; sessions that run go on. Raises Fenced
        when another took over."""
        try:
            self._stand_by()
        except turn.StoppedEarly:
            return EXIT_DONE
        log.info("schedule.begins", every_s=self._every_s)
        jobs = self._jobs()
        jobs.start()
        try:
            while not self._scheduler.parts.stop.is_set() and not self._over.wait(0.1):
                pass
        finally:
            jobs.shutdown(wait=True)
            self._release()
        if self._broken is not None:
            raise self._broken
        return EXIT_DONE

    def _release(self) -> None:
        with contextlib.suppress(Retry):  # its time ends by itself
            self._scheduler.lease.release()

    def _stand_by(self) -> None:
        told = False
        while True:
            try:
                self._scheduler.take()
                return
            except AccountHeld as error:
                if not told:
                    log.info("schedule.standby", why=str(error))
                told = True
            turn.pause(self._scheduler.parts.clock, self._scheduler.parts.stop, STANDBY_EVERY_S)

    def _jobs(self) -> BackgroundScheduler:
        logging.getLogger("apscheduler").setLevel(logging.ERROR)
        jobs = BackgroundScheduler(
            timezone=UTC,
            jobstores={"default": MemoryJobStore()},
            executors={"default": ThreadPoolExecutor(max_workers=1)},
            job_defaults={"misfire_grace_time": 60, "coalesce": True, "max_instances": 1},
        )

        def look() -> None:
            self._look()
            if not self._over.is_set():
                self._rebuild(jobs, look)

        jobs.add_job(look, IntervalTrigger(seconds=self._every_s, timezone=UTC), id=RHYTHM)
        jobs.modify_job(RHYTHM, next_run_time=self._scheduler.parts.clock.wall())
        return jobs

    def _look(self) -> None:
        """What passes is told once and tried again; what does not ends the process."""
        try:
            self._scheduler.look()
            self._coming = self._scheduler.until_next()
            self._silent = ""
        except Retry as error:
            if str(error) != self._silent:
                log.warning("schedule.waiting", why=str(error))
            self._silent = str(error)
        except Exception as error:  # noqa: BLE001 - raised again by the main thread
            self._broken = error
            self._over.set()

    def _rebuild(self, jobs: BackgroundScheduler, look: Callable[[], None]) -> None:
        """One job for each schedule's next window, from our tables."""
        coming = {f"window:{name}": wait for name, wait in self._coming.items()}
        for job in jobs.get_jobs():
            if job.id != RHYTHM and job.id not in coming:
                with contextlib.suppress(JobLookupError):  # it has just been done
                    job.remove()
        for name, wait in coming.items():
            jobs.add_job(look, MarketTrigger(wait), id=name, replace_existing=True)
