"""The plan: what must change so that our books say what the broker says, and why. Pure: same input, same plan.

Differences that evidence explains (orders, executions) are applied at once. A difference without evidence is only
named here; `differences` says what it becomes once it was seen often and long enough to be believed.
The rows R1-R17 are those of the restore policy (docs/RECOVERY_GUIDE.md).
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from gambler_ai.domain import facts
from gambler_ai.domain.book import Book, Draft
from gambler_ai.domain.facts import Fact
from gambler_ai.domain.money import ZERO, nine_places, text
from gambler_ai.domain.orders import (
    LIVE,
    TERMINAL,
    BrokerOrder,
    ImpossibleStep,
    Order,
    OrderStatus,
    parse_our_id,
    status_from_broker,
    step,
)
from gambler_ai.domain.policy import Policy
from gambler_ai.domain.positions import Position, net
from gambler_ai.domain.sightings import Collision, Execution, facts_of_sighting
from gambler_ai.domain.values import replace

ACCOUNT = "*"
"""The scope of a halt or block that holds for every symbol."""
WAITED = "seen for seconds"
UNKNOWN_ORDERS = (
    "the broker has orders with ids of our form that these books do not know: an older copy of the database was "
    "restored, or another database trades this account"
)


@dataclass(frozen=True, slots=True)
class Holding:
    """The broker's net position of one symbol: signed shares, average entry price in USD."""

    qty: Decimal
    avg_entry_price: Decimal


@dataclass(frozen=True, slots=True)
class Look:
    """One complete look at the broker. `moving` are the symbols in which the open orders read before and after the
    positions do not agree.

    `orders` are oldest first; `executions` are by broker order id; `missing` are client ids of orders we believe to be
    working that the broker does not know by any path.
    """

    now: datetime
    orders: Sequence[BrokerOrder]
    executions: Mapping[str, Sequence[Execution]]
    holdings: Mapping[str, Holding]
    missing: frozenset[str] = frozenset()
    moving: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Action:
    """One thing to do, its policy row, the reason in one sentence and the numbers of both sides.

    Done in this order: the halt and the facts in one transaction, then each order of `cancels` (client ids) is asked to
    be cancelled. `asks` = only after a person said yes.
    """

    row: str
    symbol: str
    action: str
    reason: str
    evidence: Mapping[str, Any]
    facts: tuple[Fact, ...] = ()
    halts: bool = False
    cancels: tuple[str, ...] = ()
    asks: bool = False

    @property
    def id(self) -> str:
        """Follows from the cause alone: the same situation gives the same id, also after a crash."""
        cause = {name: value for name, value in self.evidence.items() if name != WAITED}
        text_of = json.dumps([self.row, self.symbol, self.action, cause], sort_keys=True, default=str)
        return f"{self.row.lower()}-{hashlib.sha256(text_of.encode()).hexdigest()[:12]}"

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
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


def plan(account_id: str, book: Book, look: Look, policy: Policy | None = None) -> Plan:
    """Compare the book with one look."""
    draft = Draft(book, account_id)
    actions: list[Action] = []
    others = {seen.broker_order_id: seen for seen in look.orders}
    for seen in look.orders:
        executions = look.executions.get(seen.broker_order_id, ())
        action = about_order(
            account_id, book, seen, executions, look.now, why="seen in a look", infer=True, others=others
        )
        if action is not None:
            before = net(draft.open_positions(seen.symbol), seen.symbol)
            try:
                for number, fact in enumerate(action.facts):
                    draft.apply(fact, -1001 - 1000 * len(actions) - number)
            except ImpossibleStep as error:
                action = contradiction(seen, error)
            after = net(draft.open_positions(seen.symbol), seen.symbol)
            actions.append(_with_position(action, look, before, after))
    if policy is not None and policy.foreign == "cancel":
        actions += _cancelling_foreign(draft, book)
    touched = {p.position_id: p for p in book.open_positions()} | draft.positions
    differences = _differences(touched.values(), look.holdings)
    missing = [book.orders[i] for i in sorted(look.missing) if i in book.orders]
    return Plan(tuple(actions), tuple(differences), tuple(missing), bool(look.moving))


