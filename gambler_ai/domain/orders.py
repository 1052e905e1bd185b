"""Orders: the state machine, their identity, and what to believe when sources disagree."""

import base64
import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from gambler_ai.domain.money import ZERO
from gambler_ai.domain.values import replace

ID_PREFIX = "g1-"
GROUPS = ("bracket", "oco", "oto")
"""Classes of orders that have legs."""
_OUR_ID = re.compile(r"g1-([estxc])(\d*)-([a-z0-9]{1,12})-[a-z2-7]{20}")


class Side(StrEnum):
    BUY = "buy"
    SELL = "sell"

    @property
    def sign(self) -> int:
        return 1 if self is Side.BUY else -1


class Role(StrEnum):
    ENTRY = "e"
    STOP = "s"
    TAKE_PROFIT = "t"
    EXIT = "x"
    CLOSE = "c"  # closed by recovery or by a command
    FOREIGN = "-"  # somebody else's order; never in an id of ours


class OrderStatus(StrEnum):
    PLANNED = "PLANNED"  # decided, waits; certainly never sent
    SENDING = "SENDING"  # committed before the request leaves; after a crash it may have left
    IN_DOUBT = "IN_DOUBT"  # sent, no conclusive answer
    WORKING = "WORKING"  # the broker has it
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    REPLACED = "REPLACED"
    REJECTED = "REJECTED"  # the broker refused it, conclusively
    WITHDRAWN = "WITHDRAWN"  # given up before anything was sent
    ABSENT = "ABSENT"  # looked for and not found after the settle window; revocable


S = OrderStatus
_AT_BROKER = frozenset({S.WORKING, S.FILLED, S.CANCELED, S.EXPIRED, S.REPLACED})
NEVER_ACCEPTED = frozenset({S.REJECTED, S.ABSENT, S.WITHDRAWN})
TERMINAL = frozenset({S.FILLED, S.CANCELED, S.EXPIRED, S.REPLACED}) | NEVER_ACCEPTED
UNRESOLVED = frozenset({S.SENDING, S.IN_DOUBT})
LIVE = frozenset({S.PLANNED, S.WORKING}) | UNRESOLVED

# Every allowed step. What an older copy of the database has only planned may be at the broker: it was sent since. From
# NEVER_ACCEPTED to a broker state is the late order: allowed, journalled, acted upon.
ORDER_STEPS: dict[OrderStatus, frozenset[OrderStatus]] = {
    S.PLANNED: frozenset({S.SENDING, S.WITHDRAWN}) | _AT_BROKER,
    S.SENDING: _AT_BROKER | NEVER_ACCEPTED | {S.SENDING, S.IN_DOUBT},
    S.IN_DOUBT: _AT_BROKER | {S.SENDING, S.IN_DOUBT, S.REJECTED, S.ABSENT},
    S.WORKING: _AT_BROKER | {S.REJECTED, S.IN_DOUBT, S.ABSENT},
    S.FILLED: frozenset({S.FILLED}),
    S.CANCELED: frozenset({S.CANCELED, S.FILLED}),
    S.EXPIRED: frozenset({S.EXPIRED, S.FILLED}),
    S.REPLACED: frozenset({S.REPLACED, S.FILLED}),
    S.REJECTED: _AT_BROKER | {S.REJECTED},
    S.ABSENT: _AT_BROKER | {S.ABSENT},
    S.WITHDRAWN: _AT_BROKER | {S.WITHDRAWN},
}

_FROM_BROKER: dict[str, OrderStatus] = {
    "filled": S.FILLED,
    "canceled": S.CANCELED,
    "expired": S.EXPIRED,
    "replaced": S.REPLACED,
    "rejected": S.REJECTED,
} | dict.fromkeys(
    [
        "new",
        "partially_filled",
        "accepted",
        "pending_new",
        "accepted_for_bidding",
        "stopped",
        "suspended",
        "calculated",
        "done_for_day",
        "pending_cancel",
        "pending_replace",
        "held",
    ],
    S.WORKING,
)


