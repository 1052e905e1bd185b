"""Protection: the exits a position should have against those it has. Pure: same books, same step.

At most one step a symbol and pass, so that the next pass decides on what the broker has made of this one:

    need = shares - live exits            an exit is live until the broker says that it is final
    too much, wrong, in the way           cancel one order, wait until it is final, count again
    too little                            place what is missing, under the next version

Placing before the old exit is final would sell the shares twice; so would an id that a restart does not find again
(docs/protection.md, with what was proven about it).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any

from gambler_ai.domain.cover import LEAVING, PROTECTIVE, Cover, Terms, levels, shares, sorted_by_symbol
from gambler_ai.domain.money import ZERO, text
from gambler_ai.domain.orders import Order, OrderStatus, Role, Side, parse_our_id
from gambler_ai.domain.positions import Position


class Act(StrEnum):
    PLACE = "place"
    SEND = "send"  # an exit that waited until its shares were free
    WITHDRAW = "withdraw"  # an exit that waited and is not wanted any more
    CANCEL = "cancel"
    READ = "read"  # the broker has to say first what became of an order


@dataclass(frozen=True, slots=True)
class Exit:
    """An exit order to be made. `stop_loss` is the stop of an OCO, whose own price is the target."""

    role: Role
    type: str
    qty: Decimal
    time_in_force: str
    version: int
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    stop_loss: Decimal | None = None
    order_class: str = ""

    def decision_key(self, position_id: str) -> str:
        return f"protect:{position_id}:{self.version}:{text(self.qty)}"

    @property
    def reason(self) -> str:
        """Why shares that it sells were sold."""
        if self.role is Role.CLOSE:
            return "no exit could be placed"
        return f"stop at {text(self.stop_price)}" if self.stop_price else f"target at {text(self.limit_price or ZERO)}"

    def __str__(self) -> str:
        kept = "until cancelled" if self.time_in_force == "gtc" else "for the day"
        if self.order_class:
            return f"a stop at {text(self.stop_loss or ZERO)} and a target at {text(self.limit_price or ZERO)}, {kept}"
        if self.stop_price is not None:
            return f"a stop at {text(self.stop_price)}, {kept}"
        return f"a target at {text(self.limit_price)}, {kept}" if self.limit_price else "a market order"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do for a symbol: `order` is what to cancel, read, send or withdraw, `exit` what to place."""

    symbol: str
    act: Act
    reason: str
    evidence: Mapping[str, Any]
    order: Order | None = None
    position: Position | None = None
    exit: Exit | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do, and by position how many shares want an exit and have none that works."""

    steps: tuple[Step, ...]
    exposed: Mapping[str, Decimal]


def decide(positions: Iterable[Position], orders: Iterable[Order], terms: Terms) -> Decision:
    """Compare wanted and actual exits of every symbol that has a position or an exit of ours."""
    held, found = sorted_by_symbol(positions, orders)
    ours = {symbol for symbol, some in found.items() if any(o.role in PROTECTIVE | LEAVING for o in some)}
    steps, exposed = [], {}
    for symbol in sorted(held.keys() | ours):
        books = _Symbol(symbol, held.get(symbol, []), found.get(symbol, []), terms)
        step = books.step()
        if step is not None:
            steps.append(step)
        exposed.update({name: one.missing for name, one in books.protected().items() if one.missing})
    return Decision(tuple(steps), exposed)


class _Symbol(Cover):
    """What to do for one symbol."""

    def step(self) -> Step | None:
        return self._unread() or self._wrong_way() or next(filter(None, map(self._of_position, self.held)), None)

    def _unread(self) -> Step | None:
        """The broker executed shares of an exit that are not booked yet, or made legs we were not told of: nothing is
        counted before they are known."""
        heads = {o.parent_id for o in self.orders}
        for order in self.live:
            if order.order_class and order.status is OrderStatus.WORKING and order.client_order_id not in heads:
                return self._about(Act.READ, order, "its legs are not known yet")
        for order in self.orders:
            if order.filled_qty != order.broker_filled_qty and order.broker_order_id and order.role is not Role.ENTRY:
                return self._about(Act.READ, order, "shares of it were executed that the books do not have yet")
        working = {o.client_order_id for o in self.live}
        for order in self.live:
            if order.broker_order_id and _hangs_on_an_exit(order) and order.parent_id not in working:
                return self._about(Act.READ, order, "the exit it belongs to has ended, and it with it; nobody tells so")
        return None

    def _wrong_way(self) -> Step | None:
        for order in self.live:
            sure = self.symbol not in self.terms.unconfirmed or order.status is OrderStatus.PLANNED
            if sure and self.is_leftover(order):
                why = "there is nothing left that it could close" if not self.net else "it would add to the position"
                return self._end(order, why)
        return None

    def _of_position(self, position: Position) -> Step | None:
        exits = self.exits[position.position_id]
        size, covered = self.size(position), self.covered(position)
        protective = [o for o in exits if o.role in PROTECTIVE]
        if covered > size and exits and self.symbol not in self.terms.unconfirmed:
            surplus = (protective or exits)[-1]
            return self._end(surplus, f"exits of {text(covered)} shares are live, there are {text(size)}")
        waiting = self.waiting[position.position_id]
        if waiting is not None:
            return self._of_waiting(position, waiting, protective, size, covered)
        flat = position.position_id in self.terms.flatten
        wrong = next((o for o in protective if flat or self._is_wrong(position, o)), None)
        if wrong is not None and (flat or self.terms.place):
            return self._end(wrong, "the position wants another exit")
        return self._missing(position, size - covered)

    def _of_waiting(
        self, position: Position, waiting: Order, protective: Sequence[Order], size: Decimal, covered: Decimal
    ) -> Step | None:
        """A strategy's exit whose shares a stop still holds: free them, then send it."""
        wanted = abs(waiting.remaining)
        stale_before = self.terms.stale_before
        if stale_before is not None and (waiting.valid_until is None or waiting.valid_until < stale_before):
            return self._about(Act.WITHDRAW, waiting, "its signal is too old", position)
        if wanted > size - (covered - shares(protective)):
            return self._about(Act.WITHDRAW, waiting, f"only {text(size)} shares are left", position)
        if wanted <= min(size - covered, self.free()):
            return self._about(Act.SEND, waiting, "its shares are free", position)
        in_the_way = protective[-1] if protective else None
        return self._end(in_the_way, "an exit of the strategy waits for its shares") if in_the_way else None

    def _is_wrong(self, position: Position, order: Order) -> bool:
        """Of the orders made for this position itself only: legs and orders moved by hand stay as they are."""
        if order.position_id != position.position_id or order.parent_id is not None:
            return False
        wanted = self._wanted(position, abs(order.remaining))
        if wanted is None:
            return False
        mine = (order.role, order.limit_price, order.stop_price, order.stop_loss)
        return mine != (wanted.role, wanted.limit_price, wanted.stop_price, wanted.stop_loss)

    def _missing(self, position: Position, missing: Decimal) -> Step | None:
        beyond = self.terms.beyond.get(self.symbol, ZERO)
        if self.symbol in self.terms.unconfirmed and beyond * self.net < 0:
            missing = min(missing, max(ZERO, abs(self.net) - abs(beyond)))
        missing = min(missing, self.free())
        place = self.terms.place or position.position_id in self.terms.flatten
        wanted = self._wanted(position, missing) if missing > 0 and place else None
        if wanted is None:
            return None
        entry = next((o for o in self.live if o.role is Role.ENTRY and o.side.sign * position.quantity > 0), None)
        if entry is not None and not wanted.order_class:
            if position.position_id in self.terms.unprotected_long:
                return self._end(entry, "shares it bought are without protection for too long")
            return self._about(Act.READ, entry, "Alpaca takes no stop while an entry is open (wash trade)", position)
        reason = f"{text(missing)} of {text(abs(position.quantity))} shares had no exit: {wanted}"
        evidence = {
            "position": position.position_id,
            "shares": text(position.quantity),
            "covered": text(self.covered(position)),
            "version": wanted.version,
        }
        return Step(self.symbol, Act.PLACE, reason, evidence, position=position, exit=wanted)

    def _wanted(self, position: Position, qty: Decimal) -> Exit | None:
        """The exit for so many shares. Stop and target live together as an OCO only, and that takes whole shares; of a
        fraction the stop is what matters. What is not whole ends with the day (docs/orders.md of Alpaca)."""
        version = position.protections + 1
        if position.position_id in self.terms.flatten:
            return Exit(Role.CLOSE, "market", qty, "day", version)
        stop, target = levels(position, self.terms)
        whole = qty == qty.to_integral_value()
        kept = "gtc" if whole else "day"
        if stop is not None and target is not None and whole:
            return Exit(
                Role.TAKE_PROFIT, "limit", qty, kept, version, limit_price=target, stop_loss=stop, order_class="oco"
            )
        if stop is not None:
            return Exit(Role.STOP, "stop", qty, kept, version, stop_price=stop)
        if target is not None:
            return Exit(Role.TAKE_PROFIT, "limit", qty, kept, version, limit_price=target)
        return None

    def _end(self, order: Order, why: str) -> Step:
        """Cancel, or find out how the cancel that was asked for ended. An order in doubt has first to be found."""
        if order.status is OrderStatus.PLANNED:
            return self._about(Act.WITHDRAW, order, why)
        asked = order.cancel_asked_at is not None or order.broker_order_id is None
        return self._about(Act.READ if asked else Act.CANCEL, order, why)

    def _about(self, act: Act, order: Order, why: str, position: Position | None = None) -> Step:
        evidence = {
            "client_order_id": order.client_order_id,
            "position": order.position_id,
            "status": order.status.value,
            "qty": None if order.qty is None else text(order.qty),
            "filled": text(order.filled_qty),
        }
        return Step(self.symbol, act, why, evidence, order=order, position=position)


def _hangs_on_an_exit(order: Order) -> bool:
    """Whether it is the leg of an OCO: Alpaca sends no event when such a leg ends while it is held. The head of one is
    a target and its leg a stop; what came in the place of a stop that was moved stands alone."""
    head = parse_our_id(order.parent_id or "")
    return head is not None and head[0] is Role.TAKE_PROFIT and order.role is Role.STOP


def side_of_exit(position: Position) -> Side:
    return Side.SELL if position.quantity > 0 else Side.BUY
