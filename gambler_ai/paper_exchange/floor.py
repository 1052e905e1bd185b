"""What the rules of trading may ask of the venue they work on; the venue knows them, they know only this."""

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

from gambler_ai.paper_exchange.account import Account, Balances
from gambler_ai.paper_exchange.book import Activity, Execution, Order
from gambler_ai.paper_exchange.calendar import Session, Sessions
from gambler_ai.paper_exchange.ids import Ids
from gambler_ai.paper_exchange.market import Quote
from gambler_ai.paper_exchange.resting import RestingBook
from gambler_ai.paper_exchange.splits import SplitMarket
from gambler_ai.paper_exchange.switches import Switches
from gambler_ai.paper_exchange.tickets import Ticket


class Changes(Protocol):
    """What will be stored."""

    orders: dict[str, Order]
    accounts: dict[str, Account]
    executions: list[Execution]
    activities: list[Activity]


class Floor(Protocol):
    """The venue as `intake`, `execution`, `groups`, `replacing`, `closing` and `actions` see it."""

    market: SplitMarket
    sessions: Sessions
    ids: Ids
    now: datetime
    session: Session | None
    point: Quote | None
    partial_fill_rate: Decimal
    book: RestingBook
    accounts: dict[str, Account]
    switches: Switches
    fault: Callable[[str, Order], Any]
    wall: Callable[[], datetime]

    @property
    def changes(self) -> Changes:
        """What will be stored."""

    def quote(self, symbol: str) -> Quote | None:
        """The quote in force."""

    def mark(self, symbol: str) -> Decimal:
        """The last trade."""

    def split_prices(self, symbol: str, ratio: Decimal) -> None:
        """From now on prices are of the new shares."""

    def balances(self, account: Account) -> Balances:
        """An account valued now."""

    def stamp(self) -> datetime:
        """The present moment, made unique."""

    def day_of(self, order: Order) -> Session | None:
        """The trading day an order may be filled in now, if any."""

    def expiry(self, time_in_force: str, extended_hours: bool) -> datetime:
        """When an order given now ends by itself."""

    def submit(self, account: Account, ticket: Ticket, source: str | None = None) -> dict[str, Any]:
        """Take an order; returns it as the answer shows it."""

    def start(self, order: Order) -> None:
        """Bring an accepted order to the market, or let it wait for its hours."""

    def attempt(self, order: Order) -> None:
        """Evaluate one order now."""

    def fill(self, order: Order, qty: Decimal, price: Decimal) -> None:
        """Book one execution and tell it."""

    def cancel(self, order: Order) -> None:
        """Take an order back."""

    def end(self, order: Order, status: str, alone: bool = False) -> None:
        """An order ends unfilled."""

    def resume(self, order: Order) -> None:
        """What was pending did not happen."""

    def changed(self, order: Order) -> datetime:
        """Note a change of an order."""

    def tell_order(self, order: Order, event: str, execution: Execution | None = None) -> None:
        """Tell an event."""
