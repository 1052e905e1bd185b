"""Many seeds on every processor."""

import gc
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import Any

from gambler_ai.simulation.kinds import never_seen
from gambler_ai.simulation.report import Report
from gambler_ai.simulation.simulator import DEFAULT_STEPS, run


@dataclass
class Summary:
    """What all seeds together did, and those that failed."""

    seeds: int = 0
    steps: int = 0
    fired: Counter[str] = field(default_factory=Counter)
    happened: Counter[str] = field(default_factory=Counter)
    died_at: Counter[str] = field(default_factory=Counter)
    failed: list[Report] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.failed

    @property
    def never(self) -> list[str]:
        """Kinds of faults that did not happen, and places where nobody died."""
        return never_seen(self.fired, self.died_at)

    def add(self, report: Report) -> None:
        self.seeds += 1
        self.steps += report.steps
        self.fired += report.fired
        self.happened += report.happened
        self.died_at += report.died_at
        if not report.ok:
            self.failed.append(report)

    def as_json(self) -> dict[str, Any]:
        return {
            "ok": self.ok,
            "seeds": self.seeds,
            "steps": self.steps,
            "fired": dict(sorted(self.fired.items())),
            "died_at": dict(sorted(self.died_at.items())),
            "never": self.never,
            "happened": dict(sorted(self.happened.items())),
            "failed": [report.as_json() for report in self.failed],
        }


def _settle() -> None:
    """What is imported stays: looking through it for garbage again and again is a tenth of a seed's time. And whatever
    else this machine does comes first."""
    os.nice(10)
    gc.collect()
    gc.freeze()


def run_many(seeds: Sequence[int], steps: int = DEFAULT_STEPS, workers: int | None = None) -> Iterator[Report]:
    """A report for every seed, in the order of the seeds. Closing the iterator gives up the rest."""
    workers = min(workers or os.cpu_count() or 1, len(seeds))
    if workers < 2:
        yield from (run(seed, steps) for seed in seeds)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_settle) as pool:
        try:
            yield from pool.map(run, seeds, [steps] * len(seeds), chunksize=4)
        finally:
            pool.shutdown(cancel_futures=True)
