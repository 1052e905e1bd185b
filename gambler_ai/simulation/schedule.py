"""What a seed does to the trader, step by step; the first steps of a longer schedule are the shorter one."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random


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
        yield Step(number, "bar", chance.choice((1.0, 1.0, 1.0, 0.3)))
