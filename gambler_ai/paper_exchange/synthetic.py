"""An invented market: minute bars of well-known symbols, a pure function of seed, symbol and time.

A day's closing level is layered noise over the calendar, so any day can be computed without those before
it. Within the day a random walk with slow swings leads from the open (yesterday's close and a gap over
night) to that close; averages cross several times a day. Volume is high at both ends of the day. Floats
shape the path; every price that leaves this file is a whole number of cents.
"""

import math
from array import array
from collections import OrderedDict
from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from hashlib import blake2b
from random import Random
from typing import NamedTuple, TypeVar

from gambler_ai.paper_exchange.assets import known_prices
from gambler_ai.paper_exchange.calendar import Session, Sessions, nyse
from gambler_ai.paper_exchange.market import Bar, Quote

_MINUTE = timedelta(minutes=1)
_DAY = timedelta(days=1)
_DAYS_KEPT, _WHOLES_KEPT = 512, 16_384
_LAYERS = ((257.0, 0.20), (61.0, 0.09), (17.0, 0.045), (5.0, 0.02), (1.0, 0.009))
_JUMP_DAYS, _JUMP = 0.04, (0.006, 0.02)
_MINUTE_NOISE, _SWING, _GAP = 0.00055, 0.004, 0.004
T = TypeVar("T")


