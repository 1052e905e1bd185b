"""What the market says: bars and quotes."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache

MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Bar:
    """One minute of one symbol. `start` is its left edge, as in Alpaca's `t`; prices in USD, volume in shares."""

    symbol: str
    start: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal

    @property
    def end(self) -> datetime:
        """The bar's close time: from then on it is known."""
        return self.start + MINUTE


@dataclass(frozen=True, slots=True)
class Quote:
    """Best bid and ask of one symbol; 0 means that side is missing."""

    symbol: str
    at: datetime
    bid: Decimal
    ask: Decimal


@dataclass(frozen=True, slots=True)
class TradingDay:
    """Regular hours of one exchange day, UTC."""

    day: date
    open: datetime
    close: datetime


@dataclass(frozen=True, slots=True)
class MarketHours:
    """Regular trading hours as (open, close) pairs in UTC."""

    sessions: tuple[tuple[datetime, datetime], ...]

    def are_open(self, at: datetime) -> bool:
        """From the open up to, but not at, the close: an order sent at the close waits for the next day."""
        return any(opens <= at < closes for opens, closes in self.sessions)


@lru_cache(maxsize=256)
def iso(at: datetime) -> str:
    """UTC with fixed microseconds and Z: sorts as text, reads the same from both databases."""
    if at.tzinfo is None:
        raise ValueError(f"{at!r} has no time zone")
    return at.astimezone(UTC).isoformat(timespec="microseconds")[:-6] + "Z"


def parse_time(text: str) -> datetime:
    """RFC 3339 with up to nanoseconds and any offset, as Alpaca mixes them; what is finer than a microsecond is cut."""
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return at if at.tzinfo is UTC else at.astimezone(UTC)
