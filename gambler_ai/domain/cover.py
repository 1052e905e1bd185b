"""Which exits hold how many of whose shares: the one answer for what is placed, what is alarmed, and what people are
shown. Pure.

Two questions differ in what is in doubt. Whether more may be placed: an exit counts from its intent on, or shares would
be sold twice. Whether shares are protected: an exit counts when the broker has it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from gambler_ai.domain.money import ZERO, nearest_tick
from gambler_ai.domain.orders import LIVE, Order, OrderStatus, Role
from gambler_ai.domain.positions import EXTERNAL, Position, PositionStatus

PROTECTIVE = frozenset({Role.STOP, Role.TAKE_PROFIT})
LEAVING = frozenset({Role.EXIT, Role.CLOSE})


@dataclass(frozen=True, slots=True)
class Terms:
    """What beside the books decides.

    `place` False = a waiver: nothing new is placed, what is too much is still cancelled. `external_pct` = a stop so
    many percent from the entry price for shares of nobody's strategy. `beyond` = signed shares the broker has more than
    the books, by symbol; for symbols in `unconfirmed` that may be a stale answer: less is placed, nothing cancelled.
    `stale_before` = exits that still wait and were meant for an earlier time are withdrawn. `unprotected_long` names
    positions whose entry is not waited for any longer, `flatten` those to be closed.
    """

    place: bool = True
    external_pct: Decimal | None = None
    beyond: Mapping[str, Decimal] = field(default_factory=dict)
    unconfirmed: frozenset[str] = frozenset()
    stale_before: datetime | None = None
    unprotected_long: frozenset[str] = frozenset()
    flatten: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Protected:
    """What works at the broker for a position: orders of ours, shares that exits of others hold, and shares that want
    an exit and have none."""

    exits: tuple[Order, ...]
    by_others: Decimal
    missing: Decimal


NO_TERMS = Terms()


def protected(positions: Iterable[Position], orders: Iterable[Order], terms: Terms = NO_TERMS) -> dict[str, Protected]:
    """By position that is not closed."""
    held, by_symbol = sorted_by_symbol(positions, orders)
    found: dict[str, Protected] = {}
    for symbol, some in held.items():
        found.update(Cover(symbol, some, by_symbol.get(symbol, []), terms).protected())
    return found


def sorted_by_symbol(
    positions: Iterable[Position], orders: Iterable[Order]
) -> tuple[dict[str, list[Position]], dict[str, list[Order]]]:
    """Positions that are not closed, and orders."""
    held: dict[str, list[Position]] = {}
    for position in positions:
        if position.status is not PositionStatus.CLOSED:
            held.setdefault(position.symbol, []).append(position)
    found: dict[str, list[Order]] = {}
    for order in orders:
        found.setdefault(order.symbol, []).append(order)
    return held, found


def levels(position: Position, terms: Terms) -> tuple[Decimal | None, Decimal | None]:
    """Stop and target in USD a share that this position should have, on Alpaca's tick grid, which a split leaves; None
    = none is wanted."""
    if position.owner != EXTERNAL:
        return _on_grid(position.stop_loss), _on_grid(position.take_profit)
    if terms.external_pct is None:
        return None, None
    return away_from(position.entry_price, -terms.external_pct if position.quantity > 0 else terms.external_pct), None


def away_from(price: Decimal, percent: Decimal) -> Decimal:
    """The price so many percent above (or, negative, below) another, on Alpaca's tick grid."""
    return nearest_tick(price * (100 + percent) / 100)


def _on_grid(price: Decimal | None) -> Decimal | None:
    return None if price is None else nearest_tick(price)


def exits_of(position: Position, orders: Iterable[Order]) -> list[Order]:
    """Live orders of ours that take this position's shares out, those that wait included, oldest first. A leg whose
    order was not made for a position belongs to its owner's."""
    found = [
        o
        for o in orders
        if o.status in LIVE
        and o.symbol == position.symbol
        and o.role in PROTECTIVE | LEAVING
        and o.side.sign * position.quantity < 0
        and (o.position_id == position.position_id if o.position_id else o.owner == position.owner)
    ]
    return sorted(found, key=lambda o: (o.created_at, o.client_order_id))


def shares(orders: Iterable[Order]) -> Decimal:
    """Unsigned shares these live orders may still sell or cover; the members of a group share theirs."""
    groups: dict[str, Decimal] = {}
    for order in orders:
        name = order.parent_id or order.client_order_id
        groups[name] = max(groups.get(name, ZERO), abs(order.remaining))
    return sum(groups.values(), ZERO)


