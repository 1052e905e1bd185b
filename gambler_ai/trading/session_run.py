"""One run from start to stop: open the books, recover, trade, checkpoint. Every start takes this road."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

from gambler_ai.broker.gateway import Gateway, StreamState
from gambler_ai.clock import Clock
from gambler_ai.crashpoints import crashpoint
from gambler_ai.domain.reconciliation import Confirmations
from gambler_ai.domain.risk import Limits
from gambler_ai.domain.sessions import Session, SessionStatus
from gambler_ai.errors import BrokerRefusesUs, BrokerUnreachable, GamblerError, RateLimited
from gambler_ai.logs import get_logger
from gambler_ai.storage import lease
from gambler_ai.storage.database import Database
from gambler_ai.trading import market_data, opening
from gambler_ai.trading.emergency_stop import EmergencyStopFile
from gambler_ai.trading.in_doubt import InDoubt
from gambler_ai.trading.lease_keeper import LeaseKeeper
from gambler_ai.trading.loop import Blocks, Loop, LoopRules, Progress
from gambler_ai.trading.messages import Inbox, Message, Tick
from gambler_ai.trading.opening import HeadFile, OpenBooks, StoppedEarly
from gambler_ai.trading.order_desk import DeskRules, OrderDesk
from gambler_ai.trading.position_reconciler import PositionReconciler
from gambler_ai.trading.recovery import Recovery, Steps, amounts_of
from gambler_ai.trading.sessions import Choice, Request, choose
from gambler_ai.trading.shutdown import EXIT_DIRTY, Shutdown
from gambler_ai.trading.strategy_host import StrategyHost

log = get_logger("session")

LISTEN_PATIENCE_S = 5.0
NEEDS_A_HUMAN = 3


@dataclass(frozen=True, slots=True)
class Rules:
    """How long to wait for what; see config.Settings."""

    settle_s: float = 60.0
    confirm_span_s: float = 20.0
    confirm_rounds: int = 3
    look_every_s: float = 60.0
    signal_ttl_s: float = 120.0


@dataclass
class Parts:
    """What a run is made of; wiring.py brings it together. `show` tells a person: a step's name, or the report."""

    database: Database
    gateway: Gateway
    clock: Clock
    shutdown: Shutdown
    inbox: Inbox
    label: str
    endpoint: str
    data_dir: Path
    rules: Rules
    default_symbols: tuple[str, ...]
    chance: Random
    holder: lease.Holder
    create_tables: bool = False
    renews_lease: bool = True
    announce: Callable[[str], None] = lambda _text: None
    show_report: Callable[[dict[str, Any]], None] = lambda _report: None


