"""A market whose shares the lab may split: what comes after a split is priced in the new shares, what was stays."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Decimal

from gambler_ai.paper_exchange.calendar import Session
from gambler_ai.paper_exchange.market import CENT, Bar, Market, Quote

_ONE = Decimal(1)


class SplitMarket:
    """`plain` with the splits made so far; a `Market` too. A split counts from its moment on."""

    def __init__(self, plain: Market) -> None:
        self.plain = plain
        self._splits: dict[str, list[tuple[datetime, Decimal]]] = {}
        self.spec, self.symbols = plain.spec, plain.symbols
        self.next_time, self.width = plain.next_time, plain.width

    def split(self, symbol: str, at: datetime, ratio: Decimal) -> None:
        """From now on every share is `ratio` shares. `at` never lies before an earlier split."""
        self._splits.setdefault(symbol, []).append((at, ratio))

    @property
    def made(self) -> list[tuple[str, datetime, Decimal]]:
        """Every split: symbol, moment, ratio."""
        return [(symbol, at, ratio) for symbol, splits in self._splits.items() for at, ratio in splits]

    def bars_at(self, at: datetime, symbols: frozenset[str] | None = None) -> list[Bar]:
        bars = self.plain.bars_at(at, symbols)
        return [self._bar(bar) for bar in bars] if self._splits else bars

    def latest(self, symbol: str, at: datetime) -> Bar | None:
        bar = self.plain.latest(symbol, at)
        return self._bar(bar) if bar and symbol in self._splits else bar

    def quote(self, symbol: str, at: datetime) -> Quote | None:
        quote = self.plain.quote(symbol, at)
        if quote is None or symbol not in self._splits:
            return quote
        return split_quote(quote, self._ratio(symbol, lambda made: made <= at))

    def bars(self, symbol: str, start: datetime, end: datetime, at: datetime) -> list[Bar]:
        bars = self.plain.bars(symbol, start, end, at)
        return [self._bar(bar) for bar in bars] if symbol in self._splits else bars

    def day(self, symbol: str, session: Session, at: datetime) -> Bar | None:
        bar = self.plain.day(symbol, session, at)
        if bar is None or symbol not in self._splits:
            return bar
        if any(session.open < one < bar.end for one, _ in self._splits[symbol]):
            return Bar.joined(self.bars(symbol, session.open, session.close, at))
        return self._bar(bar)

    def close_before(self, symbol: str, close: datetime, at: datetime) -> Decimal | None:
        """The last trade at a past close, in the shares of `at`."""
        bar = self.latest(symbol, close)
        return bar and _price(bar.close, self._ratio(symbol, lambda made: bar.end <= made <= at))

    def _bar(self, bar: Bar) -> Bar:
        ratio = self._ratio(bar.symbol, lambda made: made < bar.end)
        if ratio == _ONE:
            return bar
        bid, ask = _spread(bar.bid, bar.ask, ratio)
        return bar._replace(
            open=_price(bar.open, ratio),
            high=_price(bar.high, ratio),
            low=_price(bar.low, ratio),
            close=_price(bar.close, ratio),
            bid=bid,
            ask=ask,
            volume=max(1, int(bar.volume * ratio)),
        )

    def _ratio(self, symbol: str, counts: Callable[[datetime], bool]) -> Decimal:
        found = _ONE
        for at, ratio in self._splits.get(symbol, []):
            found *= ratio if counts(at) else _ONE
        return found


def split_quote(quote: Quote, ratio: Decimal) -> Quote:
    """A quote in shares of which `ratio` make one of before."""
    if ratio == _ONE:
        return quote
    bid, ask = _spread(quote.bid, quote.ask, ratio)
    return replace(quote, bid=bid, ask=ask, last=_price(quote.last, ratio))


def _spread(bid: Decimal, ask: Decimal, ratio: Decimal) -> tuple[Decimal, Decimal]:
    return _price(bid, ratio, ROUND_FLOOR) if bid else bid, _price(ask, ratio, ROUND_CEILING) if ask else ask


def _price(price: Decimal, ratio: Decimal, rounding: str = ROUND_HALF_UP) -> Decimal:
    """In cents, or hundredths of them below one USD."""
    exact = price / ratio
    step = CENT if exact >= 1 else CENT * CENT
    return max(step, exact.quantize(step, rounding))