class Cover:
    """One symbol's positions (all of one sign), its orders, and how many shares which of them hold."""

    def __init__(self, symbol: str, held: Sequence[Position], orders: Sequence[Order], terms: Terms) -> None:
        self.symbol, self.held, self.terms = symbol, held, terms
        live = [o for o in orders if o.status in LIVE]
        sleeping = {o.client_order_id for o in live if o.role is Role.ENTRY}
        self.orders = [o for o in orders if o.parent_id not in sleeping]  # legs of an entry that is not filled wait
        self.live = [o for o in self.orders if o.status in LIVE]
        self.net = sum((p.quantity for p in held), ZERO)
        self.sizes = self._sizes()
        all_exits = {p.position_id: exits_of(p, self.live) for p in held}
        self.waiting = {
            name: next((o for o in some if o.status is OrderStatus.PLANNED), None) for name, some in all_exits.items()
        }
        self.exits = {
            name: [o for o in some if o.status is not OrderStatus.PLANNED] for name, some in all_exits.items()
        }
        self.strangers = self._strangers(self.exits, [o for o in self.live if o.status is not OrderStatus.PLANNED])

    def protected(self) -> dict[str, Protected]:
        """By position. What is in doubt counts for nothing: it may never have arrived."""
        working = [o for o in self.live if o.status is OrderStatus.WORKING]
        exits = {name: [o for o in some if o.status is OrderStatus.WORKING] for name, some in self.exits.items()}
        by_others = self._strangers(exits, working)
        found = {}
        for position in self.held:
            name = position.position_id
            missing = self.size(position) - shares(exits[name]) - by_others[name]
            wanted = name in self.terms.flatten or levels(position, self.terms) != (None, None)
            found[name] = Protected(tuple(exits[name]), by_others[name], max(missing, ZERO) if wanted else ZERO)
        return found

    def _sizes(self) -> dict[str, Decimal]:
        """Unsigned shares to protect, by position: what the books say, or the broker's number where a look has
        confirmed that they differ. No exits at all where the broker has the opposite sign."""
        sizes = {p.position_id: abs(p.quantity) for p in self.held}
        beyond = self.terms.beyond.get(self.symbol, ZERO)
        if not beyond or self.symbol in self.terms.unconfirmed or not self.net:
            return sizes
        truth = max(ZERO, (self.net + beyond) * (1 if self.net > 0 else -1))
        more = truth - abs(self.net)
        for position in self.held if more > 0 else reversed(self.held):
            if more > 0 and levels(position, self.terms) == (None, None):
                continue
            change = more if more > 0 else max(more, -sizes[position.position_id])
            sizes[position.position_id] += change
            more -= change
        return sizes

    def size(self, position: Position) -> Decimal:
        """Unsigned shares to protect."""
        return self.sizes[position.position_id]

    def _strangers(self, exits: Mapping[str, Sequence[Order]], orders: Sequence[Order]) -> dict[str, Decimal]:
        """Shares that exits of others hold, by position: where nothing of ours is, EXTERNAL first, then the oldest."""
        mine = {o.client_order_id for some in exits.values() for o in some}
        others = [o for o in orders if o.client_order_id not in mine]
        pool = shares(o for o in others if o.side.sign * self.net < 0 and not self.is_leftover(o))
        given: dict[str, Decimal] = {}
        for position in sorted(self.held, key=lambda p: p.owner != EXTERNAL):
            free = max(ZERO, self.size(position) - shares(exits[position.position_id]))
            given[position.position_id] = min(pool, free)
            pool -= given[position.position_id]
        if pool and self.held:
            given[self.held[-1].position_id] += pool
        return given

    def covered(self, position: Position) -> Decimal:
        """Shares for which no other exit may be placed. One that only waits holds nothing."""
        return shares(self.exits[position.position_id]) + self.strangers[position.position_id]

    def free(self) -> Decimal:
        """Shares of the whole symbol without a live exit: what one owner's exits have too much, no other may place."""
        leaving = [o for o in self.live if o.status is not OrderStatus.PLANNED and o.side.sign * self.net < 0]
        return sum(self.sizes.values(), ZERO) - shares(leaving)

    def is_leftover(self, order: Order) -> bool:
        """An exit of ours that closes nothing: of a closed position, or in the wrong direction of what is held; the
        broker's word counts, for another database may know why it is there."""
        if order.role not in PROTECTIVE | LEAVING:
            return False
        gone = order.position_id is not None and order.position_id not in {p.position_id for p in self.held}
        owners = {p.owner for p in self.held if order.side.sign * p.quantity < 0}
        useless = order.status is OrderStatus.PLANNED and order.position_id is None and order.owner not in owners
        return gone or useless or order.side.sign * (self.net + self.terms.beyond.get(self.symbol, ZERO)) >= 0
