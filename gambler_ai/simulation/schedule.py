"""What a seed does to the trader, step by step; the first steps of a longer schedule are the shorter one."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

_ACTS = {
    "bar": 37,
    "spoil change": 12,
    "spoil read": 6,
    "stale": 6,
    "stream": 7,
    "crash": 8,
    "freeze": 2,
    "second start": 2,
    "twin start": 2,
    "commit fails": 3,
    "commit answer lost": 3,
    "database away": 1,
    "clock jumps": 2,
    "hand trades": 3,
    "hand cancels": 2,
    "hand halts": 1,
    "hand lifts": 2,
    "person asks": 3,
    "night": 1,
    "database lost": 0.2,
    "backup": 0.5,
    "older copy": 0.3,
    "stop": 2,
}
"""How likely each thing is, as weights."""


@dataclass(frozen=True, slots=True)
class Step:
    """Something happens (`act`), then so many minutes of the market pass, and the trader works on what they bring."""

    number: int
    act: str
    bars: float


def schedule(seed: int, steps: int) -> Iterator[Step]:
    """Steps 1 to `steps`."""
    chance = Random(f"{seed}/schedule")
    for number in range(1, steps + 1):
        act = chance.choices(tuple(_ACTS), tuple(_ACTS.values()))[0]
        yield Step(number, act, chance.choice((1.0, 1.0, 1.0, 0.3)))
