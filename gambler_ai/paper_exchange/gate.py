"""What counts against the limits at the door: requests a minute, connections, recent SIP data."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from gambler_ai.paper_exchange.limits import Limits

DATA = "/v2/stocks/"
_LATEST = ("/latest", "/snapshot", "/snapshots")
_RECENT = timedelta(minutes=15)


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


class RateLimit:
    """A token bucket for each key, refilled evenly over the minute."""

    def __init__(self, limits: Limits, wall: Callable[[], float] = time.time) -> None:
        self._limits = limits
        self._wall = wall
        self._buckets: dict[tuple[str, bool], _Bucket] = {}

    def take(self, key: str, path: str) -> tuple[bool, dict[str, str]]:
        """Whether a request may pass, and the headers its answer carries."""
        most = self._limits.requests_per_minute
        if not most:
            self._buckets.clear()
            return True, {}
        now = self._wall()
        bucket = self._buckets.setdefault((key, path.startswith(DATA)), _Bucket(most, now))
        bucket.tokens = min(most, bucket.tokens + max(0.0, now - bucket.at) * most / 60)
        bucket.at = now
        passes = bucket.tokens >= 1
        bucket.tokens -= passes
        full_at = now + (most - bucket.tokens) * 60 / most
        headers = {
            "x-ratelimit-limit": str(most),
            "x-ratelimit-remaining": str(int(bucket.tokens)),
            "x-ratelimit-reset": str(int(full_at) + 1),
        }
        return passes, headers if self._limits.rate_headers else {}


class Slots:
    """Who holds how many connections of one kind; a lost one may keep its slot for a while."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._held: dict[str, int] = {}
        self._haunted: dict[str, list[float]] = {}

    def full(self, whose: str, most: int) -> bool:
        """Whether another connection would be too many; 0 is no limit."""
        now = self._now()
        ghosts = [until for until in self._haunted.get(whose, []) if until > now]
        self._haunted[whose] = ghosts
        return bool(most) and self._held.get(whose, 0) + len(ghosts) >= most

    def take(self, whose: str) -> None:
        """A connection begins."""
        self._held[whose] = self._held.get(whose, 0) + 1

    def give_back(self, whose: str, linger_s: float = 0.0) -> None:
        """A connection has ended; its slot stays taken for `linger_s` more."""
        self._held[whose] -= 1
        if linger_s > 0:
            self._haunted.setdefault(whose, []).append(self._now() + linger_s)


def recent_sip(path: str, query: dict[str, str], now: datetime) -> bool:
    """Whether a request asks for SIP data of the last fifteen minutes (section 10).

    SIP is the default of history; the latest items come from the best feed there is, unless one is named.
    """
    history = not path.endswith(_LATEST)
    if not path.startswith(DATA) or (query.get("feed") or ("sip" if history else "")) != "sip":
        return False
    if not history:
        return True
    try:
        end = datetime.fromisoformat(query.get("end", "").replace(" ", "+"))
    except ValueError:
        return True
    return (end if end.tzinfo else end.replace(tzinfo=UTC)) > now - _RECENT


class Gate:
    """The limits with what counts against them."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.rates = RateLimit(limits)
        self.streams = Slots()
        self.data = Slots()
