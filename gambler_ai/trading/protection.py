"""The protection pass: acts on what `domain.protection` decides, and measures how long shares are without an exit.

Each placement and each cancel is an intent under the protocol of every order: committed before a byte is sent, the same
id on every retry, in doubt when the answer is lost. A crash anywhere leaves books from which the next pass decides the
same, so there is nothing to remember but how long something lasts: that is counted anew after a restart.
"""

import math
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal

from gambler_ai.broker.gateway import Gateway
from gambler_ai.clock import Clock
from gambler_ai.crashpoints import crashpoint
from gambler_ai.domain import facts
from gambler_ai.domain.book import Draft
from gambler_ai.domain.cover import Terms
from gambler_ai.domain.exits import steps_ahead
from gambler_ai.domain.facts import Fact
from gambler_ai.domain.money import text
from gambler_ai.domain.orders import Order, OrderStatus
from gambler_ai.domain.policy import Policy
from gambler_ai.domain.positions import Position, net
from gambler_ai.domain.protection import Act, Decision, Exit, Step, decide
from gambler_ai.domain.reconciliation import Action, about_order
from gambler_ai.errors import BrokerRefusesUs, BrokerUnreachable, RateLimited
from gambler_ai.logs import get_logger
from gambler_ai.storage.protected import WAIVED
from gambler_ai.trading.order_desk import OrderDesk
from gambler_ai.trading.position_reconciler import Round
from gambler_ai.trading.state_manager import StateManager

log = get_logger("protection")

MAX_PASSES = 8
FIRST_WAIT_S = 0.05
LONGEST_WAIT_S = 30.0
ASK_AGAIN_S = 1.0
NEVER = math.inf
_DOES = {
    Act.PLACE: "place exit",
    Act.SEND: "send exit",
    Act.WITHDRAW: "withdraw exit",
    Act.CANCEL: "cancel exit",
    Act.READ: "ask for order",
}


@dataclass(frozen=True, slots=True)
class ProtectionRules:
    """`place` False is a waiver; `external_pct` protects EXTERNAL positions too. Wall seconds without an exit before
    people are told, and before `emergency` is carried out: "hold" the shares and go on trying, or "flatten" them."""

    place: bool = True
    external_pct: Decimal | None = None
    alarm_s: float = 10.0
    emergency_s: float = 60.0
    emergency: str = "hold"

    @classmethod
    def of(cls, policy: Policy) -> "ProtectionRules":
        external = policy.protect_external_pct or None
        return cls(place=not policy.no_protect, external_pct=external, emergency=policy.unprotected)


@dataclass
class _Wait:
    """`stubborn` = the broker refused; nothing but time helps. Otherwise news of an order ends it."""

    until: float
    seconds: float
    stubborn: bool


