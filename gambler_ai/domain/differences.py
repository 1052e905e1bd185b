"""What a difference without evidence becomes: restored (R9), imported (R10), closed (R6), adjusted, or halted (R7, R8).

Pure. `expected` says what it would become now; whether it was seen often and long enough to be believed is
`Confirmations`' business, and whether orders of ours stand in the way is `in_the_way`'s.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from gambler_ai.domain import facts
from gambler_ai.domain.adjustments import Adjustment
from gambler_ai.domain.book import Book, Draft
from gambler_ai.domain.facts import Fact
from gambler_ai.domain.money import ZERO, text
from gambler_ai.domain.orders import LIVE, UNRESOLVED, BrokerOrder, Order, OrderStatus, Role
from gambler_ai.domain.policy import Policy
from gambler_ai.domain.positions import EXTERNAL, Position, external, net, orphaned
from gambler_ai.domain.reconciliation import ACCOUNT, Action, Difference, Look
from gambler_ai.domain.sightings import facts_of_sighting

MANY = Decimal("0.2")
DEFAULT = Policy()


def resolve_difference(
    account_id: str,
    book: Book,
    difference: Difference,
    look: Look,
    waiting: Mapping[str, Any],
    policy: Policy = DEFAULT,
    history: Sequence[BrokerOrder] = (),
) -> Action:
    """What a confirmed difference ends as. `history` are all the symbol's orders the broker remembers, oldest first;
    it is asked for only when our books hold nothing of the symbol."""
    evidence = {**difference.evidence, "pages": "complete", **waiting}
    opposite = difference.ours * difference.theirs < 0
    if not opposite and abs(difference.theirs - difference.ours) <= policy.qty_tolerance:
        reason = (
            f"the difference is within the tolerance of {text(policy.qty_tolerance)} shares; booked as an adjustment"
        )
        return _adjustment("R7", difference, look, evidence, reason)
    held = book.open_positions(difference.symbol)
    if difference.theirs and all(position.owner == EXTERNAL for position in held):
        restored = None if held else _restored(account_id, book, difference, look, history, evidence)
        return restored or _external(account_id, difference, held, look, evidence, policy)
    if opposite:
        return _opposite(book, difference, evidence)
    if not difference.theirs:
        return _orphan(difference, held, look, evidence, policy)
    return _mismatch(difference, look, evidence, policy)


def _external(
    account_id: str,
    difference: Difference,
    held: Sequence[Position],
    look: Look,
    evidence: Mapping[str, Any],
    policy: Policy,
) -> Action:
    symbol, holding = difference.symbol, look.holdings[difference.symbol]
    if policy.externals == "halt":
        reason = "the broker holds shares that no order explains, and --externals=halt leaves them to a person"
        return Action("R10", symbol, "halt symbol", reason, evidence, halts=True)
    if policy.externals == "ignore":
        reason = "the broker holds shares that no order explains; --externals=ignore: not booked, symbol not traded"
        return Action("R10", symbol, "ignore external position", reason, evidence)
    owner = policy.claimant or EXTERNAL
    replaced = tuple(facts.position_orphaned(orphaned(p, look.now), evidence) for p in held)
    position = external(account_id, symbol, owner, holding.qty, holding.avg_entry_price, look.now)
    fact = facts.position_imported(position, evidence)
    whose = "never traded" if owner == EXTERNAL else f"claimed for {owner}"
    reason = f"the broker holds shares that no order explains; imported at the broker's average price, {whose}"
    action = "import external position" if owner == EXTERNAL else "claim external position"
    return Action("R10", symbol, action, reason, evidence, (*replaced, fact))


def _orphan(
    difference: Difference, held: Sequence[Position], look: Look, evidence: Mapping[str, Any], policy: Policy
) -> Action:
    symbol = difference.symbol
    closed = tuple(facts.position_orphaned(orphaned(p, look.now), evidence) for p in held)
    reason = "the books hold shares that the broker does not, and no fill says why; exit price unknown"
    if policy.orphans == "halt":
        return Action("R6", symbol, "halt symbol", f"{reason}; --orphans=halt", evidence, halts=True)
    return Action("R6", symbol, "close orphaned position", reason, evidence, closed, asks=policy.orphans == "ask")


def _mismatch(difference: Difference, look: Look, evidence: Mapping[str, Any], policy: Policy) -> Action:
    if policy.mismatch == "adopt":
        reason = "books and broker differ and nothing explains it; --mismatch=adopt takes the broker's quantity"
        return _adjustment("R7", difference, look, evidence, reason)
    return Action("R7", difference.symbol, "halt symbol", MISMATCH, evidence, halts=True)


MISMATCH = "books and broker differ and nothing explains it; new risk in this symbol is halted until a person decides"
OPPOSITE = "books and broker hold opposite signs; new risk in this symbol is halted until a person decides"


def _opposite(book: Book, difference: Difference, evidence: Mapping[str, Any]) -> Action:
    """R8, with those of our live exits that would now grow what the broker holds."""
    wrong = tuple(
        order.client_order_id
        for order in exits_of(book, difference.symbol)
        if order.side.sign * difference.theirs > 0 and not _is_ending(order)
    )
    return Action("R8", difference.symbol, "halt symbol", OPPOSITE, evidence, halts=True, cancels=wrong)


def _adjustment(row: str, difference: Difference, look: Look, evidence: Mapping[str, Any], reason: str) -> Action:
    holding = look.holdings.get(difference.symbol)
    price = holding.avg_entry_price if holding else ZERO
    change = Adjustment(difference.symbol, difference.theirs, price, look.now, "adjusted to the broker")
    return Action(
        row, difference.symbol, "adjust position", reason, evidence, (facts.position_adjusted(change, evidence),)
    )


def _restored(
    account_id: str,
    book: Book,
    difference: Difference,
    look: Look,
    history: Sequence[BrokerOrder],
    evidence: Mapping[str, Any],
) -> Action | None:
    """R9: our own orders since the last flat moment say whose shares these are. None when none of them is ours, or
    one is known here already: then these books have had its shares."""
    chain = since_flat(history, difference.theirs)
    ours = [seen for seen in chain if seen.client_order_id.startswith("g1-")]
    if not ours or any(book.order(seen.client_order_id) is not None for seen in chain):
        return None
    draft = Draft(book, account_id)
    found: list[Fact] = []
    others = {seen.broker_order_id: seen for seen in history}
    for seen in chain:
        why = "in the broker's history"
        sighted = facts_of_sighting(book, account_id, seen, (), look.now, why=why, infer=True, others=others)
        for fact in sighted:
            draft.apply(fact, -1 - len(found))
            found.append(fact)
    restored = net(draft.open_positions(difference.symbol), difference.symbol)
    numbers = {**evidence, "restored": text(restored), "orders": [seen.client_order_id for seen in ours]}
    if abs(restored) > abs(difference.theirs) or restored * difference.theirs < 0:
        reason = "our orders at the broker explain more shares than it holds; a person must decide"
        return Action("R7", difference.symbol, "halt symbol", reason, numbers, halts=True)
    if restored != difference.theirs:
        price = look.holdings[difference.symbol].avg_entry_price
        rest = Adjustment(difference.symbol, difference.theirs, price, look.now, "older than the broker's history")
        found.append(facts.position_adjusted(rest, numbers))
    reason = "the broker's history of our own orders since the last flat moment explains these shares"
    return Action("R9", difference.symbol, "restore position", reason, numbers, tuple(found))


def since_flat(history: Sequence[BrokerOrder], theirs: Decimal) -> list[BrokerOrder]:
    """The filled orders, oldest first, that led from the last flat moment to `theirs` shares; all there are when the
    history does not reach back so far."""
    left, chain = theirs, []
    for seen in sorted((o for o in history if o.filled_qty), key=lambda o: o.updated_at, reverse=True):
        if not left:
            break
        left -= seen.side.sign * seen.filled_qty
        chain.append(seen)
    return chain[::-1]


def exits_of(book: Book, symbol: str) -> list[Order]:
    """Our live exits at the broker, oldest first."""
    return [
        o
        for o in book.orders.values()
        if o.symbol == symbol and o.is_ours and o.role is not Role.ENTRY and o.status is OrderStatus.WORKING
    ]


def _is_ending(order: Order) -> bool:
    """The broker has taken our cancel; one whose answer was lost is asked for again."""
    return order.broker_status == "pending_cancel"


def in_the_way(book: Book, action: Action) -> list[Order]:
    """Orders of ours that must end before this is done. A halt waits only for what is in doubt. Books change without a
    fill only while no order of ours can change them; an exit at the broker that reduces what is held there cannot."""
    forbidden = UNRESOLVED if action.halts else LIVE
    theirs = Decimal(action.evidence["broker"])
    return [
        o
        for o in book.orders.values()
        if o.symbol == action.symbol
        and o.is_ours
        and o.status in forbidden
        and not (o.status is OrderStatus.WORKING and o.role is not Role.ENTRY and o.side.sign * theirs < 0)
    ]


def leftover_exits(book: Book, action: Action) -> Action | None:
    """R6's first half: our exits of shares that are gone, to be cancelled before the position is closed."""
    left = tuple(o.client_order_id for o in exits_of(book, action.symbol) if not _is_ending(o))
    if action.row != "R6" or action.halts or not left:
        return None
    reason = "the shares these exits would sell are gone; cancelled before the position is closed in the books"
    return Action("R6", action.symbol, "cancel leftover exits", reason, action.evidence, cancels=left)


