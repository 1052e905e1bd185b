"""Books against broker: one round looks, plans, applies what evidence explains, and counts what it cannot explain."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from gambler_ai.broker.gateway import Gateway
from gambler_ai.clock import Clock
from gambler_ai.crashpoints import crashpoint
from gambler_ai.domain.orders import Order
from gambler_ai.domain.reconciliation import (
    Action,
    Confirmations,
    Difference,
    Look,
    Plan,
    may_be_resolved,
    plan,
    resolve_difference,
)
from gambler_ai.domain.sightings import absent
from gambler_ai.logs import get_logger
from gambler_ai.trading.look import Sight, take_look
from gambler_ai.trading.state_manager import StateManager

log = get_logger("reconciler")


@dataclass(frozen=True, slots=True)
class Round:
    """What one round saw, did, and could not yet believe."""

    sight: Sight
    plan: Plan
    applied: tuple[Action, ...]
    pending: tuple[Any, ...]

    @property
    def changed(self) -> bool:
        return bool(self.applied)


@dataclass
class PositionReconciler:
    """`since` is the exchange time of the last complete look; `dry_run` plans and changes nothing."""

    state: StateManager
    gateway: Gateway
    clock: Clock
    confirmations: Confirmations
    not_before: datetime
    since: datetime
    dry_run: bool = False
    pending: list[Any] = field(default_factory=list)

    def round(self) -> Round:
        """One look and what follows from it. Raises, having changed nothing, when any read fails.

        Each action is one transaction and is repeated without effect after a crash: its facts are old news then.
        """
        self.state.settle_lost_commit()
        sight = take_look(self.gateway, self.state.account_id, self.state.book, self.since, self.not_before)
        self.clock.observe(sight.look.now)
        found = plan(self.state.account_id, self.state.book, sight.look)
        due = [action for action in found.actions if not (action.halts and self.state.is_halted(action))]
        applied = [self._apply(action) for action in due]
        applied += [self._apply(action) for action in self._confirmed(found, sight.look)]
        self.since = sight.look.now
        if not self.dry_run:
            self.state.looked(self.since)
        return Round(sight, found, tuple(applied), tuple(self.pending))

    def _apply(self, action: Action) -> Action:
        log.info(
            "reconcile." + action.action.replace(" ", "_"), row=action.row, symbol=action.symbol, why=action.reason
        )
        if self.dry_run:
            return action
        crashpoint("recovery.before_apply")
        if action.halts:
            self.state.raise_halt(action)
        else:
            self.state.record(action.facts)
        crashpoint("recovery.after_apply")
        return action

    def _confirmed(self, found: Plan, look: Look) -> list[Action]:
        """Actions for what was seen in enough rounds over a long enough time, and cannot be anything else."""
        findings: list[Difference | str] = [*found.differences, *(order.client_order_id for order in found.missing)]
        believable = [f for f in findings if look.steady and self._may_be_resolved(f) and not self._is_halted(f)]
        now = self.clock.monotonic()
        confirmed = self.confirmations.record(believable, now)
        self.pending = [f for f in (*found.differences, *found.missing) if not self._is_halted(f)]
        actions = []
        for finding in confirmed:
            waited = {"seen for seconds": round(self.confirmations.age_s(finding, now), 1)}
            actions.append(self._resolve(finding, look, waited))
        done = {f if isinstance(f, str) else f.symbol for f in confirmed}
        self.pending = [f for f in self.pending if _name(f) not in done]
        return actions

    def _resolve(self, finding: Difference | str, look: Look, waited: dict[str, Any]) -> Action:
        if isinstance(finding, Difference):
            return resolve_difference(self.state.account_id, self.state.book, finding, look, waited)
        order = self.state.book.orders[finding]
        reason = "the broker knows this order by no path any more"
        _, fact = absent(order, look.now, reason)
        evidence = {"client_order_id": finding, "broker_order_id": order.broker_order_id, **waited}
        return Action("R14", order.symbol, "mark order absent", reason, evidence, (fact,))

    def _may_be_resolved(self, finding: Difference | str) -> bool:
        return isinstance(finding, str) or may_be_resolved(self.state.book, finding.symbol)

    def _is_halted(self, finding: Any) -> bool:
        """A difference that already halted its symbol waits for a person, not for another round."""
        if not isinstance(finding, Difference) or not finding.ours or not finding.theirs:
            return False
        return any(halt.symbol == finding.symbol for halt in self.state.records.active_halts())

    def blocks(self) -> dict[str, str]:
        """Symbols in which books and broker differ and no evidence says why, with both sides' numbers."""
        result = {}
        for finding in self.pending:
            if isinstance(finding, Difference):
                result[finding.symbol] = f"books say {finding.ours}, the broker {finding.theirs}; being confirmed"
            else:
                result[finding.symbol] = f"order {finding.client_order_id} is not at the broker; being confirmed"
        return result


def _name(finding: Difference | Order) -> str:
    return finding.symbol if isinstance(finding, Difference) else finding.client_order_id
