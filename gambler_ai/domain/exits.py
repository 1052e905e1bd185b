"""Exits as orders: the one that a step of protection makes, and all steps that lie ahead. Pure."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from gambler_ai.domain.cover import Terms
from gambler_ai.domain.orders import Order, OrderStatus, client_order_id
from gambler_ai.domain.positions import Position
from gambler_ai.domain.protection import Act, Exit, Step, decide, side_of_exit

_ENDS = {Act.CANCEL: OrderStatus.CANCELED, Act.WITHDRAW: OrderStatus.WITHDRAWN}


def exit_order(position: Position, wanted: Exit, now: datetime) -> Order:
    """The intent of an exit. Its id follows from position, version and quantity: the same decision made again after a
    crash is the same order."""
    key = wanted.decision_key(position.position_id)
    return Order(
        client_order_id=client_order_id(
            role=wanted.role,
            owner=position.owner.lower(),
            account_id=position.account_id,
            session_id=position.session_id or "",
            symbol=position.symbol,
            decision_key=key,
            version=wanted.version,
        ),
        account_id=position.account_id,
        session_id=position.session_id,
        owner=position.owner,
        role=wanted.role,
        symbol=position.symbol,
        side=side_of_exit(position),
        type=wanted.type,
        time_in_force=wanted.time_in_force,
        qty=wanted.qty,
        limit_price=wanted.limit_price,
        stop_price=wanted.stop_price,
        status=OrderStatus.SENDING,
        created_at=now,
        updated_at=now,
        decision_key=key,
        reason=wanted.reason,
        attempts=1,
        position_id=position.position_id,
        order_class=wanted.order_class,
        stop_loss=wanted.stop_loss,
    )


def steps_ahead(positions: Iterable[Position], orders: Iterable[Order], terms: Terms, now: datetime) -> list[Step]:
    """What protection will do, step after step, if the broker does as it is asked; in a symbol whose next step is to
    ask the broker, not further than that."""
    held, expected = list(positions), {o.client_order_id: o for o in orders}
    steps: list[Step] = []
    asking: set[str] = set()
    while due := [step for step in decide(held, expected.values(), terms).steps if step.symbol not in asking]:
        for step in due:
            steps.append(step)
            if step.act is Act.READ:
                asking.add(step.symbol)
            elif step.position is not None and step.exit is not None:
                placed = exit_order(step.position, step.exit, now)
                expected[placed.client_order_id] = placed
            elif step.order is not None:
                _becomes(expected, step.order, _ENDS.get(step.act, OrderStatus.SENDING))
    return steps


def _becomes(expected: dict[str, Order], order: Order, status: OrderStatus) -> None:
    """The order, and the legs that end with it."""
    for name, one in expected.items():
        if name == order.client_order_id or one.parent_id == order.client_order_id:
            expected[name] = replace(one, status=status)
