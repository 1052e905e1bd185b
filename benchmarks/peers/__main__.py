"""`make bench-peers`: install the rivals, then the benchmarks that have one; exit 1 when a bar is missed."""

import sys

from benchmarks import peers, persist, reconcile


def main() -> int:
    for name in peers.PINNED:
        peers.install(name)
    missed = [persist.main(), reconcile.main()]
    return 1 if any(missed) else 0


if __name__ == "__main__":
    sys.exit(main())
