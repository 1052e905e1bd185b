"""Snapshots of the whole exchange: beside its state file, or in memory when it has none."""

import re
from pathlib import Path

from gambler_ai.errors import UsageError
from gambler_ai.paper_exchange.exchange import Exchange
from gambler_ai.paper_exchange.store import Store

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Shelf:
    """Named copies of one exchange; those in files outlive the process."""

    def __init__(self, state: str) -> None:
        self._state = None if state == ":memory:" else Path(state)
        self._in_memory: dict[str, Store] = {}

    def put(self, name: str, exchange: Exchange) -> str:
        """Keep a copy, in place of an earlier one of that name."""
        if self._state is None:
            store = self._in_memory[_checked(name)] = Store(":memory:")
            exchange.copy_to(store)
            return name
        store = Store(self._file(name))
        try:
            exchange.copy_to(store)
        finally:
            store.close()
        return name

    def take(self, name: str, exchange: Exchange) -> None:
        """Make the exchange what it was. UsageError for a name nobody knows."""
        if self._state is None:
            if name not in self._in_memory:
                raise UsageError(f"no snapshot {name!r}")
            exchange.restore(self._in_memory[name])
            return
        file = self._file(name)
        if not file.exists():
            raise UsageError(f"no snapshot {name!r}")
        store = Store(file)
        try:
            exchange.restore(store)
        finally:
            store.close()

    def _file(self, name: str) -> Path:
        assert self._state is not None
        return self._state.with_name(f"{self._state.name}.{_checked(name)}.snapshot")


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise UsageError(f"snapshot {name!r}: want letters, digits, - and _")
    return name