def forgotten(action: Action, order: Order) -> Action:
    """R6 that must not be: the broker no longer knows the order that opened the position, so its whole history is
    gone, not our shares."""
    reason = (
        "the broker does not know orders it filled for us: the paper account was reset, or this is another account; "
        "no position was closed. Keep this database, and begin a new one (GAMBLER_DATABASE_URL)"
    )
    evidence = {**action.evidence, "unknown_order": order.client_order_id, "broker_order_id": order.broker_order_id}
    return Action("R6", ACCOUNT, "halt account", reason, evidence, halts=True)


def global_stop(policy: Policy, halted: Sequence[Action], symbols: Iterable[str]) -> Action | None:
    """R7's second half: the account stops when the policy says so, or when more than 20 % of the symbols, and at least
    two, hold something nobody explains."""
    wrong = [action for action in halted if action.row in ("R7", "R8") and action.halts and action.symbol != ACCOUNT]
    if not wrong:
        return None
    numbers = {a.symbol: f"{a.evidence['ours']} / {a.evidence['broker']}" for a in wrong}
    if policy.strict or policy.mismatch == "stop-all":
        why = "--strict" if policy.strict else "--mismatch=stop-all"
        reason = f"books and broker differ and nothing explains it; {why} stops the whole account"
    elif len(wrong) >= 2 and len(wrong) > MANY * len(set(symbols)):
        reason = "books and broker differ in more than 20 % of the symbols; the whole account is stopped"
    else:
        return None
    return Action("R7", ACCOUNT, "halt account", reason, numbers, halts=True)


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
    def wait_s(self) -> float:
        """Between two rounds, so that no more of them are needed than the rules ask for."""
        return max(0.2, self.span_s / max(1, self.rounds - 1))

    @property
    def pending(self) -> list[Any]:
        return list(self._seen)

    def age_s(self, finding: Any, at: float) -> float:
        return at - self._seen[finding][0] if finding in self._seen else 0.0

    def seen(self, finding: Any) -> int:
        """In how many rounds on end."""
        return len(self._seen.get(finding, ()))
