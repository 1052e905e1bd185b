"""The door to a broker: what the trading house may ask, and the three ways an answer can end.

Two implementations: `alpaca.AlpacaGateway` over HTTP through alpaca-py, and `direct.DirectGateway` into an exchange
in this process. Both are held to tests/contract.

Consequences, not causes:
  submit/cancel  -> Accepted | Refused | raises OutcomeUnknown (it may have happened)
                    raises BrokerUnreachable only when certainly no byte of the request left
                    raises RateLimited on 429
  every read     -> the whole answer, paged to its end, or an exception; never a part of it
                    raises BrokerUnreachable for anything that is not a complete, well-formed answer
                    raises BrokerRefusesUs on 401/403
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Protocol

from gambler_ai.domain.corporate import ShareChange
from gambler_ai.domain.market import Bar, Quote, TradingDay
from gambler_ai.domain.orders import BrokerOrder, Order


@dataclass(frozen=True, slots=True)
class Accepted:
    """The broker has the order."""

    order: BrokerOrder


@dataclass(frozen=True, slots=True)
class Refused:
    """An explicit 4xx JSON answer with a parsed code. `must_look` = 422 or 409: it may be our own earlier attempt."""

    http_status: int
    code: int
    message: str

    @property
    def must_look(self) -> bool:
        return self.http_status in (409, 422)

    @property
    def is_repeated(self) -> bool:
        """The broker says that it has an order under this id: a look-up that does not find it lags."""
        words = self.message.lower().replace("_", " ")
        return self.must_look and "client order id" in words and "unique" in words


@dataclass(frozen=True, slots=True)
class BrokerAccount:
    """Amounts in USD. `account_id` is Alpaca's uuid, `number` its readable one (paper accounts begin with PA)."""

    account_id: str
    number: str
    status: str
    equity: Decimal
    cash: Decimal
    buying_power: Decimal
    trading_blocked: bool


@dataclass(frozen=True, slots=True)
class BrokerPosition:
    """Net position of a symbol; `qty` signed, short is negative."""

    symbol: str
    qty: Decimal
    avg_entry_price: Decimal


@dataclass(frozen=True, slots=True)
class FillActivity:
    """One execution from the account's history: shares (cum_qty - qty, cum_qty] of an order at `price`."""

    activity_id: str
    execution_id: str
    broker_order_id: str
    symbol: str
    side: str
    qty: Decimal
    cum_qty: Decimal
    price: Decimal
    at: datetime


@dataclass(frozen=True, slots=True)
class MarketClock:
    now: datetime
    is_open: bool
    next_open: datetime
    next_close: datetime


@dataclass(frozen=True, slots=True)
class OrderEvent:
    """A trade_updates frame. The execution fields are set on fill and partial_fill only; `qty` is that execution's."""

    event: str
    order: BrokerOrder
    at: datetime
    execution_id: str | None = None
    qty: Decimal | None = None
    price: Decimal | None = None


@dataclass(frozen=True, slots=True)
class StreamState:
    """A stream came up (`listening`, acknowledged by the server) or its events may have a gap from here on."""

    stream: str
    listening: bool
    detail: str = ""


Enqueue = Callable[[OrderEvent | Bar | Quote | StreamState], None]


class Gateway(Protocol):
    """See the module's text for how each call can end. Calls are made from the loop's thread only.

    `answered` is called after every answer to a read: whoever waits for long work sees that it goes on.
    """

    answered: Callable[[], None]

    def submit(self, order: Order) -> Accepted | Refused:
        """POST the order once, with its client_order_id. Never repeats by itself."""

    def cancel(self, broker_order_id: str) -> Accepted | Refused | None:
        """DELETE the order; None = 204, taken but not yet canceled."""

    def order_by_client_id(self, client_order_id: str) -> BrokerOrder | None:
        """With its legs. None = 404, which proves nothing before the settle window is over."""

    def order_by_id(self, broker_order_id: str) -> BrokerOrder | None:
        """With its legs."""

    def open_orders(self) -> list[BrokerOrder]:
        """Every open order, all pages, oldest first (nested=false)."""

    def orders_since(self, after: datetime) -> list[BrokerOrder]:
        """Every order of any status submitted after this time, all pages, oldest first."""

    def orders_of(self, symbol: str) -> list[BrokerOrder]:
        """Every order of one symbol the broker remembers, all pages, oldest first."""

    def fills_since(self, after: datetime) -> list[FillActivity]:
        """Every FILL activity after this time, all pages, oldest first."""

    def share_changes_since(self, after: datetime) -> list[ShareChange]:
        """Every activity after this time that moved shares without a trade, all pages, oldest first."""

    def positions(self) -> list[BrokerPosition]: ...

    def position(self, symbol: str) -> BrokerPosition | None:
        """One symbol's position by its own endpoint; None = 404, flat."""

    def account(self) -> BrokerAccount: ...

    def clock(self) -> MarketClock: ...

    def calendar(self, start: date, end: date) -> list[TradingDay]: ...

    def tradable(self, symbol: str) -> bool | None:
        """Whether the symbol may be traded; None = the broker does not know it."""

    def bars(self, symbols: Sequence[str], start: datetime, end: datetime) -> list[Bar]:
        """Complete minute bars whose end is not after `end`, ordered by start, then symbol."""

    def listen(self, enqueue: Enqueue, symbols: Sequence[str]) -> None:
        """Open the order stream, and the bar stream for `symbols` (none = orders only); their threads only enqueue."""

    def abort(self) -> None:
        """From any thread: end the request in flight now; its call raises as if the connection was reset."""

    def close(self) -> None:
        """End streams and connections. May be called twice."""