def matched(book: Book, look: Look) -> list[Action]:
    """R2: symbols in which both sides hold the same shares, with both average prices. Nothing to do."""
    result = []
    for symbol in sorted(look.holdings):
        held = book.open_positions(symbol)
        if net(held, symbol) == look.holdings[symbol].qty:
            cost = sum((abs(p.quantity) * p.entry_price for p in held), ZERO)
            shares = sum((abs(p.quantity) for p in held), ZERO)
            evidence = {
                "ours": text(net(held, symbol)),
                "broker": text(look.holdings[symbol].qty),
                "our_average": text(nine_places(cost / shares)) if shares else None,
                "broker_average": text(look.holdings[symbol].avg_entry_price),
            }
            result.append(Action("R2", symbol, "nothing", "both sides hold the same shares", evidence))
    return result


def unreadable(error: Exception) -> Action:
    """R15: a read failed or was not complete."""
    reason = "the broker could not be read completely; nothing is concluded from it, and it is read again"
    return Action("R15", ACCOUNT, "conclude nothing", reason, {"error": str(error), "pages": "incomplete"})


def kept_moving(rounds: Sequence[tuple[Plan, Look]], book: Book) -> list[Action]:
    """Halts of the symbols in which each of these rounds, one after the other, found something new: every trigger, and
    both sides' numbers as of the last."""
    busy = {o.symbol for o in book.orders.values() if o.is_ours and o.status in LIVE}
    moved = [{a.symbol for a in found.actions if _is_strange(a, book)} | (look.moving - busy) for found, look in rounds]
    last = rounds[-1][1]
    result = []
    for symbol in sorted(set.intersection(*map(set, moved)) - {ACCOUNT}):
        triggers = [
            {"look": number, "row": a.row, "action": a.action, "order": a.evidence.get("client_order_id")}
            for number, (found, _) in enumerate(rounds, 1)
            for a in found.actions
            if a.symbol == symbol
        ]
        triggers += [
            {"look": n, "open orders": "changed"} for n, (_, look) in enumerate(rounds, 1) if symbol in look.moving
        ]
        theirs = last.holdings[symbol].qty if symbol in last.holdings else ZERO
        evidence = {
            "ours": text(net(book.open_positions(symbol), symbol)),
            "broker": text(theirs),
            "triggers": triggers,
        }
        reason = (
            f"the symbol kept changing while the account was recovered: {len(rounds)} looks each found something new"
        )
        result.append(Action("moving", symbol, "halt symbol", reason, evidence, halts=True))
    return result


def _is_strange(action: Action, book: Book) -> bool:
    """Not the doing of an order of ours, which events explain and which may be filled for as long as it likes."""
    order = book.order(str(action.evidence.get("client_order_id", "")))
    return order is None or not order.is_ours or action.row == "R11"


def about_order(
    account_id: str,
    book: Book,
    seen: BrokerOrder,
    executions: Sequence[Execution],
    at: datetime,
    *,
    why: str,
    infer: bool = False,
    others: Mapping[str, BrokerOrder] | None = None,
) -> Action | None:
    """What one sighting of an order leads to, whoever saw it: a look, an event, or who asked for it by its id. None
    when it is old news. `executions`, `infer` and `others` as in `facts_of_sighting`."""
    known = book.order(seen.client_order_id) or book.order_by_broker_id(seen.broker_order_id)
    if known is None and not seen.filled_qty and status_from_broker(seen.status) in TERMINAL:
        return None  # somebody's order that came and went without a share
    try:
        found = facts_of_sighting(book, account_id, seen, executions, at, why=why, infer=infer, others=others)
    except Collision as error:
        return collision(error, at)
    except ImpossibleStep as error:
        return contradiction(seen, error)
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
        "executions": len(executions),
        **({"how": why} if others is None else {"pages": "complete"}),
    }
    return Action(row, seen.symbol, action, reason, evidence, tuple(found), halts=row == "R11")


