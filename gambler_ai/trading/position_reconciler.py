"""Books against broker: one round looks, plans, applies what evidence explains, and counts what it cannot explain."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import groupby
from typing import Any

from gambler_ai.broker.gateway import Gateway
from gambler_ai.clock import Clock
from gambler_ai.crashpoints import crashpoint
from gambler_ai.domain.corporate import explained, goes_first
from gambler_ai.domain.differences import (
    Confirmations,
    forgotten,
    global_stop,
    in_the_way,
    leftover_exits,
    resolve_difference,
)
from gambler_ai.domain.facts import ORDER_CHANGED
from gambler_ai.domain.orders import Order
from gambler_ai.domain.policy import Policy
from gambler_ai.domain.positions import net
from gambler_ai.domain.reconciliation import WAITED, Action, Difference, Look, Plan, matched, plan
from gambler_ai.domain.sightings import absent
from gambler_ai.logs import get_logger
from gambler_ai.storage.records import Halt
from gambler_ai.trading.look import Sight, take_look
from gambler_ai.trading.state_manager import StateManager

log = get_logger("reconciler")

ACTIVITIES_OVERLAP = timedelta(days=4)
"""A split may be in the account before its activity is."""
LONGEST_LAG = timedelta(days=1)
"""For so long an execution that only its order's average tells of is asked for by every look."""
TOGETHER = 200
"""Actions in one transaction: few enough that a stop signal or another writer need not wait long."""
CONFIRMING, HALTED, ASKED, IGNORED = "confirming", "halted", "asked", "ignored"
ANSWERS = {"R7": ("R7", "R8")}
_OF_DIFFERENCES = ("R6", "R7", "R8", "R9", "R10", "R16")


@dataclass(frozen=True, slots=True)
class Question:
    """A finding that changed nothing yet: what it becomes, and why not now."""

    action: Action
    state: str
    why: str

    @property
    def needs_a_person(self) -> bool:
        return self.state in (HALTED, ASKED)

    @property
    def told(self) -> str:
        """Both sides' numbers, and why nothing is done yet."""
        evidence = self.action.evidence
        if self.action.row == "R14":
            return f"order {evidence['client_order_id']} is not at the broker; {self.why}"
        return f"books say {evidence['ours']}, the broker {evidence['broker']}; {self.why}"


@dataclass(frozen=True, slots=True)
class Round:
    """What one round saw and did; what it could not yet believe (`pending`), and what waits for more than time."""

    sight: Sight
    plan: Plan
    applied: tuple[Action, ...]
    pending: tuple[Question, ...]
    standing: tuple[Question, ...]
    matched: tuple[Action, ...]

    @property
    def changed(self) -> bool:
        """Whether there was news that another look has to follow."""
        return not all(_works_on(action) for action in self.applied)

    @property
    def is_open(self) -> bool:
        """Whether a difference is left that time or a person must settle."""
        return bool(self.pending) or any(question.needs_a_person for question in self.standing)


def _no_answer(_action: Action) -> bool:
    return False


