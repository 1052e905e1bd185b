"""The order road: intent, send, outcome. The only part that sends anything that changes the broker's state.

    commit the intent as SENDING -> deadline check -> one request -> commit the outcome

A crash anywhere leaves either nothing, or an intent whose id finds the order at the broker. Nothing is ever sent
twice under two ids, and nothing is called rejected because an answer was lost.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from gambler_ai.broker.gateway import Accepted, Gateway, Refused
from gambler_ai.clock import Clock
from gambler_ai.crashpoints import crashpoint
from gambler_ai.domain import facts
from gambler_ai.domain.exits import exit_order
from gambler_ai.domain.facts import Fact
from gambler_ai.domain.orders import (
    BrokerOrder,
    ImpossibleStep,
    Order,
    OrderStatus,
    Role,
    Wish,
    client_order_id,
    observe,
    same_parameters,
    step,
)
from gambler_ai.domain.positions import Position
from gambler_ai.domain.protection import Exit
from gambler_ai.domain.reconciliation import ACCOUNT, Action, collision, contradiction, still_in_doubt
from gambler_ai.domain.risk import Exposure, Limits, lacks_buying_power, may_repeat, must_wait, why_not
from gambler_ai.domain.sessions import Session
from gambler_ai.domain.sightings import Collision, facts_of_legs
from gambler_ai.errors import (
    AlreadyStored,
    BrokerRefusesUs,
    BrokerUnreachable,
    HumanNeeded,
    OutcomeUnknown,
    RateLimited,
)
from gambler_ai.logs import get_logger
from gambler_ai.trading.state_manager import Halted, StateManager

log = get_logger("orders")


class StopFlag(Protocol):
    def is_set(self) -> bool: ...


class SendFlag(StopFlag, Protocol):
    """`is_set` = no new risk leaves any more; what protects shares we have still may, until `sends_nothing`."""

    @property
    def sends_nothing(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Blocked:
    """The wish was not sent, and why; nothing was written."""

    reason: str


@dataclass(frozen=True, slots=True)
class DeskRules:
    """`send_deadline_s`: wall seconds after the intent's commit in which the request may still leave.
    `halt_on_insufficient`: an entry refused for want of buying power stops the account (R17)."""

    send_deadline_s: float = 2.0
    max_attempts: int = 5
    halt_on_insufficient: bool = False


class OrderDesk:
    """See the module's text. `blocks` maps a symbol, or "*", to why no new risk may be taken there now."""

    def __init__(
        self,
        state: StateManager,
        gateway: Gateway,
        clock: Clock,
        stop: SendFlag,
        limits: Limits,
        rules: DeskRules,
        blocks: Callable[[], dict[str, str]],
    ) -> None:
        self._state = state
        self._gateway = gateway
        self._clock = clock
        self._stop = stop
        self._limits = limits
        self._rules = rules
        self._blocks = blocks
        self.requests = 0
        """Requests sent that could change the broker's state."""
        self.not_before = 0.0
        """Monotonic time before which the broker wants to see no repeated order."""

    def place(
        self, session: Session, wish: Wish, decision_key: str, valid_until: datetime, *, last: bool = True
    ) -> Order | Blocked:
        """Turn a wish into an order, once: the same decision made again returns the order it already became. An exit
        whose shares are held by what protects them is PLANNED only, until the protection pass has freed them.

        `last` = no further wish of this decision follows, so the strategy's state may be stored with the intent.
        """
        order_id = client_order_id(
            role=wish.role,
            owner=session.owner,
            account_id=session.account_id,
            session_id=session.session_id,
            symbol=wish.symbol,
            decision_key=decision_key,
        )
        book = self._state.book
        if order_id in book.orders:
            return book.orders[order_id]
        exposure = Exposure(book.open_positions(), book.orders.values(), self._blocks())
        reason = why_not(wish, session.owner, session.symbols, exposure, self._limits)
        if reason is None and self._stop.is_set():
            reason = "the session is stopping"
        if reason is not None:
            return Blocked(reason)
        now = self._clock.now()
        waits = must_wait(wish, session.owner, exposure)
        order = Order(
            client_order_id=order_id,
            account_id=session.account_id,
            session_id=session.session_id,
            owner=session.owner,
            role=wish.role,
            symbol=wish.symbol,
            side=wish.side,
            type=wish.type,
            time_in_force=wish.time_in_force,
            qty=wish.qty,
            limit_price=wish.limit_price,
            stop_price=wish.stop_price,
            status=OrderStatus.PLANNED if waits else OrderStatus.SENDING,
            created_at=now,
            updated_at=now,
            decision_key=decision_key,
            reason=wish.reason,
            valid_until=valid_until,
            attempts=0 if waits else 1,
            stop_loss=wish.stop_loss,
            take_profit=wish.take_profit,
        )
        crashpoint("order.before_intent")
        try:
            self._state.record_intent(
                facts.order_intended(order), raises_risk=wish.role is Role.ENTRY, with_strategy=last
            )
        except Halted as halted:
            return Blocked(str(halted))
        except AlreadyStored:
            known = book.order(order_id)  # decided before, and finished: no longer in memory
            if known is None:
                raise
            return known
        committed = self._clock.monotonic()
        crashpoint("order.after_intent")
        return order if waits else self._send(order, committed)

    def protect(self, position: Position, wanted: Exit) -> Order:
        """An exit for a position, decided by `domain.protection`."""
        order = exit_order(position, wanted, self._clock.now())
        return self._commit_and_send(facts.order_intended(order), order)

    def send_planned(self, order: Order) -> Order:
        """Send an exit that waited until its shares were free."""
        after = step(order, OrderStatus.SENDING, self._clock.now(), attempts=1)
        return self._commit_and_send(facts.order_changed(order, after, "its shares are free"), after)

    def withdraw(self, order: Order, why: str) -> Order:
        """Give up an exit that still waits; nothing of it ever left."""
        return self._outcome(order, step(order, OrderStatus.WITHDRAWN, self._clock.now(), error=why))

    def _commit_and_send(self, fact: Fact, order: Order) -> Order:
        crashpoint("order.before_intent")
        self._state.record_intent(fact, raises_risk=False, with_strategy=False)
        committed = self._clock.monotonic()
        crashpoint("order.after_intent")
        return self._send(order, committed)

    def send_again(self, order: Order) -> Order:
        """Another attempt of an unresolved intent, under its own id; safe at any time, because whichever copy arrives
        first creates the order and every other is refused as a duplicate."""
        after = step(order, OrderStatus.SENDING, self._clock.now(), attempts=order.attempts + 1)
        crashpoint("order.before_intent")
        try:
            self._state.record_intent(
                facts.order_changed(order, after, "another attempt under the same id"),
                raises_risk=order.role is Role.ENTRY,
                with_strategy=False,
            )
        except Halted:
            return order
        committed = self._clock.monotonic()
        crashpoint("order.after_intent")
        return self._send(after, committed)

    def may_send_again(self, order: Order) -> bool:
        """Whether the decision would be made again today: the gate is asked as if the order were new."""
        if order.attempts >= self._rules.max_attempts or order.qty is None:
            return False
        others = [o for o in self._state.book.orders.values() if o.client_order_id != order.client_order_id]
        exposure = Exposure(self._state.book.open_positions(), others, self._blocks())
        if order.role is Role.ENTRY:
            wish = Wish(order.symbol, order.side, order.qty, limit_price=order.limit_price, stop_price=order.stop_price)
            reason = why_not(wish, order.owner, [order.symbol], exposure, self._limits)
        else:
            reason = may_repeat(order, exposure)
        if reason is not None:
            log.info("order.not_sent_again", client_order_id=order.client_order_id, why=reason)
        return reason is None

    def _send(self, order: Order, committed: float) -> Order:
        too_late = self._too_late(committed, self._is_stopped_for(order))
        if too_late:
            return self._not_sent(order, too_late)
        crashpoint("order.before_send")
        self.requests += 1
        try:
            answer = self._gateway.submit(order)
        except HumanNeeded as error:
            evidence = {"client_order_id": order.client_order_id, "symbol": order.symbol}
            self._state.raise_halt(Action("limit", ACCOUNT, "halt account", str(error), evidence))
            return self._not_sent(order, str(error))
        except BrokerUnreachable as error:
            return self._not_sent(order, f"the broker could not be reached: {error}")
        except (OutcomeUnknown, RateLimited) as error:
            crashpoint("order.after_send")
            if isinstance(error, RateLimited):
                self.not_before = self._clock.monotonic() + (error.retry_after_s or 2.0)
            return self._outcome(order, step(order, OrderStatus.IN_DOUBT, self._clock.now(), error=str(error)))
        crashpoint("order.after_send")
        if isinstance(answer, Accepted):
            return self.found(order, answer.order, "accepted")
        return self._refused(order, answer)

    def _too_late(self, committed: float, stopped: bool) -> str:
        """Why the request of an intent may not leave any more; empty when it may."""
        if self._clock.monotonic() - committed > self._rules.send_deadline_s:
            return "the send deadline passed"
        return "the session is stopping" if stopped else ""

    def _is_stopped_for(self, order: Order) -> bool:
        return self._stop.sends_nothing if order.position_id is not None else self._stop.is_set()

    def _not_sent(self, order: Order, why: str) -> Order:
        """No byte of this attempt left, so it does not count. Earlier attempts may have: then the order stays in doubt.
        So does an exit, which somebody still wants: it is sent again as soon as the broker can be reached."""
        wanted = order.role is not Role.ENTRY and not self._is_stopped_for(order)
        to = OrderStatus.IN_DOUBT if wanted or order.attempts > 1 else OrderStatus.WITHDRAWN
        return self._outcome(order, step(order, to, self._clock.now(), error=why, attempts=order.attempts - 1))

    def _refused(self, order: Order, answer: Refused) -> Order:
        """A refusal proves nothing about earlier attempts, and 422/409 may be our own order: look before believing."""
        error = f"{answer.http_status} {answer.code}: {answer.message}"
        if answer.must_look or order.attempts > 1:
            try:
                seen = self._gateway.order_by_client_id(order.client_order_id)
            except (BrokerUnreachable, RateLimited, BrokerRefusesUs):
                return self._outcome(order, step(order, OrderStatus.IN_DOUBT, self._clock.now(), error=error))
            if seen is not None:
                return self.found(order, seen, "found after a refusal")
            if order.attempts > 1 or answer.is_repeated:
                return self._outcome(order, step(order, OrderStatus.IN_DOUBT, self._clock.now(), error=error))
        if order.role is Role.ENTRY and lacks_buying_power(answer.code, answer.message):
            self._insufficient(order, error)
        return self._outcome(order, step(order, OrderStatus.REJECTED, self._clock.now(), error=error))

    def _insufficient(self, order: Order, error: str) -> None:
        """R17: the entry is rejected and trading goes on, unless the settings say that this stops the account."""
        log.warning("entry.no_buying_power", row="R17", client_order_id=order.client_order_id, symbol=order.symbol)
        if self._rules.halt_on_insufficient:
            evidence = {"client_order_id": order.client_order_id, "symbol": order.symbol, "answer": error}
            reason = "an entry was refused for want of buying power, and halt_on_insufficient is set"
            self._state.raise_halt(Action("R17", ACCOUNT, "halt account", reason, evidence))

    def found(self, order: Order, seen: BrokerOrder, why: str) -> Order:
        """The broker has an order under this id. With other parameters it is a collision: halt, and never touch it."""
        now = self._clock.now()
        differing = same_parameters(order, seen)
        if differing:
            return self._halted(order, collision(Collision(order, differing), now))
        try:
            after = replace(observe(order, seen, now), error=None)
            legs = facts_of_legs(self._state.book, after, seen, now)
        except ImpossibleStep as error:
            return self._halted(order, contradiction(seen, error, still_in_doubt(order, str(error), now)))
        return self._outcome(order, after, why, legs)

    def _halted(self, order: Order, action: Action) -> Order:
        """The halt, and the order in doubt until a person has looked, in one transaction."""
        crashpoint("order.before_outcome")
        self._state.apply(action)
        crashpoint("order.after_outcome")
        log.error(f"order.{action.row.lower()}", **action.evidence)
        return self._state.book.order(order.client_order_id) or order

    def _outcome(self, order: Order, after: Order, why: str = "outcome", legs: Sequence[Fact] = ()) -> Order:
        crashpoint("order.before_outcome")
        if after != order or legs:
            self._state.record([facts.order_changed(order, after, why), *legs])
        crashpoint("order.after_outcome")
        log.info(
            f"order.{after.status.lower()}",
            client_order_id=after.client_order_id,
            symbol=after.symbol,
            side=after.side.value,
            qty=str(after.qty),
            error=after.error,
        )
        return after

    def cancel(self, order: Order, why: str) -> Order:
        """Ask the broker to cancel a working order. The order stays WORKING until the broker says it is final. Who may
        send nothing any more takes no protection off either: what he cancels, he could not put back."""
        if order.broker_order_id is None or order.is_terminal or self._stop.sends_nothing:
            return order
        crashpoint("cancel.before_intent")
        asked = replace(order, cancel_asked_at=self._clock.now())
        self._state.record([facts.order_changed(order, asked, f"cancel: {why}")])
        committed = self._clock.monotonic()
        payload = {"outcome": self._ask_to_cancel(order.broker_order_id, committed)}
        self._state.record(
            [facts.note("cancel.outcome", payload, client_order_id=order.client_order_id, symbol=order.symbol)]
        )
        crashpoint("cancel.after_outcome")
        return asked

    def _ask_to_cancel(self, broker_order_id: str, committed: float) -> str:
        """What became of the request; one that was lost is asked for again by the next pass, which is harmless."""
        crashpoint("cancel.after_intent")
        too_late = self._too_late(committed, self._stop.sends_nothing)
        if too_late:
            return f"not sent: {too_late}"
        self.requests += 1
        try:
            answer = self._gateway.cancel(broker_order_id)
            outcome = "taken" if answer is None else f"{getattr(answer, 'http_status', '')} {answer}"
        except (OutcomeUnknown, BrokerUnreachable, RateLimited) as error:
            outcome = f"unknown: {error}"
        crashpoint("cancel.after_send")
        return outcome
