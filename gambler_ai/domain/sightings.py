"""From what the broker shows to facts: one order, what was seen of it, and what that adds to the book."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from gambler_ai.domain import facts
from gambler_ai.domain.book import Book
from gambler_ai.domain.facts import Fact
from gambler_ai.domain.fills import Fill, covered, inferred_from_snapshot, refined, uncovered_parts
from gambler_ai.domain.money import ZERO, text
from gambler_ai.domain.orders import (
    GROUPS,
    BrokerOrder,
    Order,
    OrderStatus,
    Role,
    observe,
    parse_our_id,
    same_parameters,
    status_from_broker,
    step,
)
from gambler_ai.domain.positions import EXTERNAL
from gambler_ai.domain.values import replace

STREAM = "stream"


class Collision(Exception):
    """The broker has an order under an id of ours that is not our order. It is never touched."""

    def __init__(self, order: Order, differing: Sequence[str]) -> None:
        super().__init__(f"the broker has another order under our id (differs in {', '.join(differing)})")
        self.order = order
        self.evidence = {"client_order_id": order.client_order_id, "differs in": list(differing)}


@dataclass(frozen=True, slots=True)
class Execution:
    """Shares (cum_qty - qty, cum_qty] of an order, from the stream or the account's activities."""

    cum_qty: Decimal
    qty: Decimal
    price: Decimal
    at: datetime
    source: str
    execution_id: str | None


def facts_of_sighting(
    book: Book,
    account_id: str,
    seen: BrokerOrder,
    executions: Sequence[Execution],
    at: datetime,
    *,
    why: str,
    infer: bool = False,
    others: Mapping[str, BrokerOrder] | None = None,
) -> list[Fact]:
    """What this sighting of one order adds; empty when it is old news. Raises Collision, and concludes nothing, when
    the broker has another order under an id of ours; ImpossibleStep when it says of one of ours what cannot be.

    `others` are the orders of the same look, by broker id: an order may have been replaced more than once since the
    last one. Without them, one that replaced an order nobody knows waits for a look.

    An event's cumulative quantity may be newer than the event itself. When its execution does not join what is booked,
    its place on the axis is unknown: the shares are inferred, and the activities refine them later.

    With `infer`, shares that the order's own cumulative quantity proves but no execution explains are booked at the
    price that makes the broker's average right; without, they wait for their execution.
    """
    result: list[Fact] = []
    known = book.order(seen.client_order_id) or book.order_by_broker_id(seen.broker_order_id)
    if known is None:
        if may_be_leg(book, seen):
            return []  # its order will tell whose leg it is
        if others is None and replaces_unknown(book, seen):
            return []
        order = adopted(seen, account_id, at, _replaced(book, seen, others or {}))
        result.append(facts.order_adopted(order))
    else:
        differing = same_parameters(known, seen) if known.is_ours else []
        if differing:
            raise Collision(known, differing)
        order = observe(known, seen, at)
        if order is not known:
            result.append(facts.order_changed(known, order, why))
        result += facts_of_legs(book, order, seen, at)
    booked = list(book.fills(order.client_order_id)) if known else []
    for execution in sorted(executions, key=lambda e: e.cum_qty):
        if execution.source == STREAM and execution.cum_qty - execution.qty != covered(booked):
            infer = True
            continue
        result += _facts_of_execution(order, booked, execution)
    if infer and seen.filled_avg_price is not None and seen.filled_qty > covered(booked):
        for fill in inferred_from_snapshot(
            booked, order.client_order_id, seen.filled_qty, seen.filled_avg_price, seen.updated_at
        ):
            booked.append(fill)
            result.append(facts.fill_booked(order, fill))
    return result


def facts_of_legs(book: Book, order: Order, seen: BrokerOrder, at: datetime) -> list[Fact]:
    """The legs the broker shows under an order of ours: adopted with its owner, in the same transaction as its answer,
    because the broker makes their ids and no list says later whose they are. Their fills come with their own sightings.
    """
    result: list[Fact] = []
    for leg in seen.legs if order.is_ours else ():
        known = book.order(leg.client_order_id)
        if known is None:
            result.append(facts.order_adopted(adopted(leg, order.account_id, at, order)))
            continue
        after = known if known.is_ours else _inherited(known, order)
        if known.filled_qty == leg.filled_qty:  # shares it executed are booked with its own sighting
            after = observe(after, leg, at)
        if after is not known:
            result.append(facts.order_changed(known, after, f"a leg of {order.client_order_id}"))
    return result


