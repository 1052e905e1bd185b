"""May this wish become an order? One pure question, asked before every intent; no answer means no order."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from gambler_ai.domain.money import ZERO, has_at_most_nine_places, on_tick
from gambler_ai.domain.orders import LIVE, UNRESOLVED, Order, OrderStatus, Role, Wish
from gambler_ai.domain.positions import Position


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on new risk, per account. `respect_foreign` = an open order of somebody else blocks its symbol."""

    max_in_doubt: int = 3
    max_open_orders: int = 50
    max_order_qty: Decimal = Decimal(1_000_000)
    respect_foreign: bool = True


@dataclass(frozen=True, slots=True)
class Exposure:
    """What the gate looks at: committed positions, every live or unresolved order, and the blocks in force.

    `blocks` maps a symbol, or "*" for all, to the reason why no new risk may be taken there.
    """

    positions: Iterable[Position]
    orders: Iterable[Order]
    blocks: Mapping[str, str]


def why_not(wish: Wish, owner: str, symbols: Iterable[str], exposure: Exposure, limits: Limits) -> str | None:
    """The reason why this wish must not be sent, in one sentence; None = it may."""
    if wish.qty <= 0 or not has_at_most_nine_places(wish.qty):
        return f"the quantity {wish.qty} is not a positive number with at most nine places"
    if wish.qty > limits.max_order_qty:
        return f"the quantity {wish.qty} is above the limit of {limits.max_order_qty} shares"
    for price in (wish.limit_price, wish.stop_price):
        if price is not None and (price <= 0 or not on_tick(price)):
            return f"the price {price} is not on the tick grid"
    live = [order for order in exposure.orders if order.status in LIVE]
    if wish.role is Role.EXIT:
        return _why_not_exit(wish, owner, exposure.positions, live)
    return _why_not_entry(wish, owner, frozenset(symbols), exposure.blocks, live, limits)


def _why_not_exit(wish: Wish, owner: str, positions: Iterable[Position], live: list[Order]) -> str | None:
    """Exits pass under every block, but never sell more than the owner holds and no live exit already covers."""
    held = sum((p.quantity for p in positions if p.symbol == wish.symbol and p.owner == owner), ZERO)
    if held * wish.side.sign >= 0:
        return f"{owner} holds {held} {wish.symbol}: there is nothing to {wish.side}"
    leaving = sum(
        (abs(o.remaining) for o in live if o.symbol == wish.symbol and o.owner == owner and o.side is wish.side), ZERO
    )
    free = abs(held) - leaving
    if wish.qty > free:
        return f"only {free} of {abs(held)} {wish.symbol} are not yet leaving by another order"
    return None


def _why_not_entry(
    wish: Wish, owner: str, symbols: frozenset[str], blocks: Mapping[str, str], live: list[Order], limits: Limits
) -> str | None:
    if wish.symbol not in symbols:
        return f"{wish.symbol} is not among this session's symbols"
    for scope in ("*", wish.symbol):
        if scope in blocks:
            return blocks[scope]
    doubtful = [order for order in live if order.status in UNRESOLVED and order.is_ours]
    if any(order.symbol == wish.symbol for order in doubtful):
        return f"an order of {wish.symbol} is in doubt"
    if len(doubtful) >= limits.max_in_doubt:
        return f"{len(doubtful)} orders are in doubt"
    if limits.respect_foreign and any(order.symbol == wish.symbol and not order.is_ours for order in live):
        return f"an open order that is not ours could change {wish.symbol}"
    if any(
        order.symbol == wish.symbol and order.owner == owner and order.status is OrderStatus.WORKING for order in live
    ):
        return f"{owner} already has a working order in {wish.symbol}"
    if len(live) >= limits.max_open_orders:
        return f"{len(live)} orders are open, the limit is {limits.max_open_orders}"
    return None


def lacks_buying_power(code: int, message: str) -> bool:
    """Whether a refusal means that the account cannot pay for the order. Alpaca has one code for that and for shares
    held by other orders (alpaca-api.md section 7), so the words decide."""
    return code == 40310000 and "buying power" in message.lower()
