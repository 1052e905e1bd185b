"""Whoever sits at the command line while a session trades, dies or is away: halt, unhalt, flatten, cancel."""

from collections import Counter
from random import Random

from gambler_ai.errors import DatabaseUnavailable
from gambler_ai.simulation.process import LABEL, SYMBOLS
from gambler_ai.simulation.world import World
from gambler_ai.storage.commands import CANCEL, FLATTEN, HALT, UNHALT, CommandRows
from gambler_ai.trading.emergency_stop import EmergencyStopFile

KINDS = (CANCEL, FLATTEN, FLATTEN, FLATTEN, HALT, UNHALT, UNHALT)
"""As often as they are asked for."""
ACTS = tuple(f"{kind} asked" for kind in sorted({*KINDS}))


class Person:
    """Asks as the commands do: a row, and for a halt of the account the emergency-stop file before it. `promised` gets
    the ids of those that were said to be stored."""

    def __init__(self, world: World, fired: Counter[str], promised: list[str]) -> None:
        self._promised = promised
        self._world = world
        self._fired = fired
        self._chance = Random(f"{world.seed}/person")
        self._stop_file = EmergencyStopFile.of(world.folder, LABEL)

    def asks(self, kind: str | None = None, symbol: str | None = None) -> str | None:
        """The kind of what was stored, None when the database took nothing. What is not said is drawn."""
        if kind is None:
            kind, symbol = self._chance.choice(KINDS), self._chance.choice((None, *SYMBOLS))
        at = self._world.shown()
        if kind == HALT and symbol is None:
            self._stop_file.write(self._world.account_id, "a person asked", at, {"row": "command"})
        rows = CommandRows(self._world.database())
        try:
            command = rows.ask(self._world.account_id, kind, symbol, "a person asked", at)
        except DatabaseUnavailable:
            return None
        self._promised.append(command.id)
        self._fired[f"{kind} asked"] += 1
        return kind
