"""What the lab is told, read at one door: known names only, each of its kind. What is refused says what is allowed.

Values come from JSON (numbers as int or Decimal) or as text, from a query or the command line.
"""

import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from gambler_ai.errors import UsageError
from gambler_ai.paper_exchange.refusal import plain_number

_LONGEST = 80
_SYMBOL = re.compile(r"[A-Z0-9][A-Z0-9./]*")


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of value: what is allowed, in words, and how it is read; a ValueError refuses it."""

    said: str
    read: Callable[[Any], Any]
    required: bool = False

    def must(self) -> "Kind":
        """The same, and it may not be missing."""
        return replace(self, required=True)


def read_fields(what: str, given: Mapping[str, Any], known: Mapping[str, Kind]) -> dict[str, Any]:
    """The values given, without nulls. UsageError for an unknown name, a missing one, a value of another kind."""
    for name in given:
        if name not in known:
            raise UsageError(f"{what}: no field {_shown(name)}; there are {', '.join(known) or 'none'}")
    found = {}
    for name, kind in known.items():
        value = given.get(name)
        if value is not None:
            try:
                found[name] = kind.read(value)
            except (ValueError, OverflowError):
                raise UsageError(f"{what}: {name} is {_shown(value)}; want {kind.said}") from None
        elif kind.required:
            raise UsageError(f"{what}: {name} is missing; want {kind.said}")
    return found


def number(least: int, most: int, above: bool = False) -> Kind:
    """An amount, as Decimal; `above` leaves `least` itself out."""

    def read(value: Any) -> Decimal:
        found = plain_number(value)
        if not (found > least if above else found >= least) or found > most:
            raise ValueError
        return found

    return Kind(f"a number {'above' if above else 'from'} {least}, at most {most}", read)


def whole(least: int, most: int) -> Kind:
    """A whole number."""

    def read(value: Any) -> int:
        found = plain_number(value)
        if found != found.to_integral_value() or not least <= found <= most:
            raise ValueError
        return int(found)

    return Kind(f"a whole number from {least} to {most}", read)


def seconds(least: int, most: int) -> Kind:
    """A time span."""
    kind = number(least, most)
    return Kind(f"seconds from {least} to {most}", lambda value: float(kind.read(value)))


def word(*allowed: str) -> Kind:
    """One of some words; a number counts as its text."""
    return Kind(" or ".join(one or '""' for one in allowed), lambda value: _one_of(_text(value), allowed))


def among(*allowed: int) -> Kind:
    """One of some whole numbers."""
    return Kind(" or ".join(map(str, allowed)), lambda value: int(_one_of(plain_number(value), allowed)))


def listed(known: Collection[str]) -> Kind:
    """A symbol of the market."""
    return Kind("a symbol of this market", lambda value: _one_of(_text(value), known))


def table(what: str, known: Mapping[str, Kind]) -> Kind:
    """An object with fields of its own."""

    def read(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise ValueError
        return read_fields(what, value, known)

    return Kind("an object", read)


def _one_of(value: Any, allowed: Collection[Any]) -> Any:
    if value not in allowed:
        raise ValueError
    return value


def _text(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise ValueError
    return str(value)


def _filled(value: Any) -> str:
    text = _text(value)
    if not text or len(text) > _LONGEST:
        raise ValueError
    return text


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


def _setting(value: Any) -> bool:
    return _flag({"true": True, "false": False}.get(value, value) if isinstance(value, str) else value)


def _moment(value: Any) -> datetime:
    at = datetime.fromisoformat(_text(value))
    return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)


def _pattern(value: Any) -> str:
    try:
        return re.compile(_filled(value)).pattern
    except re.error as broken:
        raise ValueError from broken


def _symbols(value: Any) -> str:
    named = [_text(one).strip() for one in (value if isinstance(value, list) else _text(value).split(","))]
    if not all(one == "" or _SYMBOL.fullmatch(one) for one in named):
        raise ValueError
    return ",".join(one for one in named if one)


FLAG = Kind("true or false", _flag)
SETTING = Kind("true or false", _setting)  # the command line has only text
TEXT = Kind(f"a text of 1 to {_LONGEST} characters", _filled)
MOMENT = Kind("a time like 2026-11-20T15:00:00Z", _moment)
PATTERN = Kind("a regular expression", _pattern)
SYMBOLS = Kind('symbols like "AAPL,KO", or a list of them', _symbols)
NAMES = Kind("names, comma separated", _text)
ANYTHING = Kind("any value", lambda value: value)


def _shown(value: Any) -> str:
    plain = isinstance(value, int | Decimal) and not isinstance(value, bool)
    text = str(value) if plain else json.dumps(value, default=str)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
