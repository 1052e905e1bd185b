"""The books of a lost database, told again as facts from what the broker remembers. Pure: same history, same facts.

Role and owner stand in our order ids, so positions come back with their owners, and with the exits they should have.
What nobody's id explains is EXTERNAL, with the reason; what contradicts itself halts its symbol.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from gambler_ai.domain import facts
from gambler_ai.domain.adjustments import Adjustment
from gambler_ai.domain.book import Book, Draft
from gambler_ai.domain.cover import PROTECTIVE
from gambler_ai.domain.facts import Fact
from gambler_ai.domain.fills import Fill
from gambler_ai.domain.grid import Entered, Left, Level, Split, Step, levels
from gambler_ai.domain.history import (
    Event,
    History,
    Judgement,
    Verdict,
    events_of,
    judge,
    last_exit,
    orders_of,
)
from gambler_ai.domain.market import iso
from gambler_ai.domain.money import ZERO, text
from gambler_ai.domain.orders import Order, Role
from gambler_ai.domain.positions import EXTERNAL, Position, external, net, orphaned
from gambler_ai.domain.reconciliation import Action, Difference
from gambler_ai.domain.sessions import Session, SessionStatus
from gambler_ai.domain.values import replace

Prices = tuple[Decimal | None, Decimal | None]

OLDER = "shares that are older than the broker's history; nobody's order explains them"
FOREIGN = "bought by orders that are not ours"
GONE = "our orders explain shares that the broker does not hold, and no execution says why; exit price unknown"
MORE = "our orders at the broker explain more shares than it holds; a person must decide"
OWN = "the broker's history of our own orders since the last flat moment explains these shares"


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """A new database's beginning: `sessions` one per owner, `facts` in the order of time, numbered from `first_seq`.

    `actions` say per symbol what was concluded and why; `unexplained` must be seen again before it is believed.
    """

    sessions: tuple[Session, ...]
    facts: tuple[Fact, ...]
    actions: tuple[Action, ...]
    unexplained: tuple[Difference | str, ...]
    orders: int
    fills: int


def rebuild(account_id: str, history: History, names: Mapping[str, str]) -> Rebuilt:
    """`names` are strategies by owner, where known."""
    orders = orders_of(account_id, history)
    sessions = _sessions(account_id, history, orders.values(), names)
    session_of = {one.owner: one.session_id for one in sessions}
    orders = {name: replace(order, session_id=session_of.get(order.owner)) for name, order in orders.items()}
    events = events_of(account_id, history, orders)
    first_seq = 2 + len(sessions)  # after the row that begins the epoch, and one for each session
    telling = _Telling(account_id, history, events, first_seq, {})
    telling.tell()
    if prices := telling.wanted_prices():
        telling = _Telling(account_id, history, events, first_seq, prices)
        telling.tell()
    inferred = [f"{f.client_order_id}: executions are missing" for f in telling.draft.fills_added if f.inferred]
    differences = [
        telling.difference(s) for s, one in telling.judgements.items() if one.verdict is not Verdict.COMPLETE
    ]
    return Rebuilt(
        tuple(sessions),
        tuple(telling.facts),
        tuple(telling.actions()),
        (*differences, *inferred),
        len(orders),
        len(telling.draft.fills_added),
    )


def _sessions(account_id: str, history: History, orders: Any, names: Mapping[str, str]) -> list[Session]:
    """The broker does not know where one session ended and the next began: one per owner holds all its orders. Its id
    is new in every rebuilding, because ids of later exits hang on it."""
    owners: dict[str, list[Order]] = {}
    for order in orders:
        if order.owner != EXTERNAL:
            owners.setdefault(order.owner, []).append(order)
    return [
        Session(
            session_id=f"recovered-{owner}-{history.look.now:%Y%m%d-%H%M%S}-{account_id[:8]}",
            account_id=account_id,
            owner=owner,
            strategy=names.get(owner, owner),
            symbols=tuple(sorted({order.symbol for order in mine})),
            params=(),
            status=SessionStatus.STOPPED,
            start_time=min(order.created_at for order in mine),
            ends_at=(end := max(order.broker_updated_at or order.created_at for order in mine)),
            end_time=end,
        )
        for owner, mine in sorted(owners.items())
    ]


class _Telling:
    """Tells the events once, with the stop and target of the entries in `prices`."""

    def __init__(
        self,
        account_id: str,
        history: History,
        events: Sequence[Event],
        first_seq: int,
        prices: Mapping[str, Prices],
    ) -> None:
        self.account_id, self.history = account_id, history
        self.events, self.first_seq, self.prices = events, first_seq, prices
        self.draft = Draft(Book(), account_id)
        self.facts: list[Fact] = []
        self.steps: dict[str, list[Step]] = {}
        self.by_symbol: dict[str, list[Event]] = {}
        for event in events:
            self.by_symbol.setdefault(event.symbol, []).append(event)
        symbols = sorted(self.by_symbol.keys() | history.look.holdings.keys())
        self.judgements = {s: judge(self.by_symbol.get(s, []), self._held(s)) for s in symbols}

    def tell(self) -> None:
        for symbol, judged in self.judgements.items():
            if judged.verdict is Verdict.OLDER:
                self._open(symbol, judged)
        for event in self.events:
            if event.fill is not None and event.order is not None:
                self._trade(event.order, event.fill)
            elif event.order is not None:
                self._adopt(event.order)
            elif event.changes:
                self._change(event)
        for symbol, judged in self.judgements.items():
            if judged.verdict is Verdict.GONE:
                self._close_what_is_gone(symbol)

    def _held(self, symbol: str) -> Decimal:
        holding = self.history.look.holdings.get(symbol)
        return holding.qty if holding else ZERO

    def _add(self, fact: Fact) -> None:
        self.draft.apply(fact, self.first_seq + len(self.facts))
        self.facts.append(fact)

    def _open(self, symbol: str, judged: Judgement) -> None:
        """What the symbol held before its history. The broker's average price where it still holds some, else that of
        the first execution; what such shares earned is unknown either way."""
        mine = self.by_symbol.get(symbol, [])
        holding = self.history.look.holdings.get(symbol)
        prices = [event.fill.price for event in mine if event.fill is not None]
        price = holding.avg_entry_price if holding else next(iter(prices), ZERO)
        at = mine[0].at if mine else self.history.look.now
        position = replace(external(self.account_id, symbol, EXTERNAL, judged.opening, price, at), pnl=None)
        self._add(facts.position_imported(position, {**self.difference(symbol).evidence, "why": OLDER}))

    def _adopt(self, order: Order) -> None:
        """With the position it was made for, as far as an exit's id says that."""
        if order.parent_id is not None:
            parent = self.draft.order(order.parent_id)
            order = replace(order, position_id=parent.position_id if parent else None)
        elif order.role in PROTECTIVE or order.role is Role.CLOSE:
            mine = [p for p in self.draft.open_positions(order.symbol) if p.owner == order.owner]
            order = replace(order, position_id=mine[0].position_id if mine else None)
        if order.client_order_id in self.prices:
            stop, target = self.prices[order.client_order_id]
            order = replace(order, stop_loss=stop, take_profit=target)
        self._add(facts.order_adopted(order))

    def _trade(self, order: Order, fill: Fill) -> None:
        self._add(facts.fill_booked(order, fill))
        for part in self.draft.fills_added[-1].allocations:
            root = self._first_of(order)
            step: Step = Entered(root, part.qty, fill.price, fill.at) if part.opens else Left(part.qty, fill.at)
            self.steps.setdefault(part.position_id, []).append(step)

    def _first_of(self, order: Order) -> str:
        while order.parent_id is not None and (parent := self.draft.order(order.parent_id)) is not None:
            order = parent
        return order.client_order_id

    def _change(self, event: Event) -> None:
        """A split or a new name keeps the owners; other shares that came belong to nobody's strategy."""
        kind = event.changes[0].kind
        held = self.draft.open_positions(event.was or event.symbol)
        before = net(held, event.was or event.symbol)
        target = event.delta if event.was else before + event.delta
        if not event.was and not target and kind == "NC" and self._goes_on(event):
            return  # the leg under the new name takes the position along
        ratio = target / before if kind == "SPLIT" and target * before > 0 else None
        holding = self.history.look.holdings.get(event.symbol)
        price = holding.avg_entry_price if holding else ZERO
        what = Adjustment(event.symbol, target, price, event.at, f"{kind.lower()} at the broker", ratio, event.was)
        evidence = {"activities": [leg.activity_id for leg in event.changes], "at": iso(event.at)}
        self._add(facts.position_adjusted(what, evidence))
        if ratio is not None:
            for position in held:
                self.steps.setdefault(position.position_id, []).append(Split(ratio, event.at))

    def _goes_on(self, event: Event) -> bool:
        return any(other.was == event.symbol and other.at == event.at for other in self.events)

    def _close_what_is_gone(self, symbol: str) -> None:
        for position in self.draft.open_positions(symbol):
            self._add(
                facts.position_orphaned(
                    orphaned(position, self.history.look.now), {**self.difference(symbol).evidence, "why": GONE}
                )
            )

    # --- what came of it --------------------------------------------------------------------------------------

    def wanted_prices(self) -> dict[str, Prices]:
        """Stop and target of every open position's last entry, from the last exit that was made for it. An entry that
        is a group says them itself."""
        found = {}
        for position in self._open_positions():
            last = self._last_entry(position.position_id)
            if last is None or last.order_class:
                continue
            mine = [o for o in self.draft.orders.values() if o.symbol == position.symbol]
            wanted = last_exit(mine, position.owner, position.entry_time)
            if wanted is not None:
                found[last.client_order_id] = self._at_the_entry(position.position_id, wanted)
        return found

    def _at_the_entry(self, position_id: str, wanted: Order) -> Prices:
        """An exit's stop and target, of the shares as they were entered: what was split before it was made is told
        after the entry, and divides them again."""
        ratio = Decimal(1)
        for step in self.steps[position_id]:
            if isinstance(step, Entered):
                ratio = Decimal(1)
            elif isinstance(step, Split) and step.at <= wanted.created_at:
                ratio *= step.ratio
        stop = wanted.stop_price if wanted.role is Role.STOP else wanted.stop_loss
        target = wanted.limit_price if wanted.role is Role.TAKE_PROFIT else None
        return None if stop is None else stop * ratio, None if target is None else target * ratio

    def _last_entry(self, position_id: str) -> Order | None:
        names = [s.client_order_id for s in self.steps.get(position_id, []) if isinstance(s, Entered)]
        return self.draft.order(names[-1] or "") if names else None

    def _open_positions(self) -> list[Position]:
        return [p for symbol in self.judgements for p in self.draft.open_positions(symbol)]

    def difference(self, symbol: str) -> Difference:
        """What the history alone would have come to, and what the broker holds."""
        explained = sum((event.delta for event in self.by_symbol.get(symbol, [])), ZERO)
        return Difference(symbol, explained, self._held(symbol))

    def actions(self) -> list[Action]:
        """One line for each position that is open now, and for each symbol that contradicts itself."""
        found = [self._about(position) for position in self._open_positions()]
        for symbol, judged in self.judgements.items():
            evidence = self.difference(symbol).evidence
            if judged.verdict is Verdict.GONE:
                found.append(Action("R6", symbol, "close orphaned position", GONE, evidence))
            elif judged.verdict is Verdict.MORE:
                found.append(Action("R7", symbol, "halt symbol", MORE, evidence, halts=True))
        return sorted(found, key=lambda action: (action.symbol, action.row))

    def _about(self, position: Position) -> Action:
        evidence: dict[str, Any] = {
            "owner": position.owner,
            "shares": text(position.quantity),
            "entry_price": text(position.entry_price),
            **self.difference(position.symbol).evidence,
        }
        if position.owner == EXTERNAL:
            reason = OLDER if self.judgements[position.symbol].verdict is Verdict.OLDER else FOREIGN
            return Action("R10", position.symbol, "book external position", reason, evidence)
        shown = [_shown(level) for level in self._levels(position)]
        prices = {"stop_loss": position.stop_loss, "take_profit": position.take_profit}
        evidence |= {name: text(price) for name, price in prices.items() if price is not None}
        return Action("R9", position.symbol, "restore position", OWN, {**evidence, "levels": shown})

    def _levels(self, position: Position) -> list[Level]:
        steps = self.steps.get(position.position_id, [])
        return levels(steps, position.quantity, position.entry_price, position.entry_time)


def _shown(level: Level) -> dict[str, Any]:
    return {
        "level": level.number,
        "shares": text(level.qty),
        "price": text(level.price),
        "client_order_id": level.client_order_id,
    }


def span_of(history: History) -> tuple[datetime, datetime]:
    """From the first to the last thing the broker remembers; both now when it remembers nothing."""
    times = [order.submitted_at for order in history.look.orders] + [change.at for change in history.changes]
    now = history.look.now
    return min(times, default=now), max([*times, *(o.updated_at for o in history.look.orders)], default=now)
