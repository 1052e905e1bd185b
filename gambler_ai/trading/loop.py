"""The single loop: takes one message, finishes it, takes the next.

It has no threads of its own, waits only through its clock and inbox, and draws nothing random, so that a simulation
can drive `Loop.step` and get the same books every time.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from gambler_ai.broker.gateway import Gateway, OrderEvent, StreamState
from gambler_ai.clock import Clock
from gambler_ai.domain import facts as kinds
from gambler_ai.domain.fills import Fill
from gambler_ai.domain.market import Bar, MarketHours, iso
from gambler_ai.domain.orders import Role, Wish
from gambler_ai.domain.reconciliation import unreadable
from gambler_ai.domain.sessions import Session
from gambler_ai.errors import AnotherAccount, BrokerRefusesUs, BrokerUnreachable, DatabaseUnavailable, RateLimited
from gambler_ai.logs import get_logger
from gambler_ai.storage.head_file import Head
from gambler_ai.trading.blocks import Blocks
from gambler_ai.trading.commands import Commands
from gambler_ai.trading.in_doubt import InDoubt
from gambler_ai.trading.market_data import is_quiet, missed_bars
from gambler_ai.trading.messages import OVERFLOW, Inbox, Message, StopAsked, Tick
from gambler_ai.trading.order_desk import Blocked, OrderDesk, StopFlag
from gambler_ai.trading.order_events import OrderEvents
from gambler_ai.trading.position_reconciler import PositionReconciler, Round
from gambler_ai.trading.protection import Protection
from gambler_ai.trading.state_manager import StateManager
from gambler_ai.trading.strategy_host import StrategyHost

log = get_logger("loop")

FIRST_WAIT_S = 0.5
POLL_EVERY_S = 5.0
FROZEN_AFTER_S = 10.0
"""So long without a step means that this process stood still: its lease may be another's by now."""