@dataclass
class Protection:
    """`due` is the monotonic time of the next pass; `mark` makes it now. `stale_before`: see Terms. `leaving` = nobody
    will be here to protect what an entry still buys: the rest of one that has begun to fill is not waited for."""

    state: StateManager
    desk: OrderDesk
    gateway: Gateway
    clock: Clock
    rules: ProtectionRules = field(default_factory=ProtectionRules)
    stale_before: datetime | None = None
    leaving: bool = False
    due: float = 0.0
    _beyond: dict[str, Decimal] = field(default_factory=dict)
    _unconfirmed: frozenset[str] = frozenset()
    _waits: dict[str, _Wait] = field(default_factory=dict)
    _since: dict[str, float] = field(default_factory=dict)
    _alarmed: dict[str, str] = field(default_factory=dict)
    _why: dict[str, str] = field(default_factory=dict)
    _asked: dict[str, float] = field(default_factory=dict)
    _last: dict[str, str] = field(default_factory=dict)
    _taken_off: dict[str, int] = field(default_factory=dict)
    _emergencies: set[str] = field(default_factory=set)
    _closing: Set[str | None] = frozenset()

    def flatten(self, symbols: Set[str | None]) -> None:
        """Until told otherwise, positions in these symbols (None = all) are closed, not protected."""
        self._closing = symbols

    def mark(self) -> None:
        """Something changed: decide again with the next duty."""
        self._waits = {symbol: wait for symbol, wait in self._waits.items() if wait.stubborn}
        self.due = 0.0

    def learn(self, done: Round) -> None:
        """What a look found that the books cannot explain, not even after what it has just booked."""
        held = self.state.book.open_positions()
        self._beyond = {d.symbol: d.theirs - net(held, d.symbol) for d in done.plan.differences}
        self._unconfirmed = frozenset(question.action.symbol for question in done.pending)
        self.mark()

    @property
    def is_due(self) -> bool:
        return self.clock.monotonic() >= self.due

    def decision(self) -> Decision:
        """What is to be done now; changes nothing."""
        book = self.state.book
        return decide(book.open_positions(), book.orders.values(), self._terms())

    def planned(self, found: Sequence[Fact]) -> list[Action]:
        """What would be done, step after step, were these facts booked; changes nothing."""
        book = self.state.book
        draft = Draft(book, self.state.account_id)
        for number, fact in enumerate(found):
            draft.apply(fact, -1 - number)
        positions = {p.position_id: p for p in book.open_positions()} | draft.positions
        orders = book.orders | draft.orders
        steps = steps_ahead(positions.values(), orders.values(), self._terms(), self.clock.now())
        return [Action("R3", step.symbol, _DOES[step.act], step.reason, step.evidence) for step in steps]

    def _terms(self) -> Terms:
        book, now = self.state.book, self.clock.monotonic()
        patience = 0.0 if self.leaving else self.rules.alarm_s
        long = {name for name, since in self._since.items() if now - since >= patience}
        longer = {name for name, since in self._since.items() if now - since >= self.rules.emergency_s}
        asked = {p.position_id for p in book.open_positions() if {None, p.symbol} & self._closing}
        return Terms(
            place=self.rules.place,
            external_pct=self.rules.external_pct,
            beyond=self._beyond,
            unconfirmed=self._unconfirmed,
            stale_before=self.stale_before,
            unprotected_long=frozenset(long),
            flatten=frozenset((longer if self.rules.place and self.rules.emergency == "flatten" else set()) | asked),
        )

    def run(self) -> list[Action]:
        """Pass after pass as long as the broker answers at once; never waits. Returns what was done."""
        done: list[Action] = []
        for _ in range(MAX_PASSES):
            decision = self.decision()
            self._measure(decision)
            now = self.clock.monotonic()
            steps = [step for step in decision.steps if not _is_in_doubt(step.order)]
            self._waits = {s.symbol: self._waits[s.symbol] for s in steps if s.symbol in self._waits}
            due = [s for s in steps if s.symbol not in self._waits or self._waits[s.symbol].until <= now]
            if not [step for step in due if self._try(step, done)]:
                break
        self.due = self._next_time()
        return done

    def see_through(self, patience_s: float, is_over: Callable[[], bool]) -> list[Action]:
        """Pass after pass until nothing is to be done or awaited, or for so many seconds; the rest goes on later."""
        limit = self.clock.monotonic() + patience_s
        done = self.run()
        while self.waits_s < patience_s and self.clock.monotonic() < limit and not is_over():
            self.clock.sleep(min(max(self.waits_s, 0.01), 0.2))
            done += self.run()
        return done

    def waive(self, session_id: str) -> None:
        """Write down that a person wanted no protection in this session."""
        if not self.rules.place:
            payload = {"positions": [p.position_id for p in self.state.book.open_positions()]}
            self.state.record([facts.note(WAIVED, payload, session_id=session_id)])

    def keep_waiver(self) -> None:
        """Without a session: what the last one was not to have, it does not get behind a person's back."""
        if self.rules.place and self.state.records.protection_is_waived():
            log.info("protection.stays_waived", why="the last session ran with --no-protect; the next one decides anew")
            self.rules = replace(self.rules, place=False)

    def _try(self, step: Step, done: list[Action]) -> bool:
        """Whether the step got somewhere; if not, the symbol waits, each time longer."""
        try:
            forward = self._act(step, done)
        except (BrokerUnreachable, RateLimited, BrokerRefusesUs) as error:
            log.warning("protection.no_answer", symbol=step.symbol, error=str(error))
            forward = False
        if forward:
            self._waits.pop(step.symbol, None)
        else:
            before = self._waits.get(step.symbol)
            seconds = FIRST_WAIT_S if before is None else min(before.seconds * 2, LONGEST_WAIT_S)
            if step.act is Act.PLACE and step.position is not None:
                seconds = max(seconds, self._pause_s(step.position.position_id))
            self._waits[step.symbol] = _Wait(self.clock.monotonic() + seconds, seconds, step.act is Act.PLACE)
        return forward

    def _pause_s(self, position_id: str) -> float:
        """How long to wait before an exit is placed again that others take off as often as we place it."""
        times = self._taken_off.get(position_id, 0)
        return min(0.5 * 2.0**times, LONGEST_WAIT_S) if times > 1 else 0.0

    def _place(self, step: Step, position: Position, wanted: Exit) -> bool:
        name = position.position_id
        last = self.state.book.order(self._last.get(name, ""))
        if last is not None:
            by_others = last.status is OrderStatus.CANCELED and last.cancel_asked_at is None
            self._taken_off[name] = self._taken_off.get(name, 0) + 1 if by_others else 0
            del self._last[name]
            if self._pause_s(name):
                return False
        order = self.desk.protect(position, wanted)
        self._last[name] = order.client_order_id
        self._why[step.symbol] = order.error or ""
        return not order.is_terminal

    def _act(self, step: Step, done: list[Action]) -> bool:
        crashpoint("protection.before_step")
        if step.act is Act.PLACE and step.position is not None and step.exit is not None:
            sent = self.desk.requests
            forward = self._place(step, step.position, step.exit)
            if self.desk.requests > sent:
                done.append(self._action("R3", step, _DOES[step.act] if forward else "exit refused"))
        elif step.order is None:
            forward = False
        elif step.act is Act.SEND:
            forward = not self.desk.send_planned(step.order).is_terminal
        elif step.act is Act.WITHDRAW:
            forward = self.desk.withdraw(step.order, step.reason).is_terminal
            done.append(self._action("R3", step, _DOES[step.act]))
        elif step.act is Act.CANCEL:
            self._asked[step.order.client_order_id] = self.clock.monotonic()
            sent = self.desk.requests
            asked = self.desk.cancel(step.order, step.reason)
            if self.desk.requests > sent:
                done.append(self._action("R3", step, _DOES[step.act]))
            forward = self._read(asked, done)
        else:
            self._why[step.symbol] = step.reason
            forward = self._read(step.order, done) or self._ask_again(step)
        crashpoint("protection.after_step")
        return forward

    def _read(self, order: Order, done: list[Action]) -> bool:
        """What became of an order, from itself, with its fills; whether that was news. The order's own total is
        evidence enough for the quantity; the executions refine the prices later."""
        if order.broker_order_id is None:
            return False
        seen = self.gateway.order_by_id(order.broker_order_id)
        if seen is None:
            return False
        book, now = self.state.book, self.clock.now()
        found = about_order(self.state.account_id, book, seen, (), now, why="seen for protection", infer=True)
        if found is None:
            return False
        self.state.apply(found)
        if found.halts:
            log.error(f"order.{found.row.lower()}", symbol=found.symbol, why=found.reason)
            return False
        evidence = {"client_order_id": order.client_order_id, "broker_status": seen.status}
        reason = f"the order is {seen.status} at the broker, {text(seen.filled_qty)} shares executed"
        done.append(Action("R4", order.symbol, "book fills", reason, evidence, found.facts))
        after = self.state.book.order(order.client_order_id)
        return after is not None and after.is_terminal

    def _ask_again(self, step: Step) -> bool:
        """A cancel that seems to have been lost is asked for once more; repeating it is harmless."""
        live = self.state.book.order(step.order.client_order_id) if step.order is not None else None
        if live is None or live.status is not OrderStatus.WORKING or live.cancel_asked_at is None:
            return False
        now = self.clock.monotonic()
        if now - self._asked.setdefault(live.client_order_id, now) >= ASK_AGAIN_S:
            self._asked[live.client_order_id] = now
            self.desk.cancel(live, step.reason)
        return False

    def _action(self, row: str, step: Step, what: str) -> Action:
        order_id = step.order.client_order_id if step.order else None
        log.info(f"protection.{what.replace(' ', '_')}", client_order_id=order_id, symbol=step.symbol, why=step.reason)
        return Action(row, step.symbol, what, step.reason, step.evidence)

    # --- time -------------------------------------------------------------------------------------------------

    def _measure(self, decision: Decision) -> None:
        """Since when which shares are without an exit; tell once when it is too long, and once when it is over. Of
        a waiver nothing is told."""
        now = self.clock.monotonic()
        self._since = {name: self._since.get(name, now) for name in decision.exposed}
        for name in [name for name in self._alarmed if name not in decision.exposed]:
            log.info("position.protected_again", position=name)
            self.state.record([facts.note("protection.restored", {}, position_id=name, symbol=self._alarmed[name])])
            del self._alarmed[name]  # what the database did not take is told again
        for name, since in self._since.items() if self.rules.place else ():
            if now - since >= self.rules.alarm_s and name not in self._alarmed:
                self._alarm(name, decision.exposed[name], now - since)
            if now - since >= self.rules.emergency_s and name not in self._emergencies:
                self._emergency(name)
        self._emergencies &= set(self._since)

    def _alarm(self, position_id: str, missing: Decimal, seconds: float) -> None:
        position = self.state.book.position(position_id)
        assert position is not None
        why = self._why.get(position.symbol, "")
        payload = {"shares": text(missing), "seconds": str(round(seconds)), "why": why}
        log.error("position.unprotected", position=position_id, **payload)
        self.state.record([facts.note("protection.alarm", payload, position_id=position_id, symbol=position.symbol)])
        self._alarmed[position_id] = position.symbol

    def _emergency(self, position_id: str) -> None:
        """What the policy says is tried at once, however often the broker has refused until now."""
        self._emergencies.add(position_id)
        self._taken_off.pop(position_id, None)
        self._last.pop(position_id, None)
        self._waits.pop(self._alarmed[position_id], None)
        log.error("position.emergency", position=position_id, policy=self.rules.emergency)

    def blocks(self) -> Mapping[str, str]:
        """Symbols in which shares are without an exit for too long."""
        return {
            symbol: f"shares of {symbol} are without protection: {self._why.get(symbol) or 'being placed'}"
            for symbol in self._alarmed.values()
        }

    @property
    def waits_s(self) -> float:
        """Seconds until the next pass is due; 0 = now."""
        return max(0.0, self.due - self.clock.monotonic())

    def _next_time(self) -> float:
        now = self.clock.monotonic()
        limits = (self.rules.alarm_s, self.rules.emergency_s)
        alarms = [since + limit for since in self._since.values() for limit in limits if since + limit > now]
        return min([*alarms, *(wait.until for wait in self._waits.values())], default=NEVER)


def _is_in_doubt(order: Order | None) -> bool:
    """It is looked up, or sent again, under its id elsewhere; until then nobody can cancel it."""
    return order is not None and order.broker_order_id is None and order.status is not OrderStatus.PLANNED