class ImpossibleStep(ValueError):
    """A status change the table does not allow: a bug of ours or a broker out of its mind, never to be papered over."""


def status_from_broker(raw: str) -> OrderStatus:
    """Our status for Alpaca's; an unknown one is IN_DOUBT, so that the symbol is blocked and the loop lives."""
    return _FROM_BROKER.get(raw, S.IN_DOUBT)


@dataclass(frozen=True, slots=True)
class Wish:
    """What a strategy asks for. `role` is ENTRY (may add risk) or EXIT (closes the strategy's own shares).

    `stop_loss` and `take_profit` of an entry, USD per share: its shares get exits at these prices as soon as they are
    bought, which work at the broker while we are not there; a later entry's prices hold for the whole position.
    """

    symbol: str
    side: Side
    qty: Decimal
    role: Role = Role.ENTRY
    type: str = "market"
    time_in_force: str = "day"
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    reason: str = ""
    stop_loss: Decimal | None = None
    take_profit: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """An intent together with what the broker says of it.

    `position_id` is the position an exit was made for, `parent_id` the client order id of the order it hangs on (a leg)
    or came from (a replacement). `stop_loss` and `take_profit` of an entry are what its shares shall be protected with.
    `filled_qty` is what our fills cover, `broker_filled_qty` the most the broker ever claimed; while they differ the
    order needs attention. Times are exchange time. `attempts` counts requests that may have left.
    """

    client_order_id: str
    account_id: str
    session_id: str | None
    owner: str
    role: Role
    symbol: str
    side: Side
    type: str
    time_in_force: str
    qty: Decimal | None
    status: OrderStatus
    created_at: datetime
    updated_at: datetime
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    notional: Decimal | None = None
    decision_key: str = ""
    reason: str = ""
    valid_until: datetime | None = None
    attempts: int = 0
    broker_order_id: str | None = None
    broker_status: str | None = None
    broker_updated_at: datetime | None = None
    broker_filled_qty: Decimal = ZERO
    filled_qty: Decimal = ZERO
    filled_avg_price: Decimal | None = None
    cancel_asked_at: datetime | None = None
    late_at: datetime | None = None
    error: str | None = None
    position_id: str | None = None
    parent_id: str | None = None
    order_class: str = ""
    stop_loss: Decimal | None = None
    take_profit: Decimal | None = None

    @property
    def is_terminal(self) -> bool:
        return self.status in TERMINAL

    @property
    def needs_attention(self) -> bool:
        """Open, unresolved, or the broker executed shares we have not booked."""
        return self.status not in TERMINAL or self.filled_qty != self.broker_filled_qty

    @property
    def remaining(self) -> Decimal:
        """Signed shares that may still be executed; 0 once terminal, and for notional orders of unknown size."""
        if self.is_terminal or self.qty is None:
            return ZERO
        return self.side.sign * (self.qty - self.filled_qty)

    @property
    def is_ours(self) -> bool:
        return self.role is not Role.FOREIGN


@dataclass(frozen=True, slots=True)
class BrokerOrder:
    """One order as the broker shows it, exact; `status` is Alpaca's own word. `legs` are told only where an order is
    asked for by itself; in lists they are orders like any other, without a word of whose legs they are."""

    broker_order_id: str
    client_order_id: str
    symbol: str
    side: Side
    type: str
    time_in_force: str
    status: str
    filled_qty: Decimal
    submitted_at: datetime
    updated_at: datetime
    qty: Decimal | None = None
    notional: Decimal | None = None
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    filled_avg_price: Decimal | None = None
    replaced_by: str | None = None
    replaces: str | None = None
    order_class: str = ""
    legs: tuple["BrokerOrder", ...] = ()


def client_order_id(
    *, role: Role, owner: str, account_id: str, session_id: str, symbol: str, decision_key: str, version: int = 1
) -> str:
    """The id of an intent, computed from its cause: the same decision made twice is the same order.

    At most 48 characters of [a-z0-9-]; the readable part lets a lost database be rebuilt from the broker's history.
    """
    cause = "|".join((account_id, session_id, owner, symbol, role.value, decision_key, str(version)))
    digest = base64.b32encode(hashlib.sha256(cause.encode()).digest()[:15]).decode().lower()
    return f"{ID_PREFIX}{role.value}-{owner}-{digest[:20]}"


