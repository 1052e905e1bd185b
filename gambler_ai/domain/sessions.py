"""A session: one run of one strategy on one account."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum


class SessionStatus(StrEnum):
    ACTIVE = "active"  # a process trades it, or died trading it
    STOPPED = "stopped"  # its checkpoint is committed
    CRASHED = "crashed"  # found active without a living process


SESSION_STEPS: dict[SessionStatus, frozenset[SessionStatus]] = {
    SessionStatus.ACTIVE: frozenset({SessionStatus.STOPPED, SessionStatus.CRASHED}),
    SessionStatus.CRASHED: frozenset({SessionStatus.ACTIVE, SessionStatus.STOPPED}),
    SessionStatus.STOPPED: frozenset({SessionStatus.ACTIVE}),
}


@dataclass(frozen=True, slots=True)
class Session:
    """`ends_at` is exchange time; capital is equity in USD at start and stop."""

    session_id: str
    account_id: str
    owner: str
    strategy: str
    symbols: tuple[str, ...]
    params: tuple[tuple[str, str], ...]
    status: SessionStatus
    start_time: datetime
    ends_at: datetime
    end_time: datetime | None = None
    initial_capital: Decimal | None = None
    final_capital: Decimal | None = None

    def is_over(self, now: datetime) -> bool:
        """Stopped, and in its time: by `now`, which may have been read before it ended, or by its own end."""
        return self.status is SessionStatus.STOPPED and self.ends_at <= max(now, self.end_time or now)


def may_step(current: SessionStatus, to: SessionStatus) -> bool:
    return to in SESSION_STEPS[current]
