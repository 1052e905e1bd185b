"""The equity curve of an account: from its fills and the market's minute bars, and as a chart made of characters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

Row = Mapping[str, Any]
NEW_YORK = ZoneInfo("America/New_York")
_MINUTE = timedelta(minutes=1)
_SIGN = {"buy": 1, "sell": -1}
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_LABEL = 10


@dataclass(frozen=True, slots=True)
class Point:
    """Equity in USD at an instant of exchange time."""

    at: datetime
    equity: Decimal


def equity_curve(fills: Sequence[Row], bars: Mapping[str, Sequence[Row]], initial: Decimal) -> list[Point]:
    """Equity at the end of every minute that has a bar.

    `fills` as `Reader.fills` gives them, `bars` as Alpaca writes them (`t` start, `c` close), `initial` the USD
    before the first fill. Shares are worth the last close; before a symbol's first bar, what was paid for them.
    """
    closes: dict[datetime, dict[str, Decimal]] = {}
    for symbol, rows in bars.items():
        for bar in rows:
            end = datetime.fromisoformat(bar["t"]) + _MINUTE
            closes.setdefault(end, {})[symbol] = Decimal(str(bar["c"]))
    waiting = sorted(fills, key=lambda fill: fill["at"], reverse=True)
    cash, held, price = initial, dict[str, Decimal](), dict[str, Decimal]()
    points: list[Point] = []
    for at in sorted(closes):
        while waiting and datetime.fromisoformat(waiting[-1]["at"]) <= at:
            fill = waiting.pop()
            shares = _SIGN[fill["side"]] * (Decimal(fill["cum_to"]) - Decimal(fill["cum_from"]))
            cash -= shares * Decimal(fill["price"])
            held[fill["symbol"]] = held.get(fill["symbol"], Decimal(0)) + shares
            price.setdefault(fill["symbol"], Decimal(fill["price"]))
        price |= closes[at]
        points.append(Point(at, cash + sum((qty * price[symbol] for symbol, qty in held.items()), Decimal(0))))
    return points


def chart(points: Sequence[Point], marks: Mapping[str, datetime], *, width: int, height: int, plain: bool) -> list[str]:
    """The curve as lines of text, `width` by `height` characters beside its labels; braille dots, or `*` when plain.

    `marks` are signs of one character, drawn below the curve at their times.
    """
    if len(points) < 2:
        return []
    across, up = (1, 1) if plain else (2, 4)
    columns = _sampled(points, width * across)
    low, high = min(columns), max(columns)
    span = (high - low) or Decimal(1)
    levels = [int((value - low) / span * (height * up - 1)) for value in columns]
    grid = [[0] * width for _ in range(height)]
    for x, level in enumerate(levels):
        before = levels[x - 1] if x else level
        for y in range(min(before, level), max(before, level) + 1):
            row = height * up - 1 - y
            grid[row // up][x // across] |= 1 if plain else _DOTS[row % 4][x % 2]
    labels = {0: high, height // 2: (high + low) / 2, height - 1: low}
    edge, axis = ("|", "+") if plain else ("┤", "└")
    lines = [
        (f"{labels[y]:>{_LABEL},.0f} {edge}" if y in labels else " " * (_LABEL + 1) + ("|" if plain else "│"))
        + "".join(_glyph(cell, plain) for cell in row).rstrip()
        for y, row in enumerate(grid)
    ]
    margin = " " * (_LABEL + 1)
    lines.append(margin + axis + ("-" if plain else "─") * width)
    lines.append(margin + " " + _marked(points, marks, width))
    lines.append(margin + " " + _hours(points, width))
    return lines


def _glyph(cell: int, plain: bool) -> str:
    if plain:
        return "*" if cell else " "
    return chr(0x2800 + cell) if cell else " "


def _sampled(points: Sequence[Point], columns: int) -> list[Decimal]:
    """The curve's value at evenly spaced times: the last known one."""
    start, span = points[0].at, points[-1].at - points[0].at
    values, i = [], 0
    for x in range(columns):
        at = start + span * x / (columns - 1)
        while i + 1 < len(points) and points[i + 1].at <= at:
            i += 1
        values.append(points[i].equity)
    return values


def _column(points: Sequence[Point], at: datetime, width: int) -> int:
    share = (at - points[0].at) / (points[-1].at - points[0].at)
    return max(0, min(width - 1, round(share * (width - 1))))


def _marked(points: Sequence[Point], marks: Mapping[str, datetime], width: int) -> str:
    row = [" "] * width
    for sign, at in marks.items():
        row[_column(points, at, width)] = sign
    return "".join(row).rstrip()


def _hours(points: Sequence[Point], width: int) -> str:
    row = [" "] * (width + 5)
    for share in range(5):
        at = points[0].at + (points[-1].at - points[0].at) * share / 4
        text = at.astimezone(NEW_YORK).strftime("%H:%M")
        start = min(max(0, _column(points, at, width) - 2), width - 5)
        row[start : start + 5] = text
    return "".join(row).rstrip()
