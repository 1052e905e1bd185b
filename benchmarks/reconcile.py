"""The pure plan over 1,000 positions, against nautilus_trader's reconciliation of as many: in the same run after
`make bench-peers` has installed it; else its 150 ms are a constant, measured beside on another machine.

Each of 1,000 resting orders was executed while nobody looked: the plan books every fill, opens every position and
compares it with the broker's.

    python -m benchmarks.reconcile
"""

import sys
from dataclasses import replace
from decimal import Decimal

from benchmarks import peers
from benchmarks.commit import ACCOUNT, NOW, answer_to, order
from benchmarks.timing import Result, interleaved
from gambler_ai.domain.book import Book
from gambler_ai.domain.orders import BrokerOrder, Order, observe
from gambler_ai.domain.reconciliation import Holding, Look, plan
from gambler_ai.domain.sightings import Execution

POSITIONS, ROUNDS = 1000, 15
BESIDE_S = 0.150
BAR, GOAL = 0.3, 0.1


def situation(positions: int) -> tuple[Book, Look]:
    """Books in which every order rests, and a broker at which every order is filled."""
    intents = [order(number, f"B{number:04d}") for number in range(positions)]
    accepted = [answer_to(one, number) for number, one in enumerate(intents)]
    book = Book()
    book.load((observe(one, seen, NOW) for one, seen in zip(intents, accepted, strict=True)), (), ())
    filled = [_filled(one, seen) for one, seen in zip(intents, accepted, strict=True)]
    return book, Look(
        now=NOW,
        orders=filled,
        executions={o.broker_order_id: [_execution(o)] for o in filled},
        holdings={o.symbol: Holding(o.filled_qty, Decimal("587.20")) for o in filled},
    )


def _filled(one: Order, seen: BrokerOrder) -> BrokerOrder:
    return replace(seen, status="filled", filled_qty=one.qty or Decimal(0), filled_avg_price=Decimal("587.20"))


def _execution(seen: BrokerOrder) -> Execution:
    return Execution(seen.filled_qty, seen.filled_qty, Decimal("587.20"), NOW, "activity", f"e-{seen.broker_order_id}")


def measure(positions: int = POSITIONS, rounds: int = ROUNDS) -> Result:
    book, look = situation(positions)
    found = plan(ACCOUNT, book, look)
    assert (len(found.actions), found.differences) == (positions, ()), found
    median = interleaved({"ours": lambda: plan(ACCOUNT, book, look)}, rounds=rounds)
    beside = BESIDE_S * positions / POSITIONS, "anchor: nautilus_trader, measured beside"
    anchor, note = peers.seconds("nautilus_trader", "nautilus_reconcile.py", positions, rounds) or beside
    return Result("reconcile", median["ours"], anchor, BAR, GOAL, note=note)


def main() -> int:
    result = measure()
    print(result)
    return 0 if result.holds else 1


if __name__ == "__main__":
    sys.exit(main())
