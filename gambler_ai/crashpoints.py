"""Named points where a test may end the process, as a power cut would.

`GAMBLER_TEST=1 GAMBLER_CRASH_AT=order.after_send[:n]` ends the process with `os._exit(137)` at the n-th passing
of that point (default: the first). Outside tests a point costs one comparison.
"""

import os
from collections.abc import Callable
from typing import Final, NoReturn

from gambler_ai.errors import UsageError

POINTS: Final[dict[str, str]] = {
    "account.before_bind": "the broker's account is known, nothing is written",
    "account.after_bind": "the account row is committed",
    "lease.before_take": "before the lease is taken",
    "lease.after_take": "the lease with its new token is committed",
    "session.before_open": "before the session row is committed",
    "session.after_open": "the session row is committed, nothing was traded",
    "session.before_resume": "before a crashed session becomes active again",
    "session.after_resume": "the session is active again",
    "order.before_intent": "an order was decided, nothing is written",
    "order.after_intent": "intent and SENDING are committed, nothing was sent",
    "order.before_send": "the deadline check passed, no byte has left",
    "order.after_send": "the broker's answer was read, nothing is written",
    "order.before_outcome": "before the outcome is committed",
    "order.after_outcome": "the outcome is committed",
    "cancel.before_intent": "a cancel was decided, nothing is written",
    "cancel.after_intent": "the cancel's intent is committed, nothing was sent",
    "cancel.after_send": "the cancel was answered, nothing is written",
    "cancel.after_outcome": "the cancel's outcome is committed",
    "protection.before_step": "what a position lacks, or has too much of, is decided; nothing is done",
    "protection.after_step": "one step towards it is done, the next is not decided",
    "fill.before_commit": "an execution is known, nothing is written",
    "fill.after_commit": "fill, order and position are committed",
    "event.before_commit": "an order event without a fill is known, nothing is written",
    "event.after_commit": "the order's new state is committed",
    "transaction.before_commit": "all statements of any transaction were made, COMMIT was not sent",
    "transaction.after_commit": "any transaction was committed",
    "recovery.before_look": "before the broker is asked for its state",
    "recovery.after_look": "the broker's state is known, nothing is written",
    "recovery.before_lookup": "before an order in doubt is looked up",
    "recovery.after_lookup": "the look-up was answered, nothing is written",
    "recovery.before_resolve": "before what the look-up said is committed",
    "recovery.after_resolve": "what the look-up said is committed",
    "recovery.before_apply": "rows of the plan are decided, nothing is written",
    "recovery.after_apply": "rows of the plan are committed",
    "recovery.before_report": "everything is done but the report",
    "recovery.after_report": "the report is committed",
    "epoch.before_commit": "the broker's history was read, the database is still empty",
    "epoch.after_commit": "the rebuilt books are committed, nothing was proven or reported",
    "checkpoint.before_commit": "before strategy state and account snapshot are committed",
    "checkpoint.after_commit": "the checkpoint is committed, the session is still active",
    "session.before_stop": "before the session row says stopped",
    "session.after_stop": "the session is stopped, the lease still held",
    "schedule.before_claim": "a slot is due, nothing is written",
    "schedule.after_claim": "the slot is claimed and its session named, no process was started",
    "schedule.before_start": "one more start is written down, there is no process yet",
    "schedule.after_start": "the session's process is started, nothing is known of it",
    "schedule.before_close": "what became of a run is known, nothing is written",
    "schedule.after_close": "the run is closed",
}

_watch: Callable[[str], None] | None = None


class SimulatedCrash(BaseException):
    """Raised instead of ending the process when a simulation asked for it; nothing may catch it."""


class CrashPlan:
    """Which point ends the process, at which passing of it."""

    def __init__(self, point: str, passing: int = 1, in_process: bool = False) -> None:
        if point not in POINTS:
            raise UsageError(f"there is no crash point {point!r}; `gambler crash-points` lists them")
        self.point = point
        self._left = passing
        self._in_process = in_process

    def __call__(self, name: str) -> None:
        if name != self.point:
            return
        self._left -= 1
        if self._left == 0:
            self._end()

    def _end(self) -> NoReturn:
        if self._in_process:
            raise SimulatedCrash(self.point)
        os._exit(137)


def crashpoint(name: str) -> None:
    """A place where everything up to here may be all that ever happened."""
    if _watch is not None:
        _watch(name)


def arm(watch: Callable[[str], None] | None) -> None:
    """From now on every point that is passed is told: to a plan, or to a simulation. None = to nobody."""
    global _watch
    _watch = watch


def arm_from_environment() -> None:
    """Read GAMBLER_CRASH_AT, but only when GAMBLER_TEST=1 says that this is a test."""
    spec = os.environ.get("GAMBLER_CRASH_AT", "")
    if not spec or os.environ.get("GAMBLER_TEST") != "1":
        return
    name, _, passing = spec.partition(":")
    if passing and not passing.isdigit():
        raise UsageError(f"GAMBLER_CRASH_AT={spec!r}: what follows the colon must be a whole number")
    arm(CrashPlan(name, int(passing) if passing else 1))
