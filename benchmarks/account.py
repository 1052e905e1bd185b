"""An account that is worth recovering: so many positions and orders, at a local exchange and in the books of a process
that died. Everything is in this process, by the direct gateway; every commit of the books is synced.
"""

import gc
import json
import shutil
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

from gambler_ai.broker.alpaca_rest import ACTIVITIES_PAGE, ORDERS_PAGE, Reply
from gambler_ai.broker.direct import DirectGateway
from gambler_ai.broker.gateway import Accepted
from gambler_ai.clock import ExchangeClock
from gambler_ai.domain import facts
from gambler_ai.domain.market import iso
from gambler_ai.domain.orders import Order, OrderStatus, Role, Side, client_order_id, observe
from gambler_ai.domain.sessions import Session, SessionStatus
from gambler_ai.paper_exchange.exchange import Exchange
from gambler_ai.paper_exchange.markets import open_market
from gambler_ai.storage.database import Database
from gambler_ai.storage.holder import Holder
from gambler_ai.trading.house import House, Parts, Rules
from gambler_ai.trading.look import FILLS_OVERLAP, ORDERS_OVERLAP
from gambler_ai.trading.messages import Inbox
from gambler_ai.trading.shutdown import Shutdown

OPEN = datetime(2026, 11, 20, 14, 30, tzinfo=UTC)  # a Friday
KEYS = ("PKBENCH", "benchmark-only-no-secret")
NO_LIMIT = 1_000_000_000
TOUCHED, LOW = Decimal(5), Decimal(1)
BOUND, ORDERED, DIED, BACK = (OPEN + timedelta(minutes=minute) for minute in (2, 3, 4, 12))
FELL = 8
"""The minute in which prices fall through the resting orders that somebody wanted filled."""


@dataclass
class Counting:
    """What the house asks of the exchange, by method and kind of path."""

    asked: Counter[str] = field(default_factory=Counter)

    def before(self, method: str, path: str) -> Reply | None:
        self.asked[f"{method} {path.removeprefix('/v2/').split('/')[0]}"] += 1
        return None

    def after(self, method: str, path: str, answer: Reply) -> Reply:
        return answer


@dataclass(frozen=True, slots=True)
class Recovered:
    """Seconds until the books were open, and from there until they were proven; actions applied, requests sent."""

    opening_s: float
    recovery_s: float
    applied: int
    asked: Counter[str]

    @property
    def requests(self) -> int:
        return sum(self.asked.values())


