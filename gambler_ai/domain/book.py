"""The book: orders that need attention and open positions, and the one fold that turns facts into table rows.

Live trading, restart and `journal verify` all run this fold. A Draft collects the rows a list of facts changes
without touching the book; the book takes the draft over only after its transaction was committed.
"""

from collections.abc import Collection, Iterable
from typing import Any, Protocol

from gambler_ai.domain import facts
from gambler_ai.domain.adjustments import Adjustment, adjusted
from gambler_ai.domain.facts import Fact
from gambler_ai.domain.fills import Fill, covered, refined
from gambler_ai.domain.market import parse_time
from gambler_ai.domain.money import ZERO, nine_places
from gambler_ai.domain.orders import ORDER_STEPS, ImpossibleStep, Order, Role
from gambler_ai.domain.positions import Origin, Position, PositionStatus, Trade, apply_trade, orphaned, reprice
from gambler_ai.domain.values import replace

Finished = tuple[Order, list[Fill]]


class Archive(Protocol):
    """Where rows are that the book does not hold in memory: finished orders, closed positions."""

    def order(self, client_order_id: str) -> Order | None: ...

    def order_by_broker_id(self, broker_order_id: str) -> Order | None: ...

    def fills(self, client_order_id: str) -> list[Fill]: ...

    def position(self, position_id: str) -> Position | None: ...

    def finished(self, client_order_ids: Collection[str], broker_order_ids: Collection[str]) -> list[Finished]:
        """Those of these orders it has, with their fills: in a few reads, however many they are."""
        ...


class EmptyArchive:
    """Nothing outside the book; for folding a journal from its beginning."""

    def order(self, client_order_id: str) -> Order | None:
        return None

    def order_by_broker_id(self, broker_order_id: str) -> Order | None:
        return None

    def fills(self, client_order_id: str) -> list[Fill]:
        return []

    def position(self, position_id: str) -> Position | None:
        return None

    def finished(self, client_order_ids: Collection[str], broker_order_ids: Collection[str]) -> list[Finished]:
        return []


