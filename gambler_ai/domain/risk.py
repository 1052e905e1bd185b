"""May this wish become an order? One pure question, asked before every intent; no answer means no order."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from gambler_ai.domain.cover import PROTECTIVE, shares
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
    for price in (wish.limit_price, wish.stop_price, wish.stop_loss, wish.take_profit):
        if price is not None and (price <= 0 or not on_tick(price)):
            return f"the price {price} is not on the tick grid"
    live = [order for order in exposure.orders if order.status in LIVE]
    if wish.role is Role.EXIT:
        return _why_not_exit(wish, owner, exposure, live)
    if wish.stop_loss and wish.take_profit and (wish.take_profit - wish.stop_loss) * wish.side.sign <= 0:
        return f"a stop at {wish.stop_loss} and a target at {wish.take_profit} are on the wrong sides of each other"
    return _why_not_entry(wish, owner, frozenset(symbols), exposure.blocks, live, limits)


def _why_not_exit(wish: Wish, owner: str, exposure: Exposure, live: list[Order]) -> str | None:
    """Exits pass under every block, but never sell more than the owner holds and no live exit already covers. What
    protects the shares until then makes way for an exit of the strategy."""
    held = _held(wish, owner, exposure)
    if held * wish.side.sign >= 0:
        return f"{owner} holds {held} {wish.symbol}: there is nothing to {wish.side}"
    free = abs(held) - shares(o for o in _exits(wish, owner, live) if o.role not in PROTECTIVE)
    if wish.qty > free:
        return f"only {free} of {abs(held)} {wish.symbol} are not yet leaving by another order"
    return None


def must_wait(wish: Wish, owner: str, exposure: Exposure) -> bool:
    """Whether protection still holds the shares this exit wants to sell: it has to be cancelled first."""
    live = [order for order in exposure.orders if order.status in LIVE]
    free = abs(_held(wish, owner, exposure)) - shares(_exits(wish, owner, live))
    return wish.role is Role.EXIT and wish.qty > free


def may_repeat(order: Order, exposure: Exposure) -> str | None:
    """Why an exit in doubt must not leave again: its shares are gone, or other exits cover them. None = it may."""
    held = _held(order, order.owner, exposure)
    if held * order.side.sign >= 0:
        return f"{order.owner} holds {held} {order.symbol}: there is nothing to {order.side}"
    others = [o for o in exposure.orders if o.status in LIVE and o.client_order_id != order.client_order_id]
    free = abs(held) - shares(_exits(order, order.owner, others))
    if order.qty is None or order.qty > free:
        return f"only {free} of {abs(held)} {order.symbol} are not yet leaving by another order"
    return None


def _held(wanted: Wish | Order, owner: str, exposure: Exposure) -> Decimal:
    """Signed shares, less those that an exit is known to have sold and whose fill is not booked yet."""
    held = sum((p.quantity for p in exposure.positions if p.symbol == wanted.symbol and p.owner == owner), ZERO)
    ended = [order for order in exposure.orders if order.status not in LIVE]
    gone = sum((o.broker_filled_qty - o.filled_qty for o in _exits(wanted, owner, ended)), ZERO)
    return held + wanted.side.sign * gone


def _exits(wanted: Wish | Order, owner: str, live: Iterable[Order]) -> list[Order]:
    return [o for o in live if o.symbol == wanted.symbol and o.owner == owner and o.side is wanted.side]


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
    waiting = (OrderStatus.WORKING, OrderStatus.PLANNED)
    mine = [o for o in live if o.symbol == wish.symbol and o.owner == owner and o.status in waiting]
    against = [order for order in mine if order.role in PROTECTIVE and order.side is not wish.side]
    if any(not _stand_apart(wish, order) for order in against):
        return f"an exit that protects {wish.symbol} works at the broker, which takes no entry against it (wash trade)"
    if len(mine) > len(against):
        return f"{owner} already has a working order in {wish.symbol}"
    count = sum(order.role not in PROTECTIVE for order in live)
    if count >= limits.max_open_orders:
        return f"{count} orders are open, the limit is {limits.max_open_orders}"
    return None


def _stand_apart(wish: Wish, order: Order) -> bool:
    """Two limits that do not cross may stand against each other; nothing else may (Alpaca, user protection)."""
    if (wish.type, order.type) != ("limit", "limit") or wish.limit_price is None or order.limit_price is None:
        return False
    return wish.side.sign * (order.limit_price - wish.limit_price) > 0


def lacks_buying_power(code: int, message: str) -> bool:
    """Whether a refusal means that the account cannot pay for the order. Alpaca has one code for that and for shares
    held by other orders (alpaca-api.md section 7), so the words decide."""
    return code == 40310000 and "buying power" in message.lower()