def collision(error: Collision, at: datetime) -> Action:
    """Stop the account, and keep the order in doubt: a person must find out whose order that is."""
    doubt = still_in_doubt(error.order, str(error), at)
    return Action("collision", ACCOUNT, "halt account", str(error), error.evidence, doubt, halts=True)


def contradiction(seen: BrokerOrder, error: ImpossibleStep, doubt: tuple[Fact, ...] = ()) -> Action:
    """The broker says of one order what cannot be: its symbol is halted, everything else goes on."""
    evidence = {"client_order_id": seen.client_order_id, "broker_order_id": seen.broker_order_id}
    return Action("contradiction", seen.symbol, "halt symbol", str(error), evidence, doubt, halts=True)


def still_in_doubt(order: Order, reason: str, at: datetime) -> tuple[Fact, ...]:
    """The order in doubt for this reason; nothing when it is already, or is final."""
    if order.is_terminal or order.error == reason:
        return ()
    return (facts.order_changed(order, step(order, OrderStatus.IN_DOUBT, at, error=reason), reason),)


def _with_position(action: Action, look: Look, before: Decimal, after: Decimal) -> Action:
    """The action with both sides' shares; fills that closed the last share make it R5."""
    if before == after:
        return action
    theirs = look.holdings[action.symbol].qty if action.symbol in look.holdings else ZERO
    numbers = {"ours": text(before), "ours_after": text(after), "broker": text(theirs)}
    action = replace(action, evidence={**action.evidence, **numbers})
    if action.row == "R4" and not after and not theirs:
        return replace(action, row="R5", reason=f"the position was closed while nobody looked: {action.reason}")
    return action


def _order_row(known: Order | None, seen: BrokerOrder, found: Sequence[Fact]) -> tuple[str, str, str]:
    if known is None and parse_our_id(seen.client_order_id):
        return "R11", "adopt order", UNKNOWN_ORDERS
    if known is None and status_from_broker(seen.status) in TERMINAL:
        return "R4", "book foreign fills", "a trade made outside this program, proven by its order"
    if known is None:
        return "R12", "record foreign order", "an open order that is not ours; it is recorded, never traded"
    if any(fact.kind in (facts.FILL_BOOKED, facts.FILL_REFINED) for fact in found):
        return (
            "R4",
            "book fills",
            f"the broker executed shares of this order that the books did not have ({seen.status})",
        )
    return "R13", "update order", f"the order is {seen.status} at the broker, the books said {known.status}"


def _cancelling_foreign(draft: Draft, book: Book) -> list[Action]:
    """R12 under `--foreign=cancel`: every open order that is not ours, until the broker has taken the cancel."""
    orders = {**book.orders, **draft.orders}
    return [
        Action(
            "R12",
            order.symbol,
            "cancel foreign order",
            "an open order that is not ours, and --foreign=cancel asks for its end",
            {"client_order_id": name, "broker_order_id": order.broker_order_id, "broker_status": order.broker_status},
            cancels=(name,),
        )
        for name, order in sorted(orders.items())
        if not order.is_ours and not order.is_terminal and order.broker_status != "pending_cancel"
    ]


def _differences(positions: Iterable[Position], holdings: Mapping[str, Holding]) -> list[Difference]:
    ours: dict[str, Decimal] = {}
    for position in positions:
        ours[position.symbol] = ours.get(position.symbol, ZERO) + position.quantity
    theirs = {symbol: holding.qty for symbol, holding in holdings.items()}
    return [
        Difference(symbol, ours.get(symbol, ZERO), theirs.get(symbol, ZERO))
        for symbol in sorted(ours.keys() | theirs.keys())
        if ours.get(symbol, ZERO) != theirs.get(symbol, ZERO)
    ]
