"""Buy when the fast average of closes crosses above the slow one, sell everything when it is below."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from gambler_ai.domain.cover import away_from
from gambler_ai.domain.market import Bar
from gambler_ai.domain.money import whole_shares
from gambler_ai.domain.orders import Role, Side, Wish
from gambler_ai.strategies.base import Strategy, View
from gambler_ai.strategies.indicators import SimpleAverage


@dataclass
class SmaCross(Strategy):
    """`fast` and `slow` in bars, `notional` in USD per entry (whole shares, at least one). `stop_pct` and `target_pct`
    give each entry a stop so many percent below the close it was decided on, and a target above it; 0 = none."""

    name = "sma_cross"

    fast: int = 10
    slow: int = 30
    notional: Decimal = Decimal(10_000)
    stop_pct: Decimal = Decimal(0)
    target_pct: Decimal = Decimal(0)
    _averages: dict[str, tuple[SimpleAverage, SimpleAverage]] = field(default_factory=dict, init=False)
    _above: dict[str, bool] = field(default_factory=dict, init=False)

    @property
    def warmup_bars(self) -> int:
        return self.slow

    def check(self) -> None:
        if not 1 <= self.fast < self.slow <= 10_000:
            raise ValueError(f"fast={self.fast} and slow={self.slow}: write 1 <= fast < slow <= 10000")
        if self.notional <= 0:
            raise ValueError(f"notional={self.notional}: write a positive amount in USD")
        if not 0 <= self.stop_pct < 100 or self.target_pct < 0:
            raise ValueError(f"stop_pct={self.stop_pct} and target_pct={self.target_pct}: write percent, 0 for none")

    def on_bar(self, bar: Bar, view: View) -> Sequence[Wish]:
        fast, slow = self._averages.setdefault(bar.symbol, (SimpleAverage(self.fast), SimpleAverage(self.slow)))
        fast.add(bar.close)
        slow.add(bar.close)
        if fast.value is None or slow.value is None:
            return ()
        above = fast.value > slow.value
        was_above = self._above.get(bar.symbol)
        self._above[bar.symbol] = above
        held = view.position(bar.symbol)
        if view.pending(bar.symbol):
            return ()
        if held > 0 and not above:
            return [Wish(bar.symbol, Side.SELL, held, Role.EXIT, reason="fast average fell below slow")]
        if held == 0 and above and was_above is False:
            qty = max(Decimal(1), whole_shares(self.notional, bar.close))
            return [
                Wish(
                    bar.symbol,
                    Side.BUY,
                    qty,
                    Role.ENTRY,
                    reason="fast average crossed above slow",
                    stop_loss=away_from(bar.close, -self.stop_pct) if self.stop_pct else None,
                    take_profit=away_from(bar.close, self.target_pct) if self.target_pct else None,
                )
            ]
        return ()

    def save_state(self) -> Any:
        return {
            symbol: {"fast": fast.save(), "slow": slow.save(), "above": self._above.get(symbol)}
            for symbol, (fast, slow) in self._averages.items()
        }

    def load_state(self, state: Any) -> None:
        for symbol, saved in state.items():
            fast = SimpleAverage.restored(self.fast, saved["fast"])
            self._averages[symbol] = (fast, SimpleAverage.restored(self.slow, saved["slow"]))
            if saved["above"] is not None:
                self._above[symbol] = saved["above"]
