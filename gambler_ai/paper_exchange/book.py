"""Orders, executions and other activities, and the indexes that find them.

An order lives here for ever: client order ids are never free again, and history pages read this book.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import TypeVar

from sortedcontainers import SortedKeyList

ZERO = Decimal(0)
OPEN = frozenset({"new", "accepted", "pending_new", "partially_filled", "pending_cancel", "pending_replace"})
ALIVE = OPEN | {"held"}
NANO = Decimal("0.000000001")


@dataclass(slots=True)
class Order:
    """One order as the exchange sees it. Quantities in shares, prices in USD, times aware UTC.

    Exactly one of `qty` and `notional` is set; `target` is the quantity to fill, known for a notional order
    only from its first execution on. `reserve_price` is what one share of an opening order reserves of the
    buying power; None for a closing order, which holds `held_qty` shares instead.

    `group` is the id of the first order of a bracket, oco or oto, `role` the part it plays there: entry,
    take_profit or stop_loss. `active` is False while it waits for another order: a leg for its entry, a
    replacement for the order it replaces, which `covered` of its needs still belong to. `due` is when a
    pending cancel or replace is decided, in exchange time, `due_wall` the same in wall time; until then `resume`
    is the status to fall back to. `wall_at` and `ended_wall_at` are wall times for examiners: taken, and not alive
    any more.
    """

    id: str
    account: str
    client_order_id: str
    seq: int
    symbol: str
    side: str
    type: str
    time_in_force: str
    qty: Decimal | None
    notional: Decimal | None
    limit_price: Decimal | None
    stop_price: Decimal | None
    position_intent: str
    extended_hours: bool
    status: str
    created_at: datetime
    submitted_at: datetime
    updated_at: datetime
    expires_at: datetime
    reserve_price: Decimal | None = None
    held_qty: Decimal = ZERO
    target: Decimal | None = None
    filled_qty: Decimal = ZERO
    filled_cost: Decimal = ZERO
    triggered: bool = False
    filled_at: datetime | None = None
    expired_at: datetime | None = None
    canceled_at: datetime | None = None
    failed_at: datetime | None = None
    source: str | None = None
    order_class: str = ""
    group: str | None = None
    role: str = ""
    active: bool = True
    replaces: str | None = None
    replaced_by: str | None = None
    replaced_at: datetime | None = None
    trail_price: Decimal | None = None
    trail_percent: Decimal | None = None
    hwm: Decimal | None = None
    due: datetime | None = None
    due_wall: datetime | None = None
    resume: str = ""
    covered: Decimal = ZERO
    wall_at: datetime | None = None
    ended_wall_at: datetime | None = None

    @property
    def is_open(self) -> bool:
        """Listed as open: may still be filled or cancelled, and is not held."""
        return self.status in OPEN

    @property
    def is_alive(self) -> bool:
        """Has not ended; a held leg is alive, although it is not listed as open."""
        return self.status in ALIVE

    @property
    def is_pending(self) -> bool:
        """Whether a cancel or a replace of it is still undecided."""
        return self.due is not None or self.due_wall is not None

    @property
    def is_leg(self) -> bool:
        """Whether it is listed under another order: everything in a group but its head."""
        return self.role not in ("", "take_profit" if self.order_class == "oco" else "entry")

    @property
    def remaining(self) -> Decimal | None:
        """Shares still to fill; None while a notional order has not begun."""
        return None if self.target is None else self.target - self.filled_qty

    @property
    def reserved(self) -> Decimal:
        """Buying power in USD this order holds back."""
        if self.reserve_price is None or not self.is_alive:
            return ZERO
        if self.notional is not None:
            return max(ZERO, self.notional - self.filled_cost)
        return max(ZERO, self.reserve_price * (self.remaining or ZERO) - self.covered)

    @property
    def held(self) -> Decimal:
        """Shares of the position this closing order keeps from others."""
        if not self.held_qty or not self.is_alive:
            return ZERO
        return max(ZERO, self.held_qty - self.filled_qty - self.covered)


@dataclass(frozen=True, slots=True)
class Execution:
    """One fill. `cum_qty` and `leaves_qty` are the order's after it, `position_qty` the account's, signed. `at` is
    exchange time, `wall_at` wall time."""

    id: str
    seq: int
    account: str
    order_id: str
    client_order_id: str
    symbol: str
    side: str
    activity_side: str
    qty: Decimal
    price: Decimal
    cum_qty: Decimal
    leaves_qty: Decimal
    position_qty: Decimal
    order_status: str
    at: datetime
    wall_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Activity:
    """What changed an account without a trade: a journal, a dividend, one leg of a split or of a name change.

    `net_amount` is the money it moved, in USD; `qty` the shares: those a leg takes or gives, signed, or those a
    dividend was paid for. `price` is per share, of a leg. The legs of one event share their `group`.
    """

    id: str
    seq: int
    account: str
    type: str
    sub_type: str | None
    at: datetime
    net_amount: Decimal
    description: str
    symbol: str | None = None
    qty: Decimal | None = None
    price: Decimal | None = None
    per_share: Decimal | None = None
    group: str | None = None


@dataclass(slots=True)
class Book:
    """All orders, executions and other activities of one exchange, with the indexes the rest of the room needs.

    `working` are the orders a quote of a symbol may move. The clock alone may move those that are `due` at a moment
    of exchange time, `held_up` until one of wall time, or `extended`, at the edges of extended hours.
    `reserved` the buying power in USD that an account's orders hold back together. Shares that closing orders of
    one side hold are summed up likewise.
    """

    by_id: dict[str, Order] = field(default_factory=dict)
    by_client_id: dict[tuple[str, str], Order] = field(default_factory=dict)
    by_account: dict[str, list[Order]] = field(default_factory=dict)
    groups: dict[str, list[Order]] = field(default_factory=dict)
    working: dict[str, dict[str, Order]] = field(default_factory=dict)
    due: SortedKeyList = field(default_factory=lambda: SortedKeyList(key=lambda rung: rung[:2]))
    held_up: dict[str, Order] = field(default_factory=dict)
    extended: dict[str, Order] = field(default_factory=dict)
    executions: dict[str, list[Execution]] = field(default_factory=dict)
    activities: dict[str, list[Activity]] = field(default_factory=dict)
    recorded: dict[str, Execution | Activity] = field(default_factory=dict)
    reserved: dict[str, Decimal] = field(default_factory=dict)
    _reserves: dict[str, Decimal] = field(default_factory=dict)
    _held: dict[tuple[str, str, str], Decimal] = field(default_factory=dict)
    _holds: dict[str, Decimal] = field(default_factory=dict)
    _standing: dict[str, tuple[bool, bool, datetime | None, datetime | None]] = field(default_factory=dict)
    _dues: dict[str, tuple[datetime, int, Order]] = field(default_factory=dict)
    _alive: dict[str, dict[str, Order]] = field(default_factory=dict)
    _alive_in: dict[tuple[str, str], dict[str, Order]] = field(default_factory=dict)

    def add(self, order: Order) -> None:
        """Enter an order; its client order id is taken from now on. `index` puts it where it belongs."""
        self.by_id[order.id] = order
        self.by_client_id[order.account, order.client_order_id] = order
        self.by_account.setdefault(order.account, []).append(order)
        if order.group:
            self.groups.setdefault(order.group, []).append(order)

    def record(self, entry: Execution | Activity) -> None:
        """Enter what has happened to an account; to be called in the order of time."""
        if isinstance(entry, Execution):
            self.executions.setdefault(entry.account, []).append(entry)
        else:
            self.activities.setdefault(entry.account, []).append(entry)
        self.recorded[entry.id] = entry

    def index(self, order: Order) -> None:
        """Put an order where it now belongs; to be called when anything of it has changed."""
        alive = order.is_alive
        _sum_up(self.reserved, self._reserves, order.account, order.id, order.reserved)
        _sum_up(self._held, self._holds, (order.account, order.symbol, order.side), order.id, order.held)
        standing = alive, alive and order.active, order.due, order.due_wall
        if self._standing.get(order.id) == standing:
            return
        if alive:
            self._standing[order.id] = standing
        else:
            self._standing.pop(order.id, None)
        _place(self._alive, order.account, order, alive)
        _place(self._alive_in, (order.account, order.symbol), order, alive)
        _place(self.working, order.symbol, order, standing[1])
        _put(self.held_up, order, alive and order.due_wall is not None)
        _put(self.extended, order, alive and order.extended_hours and not order.is_pending)
        if order.id in self._dues:
            self.due.remove(self._dues.pop(order.id))
        if alive and order.due:
            self._dues[order.id] = order.due, order.seq, order
            self.due.add(self._dues[order.id])

    def held(self, account: str, symbol: str, side: str) -> Decimal:
        """Shares of a position that an account's closing orders of this side hold."""
        return self._held.get((account, symbol, side), ZERO)

    def held_by_others(self, order: Order) -> Decimal:
        """`held`, without what this order itself held when it was indexed."""
        return self.held(order.account, order.symbol, order.side) - self._holds.get(order.id, ZERO)

    @property
    def timed(self) -> bool:
        """Whether the clock alone may move any order."""
        return bool(self.due or self.held_up or self.extended)

    def due_until(self, at: datetime) -> list[Order]:
        """Pending orders to be decided by now, the earliest first."""
        return [order for due, _, order in self.due.irange_key(max_key=(at, sys.maxsize))]

    def alive(self, account: str, symbol: str | None = None) -> Iterator[Order]:
        """An account's orders that have not ended, oldest first; of one symbol, or of all."""
        found = self._alive.get(account) if symbol is None else self._alive_in.get((account, symbol))
        return iter((found or {}).values())

    def queue(self, symbol: str | None = None) -> list[Order]:
        """Orders a quote may move, oldest first; of one symbol, or of all."""
        rows = self.working.values() if symbol is None else [self.working.get(symbol, {})]
        return sorted((order for row in rows for order in row.values()), key=lambda order: order.seq)

    def members(self, order: Order) -> list[Order]:
        """The other orders of its group that have not ended."""
        group = self.groups.get(order.group, []) if order.group else []
        return [one for one in group if one is not order and one.is_alive]

    def legs(self, order: Order) -> list[Order] | None:
        """What is listed under the head of a group: the latest order of each role; None for other orders."""
        if not order.group or order.is_leg or self._role_passed_on(order):
            return None
        latest = {one.role: one for one in self.groups[order.group] if one.is_leg}
        return list(latest.values())

    def _role_passed_on(self, order: Order) -> bool:
        return order.status == "replaced" and self.by_id[order.replaced_by or ""].role == order.role


_Key = TypeVar("_Key")


def _put(index: dict[str, Order], order: Order, here: bool) -> None:
    if here:
        index[order.id] = order
    else:
        index.pop(order.id, None)


def _sum_up(sums: dict[_Key, Decimal], parts: dict[str, Decimal], key: _Key, order_id: str, now: Decimal) -> None:
    """Keep a sum over orders, so that nobody has to add up ten thousand of them."""
    before = parts.get(order_id, ZERO)
    if now == before:
        return
    sums[key] = sums.get(key, ZERO) + now - before
    if now:
        parts[order_id] = now
    else:
        del parts[order_id]


def _place(index: dict[_Key, dict[str, Order]], key: _Key, order: Order, here: bool) -> None:
    """Put an order into its row of an index, or take it out; a row never stays empty."""
    if here:
        index.setdefault(key, {}).setdefault(order.id, order)
    elif (row := index.get(key)) is not None:
        row.pop(order.id, None)
        if not row:
            del index[key]
