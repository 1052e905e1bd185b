"""An account's house, opened: books whose lease is ours, streams that are listened to, and what recovery needs.

A session and the maintenance commands both begin here; there is no other way to an account.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from gambler_ai.broker.gateway import Gateway, StreamState
from gambler_ai.clock import Clock
from gambler_ai.domain.differences import Confirmations
from gambler_ai.domain.policy import Policy
from gambler_ai.domain.reconciliation import Action
from gambler_ai.domain.risk import Limits
from gambler_ai.domain.sessions import SessionStatus
from gambler_ai.errors import GamblerError
from gambler_ai.logs import get_logger
from gambler_ai.storage import lease
from gambler_ai.storage.database import Database
from gambler_ai.storage.holder import Holder
from gambler_ai.trading import opening, turn
from gambler_ai.trading.blocks import Blocks
from gambler_ai.trading.commands import Commands
from gambler_ai.trading.in_doubt import InDoubt
from gambler_ai.trading.lease_keeper import LeaseKeeper
from gambler_ai.trading.loop import Progress
from gambler_ai.trading.messages import Inbox, Message, Tick
from gambler_ai.trading.opening import OpenBooks
from gambler_ai.trading.order_desk import DeskRules, OrderDesk
from gambler_ai.trading.position_reconciler import PositionReconciler
from gambler_ai.trading.protection import Protection, ProtectionRules
from gambler_ai.trading.recovery import Recovery, Steps
from gambler_ai.trading.shutdown import Shutdown

log = get_logger("house")

LISTEN_PATIENCE_S = 5.0


@dataclass(frozen=True, slots=True)
class Rules:
    """How long to wait for what; see config.Settings."""

    settle_s: float = 60.0
    confirm_span_s: float = 20.0
    confirm_rounds: int = 3
    look_every_s: float = 60.0
    signal_ttl_s: float = 120.0
    policy: Policy = field(default_factory=Policy)


@dataclass
class Parts:
    """What a run is made of; wiring.py brings it together. `announce` tells a person a step's name, `show_report` what
    recovery found, `ask` asks whether to do an action. Without `lease_thread` whoever drives the house renews the
    lease by `keeper.beat`."""

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
    holder: Holder
    create_tables: bool = False
    lease_thread: bool = True
    announce: Callable[[str], None] = lambda _text: None
    show_report: Callable[[dict[str, Any]], None] = lambda _report: None
    ask: Callable[[Action], bool] = lambda _action: False


class House:
    """See the module's text. The house is also the flag every send checks: set once we must not send any more."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.progress = Progress()
        self.steps = Steps(parts.clock, announce=parts.announce)
        self._fenced = False
        parts.gateway.answered = self._make_progress
        self._books: OpenBooks | None = None
        self.keeper: LeaseKeeper | None = None

    @property
    def books(self) -> OpenBooks:
        assert self._books is not None, "open() comes first"
        return self._books

    @property
    def opened(self) -> bool:
        return self._books is not None

    def is_set(self) -> bool:
        return self._fenced or self.parts.shutdown.is_set()

    @property
    def sends_nothing(self) -> bool:
        """Also no exit of shares that were just bought: another process trades, or the time to stop is over."""
        return self._fenced or self.parts.shutdown.aborted

    def open(self, *, may_bind: bool = True, anew: bool = False, standby: bool = False) -> OpenBooks:
        """Reach database and broker, take the lease, verify the chain, load the books. Without `may_bind` an account
        that this database does not know is a usage error; `standby` waits while another process trades it."""
        parts = self.parts
        with self.steps.step("open the database"):
            opening.open_database(parts.database, parts.clock, parts.shutdown, create=parts.create_tables)
        self._books = opening.open_books(
            parts.database,
            parts.gateway,
            parts.clock,
            parts.shutdown,
            self.steps,
            label=parts.label,
            endpoint=parts.endpoint,
            data_dir=parts.data_dir,
            holder=parts.holder,
            may_bind=may_bind,
            anew=anew,
            standby=standby,
        )
        account_id, token = self._books.account.account_id, self._books.token
        self.keeper = LeaseKeeper(parts.database, account_id, token, parts.clock, self.progress, self._lost_the_lease)
        self._make_progress()
        if parts.lease_thread:
            self.keeper.start()
        return self._books

    def _make_progress(self) -> None:
        """Every answer of the broker is progress: recovery may take longer than the lease lasts."""
        self.progress.at = self.parts.clock.monotonic()

    def renew(self) -> None:
        """Raises Fenced when another process has taken the account over meanwhile."""
        account = self.books.account
        lease.renew(self.parts.database, account.account_id, self.books.token, self.parts.clock)

    def unless_replaced(self) -> AbstractContextManager[None]:
        """See turn."""
        return turn.unless_replaced(lambda: self.renew() if self.opened else None)

    def _lost_the_lease(self) -> None:
        """Nothing more may leave; the next commit raises Fenced and ends the process with 4."""
        self._fenced = True
        self.parts.inbox.put(Tick())

    def mark_crashed(self) -> None:
        """The lease is ours, so an active session has no process any more."""
        state = self.books.state
        for session in state.records.sessions(SessionStatus.ACTIVE):
            state.step_session(session, SessionStatus.CRASHED)

    def listen(self, symbols: tuple[str, ...]) -> list[Message]:
        """Open the streams before the first look, so that nothing falls between; returns what already arrived."""
        parts = self.parts
        early: list[Message] = []
        with self.steps.step("listen"):
            parts.gateway.listen(parts.inbox.put, symbols)
            wanted = {"trade_updates"} | ({"bars"} if symbols else set())
            limit = parts.clock.monotonic() + LISTEN_PATIENCE_S
            while wanted and parts.clock.monotonic() < limit and not parts.shutdown.is_set():
                message = parts.inbox.take(0.05)
                if isinstance(message, Tick):
                    continue
                early.append(message)
                if isinstance(message, StreamState) and message.listening:
                    wanted.discard(message.stream)
            if wanted:
                log.warning("listen.slow", streams=sorted(wanted), hint="trading on with polling until they come up")
        return early

    def recovery(self, *, dry_run: bool = False, wait: bool = False) -> tuple[Recovery, Blocks]:
        """The parts of recovery on these books, and the blocks it and the session share."""
        parts, rules, books = self.parts, self.parts.rules, self.books
        reconciler = PositionReconciler(
            state=books.state,
            gateway=parts.gateway,
            clock=parts.clock,
            confirmations=Confirmations(rules.confirm_rounds, rules.confirm_span_s),
            not_before=books.account.bound_at,
            since=books.account.looked_at,
            policy=rules.policy,
            dry_run=dry_run,
            ask=parts.ask,
        )
        limits = Limits(respect_foreign=rules.policy.foreign != "ignore")
        desk_rules = DeskRules(halt_on_insufficient=rules.policy.halt_on_insufficient)
        blocks = Blocks(books.state, reconciler, lambda: protection.blocks())
        desk = OrderDesk(books.state, parts.gateway, parts.clock, self, limits, desk_rules, blocks.all)
        reconciler.cancel = desk.cancel
        in_doubt = InDoubt(books.state, desk, parts.gateway, parts.clock, rules.settle_s)
        protection = Protection(books.state, desk, parts.gateway, parts.clock, ProtectionRules.of(rules.policy))
        recovery = Recovery(
            books.state,
            desk,
            in_doubt,
            reconciler,
            protection,
            parts.clock,
            self,
            self.steps,
            books.before,
            wait_for_confirmations=wait,
        )
        return recovery, blocks

    def commands(self, recovery: Recovery) -> Commands:
        """Whatever people ask for, carried out by these parts of recovery."""
        return Commands(
            self.books.state, recovery.desk, recovery.reconciler, recovery.protection, self.parts.clock, recovery.learn
        )

    def close(self) -> None:
        """Give back what is held; errors here change nothing that matters and are only told."""
        parts = self.parts
        if self.keeper is not None:
            self.keeper.end()
        parts.gateway.close()
        if self._books is not None:
            self._books.state.close()
        if self._books is not None and not self._fenced:
            try:
                lease.release(parts.database, self._books.account.account_id, self._books.token)
            except GamblerError as error:
                log.warning("lease.not_released", why=str(error))
        parts.database.close()
