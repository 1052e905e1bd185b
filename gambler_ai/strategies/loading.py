"""Finding a strategy by name and reading its parameters."""

import importlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from decimal import Decimal
from typing import Any, get_type_hints

from gambler_ai.domain.money import amount, text
from gambler_ai.errors import UsageError
from gambler_ai.strategies.base import Strategy

_WRITABLE = (int, str, bool, Decimal, float)
BUILT_IN = {
    "sma_cross": "gambler_ai.strategies.sma_cross:SmaCross",
    "grid": "gambler_ai.strategies.grid:Grid",
}


def load(name: str, params: Mapping[str, str]) -> Strategy:
    """A new strategy, by built-in name or `package.module:Class`. Raises UsageError that says what is possible."""
    kind = _find(name)
    hints = get_type_hints(kind)
    known = _parameter_names(kind)
    unknown = sorted(set(params) - set(known))
    if unknown:
        raise UsageError(f"{name} has no parameter {', '.join(unknown)}; it has {', '.join(known) or 'none'}")
    strategy = kind(**{key: _parse(name, key, value, hints[key]) for key, value in params.items()})
    try:
        strategy.check()
    except ValueError as error:
        raise UsageError(f"{name}: {error}") from None
    return strategy


def parameters(strategy: Strategy) -> dict[str, str]:
    """All parameters in force, defaults included, as text."""
    values = {name: getattr(strategy, name) for name in _parameter_names(type(strategy))}
    return {name: text(v) if isinstance(v, Decimal) else str(v) for name, v in sorted(values.items())}


def _parameter_names(kind: type[Strategy]) -> list[str]:
    """Fields that can be written as text; a dict or list of a strategy is its state, not a parameter."""
    if not is_dataclass(kind):
        return []
    hints = get_type_hints(kind)
    return [f.name for f in fields(kind) if f.init and hints[f.name] in _WRITABLE]


def _find(name: str) -> type[Strategy]:
    path = BUILT_IN.get(name, name)
    module_name, colon, class_name = path.partition(":")
    if not colon:
        raise UsageError(
            f"there is no strategy {name!r}; built in: {', '.join(sorted(BUILT_IN))}; your own: package.module:Class"
        )
    try:
        found = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError) as error:
        raise UsageError(f"the strategy {name!r} cannot be imported: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Strategy)):
        raise UsageError(f"{name!r} is not a Strategy (gambler_ai.strategies.base.Strategy)")
    return found


def _parse(strategy: str, name: str, value: str, kind: Any) -> Any:
    try:
        if kind is bool:
            return {"true": True, "false": False}[value.lower()]
        return amount(value) if kind is Decimal else kind(value)
    except (ValueError, KeyError):
        raise UsageError(f"{strategy}: {name}={value!r} is not a {kind.__name__.lower()}") from None
