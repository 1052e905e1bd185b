"""What the broker remembers of an account, in the order of time, and whether it explains what the account holds. Pure.

A history that begins in the middle still ends at what the broker holds now. So it is read backwards: what a symbol held
before its first event is what it holds now, less everything that was executed since.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from gambler_ai.domain.book import Book
from gambler_ai.domain.corporate import ShareChange
from gambler_ai.domain.cover import PROTECTIVE
from gambler_ai.domain.fills import Fill
from gambler_ai.domain.money import ZERO
from gambler_ai.domain.orders import GROUPS, Order, Role
from gambler_ai.domain.positions import EXTERNAL
from gambler_ai.domain.reconciliation import Look
from gambler_ai.domain.sightings import adopted, facts_of_sighting
from gambler_ai.domain.values import replace


@dataclass(frozen=True, slots=True)
class History:
    """A look that reaches back to the account's beginning. `legs` says on which order a leg hangs, by broker ids."""

    look: Look
    legs: Mapping[str, str]
    changes: Sequence[ShareChange]


@dataclass(frozen=True, slots=True)
class Event:
    """An order appeared, shares of it were executed, or shares came or went without a trade (`changes`, the legs of one
    event in this symbol; `was` is the name the shares had before it). `delta` is signed shares."""

    at: datetime
    symbol: str
    delta: Decimal = ZERO
    order: Order | None = None
    fill: Fill | None = None
    changes: tuple[ShareChange, ...] = ()
    was: str | None = None

    @property
    def place(self) -> tuple[datetime, int, datetime, Decimal]:
        """Its place in time: an order before its shares, of one moment the older order first."""
        kind = 1 if self.changes else 2 if self.fill else 0
        of_order = self.order.created_at if self.order else self.at
        return self.at, kind, of_order, self.fill.cum_to if self.fill else ZERO


def orders_of(account_id: str, history: History) -> dict[str, Order]:
    """Every order by broker id, with role and owner from its id, or from the order it hangs on or has replaced."""
    seen = {order.broker_order_id: order for order in history.look.orders}
    found: dict[str, Order] = {}

    def take(name: str) -> Order:
        if name not in found:
            shown = seen[name]
            above = next((n for n in (history.legs.get(name), shown.replaces) if n in seen), None)
            parent = take(above) if above else None
            order = adopted(shown, account_id, history.look.now, parent if parent and parent.is_ours else None)
            head = order.is_ours and order.parent_id is None and shown.order_class in GROUPS
            found[name] = replace(order, order_class=shown.order_class) if head else order
        return found[name]

    for name in seen:
        take(name)
    for name, order in found.items():
        legs = [found[leg] for leg, head in history.legs.items() if head == name and leg in found]
        if order.order_class and legs:
            found[name] = _with_prices(order, legs)
    return found


def _with_prices(head: Order, legs: Sequence[Order]) -> Order:
    """What the legs of a group protect its shares with."""
    stop = next((leg.stop_price for leg in legs if leg.stop_price is not None), None)
    target = next((leg.limit_price for leg in legs if leg.stop_price is None), None)
    return replace(head, stop_loss=stop, take_profit=target if head.role is Role.ENTRY else None)


def events_of(account_id: str, history: History, orders: Mapping[str, Order]) -> list[Event]:
    """Everything that happened, oldest first."""
    events = _without_trade(history.changes)
    for seen in history.look.orders:
        order = orders[seen.broker_order_id]
        book = Book()
        book.load([order], [], [])
        executions = history.look.executions.get(seen.broker_order_id, ())
        found = facts_of_sighting(book, account_id, seen, executions, history.look.now, why="history", infer=True)
        fills = [fact.subject for fact in found if isinstance(fact.subject, Fill)]
        began = min([order.created_at, *(fill.at for fill in fills)])
        events.append(Event(began, order.symbol, order=order))
        events += [Event(f.at, order.symbol, order.side.sign * f.qty, order=order, fill=f) for f in fills]
    return sorted(events, key=lambda event: event.place)


def _without_trade(changes: Iterable[ShareChange]) -> list[Event]:
    """A split takes the old shares and gives the new ones in one event; a new name takes them from one symbol and gives
    them to another."""
    groups: dict[str, dict[str, list[ShareChange]]] = {}
    for change in changes:
        if change.symbol and change.qty:
            groups.setdefault(change.group, {}).setdefault(change.symbol, []).append(change)
    events = []
    for legs in groups.values():
        taken = next(
            (s for s, some in legs.items() if len(legs) == 2 and len(some) == 1 and some[0].kind == "NC"), None
        )
        for symbol, some in legs.items():
            delta = sum((leg.qty for leg in some), ZERO)
            was = taken if symbol != taken else None
            events.append(Event(some[-1].at, symbol, delta, changes=tuple(some), was=was))
    return events


class Verdict(StrEnum):
    """How a symbol's history and what the broker holds fit together."""

    COMPLETE = "complete"  # it explains every share
    OLDER = "older"  # shares that are older than the history were there at its beginning
    GONE = "gone"  # it explains shares, and none are held
    MORE = "more"  # it explains more than is held, or the wrong side


@dataclass(frozen=True, slots=True)
class Judgement:
    """One symbol's verdict. `opening` are the signed shares before the first event that would explain everything."""

    verdict: Verdict
    opening: Decimal


def judge(events: Sequence[Event], held: Decimal) -> Judgement:
    """Whether a symbol's events, oldest first, lead to the `held` signed shares."""
    opening = held - sum((event.delta for event in events), ZERO)
    running, plausible = opening, True
    for event in events:
        before, running = running, running + event.delta
        plausible = plausible and _may_follow(event, before, running)
    if not opening:
        return Judgement(Verdict.COMPLETE, opening)
    if plausible:
        return Judgement(Verdict.OLDER, opening)
    return Judgement(Verdict.MORE if held else Verdict.GONE, opening)


def _may_follow(event: Event, before: Decimal, after: Decimal) -> bool:
    """No trade leads through zero at Alpaca, and no entry of ours takes shares out."""
    through_zero = before * after < 0
    entry = event.fill is not None and event.order is not None and event.order.role is Role.ENTRY
    return not through_zero and not (entry and before * event.delta < 0)


def last_exit(orders: Iterable[Order], owner: str, since: datetime) -> Order | None:
    """The exit that an owner's shares were last meant to have since then: that it was cancelled or lost does not mean
    that nobody wants it."""
    heads = [
        o for o in orders if o.role in PROTECTIVE and o.owner == owner and o.parent_id is None and o.created_at >= since
    ]
    return max(heads, key=lambda o: (o.created_at, o.client_order_id), default=None) if owner != EXTERNAL else None