@dataclass
class SessionRun:
    """A run of `gambler run`. Build one for each run; `run` and `reconcile` end with the exit code."""

    parts: Parts
    _books: OpenBooks | None = None
    _keeper: LeaseKeeper | None = None
    _fenced: bool = False
    _early: list[Message] = field(default_factory=list)

    def run(self, request: Request) -> int:
        """Trade a session until its time is over or a signal asks to stop."""
        try:
            loop = self.begin(request)
            log.info("session.ending", why=loop.run(self.parts.inbox))
            return self.end(loop)
        except StoppedEarly:
            return 0
        except (BrokerUnreachable, RateLimited):
            if self.parts.shutdown.is_set():
                return EXIT_DIRTY  # asked to stop before the books could be proven: the session stays as it is
            raise
        finally:
            self.close()

    def begin(self, request: Request) -> Loop:
        """Open the books, recover, and return the loop that is ready to trade."""
        request.check()
        books = self._open()
        choice = self._choose(books, request)
        self._listen(choice.session.symbols)
        return self._recover_and_begin(books, choice)

    def reconcile(self, *, dry_run: bool) -> tuple[int, dict[str, Any]]:
        """Recovery as a document: the plan, what was applied, what is left. Waits for confirmations."""
        try:
            books = self._open()
            if not dry_run:
                self._mark_crashed(books)
            recovery = self._recovery(books, dry_run=dry_run, wait=True)
            self._listen(())
            last = recovery.run()
            halts = books.state.records.active_halts()
            left = [order for order in books.state.book.orders.values() if _is_unknown_of_ours(order)]
            report = recovery.report(last, {"halts": [halt.reason for halt in halts], "session": None})
            report["requests"] = recovery.desk.requests
            if not dry_run:
                books.state.report(report, None)
            unexplained = bool(last.pending or halts or left or recovery.in_doubt.orders())
            return (NEEDS_A_HUMAN if unexplained else 0), report
        finally:
            self.close()

    # --- opening ----------------------------------------------------------------------------------------------

    def _open(self) -> OpenBooks:
        parts = self.parts
        self._steps = Steps(parts.clock, announce=parts.announce)
        with self._steps.step("open the database"):
            opening.open_database(parts.database, parts.clock, parts.shutdown, create=parts.create_tables)
        self._books = opening.open_books(
            parts.database,
            parts.gateway,
            parts.clock,
            parts.shutdown,
            self._steps,
            label=parts.label,
            endpoint=parts.endpoint,
            data_dir=parts.data_dir,
            holder=parts.holder,
        )
        self._progress = Progress()
        if not parts.renews_lease:
            return self._books
        self._keeper = LeaseKeeper(
            parts.database,
            self._books.account.account_id,
            self._books.token,
            parts.clock,
            self._progress,
            self._lost_lease,
        )
        self._keeper.start()
        return self._books

    def _lost_lease(self) -> None:
        """Nothing more may leave; the next commit raises Fenced and ends the process with 4."""
        self._fenced = True
        self.parts.inbox.put(Tick())

    def is_set(self) -> bool:
        """The flag every send checks."""
        return self._fenced or self.parts.shutdown.is_set()

    def _choose(self, books: OpenBooks, request: Request) -> Choice:
        """Settle every question of usage before a session row is written."""
        with self._steps.step("find the session"):
            self._mark_crashed(books)
            parts, records = self.parts, books.state.records
            choice = choose(request, records, parts.gateway, parts.clock.now(), parts.default_symbols, parts.chance)
            if not choice.is_new:
                crashpoint("session.before_resume")
                session = books.state.step_session(
                    choice.session, SessionStatus.ACTIVE, end_time=None, final_capital=None
                )
                crashpoint("session.after_resume")
                choice = Choice(session, choice.strategy, is_new=False)
        return choice

    def _mark_crashed(self, books: OpenBooks) -> None:
        """The lease is ours, so an active session has no process any more."""
        for session in books.state.records.sessions(SessionStatus.ACTIVE):
            books.state.step_session(session, SessionStatus.CRASHED)

    def _listen(self, symbols: tuple[str, ...]) -> None:
        """Open the streams before the first look, so that nothing falls between; what arrives waits in order."""
        parts = self.parts
        with self._steps.step("listen"):
            parts.gateway.listen(parts.inbox.put, symbols)
            wanted = {"trade_updates"} | ({"bars"} if symbols else set())
            limit = parts.clock.monotonic() + LISTEN_PATIENCE_S
            while wanted and parts.clock.monotonic() < limit and not parts.shutdown.is_set():
                message = parts.inbox.take(0.05)
                if isinstance(message, Tick):
                    continue
                self._early.append(message)
                if isinstance(message, StreamState) and message.listening:
                    wanted.discard(message.stream)
            if wanted:
                log.warning("listen.slow", streams=sorted(wanted), hint="trading on with polling until they come up")

    # --- recovering -------------------------------------------------------------------------------------------

    def _recovery(self, books: OpenBooks, *, dry_run: bool, wait: bool) -> Recovery:
        parts, rules = self.parts, self.parts.rules
        reconciler = PositionReconciler(
            state=books.state,
            gateway=parts.gateway,
            clock=parts.clock,
            confirmations=Confirmations(rules.confirm_rounds, rules.confirm_span_s),
            not_before=books.account.bound_at,
            since=books.before.last_alive,
            dry_run=dry_run,
        )
        self._blocks = Blocks(books.state, reconciler, EmergencyStopFile.of(parts.data_dir, parts.label).reason)
        desk = OrderDesk(books.state, parts.gateway, parts.clock, self, Limits(), DeskRules(), self._blocks.all)
        in_doubt = InDoubt(books.state, desk, parts.gateway, parts.clock, rules.settle_s)
        return Recovery(
            books.state,
            desk,
            in_doubt,
            reconciler,
            parts.clock,
            self,
            self._steps,
            books.before,
            wait_for_confirmations=wait,
        )

    def _recover_and_begin(self, books: OpenBooks, choice: Choice) -> Loop:
        recovery = self._recovery(books, dry_run=False, wait=False)
        last = recovery.run()
        self._blocks.refresh()
        self._close_crashed(books, choice)
        session = choice.session
        if choice.is_new:
            session = replace(session, initial_capital=books.at_broker.equity)
            books.state.open_session(session)
        loop = self._loop(books, recovery, session, choice)
        with self._steps.step("warm up the strategy"):
            replayed = self._warm_up(books, loop, choice)
        report = recovery.report(
            last,
            {
                "session": session.session_id,
                "halts": [halt.reason for halt in books.state.records.active_halts()],
                "signals_missed": loop.signals_missed,
                "bars_replayed": replayed,
            },
        )
        report["requests"] = recovery.desk.requests
        books.state.report(report, session.session_id)
        self.parts.show_report(report)
        loop.start()
        for message in self._early:
            if loop.finished is None:
                loop.step(message)
        self._early.clear()
        return loop

    def _close_crashed(self, books: OpenBooks, choice: Choice) -> None:
        """The account was recovered; sessions that crashed and are not this one are over."""
        for session in books.state.records.sessions(SessionStatus.CRASHED):
            if session.session_id != choice.session.session_id:
                books.state.step_session(
                    session,
                    SessionStatus.STOPPED,
                    end_time=self.parts.clock.now(),
                    final_capital=books.at_broker.equity,
                )

    def _loop(self, books: OpenBooks, recovery: Recovery, session: Session, choice: Choice) -> Loop:
        parts, rules = self.parts, self.parts.rules
        host = StrategyHost(choice.strategy, session, books.state.book, parts.clock)
        version = choice.strategy.version
        books.state.keep_strategy(lambda: (session.session_id, version, host.last_bar, host.save()))
        return Loop(
            session=session,
            state=books.state,
            desk=recovery.desk,
            in_doubt=recovery.in_doubt,
            reconciler=recovery.reconciler,
            host=host,
            gateway=parts.gateway,
            clock=parts.clock,
            rules=LoopRules(look_every_s=rules.look_every_s, signal_ttl=timedelta(seconds=rules.signal_ttl_s)),
            blocks=self._blocks,
            stop=self,
            progress=self._progress,
        )

    def _warm_up(self, books: OpenBooks, loop: Loop, choice: Choice) -> int:
        """Saved state and the bars since, or history from nothing; returns how many bars were replayed to decide."""
        parts, symbols = self.parts, choice.session.symbols
        stored = None if choice.is_new else books.state.records.strategy_state(choice.session.session_id)
        if stored is None or stored.seq > books.state.head.seq or not loop.host.load(stored):
            market_data.warm_up(parts.gateway, loop.host, symbols, parts.clock.now())
            return 0
        missed = market_data.missed_bars(parts.gateway, loop.host, symbols, parts.clock.now())
        for bar in missed:
            if self.is_set():
                break
            loop.decide(bar)
        return len(missed)

    # --- stopping ---------------------------------------------------------------------------------------------

    def end(self, loop: Loop) -> int:
        """Drain, look once more, checkpoint, stop. When the broker does not answer the session stays active: dirty."""
        parts, books = self.parts, self._books
        assert books is not None
        if parts.shutdown.aborted:
            return EXIT_DIRTY
        try:
            while not parts.inbox.is_empty:
                loop.step(parts.inbox.take(0.0))
            recovery_done = loop.reconciler.round()
            account = recovery_done.sight.account
        except (BrokerUnreachable, RateLimited, BrokerRefusesUs) as error:
            log.warning("session.stops_dirty", why=str(error))
            if parts.shutdown.is_set():
                return EXIT_DIRTY
            raise
        books.state.checkpoint(loop.session.session_id, account)
        crashpoint("session.before_stop")
        books.state.step_session(
            loop.session, SessionStatus.STOPPED, end_time=parts.clock.now(), final_capital=account.equity
        )
        crashpoint("session.after_stop")
        HeadFile(parts.data_dir, parts.label).write(books.account.account_id, books.state.head)
        log.info("session.stopped", session=loop.session.session_id, **amounts_of(account))
        return NEEDS_A_HUMAN if books.state.records.active_halts() else 0

    def close(self) -> None:
        """Give back what is held; errors here change nothing that matters and are only told."""
        parts = self.parts
        if self._keeper is not None:
            self._keeper.end()
        parts.gateway.close()
        if self._books is not None and not self._fenced:
            try:
                lease.release(parts.database, self._books.account.account_id, self._books.token)
            except GamblerError as error:
                log.warning("lease.not_released", why=str(error))
        parts.database.close()


def _is_unknown_of_ours(order: Any) -> bool:
    return bool(order.is_ours and order.session_id is None and not order.is_terminal)
