"""Orders and executions, and the indexes that find them.

An order lives here for ever: client order ids are never free again, and history pages read this book.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

ZERO = Decimal(0)
OPEN = frozenset({"new", "accepted", "pending_new", "partially_filled", "pending_cancel"})
NANO = Decimal("0.000000001")


@dataclass(slots=True)
class Order:
    """One order as the exchange sees it. Quantities in shares, prices in USD, times aware UTC.

    Exactly one of `qty` and `notional` is set; `target` is the quantity to fill, known for a notional order
    only from its first execution on. `reserve_price` is what one share of an opening order reserves of the
    buying power; None for a closing order, which holds `held_qty` shares instead.
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

    @property
    def is_open(self) -> bool:
        """May still be filled or cancelled."""
        return self.status in OPEN

    @property
    def remaining(self) -> Decimal | None:
        """Shares still to fill; None while a notional order has not begun."""
        return None if self.target is None else self.target - self.filled_qty

    @property
    def reserved(self) -> Decimal:
        """Buying power in USD this order holds back."""
        if self.reserve_price is None or not self.is_open:
            return ZERO
        if self.notional is not None:
            return max(ZERO, self.notional - self.filled_cost)
        return self.reserve_price * (self.remaining or ZERO)

    @property
    def held(self) -> Decimal:
        """Shares of the position this closing order keeps from others."""
        return max(ZERO, self.held_qty - self.filled_qty) if self.is_open else ZERO


@dataclass(frozen=True, slots=True)
class Execution:
    """One fill. `cum_qty` and `leaves_qty` are the order's after it, `position_qty` the account's, signed."""

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


@dataclass(slots=True)
class Book:
    """All orders and executions of one exchange, with the indexes the rest of the room needs."""

    by_id: dict[str, Order] = field(default_factory=dict)
    by_client_id: dict[tuple[str, str], Order] = field(default_factory=dict)
    by_account: dict[str, list[Order]] = field(default_factory=dict)
    working: dict[str, dict[str, Order]] = field(default_factory=dict)
    working_of: dict[str, dict[str, Order]] = field(default_factory=dict)
    executions: dict[str, list[Execution]] = field(default_factory=dict)

    def add(self, order: Order) -> None:
        """Enter an order; its client order id is taken from now on."""
        self.by_id[order.id] = order
        self.by_client_id[order.account, order.client_order_id] = order
        self.by_account.setdefault(order.account, []).append(order)
        if order.is_open:
            self.working.setdefault(order.symbol, {})[order.id] = order
            self.working_of.setdefault(order.account, {})[order.id] = order

    def settle(self, order: Order) -> None:
        """Take an order that has ended out of the working indexes."""
        symbol_orders = self.working.get(order.symbol, {})
        symbol_orders.pop(order.id, None)
        if not symbol_orders:
            self.working.pop(order.symbol, None)
        self.working_of.get(order.account, {}).pop(order.id, None)

    def open_orders(self, account: str, symbol: str | None = None) -> Iterator[Order]:
        """An account's working orders, oldest first; of one symbol, or of all."""
        for order in self.working_of.get(account, {}).values():
            if symbol is None or order.symbol == symbol:
                yield order