@dataclass
class PositionReconciler:
    """`since` is the exchange time of the last complete look; `dry_run` plans and changes nothing.

    `cancel` asks the broker to cancel an order of the books, for a reason; `ask` asks a person whether to do an action.
    """

    state: StateManager
    gateway: Gateway
    clock: Clock
    confirmations: Confirmations
    not_before: datetime
    since: datetime
    policy: Policy = field(default_factory=Policy)
    dry_run: bool = False
    cancel: Callable[[Order, str], Any] = lambda _order, _why: None
    ask: Callable[[Action], bool] = _no_answer
    pending: list[Question] = field(default_factory=list)
    standing: list[Question] = field(default_factory=list)

    def round(self) -> Round:
        """One look and what follows from it. Raises, having changed nothing, when any read fails.

        Each action is in one transaction, what only books with others of its kind, and is repeated without effect
        after a crash: its facts are old news then.
        """
        self.state.settle_lost_commit()
        sight = take_look(
            self.gateway,
            self.state.account_id,
            self.state.book,
            since=self.since,
            not_before=self.not_before,
            now=self.clock.now(),
        )
        found = plan(self.state.account_id, self.state.book, sight.look, self.policy)
        held = self._held()
        events = self._explained_by_activities(found, sight.look, held) if found.differences else []
        applied = [self._apply(action) for action in events if goes_first(action, held)]
        if applied and not self.dry_run:
            found = plan(self.state.account_id, self.state.book, sight.look, self.policy)
        due = [action for action in found.actions if action.facts or not self._stands(action)]
        applied += self._apply_all(due)
        applied += [self._apply(action) for action in events if not goes_first(action, held)]
        done = {symbol for action in events for symbol in action.evidence["symbols"]}
        found = replace(found, differences=tuple(d for d in found.differences if d.symbol not in done))
        applied += [self._apply(action) for action in self._confirmed(found, sight.look)]
        if not self.dry_run and not self.state.records.has_guessed(sight.look.now - LONGEST_LAG):
            self.since = sight.look.now  # else executions lag behind their orders: the next look reads them again
            self.state.looked(self.since)
        both = tuple(matched(self.state.book, sight.look))
        return Round(sight, found, tuple(applied), tuple(self.pending), tuple(self.standing), both)

    def _held(self) -> dict[str, Decimal]:
        positions = self.state.book.open_positions()
        return {p.symbol: net(positions, p.symbol) for p in positions}

    def _explained_by_activities(self, found: Plan, look: Look, held: Mapping[str, Decimal]) -> list[Action]:
        """R16: the account's activities are asked for when something differs. One that was booked explains nothing.
        They prove every single share, so that an order of ours, even one in doubt, is not in the way."""
        changes = self.gateway.share_changes_since(max(self.not_before, self.since - ACTIVITIES_OVERLAP))
        fresh = [c for c in changes if c.symbol and not self.state.records.is_adjusted_by(c.activity_id)]
        return explained(found.differences, fresh, look, held)

    def _stands(self, action: Action) -> bool:
        return action.halts and self.state.is_halted(action)

    def _apply_all(self, actions: Sequence[Action]) -> list[Action]:
        """In their order. A commit costs more than what it holds, so neighbours that only book share one."""
        for only_books, some in groupby(actions, key=_only_books):
            together = list(some)
            if self.dry_run or not only_books:
                for action in together:
                    self._apply(action)
                continue
            for first in range(0, len(together), TOGETHER):
                part = together[first : first + TOGETHER]
                for action in part:
                    _tell(action)
                crashpoint("recovery.before_apply")
                self.state.record([fact for action in part for fact in action.facts])
                crashpoint("recovery.after_apply")
        return list(actions)

    def _apply(self, action: Action) -> Action:
        _tell(action)
        if self.dry_run:
            return action
        crashpoint("recovery.before_apply")
        self.state.apply(action)
        for name in action.cancels:
            self.cancel(self.state.book.orders[name], action.reason)
        if action.row in _OF_DIFFERENCES and action.facts:
            self._lift_what_it_answers(action)
        crashpoint("recovery.after_apply")
        return action

    def _lift_what_it_answers(self, action: Action) -> None:
        """The difference for which the symbol was halted is gone, because a switch said what to do with it, or a
        corporate action explains it. Another difference, of another row, answers nothing: a person must say so."""
        answered = _OF_DIFFERENCES if action.row == "R16" else ANSWERS.get(action.row, (action.row,))
        for halt in self.state.records.active_halts():
            if halt.symbol == action.symbol and halt.evidence.get("row") in answered:
                self.state.lift_halt(halt, action.reason)

    def _confirmed(self, found: Plan, look: Look) -> list[Action]:
        """Actions for what was seen in enough rounds over a long enough time, and cannot be anything else."""
        self.pending, self.standing = [], []
        halts = self.state.records.active_halts()
        findings: list[Difference | Order] = []
        for difference in found.differences:
            expected = self._becomes(difference, look, {})
            if not expected.facts and not expected.halts:
                self._wait(expected, IGNORED, expected.reason)
            elif expected.halts and _is_known(difference, halts):
                self._wait(expected, HALTED, expected.reason)
            else:
                findings.append(difference)
        findings += found.missing
        now = self.clock.monotonic()
        confirmed = self.confirmations.record([_key(f) for f in findings if f.symbol not in look.moving], now)
        actions = []
        for finding in findings:
            if _key(finding) in confirmed:
                actions += self._resolve(finding, look, now)
            else:
                self._wait(self._becomes(finding, look, {}), CONFIRMING, "being confirmed")
        stop = global_stop(
            self.policy,
            [*actions, *(q.action for q in self.standing)],
            [*look.holdings, *(p.symbol for p in self.state.book.open_positions())],
        )
        return [*actions, stop] if stop is not None and not self._stands(stop) else actions

    def _wait(self, action: Action, state: str, why: str) -> None:
        (self.pending if state == CONFIRMING else self.standing).append(Question(action, state, why))

    def _becomes(self, finding: Difference | Order, look: Look, waited: dict[str, Any]) -> Action:
        """What the finding ends as when it is confirmed; the history is asked for only then."""
        if isinstance(finding, Order):
            reason = "the broker knows this order by no path any more"
            _, fact = absent(finding, look.now, reason)
            evidence = {
                "client_order_id": finding.client_order_id,
                "broker_order_id": finding.broker_order_id,
                "pages": "complete",
                **waited,
            }
            return Action("R14", finding.symbol, "mark order absent", reason, evidence, (fact,))
        history = self.gateway.orders_of(finding.symbol) if waited and not finding.ours else []
        return resolve_difference(self.state.account_id, self.state.book, finding, look, waited, self.policy, history)

    def _resolve(self, finding: Difference | Order, look: Look, now: float) -> list[Action]:
        """What a confirmed finding leads to in this round; nothing while something else must come first."""
        action = self._becomes(finding, look, {WAITED: round(self.confirmations.age_s(_key(finding), now), 1)})
        if isinstance(finding, Order):
            return [action]
        if action.row == "R6" and (unknown := self._forgotten_order(action.symbol)) is not None:
            action = forgotten(action, unknown)
        if self._stands(action):
            self._wait(action, HALTED, action.reason)
            return []
        if (first := leftover_exits(self.state.book, action)) is not None:
            self._wait(action, CONFIRMING, "our leftover exits must end first")
            return [first]
        if waiting := in_the_way(self.state.book, action):
            self._wait(action, CONFIRMING, f"order {waiting[0].client_order_id} of ours must end first")
            return []
        if action.asks and (self.dry_run or not self.ask(action)):
            self._wait(action, ASKED, f"{action.reason}; --orphans=ask leaves it to a person")
            return []
        return [action]

    def _forgotten_order(self, symbol: str) -> Order | None:
        """An order that opened what the books hold, and that the broker does not know any more by any id."""
        for position in self.state.book.open_positions(symbol):
            order = self.state.book.order(position.entry_order_id or "")
            if order is None or order.broker_order_id is None:
                continue
            if self.gateway.order_by_id(order.broker_order_id) is None:
                return order
        return None

    def blocks(self) -> dict[str, str]:
        """Symbols in which books and broker differ and no evidence says why, with both sides' numbers."""
        return {q.action.symbol: q.told for q in (*self.standing, *self.pending)}


