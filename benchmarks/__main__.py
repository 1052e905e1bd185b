"""Every benchmark, one after the other; exit 1 when a bar is missed. `python -m benchmarks.NAME` runs one."""

import importlib
import sys

NAMES = ("start", "commit", "persist", "submit", "reconcile", "recover", "calls", "history", "exchange")


def main() -> int:
    missed = [importlib.import_module(f"benchmarks.{name}").main() for name in NAMES]
    return 1 if any(missed) else 0


if __name__ == "__main__":
    sys.exit(main())
