"""What one simulated schedule found."""

from collections import Counter
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken promise: after which step, which invariant of the failure model, and what was seen."""

    step: int
    invariant: str
    detail: str


@dataclass
class Report:
    """One seed's run. `fired` counts every kind of fault that really happened; `log` has a line for every step."""

    seed: int
    steps: int
    fired: Counter[str] = field(default_factory=Counter)
    happened: Counter[str] = field(default_factory=Counter)
    """Orders, executions, starts and the like: whether the schedule was worth running."""
    died_at: Counter[str] = field(default_factory=Counter)
    """Where processes were killed: crash points, and both sides of requests."""
    violations: list[Violation] = field(default_factory=list)
    log: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.violations

    @property
    def digest(self) -> str:
        """Of the whole log: equal runs have equal digests."""
        return sha256("\n".join(self.log).encode()).hexdigest()

    @property
    def replay(self) -> str:
        """The command that shows this run again."""
        return f"gambler simulate --seed {self.seed} --steps {self.steps}"

    def as_json(self) -> dict[str, Any]:
        return {
            "seed": self.seed,
            "steps": self.steps,
            "ok": self.ok,
            "violations": [{"step": v.step, "invariant": v.invariant, "detail": v.detail} for v in self.violations],
            "fired": dict(sorted(self.fired.items())),
            "died_at": dict(sorted(self.died_at.items())),
            "happened": dict(sorted(self.happened.items())),
            "digest": self.digest,
            "replay": self.replay,
        }