@dataclass(frozen=True, slots=True)
class LoopRules:
    """Wall seconds, but `signal_ttl` which is exchange time: how long after its bar a signal may still be traded.
    `fail_fast` = a halt ends the session."""

    look_every_s: float = 60.0
    clock_every_s: float = 5.0
    commands_every_s: float = 0.5
    tick_s: float = 0.25
    signal_ttl: timedelta = timedelta(seconds=120)
    fail_fast: bool = False


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
    protection: Protection
    events: OrderEvents
    commands: Commands
    host: StrategyHost
    hours: MarketHours
    gateway: Gateway
    clock: Clock
    rules: LoopRules
    blocks: Blocks
    stop: StopFlag
    keep_head: Callable[[Head], None] = lambda _head: None
    still_ours: Callable[[], None] = lambda: None
    progress: Progress = field(default_factory=Progress)
    finished: str | None = None
    signals_missed: int = 0
    owes_clock: bool = False
    _awake_at: float = 0.0
    _look_due: float = 0.0
    _commands_due: float = 0.0
    _clock_due: float = 0.0
    _bars_gap: bool = False
    _wait_s: float = FIRST_WAIT_S
    _told: dict[str, str] = field(default_factory=dict)
    _unplaced: list[tuple[Wish, str, datetime, bool]] = field(default_factory=list)
    _polling: bool = False

    def start(self) -> None:
        """The account was just recovered: the next look is due in one interval."""
        now = self.clock.monotonic()
        self.progress.at = self._awake_at = now
        self.commands.learn = self._learn
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
        with self._degrading():
            if self._stood_still():
                self._look()  # what waits in the inbox is old, and so may be what we hold
        with self._degrading():
            self.state.settle_lost_commit()
            self._dispatch(message)
            self._look_after_duties()
            self.tell_fills()
            self.blocks.tell()
        self.progress.at = self.clock.monotonic()

    @contextlib.contextmanager
    def _degrading(self) -> Iterator[None]:
        try:
            yield
        except AnotherAccount:
            raise
        except DatabaseUnavailable as error:
            self._degrade("database", str(error))
        except (BrokerUnreachable, RateLimited, BrokerRefusesUs) as error:
            self._degrade("broker", f"{unreadable(error).reason}: {error}")

    def _stood_still(self) -> bool:
        """Whether it was for long. Raises Fenced when another process has the account now."""
        before, self._awake_at = self._awake_at, self.clock.monotonic()
        if self._awake_at - before <= FROZEN_AFTER_S:
            return False
        self.still_ours()
        return True

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
            self._tell_blocks()
        self._look_due = self._clock_due = self.clock.monotonic() + self._wait_s
        self._wait_s = min(self._wait_s * 2, self.rules.look_every_s)
        self.owes_clock = False

    def _tell_blocks(self) -> None:
        with contextlib.suppress(DatabaseUnavailable):  # nobody can be told then; the log has it
            self.blocks.tell()

    def _ask_clock(self) -> None:
        """Ask the exchange for its time when a bar was finished or a while has passed."""
        now = self.clock.monotonic()
        if self.owes_clock or now >= self._clock_due:
            self._clock_due = now + self.rules.clock_every_s
            self.owes_clock = False
            self.clock.observe(self.gateway.clock().now)

    # --- the market -------------------------------------------------------------------------------------------

    def _bar(self, bar: Bar) -> None:
        if self._bars_gap:
            self._fill_the_gap()  # first, or this bar would hide the ones before it
        self.clock.observe(bar.end)
        self.owes_clock = True
        if not self.host.is_news(bar):
            return
        self.decide(bar)

    def decide(self, bar: Bar) -> None:
        """Show the strategy a bar and bring its wishes to the desk; too old a signal is reported, not traded."""
        self.tell_fills()
        wishes = self.host.show(bar)
        valid_until = bar.end + self.rules.signal_ttl
        if wishes and self.clock.now() > valid_until:
            self.signals_missed += len(wishes)
            log.warning("signal.too_old", symbol=bar.symbol, bar=iso(bar.end), wishes=len(wishes))
            return
        why = self._why_no_orders()
        if wishes and why is not None:
            log.info("wish.blocked", symbol=bar.symbol, bar=iso(bar.end), why=why)
            return
        for ordinal, wish in enumerate(wishes):
            key = f"bar:{iso(bar.end)}:{ordinal}"
            self._place(wish, key, valid_until, last=ordinal == len(wishes) - 1)

    def _why_no_orders(self) -> str | None:
        if self.finished is not None or self.clock.now() >= self.session.ends_at:
            return "the session is over"
        return None if self.hours.are_open(self.clock.now()) else "the market is closed"

    def _place(self, wish: Wish, key: str, valid_until: datetime, *, last: bool) -> None:
        """Bring one wish to the desk; with the database away it waits, under its own key, as long as it is valid."""
        try:
            self._place_now(wish, key, valid_until, last=last)
        except DatabaseUnavailable as error:
            self._unplaced.append((wish, key, valid_until, last))
            self._degrade("database", str(error))

    def _place_what_waited(self) -> None:
        waiting, self._unplaced = self._unplaced, []
        for wish, key, valid_until, last in waiting:
            if self.clock.now() <= valid_until and self._why_no_orders() is None:
                self._place(wish, key, valid_until, last=last)
            else:
                self.signals_missed += 1
                log.warning("signal.too_old", symbol=wish.symbol, why="the database was away")

    def _place_now(self, wish: Wish, key: str, valid_until: datetime, *, last: bool) -> None:
        outcome = self.desk.place(self.session, wish, key, valid_until, last=last)
        if isinstance(outcome, Blocked):
            if self._told.get(wish.symbol) != outcome.reason:
                log.info("wish.blocked", symbol=wish.symbol, side=wish.side.value, why=outcome.reason)
            self._told[wish.symbol] = outcome.reason
        else:
            self._told.pop(wish.symbol, None)
            self.protection.mark()

    # --- orders -----------------------------------------------------------------------------------------------

    def _order_event(self, event: OrderEvent) -> None:
        self.clock.observe(event.at)
        heard = self.events.take(event)
        if heard.action is not None:
            self.protection.mark()
            self.tell_fills()
            if heard.action.halts:
                self.blocks.refresh()
        self._look_soon(heard.look)

    def tell_fills(self) -> None:
        """Every fill the books took, whatever brought it, is told once: the saved state says up to which. In order:
        new ones wait until what was missed has been told."""
        if self.host.is_replaying:
            return
        heard = [self.tell(seq, fill) for seq, fill in self.state.take_fills()]
        if any(heard):
            self.state.record(
                [kinds.note("strategy.saved", {}, session_id=self.session.session_id)], with_strategy=True
            )

    def tell(self, seq: int, fill: Fill) -> bool:
        """Tell the strategy of a fill of its own; whether its state may have changed."""
        order = self.state.book.order(fill.client_order_id)
        assert order is not None
        log.info(
            "fill",
            client_order_id=order.client_order_id,
            symbol=order.symbol,
            side=order.side.value,
            qty=str(fill.qty),
            price=str(fill.price),
        )
        self.host.told = seq
        return order.role is not Role.FOREIGN and order.owner == self.session.owner and self.host.tell(order, fill)

    def _stream(self, message: StreamState) -> None:
        if message.listening:
            log.info("stream.listening", stream=message.stream)
            if message.stream == "bars":
                self._bars_gap = bool(self.host.seen)
            else:
                self._polling = False
            self._look_soon("the stream is back" if self.blocks.degraded.pop(f"stream {message.stream}", None) else "")
            return
        log.warning("stream.gap", stream=message.stream, detail=message.detail)
        if message.stream in ("bars", OVERFLOW):
            self._bars_gap = bool(self.host.seen)
        if message.stream != "bars":
            self._polling = message.stream != OVERFLOW
            self.blocks.degraded[f"stream {message.stream}"] = f"events of {message.stream} may be missing"
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
        if self.in_doubt.has_work:
            self.in_doubt.settle()
            self.protection.mark()
        if self.protection.is_due:
            self.protection.run()  # before the next message, so before the next entry
        if self.clock.monotonic() >= self._commands_due:
            self._commands_due = self.clock.monotonic() + self.rules.commands_every_s
            self.commands.step()
            self.blocks.refresh()
        if self._bars_gap:
            self._fill_the_gap()
        if self._unplaced and "database" not in self.blocks.degraded:
            self._place_what_waited()
        if self.clock.monotonic() >= self._look_due:
            self._stood_still()
            self._look()
        if self.clock.now() >= self.session.ends_at:
            self.finished = "the session's time is over"
        elif self.rules.fail_fast and self.blocks.halted:
            self.finished = "a halt is active, and --fail-fast is set"

    def _look(self) -> None:
        """The look beside the session; only when it succeeded may what degraded us be forgotten. With the order
        stream down we trade on by looking often: the stream is quicker, never truer."""
        done = self.reconciler.round()
        self._learn(done)
        self._bars_gap = self._bars_gap or is_quiet(self.host, self.hours, self.clock.now())
        self.blocks.refresh()
        for what in sorted(self.blocks.degraded):
            del self.blocks.degraded[what]
            log.info(f"{what}.back")
        if done.sight.account.trading_blocked:
            self.blocks.degraded["account"] = "the broker has blocked trading on this account"
        self._wait_s = FIRST_WAIT_S
        self.keep_head(self.state.head)
        confirming = bool(done.pending) or done.plan.unsteady
        usual = min(POLL_EVERY_S, self.rules.look_every_s) if self._polling else self.rules.look_every_s
        wait = min(self.reconciler.confirmations.wait_s, usual) if confirming else usual
        self._look_due = self.clock.monotonic() + wait

    def _learn(self, done: Round) -> None:
        self.protection.learn(done)

    def _fill_the_gap(self) -> None:
        missed = missed_bars(self.gateway, self.host, self.session.symbols, self.clock.now())
        if missed:
            log.warning("bars.missed", bars=len(missed), why="the stream did not tell of them; they were read")
        for bar in missed:
            self.decide(bar)
        self._bars_gap = False
