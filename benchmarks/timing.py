"""How every benchmark here measures: ours and its anchor in turns, in one run, the median of the repetitions."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Work = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Result:
    """Seconds of one operation, ours and the anchor's, and the ratio that was promised. With another `unit` the two
    figures are not seconds; `note` says what a reader must know to trust them."""

    name: str
    ours_s: float
    anchor_s: float
    bar: float
    goal: float
    unit: str = "s"
    note: str = ""

    @property
    def ratio(self) -> float:
        return self.ours_s / self.anchor_s

    @property
    def holds(self) -> bool:
        return self.ratio <= self.bar

    def __str__(self) -> str:
        verdict = "goal met" if self.ratio <= self.goal else "bar met" if self.holds else "BAR MISSED"
        return (
            f"{self.name:<28} ours {shown(self.ours_s, self.unit)}   anchor {shown(self.anchor_s, self.unit)}   "
            f"ratio {self.ratio:5.2f}   bar {self.bar:.2f}   goal {self.goal:.2f}   {verdict}"
            f"{f'   ({self.note})' if self.note else ''}"
        )


def interleaved(works: Mapping[str, Work], *, rounds: int, each: int = 1) -> dict[str, float]:
    """Median seconds of one call of each work: `rounds` turns, in a turn every work is called `each` times."""

    def timed(work: Work) -> Callable[[], float]:
        def repeat() -> float:
            started = time.perf_counter()
            for _ in range(each):
                work()
            return (time.perf_counter() - started) / each

        return repeat

    taken = in_turns({name: timed(work) for name, work in works.items()}, rounds=rounds)
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


def in_turns(works: Mapping[str, Callable[[], float]], *, rounds: int) -> dict[str, list[float]]:
    """What each work returns, the seconds it has measured itself, turn by turn.

    The order changes with every turn, so that what heats the machine or fills its caches hits all alike. The first
    turn is not counted.
    """
    taken: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(rounds + 1):
        for name in list(works) if turn % 2 else list(works)[::-1]:
            seconds = works[name]()
            if turn:
                taken[name].append(seconds)
    return taken


def p95(values: list[float]) -> float:
    """The value that 95 of 100 do not exceed; of few values the largest."""
    return sorted(values)[max(0, -(-len(values) * 95 // 100) - 1)]


def shown(value: float, unit: str = "s") -> str:
    if unit != "s":
        return f"{value:7.0f} {unit}"
    if value < 0.001:
        return f"{value * 1e6:7.1f} µs"
    return f"{value * 1e3:7.2f} ms"
