"""What the exchange knows of the world: bars and quotes, never seen before they are complete.

A market is asked, it does not push: the exchange looks a quote up when it needs one. So a symbol nobody
trades costs nothing, and the answer to "what was known at T" is the same at every speed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple, Protocol

from gambler_ai.paper_exchange.calendar import Session

CENT = Decimal("0.01")


class Bar(NamedTuple):
    """One bar. `start` is the left edge, as Alpaca's `t`; it is visible from `end` on, with its quote.

    Prices in USD, volume and sizes in shares, times aware UTC.
    """

    symbol: str
    start: datetime
    end: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: int
    bid: Decimal
    ask: Decimal
    bid_size: int
    ask_size: int

    @classmethod
    def joined(cls, parts: "Sequence[Bar]") -> "Bar":
        """One bar of some that follow each other, with the quote of the last."""
        return parts[-1]._replace(
            start=parts[0].start,
            open=parts[0].open,
            high=max(bar.high for bar in parts),
            low=min(bar.low for bar in parts),
            volume=sum(bar.volume for bar in parts),
        )


@dataclass(frozen=True, slots=True)
class Quote:
    """Best bid and offer with the last trade, known since `at`. USD per share, sizes in shares."""

    symbol: str
    at: datetime
    bid: Decimal
    ask: Decimal
    last: Decimal
    bid_size: int = 100
    ask_size: int = 100

    @classmethod
    def closing(cls, bar: Bar) -> "Quote":
        """The quote a bar leaves behind."""
        return cls(bar.symbol, bar.end, bar.bid, bar.ask, bar.close, bar.bid_size, bar.ask_size)


class Market(Protocol):
    """A source of bars. Every method is a pure function of its arguments."""

    @property
    def spec(self) -> str:
        """Names this market for ever: `tape:DIR` or `synthetic:SEED`."""

    @property
    def symbols(self) -> tuple[str, ...]:
        """All symbols, sorted."""

    def next_time(self, after: datetime) -> datetime | None:
        """The next moment at which any bar becomes visible; None when the market has ended."""

    def bars_at(self, at: datetime, symbols: frozenset[str] | None = None) -> list[Bar]:
        """Bars that become visible exactly at `at`, by symbol; of these symbols only, or of all."""

    def latest(self, symbol: str, at: datetime) -> Bar | None:
        """The last bar with `end` <= at."""

    def quote(self, symbol: str, at: datetime) -> Quote | None:
        """The quote in force at `at`; None before the first one."""

    def bars(self, symbol: str, start: datetime, end: datetime, at: datetime) -> list[Bar]:
        """Bars with start <= bar.start <= end that are complete at `at`, oldest first."""

    def day(self, symbol: str, session: Session, at: datetime) -> Bar | None:
        """The bars of a regular session that are complete at `at`, as one; None before the first."""

    def width(self) -> timedelta:
        """How long one bar is."""
