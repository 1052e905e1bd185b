"""How every benchmark here measures: ours and its anchor in turns, in one run, the median of the repetitions."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Work = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Result:
    """Seconds of one operation, ours and the anchor's, and the ratio that was promised."""

    name: str
    ours_s: float
    anchor_s: float
    bar: float
    goal: float

    @property
    def ratio(self) -> float:
        return self.ours_s / self.anchor_s

    @property
    def holds(self) -> bool:
        return self.ratio <= self.bar

    def __str__(self) -> str:
        verdict = "goal met" if self.ratio <= self.goal else "bar met" if self.holds else "BAR MISSED"
        return (
            f"{self.name:<28} ours {_shown(self.ours_s)}   anchor {_shown(self.anchor_s)}   "
            f"ratio {self.ratio:5.2f}   bar {self.bar:.2f}   goal {self.goal:.2f}   {verdict}"
        )


def interleaved(works: Mapping[str, Work], *, rounds: int, each: int = 1) -> dict[str, float]:
    """Median seconds of one call of each work: `rounds` turns, in a turn every work is called `each` times.

    The order changes with every turn, so that what heats the machine or fills its caches hits all alike. The first
    turn is not counted.
    """
    taken: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(rounds + 1):
        names = list(works) if turn % 2 else list(works)[::-1]
        for name in names:
            work = works[name]
            started = time.perf_counter()
            for _ in range(each):
                work()
            seconds = (time.perf_counter() - started) / each
            if turn:
                taken[name].append(seconds)
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


def _shown(seconds: float) -> str:
    if seconds < 0.001:
        return f"{seconds * 1e6:7.1f} µs"
    return f"{seconds * 1e3:7.2f} ms"
