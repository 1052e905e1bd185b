"""What people ask of an account while it is held: halt, unhalt, flatten, cancel.

A command is a row. Whoever holds the account carries it out - a session between two messages, or the command itself
when nobody else does - and closes the row with its result. Everything it sends is an intent like any other, with an
id that follows from the books: killed in the middle, the next holder goes on with the same command.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from gambler_ai.clock import Clock
from gambler_ai.domain.cover import PROTECTIVE
from gambler_ai.domain.money import text
from gambler_ai.domain.orders import LIVE, Order, OrderStatus
from gambler_ai.domain.positions import Position
from gambler_ai.domain.reconciliation import ACCOUNT, Action
from gambler_ai.errors import BrokerRefusesUs, BrokerUnreachable, RateLimited
from gambler_ai.logs import get_logger
from gambler_ai.storage.commands import CANCEL, FLATTEN, HALT, UNHALT, Command
from gambler_ai.trading.order_desk import OrderDesk
from gambler_ai.trading.position_reconciler import PositionReconciler, Round
from gambler_ai.trading.protection import Protection
from gambler_ai.trading.state_manager import StateManager

log = get_logger("commands")

PATIENCE_S = 20.0
ASK_AGAIN_S = 5.0

Result = dict[str, Any]


@dataclass
class _Work:
    """A command in hand: since when, and which orders were asked to end, and when last (monotonic seconds)."""

    since: float
    asked: dict[str, float] = field(default_factory=dict)


@dataclass
class Commands:
    """`learn` is told of every look taken here."""

    state: StateManager
    desk: OrderDesk
    reconciler: PositionReconciler
    protection: Protection
    clock: Clock
    learn: Callable[[Round], None] = lambda _round: None
    _work: dict[str, _Work] = field(default_factory=dict)

    def step(self) -> bool:
        """Go on with what is asked; never waits. Returns whether something is still to be done.

        Raises what the database raises; a broker that does not answer leaves a command open, and it is tried again.
        """
        waiting = self.state.records.commands()
        self._work = {c.id: self._work.get(c.id) or _Work(self.clock.monotonic()) for c in waiting}
        self.protection.flatten({c.symbol for c in waiting if c.kind == FLATTEN})
        for command in waiting:
            try:
                result = self._carry_out(command, self._work[command.id])
            except (BrokerUnreachable, RateLimited, BrokerRefusesUs) as error:
                log.warning("command.no_answer", kind=command.kind, symbol=command.symbol, why=str(error))
                continue
            if result is not None:
                self.state.close_command(command, result)
                log.info("command.done", kind=command.kind, symbol=command.symbol, **result)
                del self._work[command.id]
        return bool(self._work)

    def _carry_out(self, command: Command, work: _Work) -> Result | None:
        """The result, or None while it is not done."""
        if command.kind == HALT:
            return halt(self.state, command)
        if command.kind == UNHALT:
            return self._unhalt(command)
        if command.kind == CANCEL:
            return self._cancel(command, work)
        if command.kind == FLATTEN:
            return self._flatten(command, work)
        return {"ok": False, "why": f"there is no command {command.kind!r}"}

    def _unhalt(self, command: Command) -> Result:
        """After another look: what still differs stays halted."""
        done = self.reconciler.round()
        self.learn(done)
        return lift(self.state, command.symbol, command.reason, differing(done))

    def _cancel(self, command: Command, work: _Work) -> Result | None:
        """Everything open but what protects: that would leave shares naked, and be placed again."""
        orders = [o for o in self._orders(command.symbol) if o.role not in PROTECTIVE]
        left = self._end(orders, work, command)
        if left and self._has_patience(work):
            return None
        kept = [o.client_order_id for o in self._orders(command.symbol) if o.role in PROTECTIVE]
        ended = [name for name in work.asked if name not in left]
        return {"ok": not left, "cancelled": ended, "left": left, "kept": kept}

    def _flatten(self, command: Command, work: _Work) -> Result | None:
        """Entries, and exits of others, which hold shares, end first; closing is the protection's business: it cancels
        what protects and sells what is left."""
        ours = {o.client_order_id for o in self._orders(command.symbol) if o.position_id is not None}
        orders = [o for o in self._orders(command.symbol) if o.client_order_id not in ours]
        left = self._end(orders, work, command)
        self.protection.mark()
        self.protection.run()
        held = self._held(command.symbol)
        if (left or held) and self._has_patience(work):
            return None
        closing = [o for o in self._orders(command.symbol) if o.position_id is not None and o.role not in PROTECTIVE]
        return {
            "ok": not left and not held,
            "cancelled": [name for name in work.asked if name not in left],
            "left": left,
            "open": {p.symbol: text(p.quantity) for p in held},
            "closing": [o.client_order_id for o in closing],
        }

    def _end(self, orders: Iterable[Order], work: _Work, command: Command) -> list[str]:
        """Ask for the end of each, again when the answer took long; returns those that have not ended."""
        now, why = self.clock.monotonic(), f"{command.kind}: {command.reason}"
        for order in orders:
            if order.status is OrderStatus.PLANNED:
                self.desk.withdraw(order, why)
                work.asked[order.client_order_id] = now
            elif order.broker_order_id and now - work.asked.get(order.client_order_id, -ASK_AGAIN_S) >= ASK_AGAIN_S:
                work.asked[order.client_order_id] = now
                self.desk.cancel(order, why)
        return [o.client_order_id for o in orders if self._is_live(o)]

    def _is_live(self, order: Order) -> bool:
        now = self.state.book.order(order.client_order_id)
        return now is not None and now.status in LIVE

    def _orders(self, symbol: str | None) -> list[Order]:
        return [o for o in self.state.book.orders.values() if o.status in LIVE and symbol in (None, o.symbol)]

    def _held(self, symbol: str | None) -> list[Position]:
        return self.state.book.open_positions(symbol)

    def _has_patience(self, work: _Work) -> bool:
        return self.clock.monotonic() - work.since < PATIENCE_S


def halt(state: StateManager, command: Command) -> Result:
    """A durable stop of new risk; for the whole account with the emergency-stop file."""
    what = "halt symbol" if command.symbol else "halt account"
    evidence = {"asked_at": command.requested_at.isoformat(), "command": command.id}
    state.raise_halt(Action("command", command.symbol or ACCOUNT, what, command.reason, evidence, halts=True))
    return {"ok": True}


def differing(done: Round) -> dict[str, str]:
    """Symbols in which books and broker still differ, with both numbers; those a switch says to ignore do not count."""
    ignored = {q.action.symbol for q in done.standing if not q.needs_a_person}
    return {d.symbol: f"{d.ours} / {d.theirs}" for d in done.plan.differences if d.symbol not in ignored}


def lift(state: StateManager, symbol: str | None, reason: str, differ: dict[str, str]) -> Result:
    """Lift the halts of `symbol`, or all and the emergency-stop file; one whose difference still stands is kept."""
    lifted, kept = [], []
    for halt in state.records.active_halts():
        if symbol is not None and halt.symbol != symbol:
            continue
        shown = {"symbol": halt.symbol, "reason": halt.reason}
        if halt.symbol in differ or (halt.symbol is None and differ):
            kept.append(shown)
            continue
        state.lift_halt(halt, reason)
        lifted.append(shown)
    if symbol is None and not differ and (why := state.stop_file.reason()) is not None:
        state.stop_file.remove()
        lifted.append({"symbol": None, "reason": f"{why} (the emergency-stop file)"})
    log.info("halts.lifted", lifted=len(lifted), kept=len(kept))
    return {"ok": not kept, "lifted": lifted, "kept": kept}
