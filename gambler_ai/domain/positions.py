"""Positions from fills.

Alpaca nets per symbol; we keep one open position per symbol and owner, and their sum is the broker's quantity.
No two owners of a symbol ever hold opposite signs: what an owner sells beyond its own shares closes the others'
before it opens anything.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from gambler_ai.domain.fills import Allocation, Fill
from gambler_ai.domain.money import ZERO, nine_places
from gambler_ai.domain.values import replace

EXTERNAL = "EXTERNAL"


class PositionStatus(StrEnum):
    OPEN = "open"
    CLOSED = "closed"
    ERROR = "error"  # halted: books and broker differ without evidence


class Origin(StrEnum):
    OWN = "own"  # from our own orders
    EXTERNAL = "external"  # somebody else's trade in this account
    RESTORED = "restored"  # rebuilt from the broker's history


@dataclass(frozen=True, slots=True)
class Position:
    """`quantity` is signed shares still open (short is negative); `entered_quantity` all shares ever entered, unsigned.
    Prices in USD per share; `pnl` is what the closed part has earned, None when the exit price is unknown.
    `protections` counts the exits ever made to protect it, so that the next one has an id of its own."""

    position_id: str
    account_id: str
    session_id: str | None
    symbol: str
    owner: str
    origin: Origin
    direction: str  # "long" or "short", also after it is closed
    quantity: Decimal
    entered_quantity: Decimal
    entry_price: Decimal
    entry_time: datetime
    status: PositionStatus = PositionStatus.OPEN
    stop_loss: Decimal | None = None
    take_profit: Decimal | None = None
    exit_price: Decimal | None = None
    exit_time: datetime | None = None
    exit_reason: str | None = None
    pnl: Decimal | None = ZERO
    entry_order_id: str | None = None
    exit_order_id: str | None = None
    protections: int = 0

    @property
    def exited_quantity(self) -> Decimal:
        return self.entered_quantity - abs(self.quantity)

    @property
    def pnl_pct(self) -> Decimal | None:
        """Earned on the shares exited so far, in percent of what they cost."""
        cost = self.entry_price * self.exited_quantity
        return nine_places(self.pnl * 100 / cost) if self.pnl is not None and cost else None


@dataclass(frozen=True, slots=True)
class Trade:
    """A fill as positions see it: signed shares of a symbol for an owner."""

    account_id: str
    session_id: str | None
    symbol: str
    owner: str
    signed_qty: Decimal
    price: Decimal
    at: datetime
    client_order_id: str
    exit_reason: str
    origin: Origin = Origin.OWN
    stop_loss: Decimal | None = None
    take_profit: Decimal | None = None


def external(
    account_id: str, symbol: str, owner: str, quantity: Decimal, entry_price: Decimal, at: datetime
) -> Position:
    """Shares that no order of ours explains: held by `owner` since `at`; the fold gives the position its id."""
    return Position(
        position_id="",
        account_id=account_id,
        session_id=None,
        symbol=symbol,
        owner=owner,
        origin=Origin.EXTERNAL,
        direction="long" if quantity > 0 else "short",
        quantity=quantity,
        entered_quantity=abs(quantity),
        entry_price=entry_price,
        entry_time=at,
    )


def net(positions: Iterable[Position], symbol: str) -> Decimal:
    """Signed shares of a symbol over all owners: what the broker should show."""
    return sum((p.quantity for p in positions if p.symbol == symbol), ZERO)


def apply_trade(
    open_positions: Sequence[Position], trade: Trade, new_id: str
) -> tuple[list[Position], tuple[Allocation, ...]]:
    """The positions of the trade's symbol that change, and who took which part.

    `open_positions` are the symbol's open ones, oldest first. A foreign trade closes EXTERNAL first, then owners,
    oldest first; an owner's trade closes its own, then EXTERNAL, then the others. Only an excess opens.
    """
    changed: list[Position] = []
    taken: list[Allocation] = []
    left = abs(trade.signed_qty)
    opposite = [p for p in open_positions if p.quantity * trade.signed_qty < 0]
    for position in sorted(opposite, key=lambda p: (p.owner != trade.owner, p.owner != EXTERNAL)):
        if not left:
            break
        part = min(left, abs(position.quantity))
        changed.append(_closed_by(position, part, trade))
        taken.append(Allocation(position.position_id, part, opens=False))
        left -= part
    if left:
        mine = next((p for p in open_positions if p.owner == trade.owner and p not in opposite), None)
        grown = _grown(mine, left, trade) if mine else _opened(left, trade, new_id)
        changed.append(grown)
        taken.append(Allocation(grown.position_id, left, opens=True))
    return changed, tuple(taken)


def _closed_by(position: Position, part: Decimal, trade: Trade) -> Position:
    sign = 1 if position.quantity > 0 else -1
    quantity = position.quantity - sign * part
    exited = position.exited_quantity
    average = ((position.exit_price or ZERO) * exited + trade.price * part) / (exited + part)
    earned = sign * part * (trade.price - position.entry_price)
    closed = not quantity
    return replace(
        position,
        quantity=quantity,
        exit_price=nine_places(average),
        exit_time=trade.at,
        exit_reason=trade.exit_reason if closed else position.exit_reason,
        exit_order_id=trade.client_order_id,
        pnl=None if position.pnl is None else position.pnl + earned,
        status=PositionStatus.CLOSED if closed else position.status,
    )


def _grown(position: Position, part: Decimal, trade: Trade) -> Position:
    held = abs(position.quantity)
    sign = 1 if trade.signed_qty > 0 else -1
    return replace(
        position,
        quantity=position.quantity + sign * part,
        entered_quantity=position.entered_quantity + part,
        entry_price=nine_places((position.entry_price * held + trade.price * part) / (held + part)),
        stop_loss=position.stop_loss if trade.stop_loss is None else trade.stop_loss,
        take_profit=position.take_profit if trade.take_profit is None else trade.take_profit,
    )


def _opened(part: Decimal, trade: Trade, new_id: str) -> Position:
    return Position(
        position_id=new_id,
        account_id=trade.account_id,
        session_id=trade.session_id,
        symbol=trade.symbol,
        owner=trade.owner,
        origin=Origin.EXTERNAL if trade.owner == EXTERNAL else trade.origin,
        direction="long" if trade.signed_qty > 0 else "short",
        quantity=part if trade.signed_qty > 0 else -part,
        entered_quantity=part,
        entry_price=trade.price,
        entry_time=trade.at,
        entry_order_id=trade.client_order_id,
        stop_loss=trade.stop_loss,
        take_profit=trade.take_profit,
    )


def reprice(position: Position, allocation: Allocation, old: Fill, new_value: Decimal, buys: bool) -> Position:
    """The position after the price of a fill it took was refined; its quantity never changes.

    `new_value` is what the allocated shares really cost or brought, in USD.
    """
    change = new_value - allocation.qty * old.price
    if not change:
        return position
    if not allocation.opens:
        per_share = change / position.exited_quantity
        exit_price = None if position.exit_price is None else nine_places(position.exit_price + per_share)
        earned = -change if buys else change
        return replace(position, exit_price=exit_price, pnl=None if position.pnl is None else position.pnl + earned)
    per_share = change / position.entered_quantity
    cost_of_exited = per_share * position.exited_quantity
    earned = -cost_of_exited if buys else cost_of_exited
    return replace(
        position,
        entry_price=nine_places(position.entry_price + per_share),
        pnl=None if position.pnl is None else nine_places(position.pnl + earned),
    )


def orphaned(position: Position, at: datetime) -> Position:
    """Closed in the books without evidence of a price: exit price and result are unknown, never guessed."""
    return replace(
        position,
        quantity=ZERO,
        exit_price=None,
        exit_time=at,
        exit_reason="orphaned",
        pnl=None,
        status=PositionStatus.CLOSED,
    )
