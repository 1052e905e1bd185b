"""A strategy that buys once in each of its symbols, so that each symbol can have a story of its own."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from gambler_ai.domain.market import Bar
from gambler_ai.domain.orders import Side, Wish
from gambler_ai.strategies.base import Strategy, View

STOPPED = ("SPY", "AAPL", "NVDA", "AMD", "COST")
RESTING = ("MSFT", "INTC")
TOO_DEAR = ("AVGO",)
NEVER = ("DIS",)


@dataclass
class Buyer(Strategy):
    """Ten shares of each symbol, with a stop at 95 in some and with a limit of 90 in others."""

    name = "buyer"

    _done: list[str] = field(default_factory=list, init=False)

    def on_bar(self, bar: Bar, view: View) -> Sequence[Wish]:
        symbol = bar.symbol
        if symbol in (*self._done, *NEVER):
            return ()
        self._done.append(symbol)
        shares = Decimal(9000 if symbol in TOO_DEAR else 10)
        if symbol in RESTING:
            return [Wish(symbol, Side.BUY, shares, type="limit", limit_price=Decimal(90))]
        return [Wish(symbol, Side.BUY, shares, stop_loss=Decimal(95) if symbol in STOPPED else None)]

    def save_state(self) -> Any:
        return self._done

    def load_state(self, state: Any) -> None:
        self._done = state
