"""Settling orders in doubt: at start, after a reconnect and on every tick, by the same code.

Found under its id: the broker's word counts. Not found: an exit, or, in a running session, an entry whose signal is
still valid, is sent again under the same id; anything else waits until the settle window is over and three reads by
two paths agree that it is absent. Absent is revocable: every look matches every broker order against every intent; an
entry that shows up late is cancelled, and what it filled is kept.
"""

from collections.abc import Set
from dataclasses import dataclass, field
from datetime import timedelta

from gambler_ai.broker.gateway import Gateway
from gambler_ai.clock import Clock
from gambler_ai.crashpoints import crashpoint
from gambler_ai.domain.orders import UNRESOLVED, Order, OrderStatus, Role
from gambler_ai.domain.sightings import absent
from gambler_ai.errors import BrokerRefusesUs, BrokerUnreachable, RateLimited
from gambler_ai.logs import get_logger
from gambler_ai.trading.look import ORDERS_OVERLAP
from gambler_ai.trading.order_desk import OrderDesk
from gambler_ai.trading.state_manager import StateManager

log = get_logger("in_doubt")

AGREEING_READS = 3
FIRST_WAIT_S = 0.25
LONGEST_WAIT_S = 30.0
NOWHERE = "found neither by its id nor in the list of all orders after the settle window; taken back should it show up"
NOTHING = frozenset[Role]()
EXITS = frozenset(Role) - {Role.ENTRY}
EVERYTHING = frozenset(Role)
RETRY_WITHIN = timedelta(hours=20)
"""Retries rest on the broker remembering client order ids; for how long is not documented, a trading day is safe."""


@dataclass
class _Doubt:
    since: float
    next_try: float
    wait_s: float = FIRST_WAIT_S
    misses: int = 0


@dataclass
class InDoubt:
    """`settle_s` counts from when this process first saw the doubt: a dead process's clock is not trusted."""

    state: StateManager
    desk: OrderDesk
    gateway: Gateway
    clock: Clock
    settle_s: float
    _doubts: dict[str, _Doubt] = field(default_factory=dict)

    def orders(self) -> list[Order]:
        return [order for order in self.state.book.orders.values() if order.status in UNRESOLVED and order.is_ours]

    def late_entries(self) -> list[Order]:
        """Entries that were given up and then showed up, still open: nobody wants them any more."""
        live = (o for o in self.state.book.orders.values() if o.status is OrderStatus.WORKING)
        return [order for order in live if order.late_at is not None and order.role is Role.ENTRY]

    @property
    def has_work(self) -> bool:
        return bool(self.orders() or self.late_entries())

    def settle(self, again: Set[Role] = EVERYTHING) -> int:
        """Look once after every order that is due, exits first; returns how many are still in doubt. Never waits.

        Orders of the roles `again` may be sent again. At a start nothing is, before the books know today's fills; then
        exits; entries only by a running session, which looks after what they buy.
        """
        now = self.clock.monotonic()
        waiting = sorted([*self.orders(), *self.late_entries()], key=lambda order: order.role is Role.ENTRY)
        self._doubts = {o.client_order_id: self._doubts.get(o.client_order_id) or _Doubt(now, now) for o in waiting}
        for order in waiting:
            doubt = self._doubts[order.client_order_id]
            if now < doubt.next_try:
                continue
            try:
                if order.status is OrderStatus.WORKING:
                    self.desk.cancel(order, "an entry that showed up late")
                else:
                    self._look_after(order, doubt, now, again)
            except (BrokerUnreachable, RateLimited, BrokerRefusesUs) as error:
                log.warning("in_doubt.no_answer", client_order_id=order.client_order_id, error=str(error))
            if again:
                doubt.wait_s = min(doubt.wait_s * 2, LONGEST_WAIT_S, max(FIRST_WAIT_S, self.settle_s / 4))
                doubt.next_try = now + doubt.wait_s
        return len(self.orders())

    def _look_after(self, order: Order, doubt: _Doubt, now: float, again: Set[Role]) -> None:
        crashpoint("recovery.before_lookup")
        seen = self.gateway.order_by_client_id(order.client_order_id)
        crashpoint("recovery.after_lookup")
        if seen is not None:
            crashpoint("recovery.before_resolve")
            self.desk.found(order, seen, "found by its client order id")
            crashpoint("recovery.after_resolve")
        elif not again or now < self.desk.not_before:
            return  # the broker named a time to come back: nobody refused, and nothing is absent
        elif order.role in again and self._may_send_again(order):
            self.desk.send_again(order)
        elif now - doubt.since >= self.settle_s:
            self._count_absence(order, doubt)

    def _may_send_again(self, order: Order) -> bool:
        if self.clock.now() - order.created_at > RETRY_WITHIN:
            return False
        if order.role is Role.ENTRY and (order.valid_until is None or self.clock.now() > order.valid_until):
            return False
        return self.desk.may_send_again(order)

    def _count_absence(self, order: Order, doubt: _Doubt) -> None:
        """The second path: the list of all orders since shortly before the intent, read to its end."""
        listed = self.gateway.orders_since(order.created_at - ORDERS_OVERLAP)
        seen = next((o for o in listed if o.client_order_id == order.client_order_id), None)
        if seen is not None:
            self.desk.found(order, seen, "found in the list of orders")
            return
        doubt.misses += 1
        if doubt.misses >= AGREEING_READS:
            _, fact = absent(order, self.clock.now(), NOWHERE)
            crashpoint("recovery.before_resolve")
            self.state.record([fact])
            crashpoint("recovery.after_resolve")
            log.info("order.absent", client_order_id=order.client_order_id)