@dataclass
class Account:
    """`positions` symbols with one share each, and `orders` resting buys in them.

    While nobody looked the price fell through the first `filled` orders; the last `in_doubt` are at the broker, and the
    books never heard the answer. The journal has at least `rows` rows.
    """

    folder: Path
    positions: int
    orders: int
    filled: int = 0
    in_doubt: int = 0
    rows: int = 0

    def __post_init__(self) -> None:
        self.symbols = tuple(f"B{number:04d}" for number in range(self.positions))
        tape = self.folder / "tape"
        tape.mkdir(parents=True)
        for name in self.symbols:
            _write_symbol(tape / f"{name}.csv")
        market, wall = open_market(f"tape:{tape}"), ExchangeClock().wall
        self.exchange = Exchange.open(":memory:", market, BOUND, wall, partial_fill_rate=0)
        self.counting = Counting()
        self.doubtful: list[str] = []
        self._prepare()

    def _prepare(self) -> None:
        house = self.house(self.folder / "prepared")
        state = house.open().state
        state.open_session(_session(state.account_id, self.symbols[:1]))
        self.exchange.advance_to(ORDERED)
        house.parts.clock.observe(ORDERED)
        self._send(house, [_order(state.account_id, name, "market", None) for name in self.symbols])
        self.exchange.advance_to(DIED)
        house.recovery()[0].reconciler.round()
        assert len(state.book.open_positions()) == self.positions
        resting = [
            _order(
                state.account_id, self.symbols[n % self.positions], f"limit {n}", TOUCHED if n < self.filled else LOW
            )
            for n in range(self.orders)
        ]
        known, unheard = resting[: self.orders - self.in_doubt], resting[self.orders - self.in_doubt :]
        self._send(house, known)
        house.recovery()[0].reconciler.round()
        self._send(house, unheard, answered=False)
        self.doubtful = [order.client_order_id for order in unheard]
        self.lengthen(house, self.rows)
        house.close()
        self.exchange.advance_to(BACK)
        gc.collect()
        gc.freeze()  # in life the exchange is another process, whose memory no collection of ours goes through

    def _send(self, house: House, orders: Sequence[Order], *, answered: bool = True) -> None:
        """Write the intents, send them all, and write the answers, unless they were lost."""
        state = house.books.state
        state.record([facts.order_intended(order) for order in orders])
        outcomes = []
        for order in orders:
            answer = house.parts.gateway.submit(order)
            assert isinstance(answer, Accepted), answer
            outcomes.append(facts.order_changed(order, observe(order, answer.order, ORDERED), "accepted"))
        if answered:
            state.record(outcomes)

    def lengthen(self, house: House, rows: int) -> None:
        """Make the journal so long as that of a long life."""
        state = house.books.state
        while state.head.seq < rows:
            state.record([facts.note("benchmark", {"number": n}) for n in range(min(rows - state.head.seq, 10_000))])

    def house(self, folder: Path) -> House:
        """A process's house over the books in this folder, on the machine's own time; nobody has opened it."""
        folder.mkdir(exist_ok=True)
        clock = ExchangeClock()
        gateway = DirectGateway(self.exchange, *KEYS, clock, fault=self.counting, max_posts_per_minute=NO_LIMIT)
        return House(
            Parts(
                database=Database(f"sqlite:///{folder / 'gambler.db'}"),
                gateway=gateway,
                clock=clock,
                shutdown=Shutdown(),
                inbox=Inbox(),
                label="bench",
                endpoint="direct",
                data_dir=folder,
                rules=Rules(),
                default_symbols=self.symbols[:1],
                chance=Random(1),
                holder=Holder("bench", "", 1, "", "0"),
                create_tables=True,
                lease_thread=False,
            )
        )

    def copy(self) -> Path:
        """The dead process's books once more: a recovery changes them."""
        folder = self.folder / "copy"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.folder / "prepared", folder)
        return folder

    def recover(self, folder: Path) -> Recovered:
        """Open these books and recover, as every start does, but for the strategy."""
        house = self.house(folder)
        try:
            began = time.perf_counter()
            state = house.open().state
            opened = time.perf_counter()
            self.counting.asked.clear()
            recovery, _ = house.recovery()
            last = recovery.run()
            ended = time.perf_counter()
            assert not last.is_open, last.pending
            assert not recovery.in_doubt.has_work
            assert len(state.book.open_positions()) == self.positions
            asked = Counter(self.counting.asked)
            return Recovered(opened - began, ended - opened, len(recovery.applied), asked)
        finally:
            house.close()

    def least(self) -> int:
        """Send the requests that a recovery cannot do without, and decode the answers: one look-up of each order in
        doubt and two looks, each the account, positions, and the pages of orders and executions. Returns their number.
        """
        requests = sum(self._raw("/orders:by_client_order_id", client_order_id=name)[1] for name in self.doubtful)
        for since in (DIED, BACK):
            orders = {"limit": str(ORDERS_PAGE), "direction": "asc", "nested": "false"}
            after = max(BOUND, since - ORDERS_OVERLAP)
            fills = {"after": iso(max(BOUND, since - FILLS_OVERLAP)), "page_size": str(ACTIVITIES_PAGE)}
            requests += self._raw("/account")[1] + self._raw("/positions")[1]
            requests += 2 * self._pages("/orders", ORDERS_PAGE, "after_order_id", status="open", **orders)
            requests += self._pages("/orders", ORDERS_PAGE, "after_order_id", status="all", after=iso(after), **orders)
            requests += self._pages("/account/activities/FILL", ACTIVITIES_PAGE, "page_token", direction="asc", **fills)
        return requests

    def _pages(self, path: str, size: int, token: str, **query: str) -> int:
        requests = 0
        while True:
            page, _ = self._raw(path, **query)
            requests += 1
            if len(page) < size:
                return requests
            query[token] = page[-1]["id"]
            if token == "after_order_id":
                query.pop("after", None)

    def _raw(self, path: str, **query: str) -> tuple[Any, int]:
        answer = self.exchange.request("GET", f"/v2{path}", query, None, *KEYS)
        assert answer.status == 200, answer.body
        return json.loads(answer.body or ""), 1


def _session(account_id: str, symbols: tuple[str, ...]) -> Session:
    return Session(
        session_id="bench",
        account_id=account_id,
        owner="smacross",
        strategy="sma_cross",
        symbols=symbols,
        params=(("fast", "2"), ("slow", "5")),
        status=SessionStatus.ACTIVE,
        start_time=BOUND,
        ends_at=OPEN + timedelta(hours=6),
        initial_capital=Decimal(100_000),
    )


def _order(account_id: str, symbol: str, key: str, limit: Decimal | None) -> Order:
    return Order(
        client_order_id=client_order_id(
            role=Role.ENTRY,
            owner="smacross",
            account_id=account_id,
            session_id="bench",
            symbol=symbol,
            decision_key=key,
        ),
        account_id=account_id,
        session_id="bench",
        owner="smacross",
        role=Role.ENTRY,
        symbol=symbol,
        side=Side.BUY,
        type="market" if limit is None else "limit",
        time_in_force="day",
        qty=Decimal(1),
        limit_price=limit,
        status=OrderStatus.SENDING,
        created_at=ORDERED,
        updated_at=ORDERED,
        decision_key=key,
        reason="benchmark",
        valid_until=ORDERED + timedelta(minutes=2),
        attempts=1,
    )


def _write_symbol(path: Path) -> None:
    lines = ["timestamp,open,high,low,close,volume,bid,ask,bid_size,ask_size"]
    for minute in range(-5, 15):
        price = Decimal(10) if minute < FELL else Decimal("4.90")
        at = OPEN + timedelta(minutes=minute)
        lines.append(f"{at:%Y-%m-%dT%H:%M:%SZ},{price},{price},{price},{price},900,{price},{price},50,50")
    path.write_text("\n".join(lines) + "\n")
