"""Limits at the door: requests a minute, connections, symbols, feeds. All off unless a switch sets them.

Sources disagree on most of it, so each is a switch of the lab (`/_lab/limits`). They end with the process.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from gambler_ai.errors import UsageError

DATA = "/v2/stocks/"
_RECENT = timedelta(minutes=15)


@dataclass(slots=True)
class Limits:
    """Numbers of 0 mean no limit; seconds are wall time."""

    requests_per_minute: int = 0  # section 9: 200 on Alpaca, by key, trading and data counted apart
    rate_headers: bool = True  # section 9: may be missing
    stream_connections: int = 0  # section 8: 1 is what clients assume
    stream_slot_seconds: float = 0.0  # section 8: how long an unclean loss keeps its slot
    data_connections: int = 0  # section 11: 1 on the basic plan, error 406
    data_symbols: int = 0  # section 11: 30 for trades and quotes on the free plan, error 405
    data_auth_seconds: float = 10.0  # section 11: error 404 after it
    sip: bool = True  # sections 10 and 11: without it recent SIP data is 403, the SIP socket error 409
    updated_bars: bool = False  # section 11: every bar is told again with the next one, as after late trades

    def set(self, wanted: dict[str, Any]) -> None:
        """Set some by name; UsageError for an unknown name or a wrong value, and then nothing is set."""
        kinds = {one.name: type(getattr(self, one.name)) for one in fields(self)}
        for name, value in wanted.items():
            if name not in kinds:
                raise UsageError(f"no limit {name!r}; there are {', '.join(kinds)}")
            number = isinstance(value, int | float | Decimal) and not isinstance(value, bool)
            sound = isinstance(value, bool) if kinds[name] is bool else number and 0 <= value < 1e9
            if not sound:
                raise UsageError(f"limit {name}: want {'true or false' if kinds[name] is bool else 'a number from 0'}")
        for name, value in wanted.items():
            setattr(self, name, kinds[name](value))

    def show(self) -> dict[str, Any]:
        """All of them, as JSON."""
        return asdict(self)


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
    """Whether a request asks for SIP data of the last fifteen minutes; SIP is the default of history (section 10)."""
    if not path.startswith(DATA) or query.get("feed", "sip") != "sip":
        return False
    try:
        end = datetime.fromisoformat(query.get("end", "").replace(" ", "+"))
    except ValueError:
        return True
    return (end if end.tzinfo else end.replace(tzinfo=UTC)) > now - _RECENT


class Gate:
    """The limits with what counts against them."""

    def __init__(self) -> None:
        self.limits = Limits()
        self.rates = RateLimit(self.limits)
        self.streams = Slots()
        self.data = Slots()
