"""Requests of one recovery against the fewest it can do with: two looks (see, prove), each the account, the positions
and the pages of orders and executions, and one look-up of every order in doubt.

Counted at 100 positions and 1,000 orders, 50 of them in doubt. The fewest are really sent, page by page.

    python -m benchmarks.calls
"""

import sys
import tempfile
from pathlib import Path

from benchmarks.account import Account
from benchmarks.timing import Result

BAR, GOAL = 1.0, 1.0


def measure(folder: Path, positions: int = 100, orders: int = 900, in_doubt: int = 50) -> Result:
    account = Account(folder / "account", positions, orders, orders // 9, in_doubt)
    ours = account.recover(account.copy())
    note = ", ".join(f"{number} {what}" for what, number in sorted(ours.asked.items()))
    return Result("calls", ours.requests, account.least(), BAR, GOAL, "requests", note)


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="bench-calls-") as name:
        result = measure(Path(name))
    print(result)
    return 0 if result.holds else 1


if __name__ == "__main__":
    sys.exit(main())
