"""A strategy that trades as often as it may: simulations learn little from quiet markets."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from zlib import crc32

from gambler_ai.domain.cover import away_from
from gambler_ai.domain.market import Bar, iso
from gambler_ai.domain.orders import Role, Side, Wish
from gambler_ai.strategies.base import FilledShares, Strategy, View

NAME = f"{__name__}:Restless"
_TICK = Decimal("0.01")
_STOP_PCT, _TARGET_PCT = Decimal("0.15"), Decimal("0.2")
"""So near that some are reached."""


@dataclass
class Restless(Strategy):
    """Enters and leaves by a number that follows from the bar: market orders, limits at the close, and IOC; without
    protection, with a stop, or with stop and target. Its state are the shares it was told of."""

    name = "restless"

    _told: dict[str, str] = field(default_factory=dict, init=False)

    @property
    def warmup_bars(self) -> int:
        return 2

    def on_bar(self, bar: Bar, view: View) -> Sequence[Wish]:
        if view.pending(bar.symbol):
            return ()
        number = crc32(f"{bar.symbol} {iso(bar.end)}".encode())
        held = view.position(bar.symbol)
        if held and number % 4 == 1:
            part = abs(held) if number % 3 else max(Decimal(1), abs(held) // 2)
            return [Wish(bar.symbol, Side.SELL if held > 0 else Side.BUY, part, Role.EXIT, reason="enough")]
        if not held and number % 4 == 1:
            return [self._entry(bar, number)]
        return ()

    def _entry(self, bar: Bar, number: int) -> Wish:
        side = Side.SELL if number % 7 == 0 else Side.BUY
        qty = Decimal(5 + number % 36)
        stop = away_from(bar.close, -side.sign * _STOP_PCT) if number % 4 else None
        target = away_from(bar.close, side.sign * _TARGET_PCT) if number % 4 > 1 else None
        if number % 11 < 3:  # no better than the market, so that it is soon reached
            price = bar.close + side.sign * _TICK
            ioc = "ioc" if number % 11 == 0 else "day"
            return Wish(bar.symbol, side, qty, type="limit", time_in_force=ioc, limit_price=price, stop_loss=stop)
        return Wish(bar.symbol, side, qty, stop_loss=stop, take_profit=target)

    def on_fill(self, fill: FilledShares, view: View) -> None:
        before = Decimal(self._told.get(fill.symbol, "0"))
        self._told[fill.symbol] = str(before + fill.signed_qty)

    def save_state(self) -> Any:
        return dict(self._told)

    def load_state(self, state: Any) -> None:
        self._told = dict(state)