class Book:
    """What one account's books say now. With `keep_all` nothing is dropped when it is finished."""

    def __init__(self, archive: Archive | None = None, *, keep_all: bool = False) -> None:
        self._archive: Archive = archive or EmptyArchive()
        self._keep_all = keep_all
        self.orders: dict[str, Order] = {}
        self.positions: dict[str, Position] = {}
        self._open: dict[str, dict[str, Position]] = {}
        self._fills: dict[str, list[Fill]] = {}
        self._by_broker_id: dict[str, str] = {}
        self._recalled: dict[str, Finished | None] = {}
        self._recalled_by_broker_id: dict[str, Order | None] = {}

    def load(self, orders: Iterable[Order], fills: Iterable[Fill], positions: Iterable[Position]) -> None:
        """Start from stored rows: orders that need attention with all their fills, and open positions, oldest first."""
        for order in orders:
            self._keep(order)
            self._fills[order.client_order_id] = []
        for fill in fills:
            self._fills[fill.client_order_id].append(fill)
        for position in positions:
            self._put(position)

    def recall(self, client_order_ids: Collection[str], broker_order_ids: Collection[str]) -> None:
        """Hold what the archive knows of these orders, and which it does not know, until the next call: a look asks
        for each of them more than once."""
        held, by_number = self._recalled, self._recalled_by_broker_id
        still = {number: by_number[number] for number in broker_order_ids if number in by_number}
        names = {name for name in client_order_ids if name not in held and name not in self.orders}
        numbers = {n for n in broker_order_ids if n not in still and n not in self._by_broker_id}
        found = self._archive.finished(names, numbers)
        known = {*client_order_ids, *(order.client_order_id for order in still.values() if order)}
        self._recalled = {name: held[name] for name in known if name in held}
        self._recalled |= dict.fromkeys(names) | {order.client_order_id: (order, fills) for order, fills in found}
        self._recalled_by_broker_id = still | dict.fromkeys(numbers) | {o.broker_order_id or "": o for o, _ in found}

    def order(self, client_order_id: str) -> Order | None:
        held = self.orders.get(client_order_id)
        if held is not None:
            return held
        if client_order_id in self._recalled:
            recalled = self._recalled[client_order_id]
            return recalled[0] if recalled else None
        return self._archive.order(client_order_id)

    def order_by_broker_id(self, broker_order_id: str) -> Order | None:
        known = self._by_broker_id.get(broker_order_id)
        if known:
            return self.orders[known]
        if broker_order_id in self._recalled_by_broker_id:
            return self._recalled_by_broker_id[broker_order_id]
        return self._archive.order_by_broker_id(broker_order_id)

    def fills(self, client_order_id: str) -> list[Fill]:
        held = self._fills.get(client_order_id)
        if held is not None:
            return held
        recalled = self._recalled.get(client_order_id)
        return recalled[1] if recalled else self._archive.fills(client_order_id)

    def position(self, position_id: str) -> Position | None:
        return self.positions.get(position_id) or self._archive.position(position_id)

    def open_positions(self, symbol: str | None = None) -> list[Position]:
        """Open positions, oldest first."""
        if symbol is not None:
            return list(self._open.get(symbol, {}).values())
        return [p for p in self.positions.values() if p.status is not PositionStatus.CLOSED]

    def attention(self) -> list[Order]:
        return [order for order in self.orders.values() if order.needs_attention]

    def absorb(self, draft: "Draft") -> None:
        """Take over what was committed."""
        for client_order_id in draft.touched_fills:
            self._fills[client_order_id] = draft.fills(client_order_id)
        for order in draft.orders.values():
            self._keep(order)
        for position in draft.positions.values():
            self._put(position)

    def _put(self, position: Position) -> None:
        name, before = position.position_id, self.positions.get(position.position_id)
        is_open = position.status is not PositionStatus.CLOSED
        if is_open or self._keep_all:
            self.positions[name] = position
        else:
            self.positions.pop(name, None)
        if before is not None and before.symbol != position.symbol:  # renamed: it takes its place by age
            self._open.get(before.symbol, {}).pop(name, None)
            self._open[position.symbol] = {
                p.position_id: p for p in self.open_positions() if p.symbol == position.symbol
            }
        elif is_open:
            self._open.setdefault(position.symbol, {})[name] = position
        else:
            self._open.get(position.symbol, {}).pop(name, None)

    def _keep(self, order: Order) -> None:
        self._recalled.pop(order.client_order_id, None)
        self._recalled_by_broker_id.pop(order.broker_order_id or "", None)
        if order.needs_attention or self._keep_all:
            self.orders[order.client_order_id] = order
            self._fills.setdefault(order.client_order_id, [])
            if order.broker_order_id:
                self._by_broker_id[order.broker_order_id] = order.client_order_id
            return
        self.orders.pop(order.client_order_id, None)
        self._fills.pop(order.client_order_id, None)
        if order.broker_order_id:
            self._by_broker_id.pop(order.broker_order_id, None)


