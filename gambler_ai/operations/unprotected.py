"""How long shares were without a live exit, in wall time, from the exchange's own record alone.

Pure: a truth document of `/_lab/truth` and the lives of the trader's processes in, gaps out. Every position is taken to
want an exit for all of its shares, so what is measured must trade nothing else. A limit order is a target and covers
nothing; a stop does, and so does a market order that is leaving.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

Row = Mapping[str, Any]
ZERO = Decimal(0)
FILL, EXIT, START = CAUSES = ("fill", "end of an exit", "start")
_SIGN = {"buy": 1, "sell": -1}


@dataclass(frozen=True, slots=True)
class Life:
    """One process of the trader, in wall time: started, and ended or killed."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Gap:
    """Shares of `symbol` had no live exit from `since` until `until` (wall time), while one process lived. It begins
    `after` a fill, the end of an exit, or the first request of a process; `cut_off` = the process ended first."""

    symbol: str
    since: datetime
    until: datetime
    after: str
    cut_off: bool

    @property
    def seconds(self) -> float:
        return (self.until - self.since).total_seconds()


def gaps(truth: Row, lives: Sequence[Life]) -> list[Gap]:
    """Every gap of every account and symbol, the longest first. Time in which no process ran does not count, nor does
    a process's own start until its first request."""
    found = []
    for account in {row["account"] for row in truth["executions"]}:
        naked = list(_naked(account, truth))
        for begin, end in _at_work(truth["requests"], account, lives):
            found += [gap for one in naked if (gap := _within(one, begin, end)) is not None]
    return sorted(found, key=lambda gap: (-gap.seconds, gap.since))


def by_cause(found: Sequence[Gap]) -> dict[str, Any]:
    """A summary of the gaps after each cause."""
    return {cause: summary(gap for gap in found if gap.after == cause) for cause in CAUSES}


def summary(found: Iterable[Gap]) -> dict[str, Any]:
    """Count, p50, p99 and max of the gaps that were closed, in seconds; those a kill cut off are counted apart."""
    found = list(found)
    closed = sorted(gap.seconds for gap in found if not gap.cut_off)
    cut_off = [gap.seconds for gap in found if gap.cut_off]
    return {
        "count": len(closed),
        "p50_s": _quantile(closed, 0.5),
        "p99_s": _quantile(closed, 0.99),
        "max_s": closed[-1] if closed else 0.0,
        "cut_off": len(cut_off),
        "cut_off_max_s": max(cut_off, default=0.0),
    }


def _quantile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that so large a share does not exceed."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0


def _at_work(requests: Iterable[Row], account: str, lives: Iterable[Life]) -> Iterator[tuple[datetime, datetime]]:
    """Of each life the time since its first request."""
    asked = sorted(_time(row["wall_at"]) for row in requests if row["account"] == account)
    for life in lives:
        first = next((at for at in asked if life.start <= at <= life.end), None)
        if first is not None:
            yield first, life.end


def _within(naked: "_Naked", begin: datetime, end: datetime) -> Gap | None:
    start, after = (begin, START) if naked.since < begin else (naked.since, naked.after)
    if start >= end or (naked.until is not None and naked.until <= start):
        return None
    if naked.until is None or naked.until > end:
        return Gap(naked.symbol, start, end, after, cut_off=True)
    return Gap(naked.symbol, start, naked.until, after, cut_off=False)


@dataclass(frozen=True, slots=True)
class _Naked:
    """A gap whoever lived; `until` None = still so at the end of the record."""

    symbol: str
    since: datetime
    until: datetime | None
    after: str


def _naked(account: str, truth: Row) -> Iterator[_Naked]:
    orders = [row for row in truth["orders"] if row["account"] == account]
    executions = [row for row in truth["executions"] if row["account"] == account]
    for symbol in sorted({row["symbol"] for row in executions}):
        record = _Symbol([o for o in orders if o["symbol"] == symbol], [e for e in executions if e["symbol"] == symbol])
        for since, until in record.naked():
            yield _Naked(symbol, since, until, FILL if since in record.filled_at else EXIT)


class _Symbol:
    """Orders and executions of one account in one symbol."""

    def __init__(self, orders: Sequence[Row], executions: Sequence[Row]) -> None:
        self.executions = executions
        self.group_of = {row["id"]: row["group"] or row["id"] for row in orders}
        self.exits = [row for row in orders if row["type"] != "limit"]
        self.filled_at = {_time(row["wall_at"]) for row in executions}

    def naked(self) -> Iterator[tuple[datetime, datetime | None]]:
        moments = self.filled_at | {
            _time(row[name]) for row in self.exits for name in ("wall_at", "ended_wall_at") if row[name]
        }
        since: datetime | None = None
        for at in sorted(moments):
            if self._is_covered(at):
                if since is not None:
                    yield since, at
                since = None
            elif since is None:
                since = at
        if since is not None:
            yield since, None

    def _is_covered(self, at: datetime) -> bool:
        """Just after everything that happened at this moment."""
        done = [row for row in self.executions if _time(row["wall_at"]) <= at]
        position = sum((_SIGN[row["side"]] * Decimal(row["qty"]) for row in done), ZERO)
        covering: dict[str, Decimal] = {}
        for order in self.exits:
            if _SIGN[order["side"]] * position < 0 and _is_live(order, at):
                name = self.group_of[order["id"]]
                covering[name] = max(covering.get(name, ZERO), self._size(order) - self._executed(name, done))
        return sum(covering.values(), ZERO) >= abs(position)

    def _size(self, order: Row) -> Decimal:
        """As it was placed: what the others of its group executed was taken off it."""
        name = self.group_of[order["id"]]
        others = [row for row in self.executions if row["order_id"] != order["id"]]
        return Decimal(order["qty"]) + self._executed(name, others)

    def _executed(self, group: str, executions: Iterable[Row]) -> Decimal:
        mine = (row for row in executions if self.group_of.get(row["order_id"]) == group)
        return sum((Decimal(row["qty"]) for row in mine), ZERO)


def _is_live(order: Row, at: datetime) -> bool:
    ended = order["ended_wall_at"]
    return _time(order["wall_at"]) <= at and (ended is None or at < _time(ended))


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
