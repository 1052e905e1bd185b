"""The single loop: takes one message, finishes it, takes the next.

It has no threads of its own, waits only through its clock and inbox, and draws nothing random, so that a simulation
can drive `Loop.step` and get the same books every time.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from gambler_ai.broker.gateway import Gateway, OrderEvent, StreamState
from gambler_ai.clock import Clock
from gambler_ai.crashpoints import crashpoint
from gambler_ai.domain import facts as kinds
from gambler_ai.domain.fills import Fill, gaps
from gambler_ai.domain.market import Bar, MarketHours, iso
from gambler_ai.domain.orders import Order, Role, Wish
from gambler_ai.domain.sessions import Session
from gambler_ai.domain.sightings import Execution, facts_of_sighting
from gambler_ai.errors import BrokerRefusesUs, BrokerUnreachable, DatabaseUnavailable, RateLimited
from gambler_ai.logs import get_logger
from gambler_ai.storage.journal import Head
from gambler_ai.trading.in_doubt import InDoubt
from gambler_ai.trading.market_data import missed_bars
from gambler_ai.trading.messages import Inbox, Message, StopAsked, Tick
from gambler_ai.trading.order_desk import Blocked, OrderDesk, StopFlag
from gambler_ai.trading.position_reconciler import PositionReconciler
from gambler_ai.trading.state_manager import StateManager
from gambler_ai.trading.strategy_host import StrategyHost

log = get_logger("loop")

FIRST_WAIT_S = 0.5


@dataclass(frozen=True, slots=True)
class LoopRules:
    """Wall seconds, but `signal_ttl` which is exchange time: how long after its bar a signal may still be traded."""

    look_every_s: float = 60.0
    clock_every_s: float = 5.0
    tick_s: float = 0.25
    signal_ttl: timedelta = timedelta(seconds=120)


@dataclass
class Blocks:
    """Why no new risk may be taken, by symbol or "*"; every reason here is shown by `gambler status`."""

    state: StateManager
    reconciler: PositionReconciler
    stops_file: Callable[[], str | None]
    degraded: dict[str, str] = field(default_factory=dict)
    _halted: dict[str, str] = field(default_factory=dict)

    def refresh(self) -> None:
        """Read the halts again; the send transaction reads them once more, so that none can slip through."""
        self._halted = {halt.symbol or "*": f"halted: {halt.reason}" for halt in self.state.records.active_halts()}

    def all(self) -> dict[str, str]:
        result = {**self.reconciler.blocks(), **self._halted}
        for order in self.state.book.orders.values():
            if order.is_ours and order.session_id is None and not order.is_terminal:
                result[order.symbol] = f"order {order.client_order_id} has our form of id but is not in these books"
        if self.degraded:
            result["*"] = "; ".join(self.degraded.values())
        reason = self.stops_file()
        if reason is not None:
            result["*"] = f"emergency stop: {reason}"
        return result


@dataclass
class Progress:
    """When the loop last finished something (monotonic seconds); the lease is renewed only while this is young."""

    at: float = 0.0


@dataclass
class Loop:
    """See the module's text. `finished` is why the loop ended, None while it runs."""

    session: Session
    state: StateManager
    desk: OrderDesk
    in_doubt: InDoubt
    reconciler: PositionReconciler
    host: StrategyHost
    hours: MarketHours
    gateway: Gateway
    clock: Clock
    rules: LoopRules
    blocks: Blocks
    stop: StopFlag
    keep_head: Callable[[Head], None] = lambda _head: None
    progress: Progress = field(default_factory=Progress)
    finished: str | None = None
    signals_missed: int = 0
    bars_seen: int = 0
    fills_booked: int = 0
    owes_clock: bool = False
    _look_due: float = 0.0
    _clock_due: float = 0.0
    _bars_gap: bool = False
    _wait_s: float = FIRST_WAIT_S
    _told: dict[str, str] = field(default_factory=dict)

    def start(self) -> None:
        """The account was just recovered: the next look is due in one interval."""
        now = self.clock.monotonic()
        self.progress.at = now
        self._look_due = now + self.rules.look_every_s
        self._clock_due = now

    def run(self, inbox: Inbox) -> str:
        """Take messages until the session ends; returns why it ended."""
        while self.finished is None:
            idle = inbox.is_empty
            self.step(inbox.take(0.0 if idle and self.owes_clock else self.rules.tick_s))
        return self.finished

    def step(self, message: Message) -> None:
        """Finish one message. A database that does not answer degrades us, and a look makes good what was missed."""
        try:
            self._dispatch(message)
            self._look_after_duties()
        except DatabaseUnavailable as error:
            self._degrade("database", str(error))
        except (BrokerUnreachable, RateLimited, BrokerRefusesUs) as error:
            self._degrade("broker", str(error))
        self.progress.at = self.clock.monotonic()

    def _dispatch(self, message: Message) -> None:
        match message:
            case Bar():
                self._bar(message)
            case OrderEvent():
                self._order_event(message)
            case StreamState():
                self._stream(message)
            case StopAsked():
                self.finished = message.why
            case Tick():
                self._ask_clock()
            case _:
                pass  # quotes are not traded on

    def _degrade(self, what: str, why: str) -> None:
        if what not in self.blocks.degraded:
            log.warning(f"{what}.lost", why=why)
        self.blocks.degraded[what] = why
        self._look_due = self._clock_due = self.clock.monotonic() + self._wait_s
        self._wait_s = min(self._wait_s * 2, self.rules.look_every_s)
        self.owes_clock = False

    def _ask_clock(self) -> None:
        """Ask the exchange for its time when a bar was finished or a while has passed."""
        now = self.clock.monotonic()
        if self.owes_clock or now >= self._clock_due:
            self._clock_due = now + self.rules.clock_every_s
            self.owes_clock = False
            self.clock.observe(self.gateway.clock().now)

    # --- the market -------------------------------------------------------------------------------------------

    def _bar(self, bar: Bar) -> None:
        self.clock.observe(bar.end)
        self.owes_clock = True
        if not self.host.is_news(bar):
            return
        self.bars_seen += 1
        self.decide(bar)

    def decide(self, bar: Bar) -> None:
        """Show the strategy a bar and bring its wishes to the desk; too old a signal is reported, not traded."""
        wishes = self.host.show(bar)
        valid_until = bar.end + self.rules.signal_ttl
        if wishes and self.clock.now() > valid_until:
            self.signals_missed += len(wishes)
            log.warning("signal.too_old", symbol=bar.symbol, bar=iso(bar.end), wishes=len(wishes))
            return
        if wishes and not self.hours.are_open(self.clock.now()):
            log.info("wish.blocked", symbol=bar.symbol, bar=iso(bar.end), why="the market is closed")
            return
        for ordinal, wish in enumerate(wishes):
            key = f"bar:{iso(bar.end)}:{ordinal}"
            self._place(wish, key, valid_until, last=ordinal == len(wishes) - 1)

    def _place(self, wish: Wish, key: str, valid_until: datetime, *, last: bool) -> None:
        outcome = self.desk.place(self.session, wish, key, valid_until, last=last)
        if isinstance(outcome, Blocked):
            if self._told.get(wish.symbol) != outcome.reason:
                log.info("wish.blocked", symbol=wish.symbol, side=wish.side.value, why=outcome.reason)
            self._told[wish.symbol] = outcome.reason
        else:
            self._told.pop(wish.symbol, None)

    # --- orders -----------------------------------------------------------------------------------------------

    def _order_event(self, event: OrderEvent) -> None:
        self.clock.observe(event.at)
        executions = []
        if event.qty is not None and event.price is not None:
            executions = [
                Execution(event.order.filled_qty, event.qty, event.price, event.at, "stream", event.execution_id)
            ]
        book = self.state.book
        found = facts_of_sighting(
            book, self.state.account_id, event.order, executions, self.clock.now(), why=f"event {event.event}"
        )
        if not found:
            return
        filled = any(fact.kind == kinds.FILL_BOOKED for fact in found)
        crashpoint("fill.before_commit" if filled else "event.before_commit")
        self.state.record(found, with_strategy=filled)
        crashpoint("fill.after_commit" if filled else "event.after_commit")
        for fact in found:
            if fact.kind == kinds.FILL_BOOKED and isinstance(fact.subject, Fill):
                self._filled(fact.subject)
        if gaps(book.fills(event.order.client_order_id)):
            self._look_soon("an execution is missing below one we know")

    def _filled(self, fill: Fill) -> None:
        self.fills_booked += 1
        order = self.state.book.order(fill.client_order_id)
        assert order is not None
        log.info("fill", symbol=order.symbol, side=order.side.value, qty=str(fill.qty), price=str(fill.price))
        if order.role is not Role.FOREIGN and order.owner == self.session.owner and self.host.tell(order, fill):
            self.state.record(
                [kinds.note("strategy.saved", {}, session_id=self.session.session_id)], with_strategy=True
            )

    def _stream(self, message: StreamState) -> None:
        if message.listening:
            log.info("stream.listening", stream=message.stream)
            if message.stream == "bars":
                self._bars_gap = bool(self.host.seen)
            self._look_soon("the stream is back" if self.blocks.degraded.pop(f"stream {message.stream}", None) else "")
            return
        log.warning("stream.gap", stream=message.stream, detail=message.detail)
        if message.stream != "bars":
            self.blocks.degraded[f"stream {message.stream}"] = f"the {message.stream} stream is down"
        self._look_soon("the stream has a gap")

    def _look_soon(self, why: str) -> None:
        if why:
            log.info("look.soon", why=why)
            self._look_due = self.clock.monotonic()

    # --- duties -----------------------------------------------------------------------------------------------

    def _look_after_duties(self) -> None:
        if self.finished is not None:
            return
        if self.stop.is_set():
            self.finished = "asked to stop"
            return
        if self.in_doubt.orders() or self.in_doubt.late_entries():
            self.in_doubt.settle()
        if self._bars_gap:
            self._fill_the_gap()
        if self.clock.monotonic() >= self._look_due:
            self._look()
        if self.clock.now() >= self.session.ends_at:
            self.finished = "the session's time is over"

    def _look(self) -> None:
        """The look beside the session; only when it succeeded may what degraded us be forgotten."""
        done = self.reconciler.round()
        self.blocks.refresh()
        for what in ("database", "broker"):
            if self.blocks.degraded.pop(what, None) is not None:
                log.info(f"{what}.back")
        self._wait_s = FIRST_WAIT_S
        self.keep_head(self.state.head)
        confirming = bool(done.pending) or done.plan.unsteady
        wait = self._confirm_wait_s() if confirming else self.rules.look_every_s
        self._look_due = self.clock.monotonic() + wait

    def _confirm_wait_s(self) -> float:
        rules = self.reconciler.confirmations
        return max(0.2, rules.span_s / max(1, rules.rounds - 1))

    def _fill_the_gap(self) -> None:
        for bar in missed_bars(self.gateway, self.host, self.session.symbols, self.clock.now()):
            self.bars_seen += 1
            self.decide(bar)
        self._bars_gap = False

    def open_orders(self) -> list[Order]:
        return [order for order in self.state.book.orders.values() if not order.is_terminal]