class Draft:
    """Rows that a list of facts changes, on top of a book that stays as it is."""

    def __init__(self, book: Book, account_id: str) -> None:
        self._book = book
        self._account_id = account_id
        self.orders: dict[str, Order] = {}
        self.positions: dict[str, Position] = {}
        self.new_orders: set[str] = set()
        self.new_positions: set[str] = set()
        self._of_symbol: dict[str, dict[str, Position]] = {}
        self.fills_added: list[Fill] = []
        self.fills_removed: list[Fill] = []
        self.touched_fills: dict[str, list[Fill]] = {}

    def order(self, client_order_id: str) -> Order | None:
        return self.orders.get(client_order_id) or self._book.order(client_order_id)

    def fills(self, client_order_id: str) -> list[Fill]:
        held = self.touched_fills.get(client_order_id)
        return held if held is not None else list(self._book.fills(client_order_id))

    def apply(self, fact: Fact, seq: int) -> None:
        """Fold one fact with its journal number. Raises ImpossibleStep when it contradicts the book."""
        if isinstance(fact.subject, Order):
            self._put_order(fact.kind, fact.subject)
        elif fact.kind == facts.FILL_BOOKED and isinstance(fact.subject, Fill):
            self._book_fill(fact.subject, seq)
        elif fact.kind == facts.FILL_REFINED and isinstance(fact.subject, Fill):
            self._refine_fill(fact.subject)
        elif fact.kind == facts.POSITION_IMPORTED and isinstance(fact.subject, Position):
            self._import_position(fact.subject, seq)
        elif fact.kind == facts.POSITION_ORPHANED and isinstance(fact.subject, Position):
            self._put_position(fact.subject)
        elif fact.kind == facts.POSITION_ADJUSTED and isinstance(fact.subject, Adjustment):
            self._adjust(fact.subject, seq)

    def apply_stored(self, kind: str, payload: dict[str, Any], client_order_id: str | None, seq: int) -> None:
        """Fold a journal row that was read back."""
        subject: Order | Fill | Position | Adjustment
        if kind in (facts.ORDER_INTENDED, facts.ORDER_ADOPTED):
            subject = Order(**{"session_id": None, "qty": None} | facts.from_json(Order, payload))
        elif kind == facts.ORDER_CHANGED:
            before = self._known(client_order_id or "")
            subject = replace(before, **facts.from_json(Order, payload["changes"]))
        elif kind in (facts.FILL_BOOKED, facts.FILL_REFINED):
            subject = Fill(**facts.from_json(Fill, payload["fill"]))
        elif kind == facts.POSITION_IMPORTED:
            subject = Position(**{"session_id": None} | facts.from_json(Position, payload["position"]))
        elif kind == facts.POSITION_ORPHANED:
            position = self._position(payload["position_id"])
            subject = orphaned(position, parse_time(payload["at"]))
        elif kind == facts.POSITION_ADJUSTED:
            subject = Adjustment(**facts.from_json(Adjustment, payload["adjustment"]))
        else:
            return
        self.apply(Fact(kind, payload, subject=subject), seq)

    def _put_order(self, kind: str, order: Order) -> None:
        if kind == facts.ORDER_CHANGED:
            before = self.order(order.client_order_id)
            if before is None:
                raise ImpossibleStep(f"order {order.client_order_id} changes, but was never intended")
            if order.status not in ORDER_STEPS[before.status]:
                raise ImpossibleStep(f"order {order.client_order_id} cannot go from {before.status} to {order.status}")
        elif order.client_order_id in self.orders or order.client_order_id in self._book.orders:
            raise ImpossibleStep(f"order {order.client_order_id} is intended twice")
        else:
            self.new_orders.add(order.client_order_id)
            self.touched_fills[order.client_order_id] = []
            if order.position_id is not None and order.parent_id is None:
                position = self._position(order.position_id)
                self._put_position(replace(position, protections=position.protections + 1))
        self.orders[order.client_order_id] = order

    def _book_fill(self, fill: Fill, seq: int) -> None:
        order = self._known(fill.client_order_id)
        trade = self._trade(order, fill)
        of_symbol = self.open_positions(order.symbol)
        new_id = f"{order.symbol}-{seq}"
        changed, allocations = apply_trade(of_symbol, trade, new_id)
        for position in changed:
            self._put_position(position, is_new=position.position_id == new_id)
        booked = replace(fill, allocations=allocations)
        self.fills_added.append(booked)
        self._set_fills(order, [*self.fills(order.client_order_id), booked])

    def _refine_fill(self, seen: Fill) -> None:
        order = self._known(seen.client_order_id)
        held = self.fills(order.client_order_id)
        for old in held:
            pieces = refined(old, seen)
            if pieces is None:
                continue
            for piece in pieces:
                for part in piece.allocations:
                    position = self._position(part.position_id)
                    value = part.qty * piece.price
                    self._put_position(reprice(position, part, old, value, buys=order.side.sign > 0))
            if old in self.fills_added:  # booked or refined by an earlier fact of the same transaction
                self.fills_added.remove(old)
            else:
                self.fills_removed.append(old)
            self.fills_added.extend(pieces)
            self._set_fills(order, [f for f in held if f is not old] + pieces)
            return
        raise ImpossibleStep(
            f"order {order.client_order_id} has no inferred fill around {seen.cum_from}..{seen.cum_to}"
        )

    def _import_position(self, position: Position, seq: int) -> None:
        same = [p for p in self.open_positions(position.symbol) if p.owner == position.owner]
        if same:
            raise ImpossibleStep(f"{position.owner} already holds {position.symbol}")
        self._put_position(replace(position, position_id=f"{position.symbol}-{seq}"), is_new=True)

    def _adjust(self, change: Adjustment, seq: int) -> None:
        new_id = f"{change.symbol}-{seq}"
        for position in adjusted(self.open_positions(change.was or change.symbol), self._account_id, change, new_id):
            self._put_position(position, is_new=position.position_id == new_id)

    def _set_fills(self, order: Order, held: list[Fill]) -> None:
        held.sort(key=lambda fill: fill.cum_from)
        self.touched_fills[order.client_order_id] = held
        shares = covered(held)
        value = sum((fill.value for fill in held), ZERO)
        self.orders[order.client_order_id] = replace(
            self._known(order.client_order_id),
            filled_qty=shares,
            filled_avg_price=nine_places(value / shares) if shares else None,
            broker_filled_qty=max(order.broker_filled_qty, shares),
        )

    def _put_position(self, position: Position, *, is_new: bool = False) -> None:
        if is_new:
            self.new_positions.add(position.position_id)
        name, before = position.position_id, self.positions.get(position.position_id, position)
        self.positions[name] = position
        if position.status is PositionStatus.CLOSED or before.symbol != position.symbol:
            self._of_symbol.get(before.symbol, {}).pop(name, None)  # a long history with many closed ones stays quick
        if position.status is not PositionStatus.CLOSED:
            self._of_symbol.setdefault(position.symbol, {})[name] = position

    def _position(self, position_id: str) -> Position:
        position = self.positions.get(position_id) or self._book.position(position_id)
        if position is None:
            raise ImpossibleStep(f"there is no position {position_id}")
        return position

    def open_positions(self, symbol: str) -> list[Position]:
        held = self._book.open_positions(symbol)
        merged = {p.position_id: self.positions.get(p.position_id, p) for p in held} | self._of_symbol.get(symbol, {})
        return [p for p in merged.values() if p.status is not PositionStatus.CLOSED and p.symbol == symbol]

    def _known(self, client_order_id: str) -> Order:
        order = self.order(client_order_id)
        if order is None:
            raise ImpossibleStep(f"there is no order {client_order_id}")
        return order

    def _trade(self, order: Order, fill: Fill) -> Trade:
        return Trade(
            account_id=self._account_id,
            session_id=order.session_id,
            symbol=order.symbol,
            owner=order.owner,
            signed_qty=order.side.sign * fill.qty,
            price=fill.price,
            at=fill.at,
            client_order_id=order.client_order_id,
            exit_reason="closed by hand" if order.role is Role.FOREIGN else order.reason or f"{order.type} order",
            origin=Origin.OWN if order.decision_key else Origin.RESTORED,
            stop_loss=order.stop_loss if order.role is Role.ENTRY else None,
            take_profit=order.take_profit if order.role is Role.ENTRY else None,
        )