class Synthetic:
    """Regular-hours minute bars for ever. The newest few hundred symbol-days stay cached, and more as day bars."""

    def __init__(self, seed: int, sessions: Callable[[], Sessions] = nyse) -> None:
        self._seed = seed
        self._prices = known_prices()
        self._symbols = tuple(sorted(self._prices))
        self._sessions = sessions
        self._days: OrderedDict[tuple[str, date], _Day] = OrderedDict()
        self._wholes: OrderedDict[tuple[str, date], Bar] = OrderedDict()

    @property
    def spec(self) -> str:
        return f"synthetic:{self._seed}"

    @property
    def symbols(self) -> tuple[str, ...]:
        return self._symbols

    def next_time(self, after: datetime) -> datetime | None:
        session = self._sessions().current_or_next(after)
        if after < session.open + _MINUTE:
            return session.open + _MINUTE
        return after.replace(second=0, microsecond=0) + _MINUTE

    def bars_at(self, at: datetime, symbols: frozenset[str] | None = None) -> list[Bar]:
        session = self._sessions().running(at - _MINUTE)
        if session is None or at.second or at.microsecond:
            return []
        index = int((at - session.open) / _MINUTE) - 1
        wanted = self._symbols if symbols is None else [s for s in self._symbols if s in symbols]
        return [self._day(symbol, session).bar(index) for symbol in wanted] if index >= 0 else []

    def latest(self, symbol: str, at: datetime) -> Bar | None:
        sessions = self._sessions()
        session = sessions.running(at)
        if session is None or at < session.open + _MINUTE:
            return self._day(symbol, sessions.last_closed(at)).bar(-1)
        return self._day(symbol, session).bar(int((at - session.open) / _MINUTE) - 1)

    def quote(self, symbol: str, at: datetime) -> Quote | None:
        session = self._sessions().running(at)
        if session is not None and at < session.open + _MINUTE:
            first = self._day(symbol, session).bar(0).open
            bid, ask = _quote(int(first * 100))
            return Quote(symbol, session.open, _usd(bid), _usd(ask), first)
        bar = self.latest(symbol, at)
        return Quote.closing(bar) if bar else None

    def bars(self, symbol: str, start: datetime, end: datetime, at: datetime) -> list[Bar]:
        found: list[Bar] = []
        sessions = self._sessions()
        for session in sessions.between(max(start, sessions.first).date() - _DAY, min(end, at).date()):
            if session.close < sessions.first or session.close <= start or session.open >= min(end, at) + _MINUTE:
                continue
            day = self._day(symbol, session)
            first = max(0, -((session.open - start) // _MINUTE))
            last = min((end - session.open) // _MINUTE + 1, (at - session.open) // _MINUTE, len(day.close))
            found += [day.bar(index) for index in range(first, last)]
        return found

    def day(self, symbol: str, session: Session, at: datetime) -> Bar | None:
        minutes = min(at, session.close) - session.open
        if session.close < self._sessions().first or minutes < _MINUTE:
            return None
        whole = self._wholes.get((symbol, session.day)) if at >= session.close else None
        if whole is None:
            whole = self._day(symbol, session).whole(int(minutes / _MINUTE))
            if at >= session.close:
                _keep(self._wholes, (symbol, session.day), whole, _WHOLES_KEPT)
        return whole

    def width(self) -> timedelta:
        return _MINUTE

    def _day(self, symbol: str, session: Session) -> "_Day":
        key = (symbol, session.day)
        day = self._days.get(key)
        if day is None:
            day = self._invent(symbol, session)
            _keep(self._days, key, day, _DAYS_KEPT)
        else:
            self._days.move_to_end(key)
        return day

    def _invent(self, symbol: str, session: Session) -> "_Day":
        minutes = int((session.close - session.open) / _MINUTE)
        random = self._random(symbol, f"day{session.day.toordinal()}")
        before = self._level(symbol, self._sessions().last_closed(session.open).day)
        jumps = self._jumps(symbol, session, minutes)
        walk = _walk(random, minutes, before + random.gauss(0, _GAP), self._level(symbol, session.day), jumps)
        base = self._prices[symbol] * 100
        cents = [max(100, round(base * math.exp(level))) for level in walk]
        scale = random.uniform(0.7, 1.4) * 4_000_000 / math.sqrt(self._prices[symbol]) / minutes
        rows = [
            _minute(random, cents[index], cents[index + 1], _shape(index, minutes, scale)) for index in range(minutes)
        ]
        return _Day(symbol, session.open, *(array("q", column) for column in zip(*rows, strict=True)))

    def _jumps(self, symbol: str, session: Session, minutes: int) -> dict[int, float]:
        """News: on few days, in one minute, the price is elsewhere. Drawn apart, so that it disturbs nothing else."""
        random = self._random(symbol, f"jump{session.day.toordinal()}")
        if random.random() >= _JUMP_DAYS:
            return {}
        return {
            random.randrange(minutes // 10, minutes - minutes // 10): random.choice((-1, 1)) * random.uniform(*_JUMP)
        }

    def _level(self, symbol: str, day: date) -> float:
        return sum(weight * self._noise(symbol, period, day.toordinal() / period) for period, weight in _LAYERS)

    def _noise(self, symbol: str, period: float, x: float) -> float:
        low = math.floor(x)
        part = x - low
        blend = part * part * (3 - 2 * part)
        left, right = (self._random(symbol, f"layer{period}:{knot}").uniform(-1, 1) for knot in (low, low + 1))
        return left + (right - left) * blend

    def _random(self, symbol: str, purpose: str) -> Random:
        digest = blake2b(f"{self._seed}:{symbol}:{purpose}".encode(), digest_size=8).digest()
        return Random(int.from_bytes(digest))


def _walk(random: Random, minutes: int, start: float, end: float, jumps: dict[int, float]) -> list[float]:
    """minutes + 1 log levels from start to end: noise, two slow swings, jumps, and a drift that closes the gap."""
    swings = [
        (random.uniform(35, 80), random.uniform(0, math.tau)),
        (random.uniform(90, 200), random.uniform(0, math.tau)),
    ]
    noise, path = 0.0, []
    for index in range(minutes + 1):
        wave = sum(
            _SWING / (n + 1) * math.sin(math.tau * index / period + phase) for n, (period, phase) in enumerate(swings)
        )
        path.append(noise + wave)
        noise += random.gauss(0, _MINUTE_NOISE) + jumps.get(index, 0.0)
    first, last = path[0], path[-1]
    return [
        level - first + start + (end - start - (last - first)) * index / minutes for index, level in enumerate(path)
    ]


def _shape(index: int, minutes: int, scale: float) -> float:
    """Expected volume of a minute in shares: a smile over the day."""
    middle = 2 * index / max(1, minutes - 1) - 1
    return scale * (0.55 + 1.6 * middle**4 + 0.4 * middle * middle)


def _minute(random: Random, first: int, last: int, volume: float) -> tuple[int, ...]:
    """One bar in cents and shares, as the columns of a day."""
    reach = 1 + int(abs(last - first) * random.random() + max(first, last) * 0.0002 * random.random())
    high = max(first, last) + int(reach * random.random())
    low = max(1, min(first, last) - int(reach * random.random()))
    shares = max(1, round(volume * random.lognormvariate(0, 0.45)))
    return first, high, low, last, shares, *_quote(last), 100 * random.randint(1, 12), 100 * random.randint(1, 12)


class _Day(NamedTuple):
    """The minutes of one symbol on one day, in columns: cents and shares. Bars are made when somebody looks."""

    symbol: str
    begin: datetime
    open: "array[int]"
    high: "array[int]"
    low: "array[int]"
    close: "array[int]"
    volume: "array[int]"
    bid: "array[int]"
    ask: "array[int]"
    bid_size: "array[int]"
    ask_size: "array[int]"

    def bar(self, index: int) -> Bar:
        """One minute; -1 is the last."""
        index %= len(self.close)
        start = self.begin + index * _MINUTE
        return Bar(
            self.symbol,
            start,
            start + _MINUTE,
            _usd(self.open[index]),
            _usd(self.high[index]),
            _usd(self.low[index]),
            _usd(self.close[index]),
            self.volume[index],
            _usd(self.bid[index]),
            _usd(self.ask[index]),
            self.bid_size[index],
            self.ask_size[index],
        )

    def whole(self, minutes: int) -> Bar:
        """The first minutes as one bar."""
        return self.bar(minutes - 1)._replace(
            start=self.begin,
            open=_usd(self.open[0]),
            high=_usd(max(self.high[:minutes])),
            low=_usd(min(self.low[:minutes])),
            volume=sum(self.volume[:minutes]),
        )


def _keep(kept: OrderedDict[tuple[str, date], T], key: tuple[str, date], value: T, most: int) -> None:
    kept[key] = value
    if len(kept) > most:
        kept.popitem(last=False)


def _quote(cents: int) -> tuple[int, int]:
    """Bid and ask around a price: one cent wide below 100 USD, about one basis point above."""
    width = max(1, cents // 10_000)
    return cents - width // 2 - width % 2, cents + width // 2


def _usd(cents: int) -> Decimal:
    return Decimal(cents).scaleb(-2)