def _tell(action: Action) -> None:
    log.info(
        "reconcile." + action.action.replace(" ", "_"),
        row=action.row,
        client_order_id=action.evidence.get("client_order_id"),
        symbol=action.symbol,
        why=action.reason,
    )


def _only_books(action: Action) -> bool:
    """Whether its facts are all there is to do."""
    return bool(action.facts) and not action.halts and not action.cancels and action.row not in _OF_DIFFERENCES


def _works_on(action: Action) -> bool:
    """Whether an order only goes on under Alpaca's next word for it: the `pending_new` of an answer becomes `new`."""
    words = {"broker_status", "broker_updated_at", "updated_at"}
    changed = [fact.payload["changes"] if fact.kind == ORDER_CHANGED else {} for fact in action.facts]
    return bool(changed) and all(c.get("broker_status") == "new" and c.keys() <= words for c in changed)


def _is_known(difference: Difference, halts: Iterable[Halt]) -> bool:
    """A difference that already halted its symbol with these numbers waits for a person, not for another round."""
    numbers = difference.evidence
    return any(halt.symbol == difference.symbol and numbers.items() <= dict(halt.evidence).items() for halt in halts)


def _key(finding: Difference | Order) -> Difference | str:
    return finding if isinstance(finding, Difference) else finding.client_order_id


def open_questions(last: Round) -> Sequence[Question]:
    return (*last.standing, *last.pending)
