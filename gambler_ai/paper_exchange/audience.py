"""Who listens, and what has still to be told: nothing is told before it is stored."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any, NamedTuple

from gambler_ai.paper_exchange.market import Bar, Market, Quote

Frame = dict[str, Any]


class Status(NamedTuple):
    """Trading of a symbol is halted, paused or resumed, with the tape's codes; `band` are the prices of a pause."""

    symbol: str
    at: datetime
    code: str
    message: str
    reason: str
    reason_message: str
    band: tuple[Decimal, Decimal] | None = None


@dataclass(frozen=True, slots=True)
class MarketEvent:
    """What the market showed at one moment: bars that became complete, the quotes in force since, or a status."""

    at: datetime
    bars: list[Bar]
    quotes: list[Quote]
    status: Status | None = None


class Audience:
    """Listeners of order events and of the market, with an outbox between the venue and them."""

    def __init__(self) -> None:
        self._traders: dict[str, list[Callable[[Frame], None]]] = {}
        self._watchers: list[tuple[Callable[[MarketEvent], None], frozenset[str] | None]] = []
        self._outbox: list[Callable[[], None]] = []

    @property
    def waiting(self) -> bool:
        """Whether something has still to be told."""
        return bool(self._outbox)

    @property
    def watched(self) -> bool:
        """Whether anybody watches the market."""
        return bool(self._watchers)

    def listen(self, account: str, callback: Callable[[Frame], None]) -> Callable[[], None]:
        """Hear an account's order events; returns the unsubscriber."""
        return _joined(self._traders.setdefault(account, []), callback)

    def watch(self, callback: Callable[[MarketEvent], None], symbols: frozenset[str] | None) -> Callable[[], None]:
        """Hear the market, of these symbols or of all; returns the unsubscriber."""
        return _joined(self._watchers, (callback, symbols))

    def tell(self, account: str, make: Callable[[], Frame]) -> None:
        """Note an order event as it is now, if anybody listens."""
        listeners = self._traders.get(account)
        if listeners:
            frame = make()
            self._outbox += [partial(callback, frame) for callback in listeners]

    def show_bars(self, market: Market, at: datetime) -> None:
        """Note the bars that become visible at `at` for those who watch them."""
        for callback, symbols in self._watchers:
            bars = market.bars_at(at, symbols)
            if bars:
                event = MarketEvent(at, bars, [Quote.closing(bar) for bar in bars])
                self._outbox.append(partial(callback, event))

    def show_quote(self, quote: Quote) -> None:
        """Note a quote without a bar."""
        for callback, symbols in self._watchers:
            if symbols is None or quote.symbol in symbols:
                self._outbox.append(partial(callback, MarketEvent(quote.at, [], [quote])))

    def show_status(self, status: Status) -> None:
        """Note a halt or its end."""
        for callback, symbols in self._watchers:
            if symbols is None or status.symbol in symbols:
                self._outbox.append(partial(callback, MarketEvent(status.at, [], [], status)))

    def flush(self) -> None:
        """Tell everything, in order; also what is added meanwhile."""
        while self._outbox:
            outbox, self._outbox = self._outbox, []
            for send in outbox:
                send()


def _joined(group: list[Any], member: Any) -> Callable[[], None]:
    group.append(member)

    def leave() -> None:
        if member in group:
            group.remove(member)

    return leave
