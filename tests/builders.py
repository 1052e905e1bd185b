"""Values for the tests: orders, sightings, executions, bars, and whole random histories of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from random import Random
from typing import Any

from gambler_ai.domain import facts
from gambler_ai.domain.book import Book, Draft
from gambler_ai.domain.facts import Fact
from gambler_ai.domain.fills import Fill
from gambler_ai.domain.market import Bar
from gambler_ai.domain.money import ZERO, nine_places
from gambler_ai.domain.orders import BrokerOrder, Order, OrderStatus, Role, Side, client_order_id
from gambler_ai.domain.positions import EXTERNAL, Origin, Position, orphaned
from gambler_ai.domain.sightings import Execution, facts_of_sighting

ACCOUNT = "account-1"
SESSION = "session-1"
START = datetime(2013, 10, 7, 13, 30, tzinfo=UTC)
D = Decimal


def at(seconds: float = 0) -> datetime:
    return START + timedelta(seconds=seconds)


def an_id(key: str = "1", role: Role = Role.ENTRY, owner: str = "alpha", symbol: str = "SPY") -> str:
    return client_order_id(
        role=role, owner=owner, account_id=ACCOUNT, session_id=SESSION, symbol=symbol, decision_key=key
    )


def an_order(key: str = "1", **changes: Any) -> Order:
    """An intent to buy 100 SPY that was just committed as SENDING."""
    values: dict[str, Any] = {
        "account_id": ACCOUNT,
        "session_id": SESSION,
        "owner": "alpha",
        "role": Role.ENTRY,
        "symbol": "SPY",
        "side": Side.BUY,
        "type": "market",
        "time_in_force": "day",
        "qty": D(100),
        "status": OrderStatus.SENDING,
        "created_at": START,
        "updated_at": START,
        "decision_key": key,
        "attempts": 1,
    } | changes
    names = {"role": values["role"], "owner": values["owner"], "symbol": values["symbol"]}
    return Order(**{"client_order_id": an_id(key, **names)} | values)


def seen(order: Order, status: str = "new", filled: Decimal | int = 0, **changes: Any) -> BrokerOrder:
    """The order as the broker shows it; its broker id follows from ours."""
    values: dict[str, Any] = {
        "broker_order_id": order.broker_order_id or f"b-{order.client_order_id}",
        "client_order_id": order.client_order_id,
        "symbol": order.symbol,
        "side": order.side,
        "type": order.type,
        "time_in_force": order.time_in_force,
        "qty": order.qty,
        "limit_price": order.limit_price,
        "stop_price": order.stop_price,
        "status": status,
        "filled_qty": D(filled),
        "submitted_at": order.created_at,
        "updated_at": at(1),
    }
    return BrokerOrder(**values | changes)


def an_execution(cum: Any, qty: Any, price: Any, source: str = "stream", key: str | None = None) -> Execution:
    return Execution(D(cum), D(qty), D(price), at(2), source, key or f"x-{cum}")


def a_position(symbol: str = "SPY", owner: str = "alpha", quantity: Any = 100, **changes: Any) -> Position:
    values: dict[str, Any] = {
        "position_id": f"{symbol}-1",
        "account_id": ACCOUNT,
        "session_id": None,
        "symbol": symbol,
        "owner": owner,
        "origin": Origin.EXTERNAL if owner == EXTERNAL else Origin.OWN,
        "direction": "long" if D(quantity) > 0 else "short",
        "quantity": D(quantity),
        "entered_quantity": abs(D(quantity)),
        "entry_price": D(10),
        "entry_time": START,
    }
    return Position(**values | changes)


def bars(closes: Sequence[Any], symbol: str = "SPY") -> list[Bar]:
    """One bar a minute with these closes."""
    return [Bar(symbol, at(60 * n), D(c), D(c), D(c), D(c), D(1000)) for n, c in enumerate(closes)]


def commit(book: Book, found: Sequence[Fact], first_seq: int = 1) -> Draft:
    """Fold facts into a book in memory, as one transaction."""
    draft = Draft(book, ACCOUNT)
    for seq, fact in enumerate(found, first_seq):
        draft.apply(fact, seq)
    book.absorb(draft)
    return draft


def average(executions: Sequence[Execution]) -> Decimal | None:
    shares = sum((e.qty for e in executions), ZERO)
    return nine_places(sum((e.qty * e.price for e in executions), ZERO) / shares) if shares else None


@dataclass
class AtBroker:
    """An order as the broker has it: every execution so far, and how it ended."""

    order: Order
    executions: list[Execution] = field(default_factory=list)
    ended: str | None = None

    @property
    def filled(self) -> Decimal:
        return self.executions[-1].cum_qty if self.executions else ZERO

    def shown(self, upto: int | None = None) -> BrokerOrder:
        """As it is now, or as it was after `upto` executions."""
        known = self.executions[:upto]
        filled = known[-1].cum_qty if known else ZERO
        last = upto is None or upto == len(self.executions)
        open_word = "partially_filled" if filled else "new"
        status = "filled" if filled == self.order.qty else (self.ended if last and self.ended else open_word)
        moment = at(10 + len(known) + (100 if status == self.ended else 0))
        return seen(self.order, status, filled, filled_avg_price=average(known), updated_at=moment)


class Flow:
    """A random but consistent history of one account: orders of two owners and of strangers, executed, ended, and told
    of by events, snapshots and activities in any order and any number of times. Draws from `random` only."""

    def __init__(self, random: Random, book: Book) -> None:
        self.random = random
        self.book = book
        self.orders: list[AtBroker] = []
        self._number = count(1)

    def step(self) -> list[Fact]:
        """The facts of the next transaction; empty when what was told is old news."""
        acts = [self.intend, self.stranger, self.execute, self.execute, self.end, self.event, self.activities]
        return self.random.choice([*acts, self.snapshot, self.snapshot, self.event, self.hole, self.found])()

    def tell_everything(self) -> list[list[Fact]]:
        """What a look at the end adds, one transaction an order, applied to nothing yet."""
        return [self._sighting(one, one.shown(), self._activities(one), infer=True) for one in self.orders]

    def _new(self, **changes: Any) -> Order:
        key = str(next(self._number))
        side = self.random.choice(list(Side))
        qty = D(self.random.randint(1, 400)) / self.random.choice([1, 1, 8])
        return an_order(key, side=side, qty=qty, symbol=self.random.choice(["SPY", "IBM"]), **changes)

    def intend(self) -> list[Fact]:
        order = self._new(owner=self.random.choice(["alpha", "beta"]))
        self.orders.append(AtBroker(order))
        return [facts.order_intended(order)]

    def stranger(self) -> list[Fact]:
        order = self._new(owner=EXTERNAL, role=Role.FOREIGN, session_id=None)
        self.orders.append(AtBroker(replace(order, client_order_id=f"by-hand-{order.decision_key}")))
        return []

    def execute(self) -> list[Fact]:
        alive = [o for o in self.orders if not o.ended and o.order.qty and o.filled < o.order.qty]
        if alive:
            one = self.random.choice(alive)
            left = (one.order.qty or ZERO) - one.filled
            qty = left if self.random.random() < 0.4 else left / 4
            price = D(self.random.randint(1_000_000, 2_000_000)) / 10_000
            key = f"x-{one.order.client_order_id}-{len(one.executions)}"
            one.executions.append(Execution(one.filled + qty, qty, price, at(2), "activity", key))
        return []

    def end(self) -> list[Fact]:
        alive = [o for o in self.orders if not o.ended and o.filled != o.order.qty]
        if alive:
            self.random.choice(alive).ended = self.random.choice(["canceled", "expired"])
        return []

    def event(self) -> list[Fact]:
        """One execution, with the order as it was right after it."""
        one = self._any_executed()
        if one is None:
            return []
        number = self.random.randrange(len(one.executions))
        told = replace(one.executions[number], source="stream")
        return self._sighting(one, one.shown(number + 1), [told], infer=False)

    def snapshot(self) -> list[Fact]:
        if not self.orders:
            return []
        one = self.random.choice(self.orders)
        upto = self.random.randint(0, len(one.executions))
        return self._sighting(one, one.shown(upto), [], infer=True)

    def activities(self) -> list[Fact]:
        one = self._any_executed()
        return self._sighting(one, one.shown(), self._activities(one), infer=True) if one else []

    def hole(self) -> list[Fact]:
        """Now and then: shares of ours that nobody has any more."""
        held = self.book.open_positions(self.random.choice(["SPY", "IBM"]))
        if not held or self.random.random() < 0.7:
            return []
        return [facts.position_orphaned(orphaned(p, at(3)), {"ours": "1"}) for p in held]

    def found(self) -> list[Fact]:
        """Now and then: shares that nobody explains, in a symbol where we hold none."""
        symbol = self.random.choice(["SPY", "IBM"])
        if self.book.open_positions(symbol) or self.random.random() < 0.7:
            return []
        return [facts.position_imported(a_position(symbol, EXTERNAL, self.random.choice([-7, 12])), {"ours": "0"})]

    def _any_executed(self) -> AtBroker | None:
        return self.random.choice([o for o in self.orders if o.executions] or [None])

    def _activities(self, one: AtBroker) -> list[Execution]:
        return list(one.executions)

    def _sighting(self, one: AtBroker, shown: BrokerOrder, told: Sequence[Execution], *, infer: bool) -> list[Fact]:
        return facts_of_sighting(self.book, ACCOUNT, shown, told, at(5), why="a test", infer=infer)


def cash_of(fills: Sequence[Fill], side: Side) -> Decimal:
    """USD that these fills of an order brought (or, negative, cost)."""
    return -side.sign * sum((fill.value for fill in fills), ZERO)
