"""The whole application on a simulated clock, from a seed: what it is, and why to believe it, is in docs/simulation.md.

`run(seed, steps)` is one schedule: the real program, the exchange in this process, SQLite, and a world that crashes,
loses, repeats and delays as the seed says. The same seed is the same run, byte for byte.
"""

from gambler_ai.simulation.report import Report, Violation
from gambler_ai.simulation.simulator import run

__all__ = ["Report", "Violation", "run"]
