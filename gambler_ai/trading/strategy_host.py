"""The strategy's place in the house: shows it bars once and in order, gives it a view, keeps its state."""

import json
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from gambler_ai.clock import Clock
from gambler_ai.domain.book import Book
from gambler_ai.domain.cover import PROTECTIVE
from gambler_ai.domain.fills import Fill
from gambler_ai.domain.grid import Level, Step, levels
from gambler_ai.domain.market import Bar, iso, parse_time
from gambler_ai.domain.money import ZERO
from gambler_ai.domain.orders import Order, Wish
from gambler_ai.domain.positions import Position
from gambler_ai.domain.sessions import Session
from gambler_ai.errors import StrategyFailed
from gambler_ai.storage.records import StoredState
from gambler_ai.strategies.base import FilledShares, Strategy

StepsOf = Callable[[Position], Sequence[Step]]


class AccountView:
    """A strategy's view of the books: its own shares and orders. `steps_of` tells how a position came about."""

    def __init__(self, book: Book, owner: str, clock: Clock, steps_of: StepsOf) -> None:
        self._book = book
        self._owner = owner
        self._clock = clock
        self._steps_of = steps_of
        self._levels: dict[str, tuple[Position, list[Level]]] = {}
        self.replaying = False

    @property
    def now(self) -> datetime:
        return self._clock.now()

    def position(self, symbol: str) -> Decimal:
        mine = self._mine(symbol)
        return mine.quantity if mine else ZERO

    def levels(self, symbol: str) -> list[Level]:
        """Read again only when the position has changed: they follow from its fills alone."""
        mine = self._mine(symbol)
        if mine is None:
            return []
        known = self._levels.get(symbol)
        if known is None or known[0] is not mine:
            found = levels(self._steps_of(mine), mine.quantity, mine.entry_price, mine.entry_time)
            self._levels[symbol] = known = (mine, found)
        return known[1]

    def _mine(self, symbol: str) -> Position | None:
        return next((p for p in self._book.open_positions(symbol) if p.owner == self._owner), None)

    def pending(self, symbol: str) -> bool:
        mine = (o for o in self._book.attention() if o.symbol == symbol and o.owner == self._owner)
        return any(o.role not in PROTECTIVE for o in mine)


class StrategyHost:
    """`seen` is the start of the last bar shown, by symbol; an older or repeated bar is never shown again.
    `told` is the journal number of the last fill told; what came after it is told again after a crash."""

    def __init__(self, strategy: Strategy, session: Session, book: Book, clock: Clock, steps_of: StepsOf) -> None:
        self.strategy = strategy
        self.seen: dict[str, datetime] = {}
        self.told = 0
        self._symbols = frozenset(session.symbols)
        self._view = AccountView(book, session.owner, clock, steps_of)
        self.hears_fills = type(strategy).on_fill is not Strategy.on_fill

    def is_news(self, bar: Bar) -> bool:
        seen = self.seen.get(bar.symbol)
        return bar.symbol in self._symbols and (seen is None or bar.start > seen)

    def show(self, bar: Bar) -> Sequence[Wish]:
        """The strategy's wishes for a bar it has not seen."""
        self.seen[bar.symbol] = bar.start
        with self._its_mistakes(f"was shown {bar.symbol} {iso(bar.end)}"):
            wishes = list(self.strategy.on_bar(bar, self._view))
            strangers = [wish for wish in wishes if not isinstance(wish, Wish)]
            if strangers:
                raise TypeError(f"on_bar returned {strangers[0]!r}, which is not a Wish")
        return wishes

    def tell(self, order: Order, fill: Fill) -> bool:
        """Tell the strategy of a booked fill of its own; whether it listens, so that its state may have changed."""
        if self.hears_fills:
            shares = FilledShares(order.symbol, order.side.sign * fill.qty, fill.price, fill.at)
            with self._its_mistakes(f"was told of a fill of {order.symbol}"):
                self.strategy.on_fill(shares, self._view)
        return self.hears_fills

    @property
    def is_replaying(self) -> bool:
        return self._view.replaying

    @contextmanager
    def replaying(self) -> Iterator[None]:
        """What is shown and told inside happened while nobody traded."""
        self._view.replaying = True
        try:
            yield
        finally:
            self._view.replaying = False

    @contextmanager
    def _its_mistakes(self, when: str) -> Iterator[None]:
        """Whatever its code raises ends the session with one clear line: where, what, and what to do next."""
        try:
            yield
        except Exception as error:
            here = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename != __file__]
            where = f" ({Path(here[-1].filename).name}, line {here[-1].lineno}, in {here[-1].name})" if here else ""
            raise StrategyFailed(
                f"the strategy {self.strategy.name or type(self.strategy).__name__} failed when it {when}: "
                f"{type(error).__name__}: {error}{where}. Nothing is lost, open orders stay as they are; correct it, "
                "then `gambler run --resume`"
            ) from error

    @property
    def last_bar(self) -> datetime | None:
        return max(self.seen.values(), default=None)

    def save(self) -> Any:
        seen = {symbol: iso(at) for symbol, at in self.seen.items()}
        with self._its_mistakes("was asked for its state"):
            state = self.strategy.save_state()
            json.dumps(state)
        return {"seen": seen, "told": self.told, "strategy": state}

    def load(self, stored: StoredState) -> bool:
        """Take back a saved state; False when it is another version's and must be rebuilt from bars."""
        if stored.version != self.strategy.version:
            return False
        self.seen = {symbol: parse_time(at) for symbol, at in stored.state["seen"].items()}
        self.told = stored.state["told"]
        if stored.state["strategy"] is not None:
            with self._its_mistakes("was given its state back"):
                self.strategy.load_state(stored.state["strategy"])
        return True
