"""What users write: a strategy sees bars and returns wishes; it never sends anything itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar, Protocol

from gambler_ai.domain.grid import Level
from gambler_ai.domain.market import Bar
from gambler_ai.domain.orders import Wish


class View(Protocol):
    """What a strategy may know of the account. Only its own shares and orders, never somebody else's."""

    @property
    def now(self) -> datetime:
        """Exchange time."""

    def position(self, symbol: str) -> Decimal:
        """Its own signed shares; short is negative."""

    def levels(self, symbol: str) -> Sequence[Level]:
        """Its entries since it was last flat that it still holds, oldest first; they add up to its position."""

    @property
    def replaying(self) -> bool:
        """Whether what is shown now happened while nobody traded: for messages and statistics, not for decisions."""

    def pending(self, symbol: str) -> bool:
        """Whether an order it wished for is open or in doubt; exits that protect its shares do not count."""


@dataclass(frozen=True, slots=True)
class FilledShares:
    """Told to `on_fill`: shares of one of the strategy's orders were executed, at this price in USD."""

    symbol: str
    signed_qty: Decimal
    price: Decimal
    at: datetime


class Strategy:
    """Base of every strategy. Make a dataclass of it: its fields are the parameters of `--param name=value`.

    State is what `save_state` returns; it is stored together with every order the strategy causes and handed to
    `load_state` after a restart. Bars the strategy had seen since are then shown to it again, in order. The same bar in
    the same state must lead to the same wishes: draw no random numbers and read no clock but `view.now`.
    """

    name: ClassVar[str] = ""
    version: ClassVar[int] = 1

    @property
    def warmup_bars(self) -> int:
        """Bars of history per symbol to show before the first decision."""
        return 0

    def check(self) -> None:
        """Raise ValueError with one clear sentence when the parameters make no sense together."""

    def on_bar(self, bar: Bar, view: View) -> Sequence[Wish]:
        """One complete minute bar. During warm-up and replay the wishes are dropped or judged by their age."""
        # a strategy without it would run for weeks and never decide anything
        raise NotImplementedError(f"{type(self).__name__} must say what it does with a bar")

    def on_fill(self, fill: FilledShares, view: View) -> None:
        """Shares were executed; the position in `view` already holds them."""

    def save_state(self) -> Any:
        """Everything the next decision depends on, as JSON data (amounts as text)."""
        return None

    def load_state(self, state: Any) -> None:
        """Take back what `save_state` of the same `version` returned."""
