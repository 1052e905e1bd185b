"""From what the broker shows to facts: one order, what was seen of it, and what that adds to the book."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from gambler_ai.domain import facts
from gambler_ai.domain.book import Book
from gambler_ai.domain.facts import Fact
from gambler_ai.domain.fills import Fill, covered, inferred_from_snapshot, refined, uncovered_parts
from gambler_ai.domain.money import ZERO
from gambler_ai.domain.orders import (
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
) -> list[Fact]:
    """What this sighting of one order adds; empty when it is old news. Raises Collision, and concludes nothing, when
    the broker has another order under an id of ours.

    An event's cumulative quantity may be newer than the event itself. When its execution does not join what is booked,
    its place on the axis is unknown: the shares are inferred, and the activities refine them later.

    With `infer`, shares that the order's own cumulative quantity proves but no execution explains are booked at the
    price that makes the broker's average right; without, they wait for their execution.
    """
    result: list[Fact] = []
    known = book.order(seen.client_order_id) or book.order_by_broker_id(seen.broker_order_id)
    if known is None:
        order = adopted(seen, account_id, at)
        result.append(facts.order_adopted(order))
    else:
        differing = same_parameters(known, seen) if known.is_ours else []
        if differing:
            raise Collision(known, differing)
        order = observe(known, seen, at)
        if order is not known:
            result.append(facts.order_changed(known, order, why))
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


def adopted(seen: BrokerOrder, account_id: str, at: datetime) -> Order:
    """An order this database did not know. Foreign ones belong to EXTERNAL; one with an id of our form keeps role and
    owner, and is for recovery to judge."""
    ours = parse_our_id(seen.client_order_id)
    role, owner = ours if ours else (Role.FOREIGN, EXTERNAL)
    return Order(
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


def absent(order: Order, at: datetime, why: str) -> tuple[Order, Fact]:
    """The order after the settle window closed without a sighting; revocable by any later one."""
    after = step(order, OrderStatus.ABSENT, at, error=why)
    return after, facts.order_changed(order, after, why)
