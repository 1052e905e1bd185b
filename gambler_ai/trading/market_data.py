"""What the strategy needs of the market beside live bars: trading hours, warm-up, and the bars a gap has swallowed."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from gambler_ai.broker.gateway import Gateway
from gambler_ai.domain.market import MINUTE, Bar, MarketHours
from gambler_ai.trading.strategy_host import StrategyHost

MINUTES_PER_DAY = 390
SPARE_DAYS = 4  # a weekend and a holiday
LATE = timedelta(seconds=30)


def hours(gateway: Gateway, start: datetime, end: datetime) -> MarketHours:
    """Regular hours of every trading day a session touches, by the broker's calendar."""
    days = gateway.calendar((start - timedelta(days=1)).date(), (end + timedelta(days=1)).date())
    return MarketHours(tuple((day.open, day.close) for day in days))


def warm_up(gateway: Gateway, host: StrategyHost, symbols: Sequence[str], now: datetime) -> int:
    """Show the last `warmup_bars` bars of each symbol and drop the wishes; returns how many bars were shown."""
    wanted = host.strategy.warmup_bars
    if not wanted:
        return 0
    days = -(-wanted // MINUTES_PER_DAY) + SPARE_DAYS
    history = gateway.bars(symbols, now - timedelta(days=days), now)
    last = {symbol: [bar for bar in history if bar.symbol == symbol][-wanted:] for symbol in symbols}
    chosen = sorted((bar for bars in last.values() for bar in bars), key=lambda bar: (bar.start, bar.symbol))
    for bar in chosen:
        host.show(bar)
    return len(chosen)


def is_quiet(host: StrategyHost, hours: MarketHours, now: datetime) -> bool:
    """Whether a bar that some symbol would have had is not here, long after its end. It proves nothing, for one may
    have no trade; but an open stream may be mute, so the bars have to be read."""
    last = min(host.seen.values(), default=None)
    return last is not None and now - last > 2 * MINUTE + LATE and hours.are_open(now - MINUTE - LATE)


def missed_bars(gateway: Gateway, host: StrategyHost, symbols: Sequence[str], now: datetime) -> list[Bar]:
    """Complete bars up to `now` that the strategy has not seen, in order. Empty when it has seen none yet."""
    if not host.seen:
        return []
    oldest = min(host.seen.get(symbol, now) for symbol in symbols)
    return [bar for bar in gateway.bars(symbols, oldest, now) if host.is_news(bar)]