def parse_our_id(text: str) -> tuple[Role, str] | None:
    """Role and owner of an id in our form, None for anybody else's."""
    match = _OUR_ID.fullmatch(text)
    return (Role(match[1]), match[3]) if match else None


def owner_slug(strategy: str) -> str:
    """`sma_cross` -> `smacross`: at most twelve of [a-z0-9], never empty."""
    slug = re.sub(r"[^a-z0-9]", "", strategy.lower())[:12]
    if not slug:
        raise ValueError(f"the strategy name {strategy!r} holds no letter or digit")
    return slug


def step(order: Order, to: OrderStatus, at: datetime, **changes: object) -> Order:
    """The order after an allowed step; raises ImpossibleStep for any other."""
    if to not in ORDER_STEPS[order.status]:
        raise ImpossibleStep(f"order {order.client_order_id} cannot go from {order.status} to {to}")
    late = order.status in NEVER_ACCEPTED and to not in NEVER_ACCEPTED and order.late_at is None
    if late:
        changes["late_at"] = at
    return replace(order, status=to, updated_at=max(order.updated_at, at), **changes)


def observe(order: Order, seen: BrokerOrder, at: datetime) -> Order:
    """The order after a sighting at the broker; the same object when the sighting is old news.

    Larger cumulative quantity wins; then terminal over open; then the broker's later updated_at. Our receive time
    decides nothing.
    """
    status = status_from_broker(seen.status)
    if order.broker_order_id is not None and seen.broker_order_id != order.broker_order_id:
        raise ImpossibleStep(
            f"order {order.client_order_id} is {order.broker_order_id} at the broker, but an answer calls it "
            f"{seen.broker_order_id}"
        )
    if not _is_news(order, seen, status):
        return order
    at_most = max(order.broker_filled_qty, seen.filled_qty)
    to = status if status in ORDER_STEPS[order.status] else order.status
    facts: dict[str, object] = {
        "broker_order_id": seen.broker_order_id,
        "broker_status": seen.status,
        "broker_updated_at": seen.updated_at,
        "broker_filled_qty": at_most,
    }
    if seen.qty is not None and (order.qty is None or order.parent_id is not None):
        facts["qty"] = seen.qty  # the broker makes one exit of a group smaller when the other was executed in part
    return step(order, to, at, **facts)


def _is_news(order: Order, seen: BrokerOrder, status: OrderStatus) -> bool:
    if order.broker_order_id is None:
        return True
    if seen.filled_qty != order.broker_filled_qty:
        return seen.filled_qty > order.broker_filled_qty
    if order.status is S.ABSENT:
        return status in _AT_BROKER  # it was there after all
    if order.is_terminal:
        return False
    if status in TERMINAL:
        return True
    newer = order.broker_updated_at is None or seen.updated_at > order.broker_updated_at
    resized = order.parent_id is not None and seen.qty != order.qty
    return newer and (seen.status != order.broker_status or resized)


def same_parameters(order: Order, seen: BrokerOrder) -> list[str]:
    """Names of the parameters that differ; empty = the sighting is this intent. A collision is never touched."""
    differing = [
        name for name in ("symbol", "side", "type", "time_in_force") if getattr(order, name) != getattr(seen, name)
    ]
    for name in ("qty", "notional", "limit_price", "stop_price"):
        if order.parent_id is not None:
            break  # made by the broker, which may change it
        ours, theirs = getattr(order, name), getattr(seen, name)
        if ours is not None and ours != theirs:
            differing.append(name)
    return differing


def table() -> str:
    """The allowed steps as text, one line a status."""
    width = max(len(status) for status in OrderStatus)
    return "\n".join(
        f"{status:<{width}} -> {', '.join(to for to in OrderStatus if to in ORDER_STEPS[status]) or '(final)'}"
        for status in OrderStatus
    )
