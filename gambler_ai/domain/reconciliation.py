"""The plan: what must change so that our books say what the broker says, and why. Pure: same input, same plan.

Differences that evidence explains (orders, executions) are applied at once. A difference without evidence is only
named here; whether it was seen often and long enough to be believed is `Confirmations`' business.
The rows R1-R17 are those of the restore policy (docs/RECOVERY_GUIDE.md).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from gambler_ai.domain import facts
from gambler_ai.domain.book import Book, Draft
from gambler_ai.domain.facts import Fact
from gambler_ai.domain.money import ZERO, text
from gambler_ai.domain.orders import LIVE, TERMINAL, BrokerOrder, Order, parse_our_id, status_from_broker
from gambler_ai.domain.positions import EXTERNAL, Origin, Position, net, orphaned
from gambler_ai.domain.sightings import Collision, Execution, facts_of_sighting

ACCOUNT = "*"
"""The scope of a halt or block that holds for every symbol."""


@dataclass(frozen=True, slots=True)
class Holding:
    """The broker's net position of one symbol: signed shares, average entry price in USD."""

    qty: Decimal
    avg_entry_price: Decimal


@dataclass(frozen=True, slots=True)
class Look:
    """One complete look at the broker. `steady` = the open orders read before and after the positions agree.

    `orders` are oldest first; `executions` are by broker order id; `missing` are client ids of orders we believe to be
    working that the broker does not know by any path.
    """

    now: datetime
    orders: Sequence[BrokerOrder]
    executions: Mapping[str, Sequence[Execution]]
    holdings: Mapping[str, Holding]
    steady: bool
    missing: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Action:
    """One thing to do, its policy row, the reason in one sentence and the numbers of both sides."""

    row: str
    symbol: str
    action: str
    reason: str
    evidence: Mapping[str, Any]
    facts: tuple[Fact, ...] = ()
    halts: bool = False

    def as_json(self) -> dict[str, Any]:
        return {
            "row": self.row,
            "symbol": self.symbol,
            "action": self.action,
            "reason": self.reason,
            "evidence": dict(self.evidence),
        }


@dataclass(frozen=True, slots=True)
class Difference:
    """Both sides' signed shares of a symbol, when no evidence explains why they differ."""

    symbol: str
    ours: Decimal
    theirs: Decimal

    @property
    def evidence(self) -> dict[str, str]:
        return {"ours": text(self.ours), "broker": text(self.theirs)}


@dataclass(frozen=True, slots=True)
class Plan:
    """`actions` follow from evidence and may be done at once; `differences` and `missing` must be confirmed first."""

    actions: tuple[Action, ...]
    differences: tuple[Difference, ...]
    missing: tuple[Order, ...]
    unsteady: bool

    @property
    def is_empty(self) -> bool:
        return not (self.actions or self.differences or self.missing)


def plan(account_id: str, book: Book, look: Look) -> Plan:
    """Compare the book with one look."""
    draft = Draft(book, account_id)
    actions = []
    for seen in look.orders:
        action = _about_order(account_id, book, seen, look)
        if action is not None:
            actions.append(action)
            for number, fact in enumerate(action.facts):
                draft.apply(fact, -1 - 1000 * len(actions) - number)
    touched = {p.position_id: p for p in book.open_positions()} | draft.positions
    differences = _differences(touched.values(), look.holdings)
    missing = [book.orders[i] for i in sorted(look.missing) if i in book.orders]
    return Plan(tuple(actions), tuple(differences), tuple(missing), not look.steady)


def _about_order(account_id: str, book: Book, seen: BrokerOrder, look: Look) -> Action | None:
    known = book.order(seen.client_order_id) or book.order_by_broker_id(seen.broker_order_id)
    if known is None and not seen.filled_qty and status_from_broker(seen.status) in TERMINAL:
        return None  # somebody's order that came and went without a share
    executions = look.executions.get(seen.broker_order_id, ())
    try:
        found = facts_of_sighting(book, account_id, seen, executions, look.now, why="seen in a look", infer=True)
    except Collision as collision:
        return Action("collision", ACCOUNT, "halt account", str(collision), collision.evidence, halts=True)
    if not found:
        return None
    row, action, reason = _order_row(known, seen, found)
    evidence = {
        "client_order_id": seen.client_order_id,
        "broker_order_id": seen.broker_order_id,
        "broker_status": seen.status,
        "broker_filled_qty": text(seen.filled_qty),
        "our_status": known.status.value if known else None,
        "our_filled_qty": text(known.filled_qty) if known else None,
    }
    return Action(row, seen.symbol, action, reason, evidence, tuple(found))