def replaces_unknown(book: Book, seen: BrokerOrder) -> bool:
    """Whether it came in the place of an order these books do not know: it may be ours all the same."""
    return seen.replaces is not None and book.order_by_broker_id(seen.replaces) is None


def _replaced(book: Book, seen: BrokerOrder, others: Mapping[str, BrokerOrder]) -> Order | None:
    """The order of ours in whose place this one works, however often it was replaced since anybody looked."""
    before, met = seen.replaces, set[str]()
    while before and before not in met:
        known = book.order_by_broker_id(before)
        if known is not None:
            return known if known.is_ours else None
        met.add(before)
        before = others[before].replaces if before in others else None
    return None


def may_be_leg(book: Book, seen: BrokerOrder) -> bool:
    """Whether an order nobody knows may hang on one of ours whose legs we have not been told yet."""
    if seen.order_class not in GROUPS:
        return False
    heads = [o for o in book.orders.values() if o.is_ours and o.symbol == seen.symbol and o.order_class]
    with_legs = {o.parent_id for o in book.orders.values()}
    return any(o.order_class == seen.order_class and o.client_order_id not in with_legs for o in heads)


def _facts_of_execution(order: Order, booked: list[Fill], execution: Execution) -> list[Fact]:
    whole = Fill(
        order.client_order_id,
        execution.cum_qty - execution.qty,
        execution.cum_qty,
        execution.price,
        execution.at,
        execution.source,
        execution.execution_id,
    )
    if any(old.execution_id == whole.execution_id and old.cum_to != whole.cum_to for old in booked):
        whole = replace(whole, execution_id=None)  # two sources disagree where it lies; its id stays where it is
    parts = uncovered_parts(booked, whole)
    booked.extend(parts)
    result = [facts.fill_booked(order, part) for part in parts]
    if not parts:
        for old in booked:
            pieces = refined(old, whole)
            if pieces is not None:
                booked.remove(old)
                booked.extend(pieces)
                return [facts.fill_refined(order, whole)]
    return result


def adopted(seen: BrokerOrder, account_id: str, at: datetime, parent: Order | None = None) -> Order:
    """An order this database did not know. Foreign ones belong to EXTERNAL; one with an id of our form keeps role and
    owner, and is for recovery to judge; one that hangs on `parent`, or replaced it, is the same position's exit."""
    ours = parse_our_id(seen.client_order_id)
    role, owner = ours if ours else (Role.FOREIGN, EXTERNAL)
    owner = EXTERNAL if owner == EXTERNAL.lower() else owner  # an exit of ours that protects somebody else's shares
    order = Order(
        client_order_id=seen.client_order_id,
        account_id=account_id,
        session_id=None,
        owner=owner,
        role=role,
        symbol=seen.symbol,
        side=seen.side,
        type=seen.type,
        time_in_force=seen.time_in_force,
        qty=seen.qty,
        notional=seen.notional,
        limit_price=seen.limit_price,
        stop_price=seen.stop_price,
        status=status_from_broker(seen.status),
        created_at=seen.submitted_at,
        updated_at=max(at, seen.submitted_at),
        reason="recovered from the broker" if ours else "not ours",
        attempts=0,
        broker_order_id=seen.broker_order_id,
        broker_status=seen.status,
        broker_updated_at=seen.updated_at,
        broker_filled_qty=seen.filled_qty,
        filled_qty=ZERO,
    )
    return order if parent is None else _inherited(order, parent)


def _inherited(order: Order, parent: Order) -> Order:
    """An order of the broker's making: a leg of `parent`, or what replaced it, like the order of an elected stop."""
    role, reason = parent.role, parent.reason
    if order.stop_price is not None:
        role, reason = Role.STOP, f"stop at {text(order.stop_price)}"
    elif order.limit_price is not None and (parent.role is not Role.ENTRY or order.side is not parent.side):
        role, reason = Role.TAKE_PROFIT, f"target at {text(order.limit_price or ZERO)}"
    return replace(
        order,
        role=role,
        owner=parent.owner,
        session_id=parent.session_id,
        position_id=parent.position_id,
        parent_id=parent.client_order_id,
        reason=reason,
    )


def absent(order: Order, at: datetime, why: str) -> tuple[Order, Fact]:
    """The order after the settle window closed without a sighting; revocable by any later one."""
    after = step(order, OrderStatus.ABSENT, at, error=why)
    return after, facts.order_changed(order, after, why)
