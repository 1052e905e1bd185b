"""Recovery: the one way a session starts, after a clean stop as after kill -9.

Every step is named, timed and in the report. Everything it does is idempotent, so that a crash in the middle of
recovery is just another crash: the second of two recoveries sends nothing and writes only its report.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from gambler_ai.clock import Clock
from gambler_ai.domain.orders import UNRESOLVED, Order, OrderStatus
from gambler_ai.domain.reconciliation import Action, kept_moving
from gambler_ai.errors import BrokerUnreachable, RateLimited
from gambler_ai.logs import get_logger
from gambler_ai.trading.downtime import Before, account_of_downtime, not_done
from gambler_ai.trading.in_doubt import EXITS, NOTHING, NOWHERE, InDoubt
from gambler_ai.trading.order_desk import OrderDesk, StopFlag
from gambler_ai.trading.patience import nap, read_patiently
from gambler_ai.trading.position_reconciler import PositionReconciler, Round
from gambler_ai.trading.protection import Protection
from gambler_ai.trading.state_manager import StateManager

log = get_logger("recovery")

MAX_ROUNDS = 3
APART_S = 1.0
PROTECTION_PATIENCE_S = 3.0


@dataclass
class Steps:
    """Seconds per named step, in order."""

    clock: Clock
    done: list[tuple[str, float]] = field(default_factory=list)
    announce: Callable[[str], None] = lambda _name: None

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        self.announce(name)
        started = self.clock.monotonic()
        try:
            yield
        finally:
            self.done.append((name, round(self.clock.monotonic() - started, 3)))


@dataclass
class Recovery:
    """`wait_for_confirmations` = stay until every difference is explained, imported or halted (`--reconcile-only`);
    otherwise such symbols stay blocked and are confirmed beside the session."""

    state: StateManager
    desk: OrderDesk
    in_doubt: InDoubt
    reconciler: PositionReconciler
    protection: Protection
    clock: Clock
    stop: StopFlag
    steps: Steps
    before: Before
    wait_for_confirmations: bool = False
    applied: list[Action] = field(default_factory=list)
    settled: list[str] = field(default_factory=list)
    requests: int = 0

    def run(self) -> Round:
        """Look, settle what is in doubt, apply what is explained, and prove it: the last round changes nothing.

        Raises BrokerUnreachable when the broker cannot be read completely; then nothing was concluded from it.
        """
        doubtful = [order.client_order_id for order in self.in_doubt.orders()]
        with self.steps.step("settle what is in doubt"):
            if not self.reconciler.dry_run:
                self.in_doubt.settle(NOTHING)
        with self.steps.step("look and apply"):
            last = self._round()
            if not self.reconciler.dry_run:
                self.in_doubt.settle(EXITS)
        with self.steps.step("protect"):
            self._protect()
        with self.steps.step("prove"):
            last = self._prove(last)
            self._accept_recovered()
        if self.wait_for_confirmations and not self.reconciler.dry_run:
            with self.steps.step("confirm what nothing explains"):
                last = self.confirm(last)
        for order_id in doubtful:
            self._tell_settled(self.state.book.order(order_id))
        self.requests = self.desk.requests
        return last

    def _tell_settled(self, order: Order | None) -> None:
        """What became of an order that was in doubt: one that the broker does not know is a row of its own."""
        if order is None or order.status in UNRESOLVED:
            return
        if order.status is OrderStatus.ABSENT:
            evidence = {"client_order_id": order.client_order_id, "attempts": order.attempts, "pages": "complete"}
            self.applied.append(Action("R14", order.symbol, "mark order absent", NOWHERE, evidence))
        else:
            self.settled.append(f"{order.symbol}: {order.client_order_id} -> {order.status}")

    def _round(self) -> Round:
        done = read_patiently(self.reconciler.round, self.clock, self.stop)
        self.learn(done)
        return done

    def learn(self, done: Round) -> None:
        """Take a look's findings into account; also of one that was taken elsewhere."""
        self.applied += done.applied
        self.protection.learn(done)

    def _protect(self) -> None:
        """Exits first: cancel what is too much, wait until it is final, place what is missing. What takes longer than a
        moment goes on beside the session. A dry run only says so."""
        self.protection.stale_before = self.clock.now()
        if self.reconciler.dry_run:
            self.applied += self.protection.planned([fact for action in self.applied for fact in action.facts])
        else:
            self.applied += self.protection.see_through(PROTECTION_PATIENCE_S, self.stop.is_set)
        self.protection.stale_before = None

    def _prove(self, last: Round) -> Round:
        rounds: list[Round] = []
        while len(rounds) < MAX_ROUNDS and not self.stop.is_set() and not self.reconciler.dry_run:
            if rounds:
                nap(self.clock, self.stop, APART_S)
            last = self._round()
            if not last.changed and not last.plan.unsteady:
                return last
            self._protect()
            rounds.append(last)
        if len(rounds) == MAX_ROUNDS:
            self._halt_what_moves(rounds)
        return last

    def _halt_what_moves(self, rounds: list[Round]) -> None:
        """Symbols in which every look found something new; their numbers cannot be trusted. The others trade on."""
        for action in kept_moving([(one.plan, one.sight.look) for one in rounds], self.state.book):
            log.warning("recovery.world_keeps_moving", symbol=action.symbol, rounds=len(rounds))
            self.state.raise_halt(action)
            self.applied.append(action)

    def _accept_recovered(self) -> None:
        """A person has said that the orders which these books did not know may stay (R11)."""
        if not self.reconciler.policy.accept_recovered or self.reconciler.dry_run:
            return
        for halt in self.state.records.active_halts():
            if halt.evidence.get("row") == "R11":
                self.state.lift_halt(halt, "--accept-recovered")

    def confirm(self, last: Round) -> Round:
        """Look again until every difference is explained, imported or halted; at most as long as that may take."""
        rules = self.reconciler.confirmations
        limit = self.clock.monotonic() + 2 * rules.span_s + self.in_doubt.settle_s + 30
        while (last.pending or self.in_doubt.has_work) and not self.stop.is_set():
            if self.clock.monotonic() > limit:
                return last
            nap(self.clock, self.stop, rules.wait_s)
            with contextlib.suppress(BrokerUnreachable, RateLimited):  # times in the books would only be older
                self.clock.observe(self.reconciler.gateway.clock().now)
            self.in_doubt.settle(EXITS)
            last = self._round()
            self._protect()
        return last

    def report(self, last: Round, extra: dict[str, Any]) -> dict[str, Any]:
        """ "While you were down", as JSON data: what happened, what was repaired, what is still blocked."""
        return {
            "ok": not (last.is_open or self.in_doubt.has_work or self.stop.is_set()),
            "applied": [] if self.reconciler.dry_run else [action.as_json() for action in self.applied],
            "plan": [action.as_json() for action in (*self.applied, *not_done(last))],
            "requests": self.requests,
            "steps": [[name, seconds] for name, seconds in self.steps.done],
            "report": {
                **account_of_downtime(self.before, last, self.applied, self.state.book),
                "settled": self.settled,
                "still_in_doubt": [order.client_order_id for order in self.in_doubt.orders()],
                "blocked": self.reconciler.blocks(),
                **extra,
            },
        }