def _order_row(known: Order | None, seen: BrokerOrder, found: Sequence[Fact]) -> tuple[str, str, str]:
    if known is None and parse_our_id(seen.client_order_id):
        return "R11", "adopt order", "an order with an id of our form that this database does not know"
    if known is None and status_from_broker(seen.status) in TERMINAL:
        return "R4", "book foreign fills", "a trade made outside this program, proven by its order"
    if known is None:
        return "R12", "record foreign order", "an open order that is not ours; it is respected, never traded"
    if any(fact.kind in (facts.FILL_BOOKED, facts.FILL_REFINED) for fact in found):
        return (
            "R4",
            "book fills",
            f"the broker executed shares of this order that the books did not have ({seen.status})",
        )
    return "R13", "update order", f"the order is {seen.status} at the broker, the books said {known.status}"


def _differences(positions: Any, holdings: Mapping[str, Holding]) -> list[Difference]:
    symbols = {p.symbol for p in positions} | set(holdings)
    result = []
    for symbol in sorted(symbols):
        ours = net(positions, symbol)
        theirs = holdings[symbol].qty if symbol in holdings else ZERO
        if ours != theirs:
            result.append(Difference(symbol, ours, theirs))
    return result


def resolve_difference(
    account_id: str, book: Book, difference: Difference, look: Look, waiting: Mapping[str, Any]
) -> Action:
    """What a confirmed difference ends as: import (R10), close in the books (R6), or halt the symbol (R7, R8)."""
    symbol, evidence = difference.symbol, {**difference.evidence, **waiting}
    held = book.open_positions(symbol)
    if difference.theirs and all(position.owner == EXTERNAL for position in held):
        holding = look.holdings[symbol]
        replaced = tuple(facts.position_orphaned(orphaned(p, look.now), evidence) for p in held)
        position = Position(
            position_id="",
            account_id=account_id,
            session_id=None,
            symbol=symbol,
            owner=EXTERNAL,
            origin=Origin.EXTERNAL,
            direction="long" if holding.qty > 0 else "short",
            quantity=holding.qty,
            entered_quantity=abs(holding.qty),
            entry_price=holding.avg_entry_price,
            entry_time=look.now,
        )
        fact = facts.position_imported(position, evidence)
        reason = "the broker holds shares that no order explains; imported at the broker's average price, never traded"
        return Action("R10", symbol, "import external position", reason, evidence, (*replaced, fact))
    if not difference.theirs:
        closed = [orphaned(p, look.now) for p in held]
        found = tuple(facts.position_orphaned(p, evidence) for p in closed)
        reason = "the books hold shares that the broker does not, and no fill says why; exit price unknown"
        return Action("R6", symbol, "close orphaned position", reason, evidence, found)
    opposite = difference.ours * difference.theirs < 0
    reason = "books and broker differ and nothing explains it; new risk in this symbol is halted until a person decides"
    return Action("R8" if opposite else "R7", symbol, "halt symbol", reason, evidence, (), halts=True)


def may_be_resolved(book: Book, symbol: str) -> bool:
    """Books change without a fill only while no intent of ours in the symbol is open or in doubt."""
    return not any(o.symbol == symbol and o.is_ours and o.status in LIVE for o in book.orders.values())


@dataclass
class Confirmations:
    """Which findings were seen how often and for how long. Lives in memory: after a crash counting starts again."""

    rounds: int
    span_s: float
    _seen: dict[Any, list[float]] = field(default_factory=dict)

    def record(self, findings: Sequence[Any], at: float) -> list[Any]:
        """Note one round at monotonic time `at`; returns the findings that are confirmed now. What was not found
        again in this round is forgotten."""
        self._seen = {finding: [*self._seen.get(finding, []), at] for finding in findings}
        return [f for f in findings if len(self._seen[f]) >= self.rounds and at - self._seen[f][0] >= self.span_s]

    @property
    def pending(self) -> list[Any]:
        return list(self._seen)

    def age_s(self, finding: Any, at: float) -> float:
        return at - self._seen[finding][0] if finding in self._seen else 0.0
