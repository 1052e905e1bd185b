"""Buy, and buy more whenever the price has fallen by a step; sell everything at a profit on the average price.

The grid (martingale) of the Bybit requirements in Alpaca's terms: one position per symbol, the target is a limit order
that works at the broker for the whole position, and a level is an entry that is still held. The strategy keeps no
state of its own: its levels are what the books' fills say, so a restart, a lost answer or a lost database cannot make
it forget one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal

from gambler_ai.domain.cover import away_from
from gambler_ai.domain.grid import Level, average
from gambler_ai.domain.market import Bar
from gambler_ai.domain.money import whole_shares
from gambler_ai.domain.orders import Role, Side, Wish
from gambler_ai.strategies.base import Strategy, View

CROSSES_BY_PCT = Decimal("0.1")
"""An entry is a limit so far through the close: it is executed at once, and Alpaca lets it stand against the target,
which a market order may not (wash trade)."""


@dataclass
class Grid(Strategy):
    """`notional` USD buy level 0 (whole shares, at least one); every further level is `multiplier` times the newest and
    is bought `step_pct` below it, up to `most_levels`. `target_pct` above the average price everything is sold.
    `short` turns it around. With `open_initial` off only a position that is there is traded.
    """

    name = "grid"

    notional: Decimal = Decimal(500)
    step_pct: Decimal = Decimal(1)
    multiplier: Decimal = Decimal(2)
    most_levels: int = 6
    target_pct: Decimal = Decimal(1)
    short: bool = False
    open_initial: bool = True

    def check(self) -> None:
        if not 1 <= self.most_levels <= 100 or self.multiplier < 1:
            raise ValueError(
                f"most_levels={self.most_levels} and multiplier={self.multiplier}: write 1 to 100 levels, each at "
                "least as large as the one before"
            )
        if min(self.notional, self.step_pct, self.target_pct) <= 0 or max(self.step_pct, self.target_pct) >= 100:
            raise ValueError(
                f"notional={self.notional}, step_pct={self.step_pct}, target_pct={self.target_pct}: write a positive "
                "amount in USD, and percent above 0 and below 100"
            )

    def on_bar(self, bar: Bar, view: View) -> Sequence[Wish]:
        if view.pending(bar.symbol):
            return ()
        held = view.levels(bar.symbol)
        if not held:
            return [self._entry(bar, held, max(Decimal(1), whole_shares(self.notional, bar.close)))] * self.open_initial
        if len(held) >= self.most_levels or not self._is_a_step_away(bar.close, held[-1]):
            return ()
        return [self._entry(bar, held, max(Decimal(1), (held[-1].qty * self.multiplier).quantize(1, ROUND_DOWN)))]

    def _is_a_step_away(self, price: Decimal, newest: Level) -> bool:
        next_price = newest.price * (100 - self._up * self.step_pct) / 100
        return (price - next_price) * self._up <= 0

    def _entry(self, bar: Bar, held: Sequence[Level], qty: Decimal) -> Wish:
        """Its target holds for the whole position: percent from what the shares will have cost on the average."""
        new = Level(len(held), qty, bar.close, bar.end, None)
        return Wish(
            bar.symbol,
            Side.SELL if self.short else Side.BUY,
            qty,
            Role.ENTRY,
            type="limit",
            limit_price=away_from(bar.close, self._up * CROSSES_BY_PCT),
            reason=f"grid level {new.number}",
            take_profit=away_from(average([*held, new]), self._up * self.target_pct),
        )

    @property
    def _up(self) -> int:
        """Where the profit is: 1 above, -1 below."""
        return -1 if self.short else 1
