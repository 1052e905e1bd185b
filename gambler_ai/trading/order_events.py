"""Order events of the stream: what each says of its order is booked, and what it leaves open is left to a look."""

from dataclasses import dataclass

from gambler_ai.broker.gateway import OrderEvent
from gambler_ai.clock import Clock
from gambler_ai.crashpoints import crashpoint
from gambler_ai.domain import facts
from gambler_ai.domain.book import Book
from gambler_ai.domain.fills import Fill
from gambler_ai.domain.orders import BrokerOrder
from gambler_ai.domain.reconciliation import Action, about_order
from gambler_ai.domain.sightings import STREAM, Execution, replaces_unknown
from gambler_ai.logs import get_logger
from gambler_ai.trading.state_manager import StateManager

log = get_logger("events")


@dataclass(frozen=True, slots=True)
class Heard:
    """What an event did, None when it was old news, and why only a look can tell the rest, or nothing."""

    action: Action | None = None
    look: str = ""


@dataclass
class OrderEvents:
    """See the module's text."""

    state: StateManager
    clock: Clock

    def take(self, event: OrderEvent) -> Heard:
        """Book one event, in one transaction with the halt it may call for."""
        seen = event.order
        if not seen.symbol:
            return Heard()  # the parent of a multi-leg option order; its legs are orders of their own
        book, now = self.state.book, self.clock.now()
        action = about_order(self.state.account_id, book, seen, _executions(event), now, why=f"event {event.event}")
        if action is not None:
            filled = any(fact.kind == facts.FILL_BOOKED for fact in action.facts)
            crashpoint("fill.before_commit" if filled else "event.before_commit")
            self.state.apply(action, with_strategy=filled)
            crashpoint("fill.after_commit" if filled else "event.after_commit")
            if action.halts:
                log.error(f"order.{action.row.lower()}", symbol=action.symbol, why=action.reason)
        return Heard(action, _left_open(book, seen, action))


def _executions(event: OrderEvent) -> list[Execution]:
    if event.qty is None or event.price is None:
        return []
    return [Execution(event.order.filled_qty, event.qty, event.price, event.at, STREAM, event.execution_id)]


def _left_open(book: Book, seen: BrokerOrder, action: Action | None) -> str:
    if action is not None and action.halts:
        return "an order event stopped its symbol"
    if action is not None and any(isinstance(fact.subject, Fill) and fact.subject.inferred for fact in action.facts):
        return "an execution is missing below one we know"
    held = book.orders.get(seen.client_order_id)
    if held is not None and held.broker_filled_qty > held.filled_qty:
        return "shares were executed that no execution explains"
    if action is None and held is None and replaces_unknown(book, seen):
        return "an order came in the place of one that nobody knows"
    return ""
