"""What may be ordered beside what an account holds and what it has ordered already (reference 4.2, 4.3 and 7)."""

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from gambler_ai.paper_exchange.book import ZERO, Order
from gambler_ai.paper_exchange.market import CENT
from gambler_ai.paper_exchange.refusal import Refused, forbidden, unprocessable
from gambler_ai.paper_exchange.tickets import Ticket


class Admission(NamedTuple):
    """What an admitted order is to the account: its intent, and whether it closes."""

    intent: str
    closing: bool


def admit(
    ticket: Ticket, position: Decimal, working: Sequence[Order], estimate: Decimal, wash_trade_status: int = 403
) -> Admission:
    """Check a ticket against the position (signed shares) and the working orders of the same symbol.

    `estimate` is its size in shares. Refused for wash trades, reserved shares, opposite opening orders, and
    fractional shorts; buying power is the caller's question.
    """
    sign = 1 if ticket.side == "buy" else -1
    closing = position * sign < 0
    intent = f"{ticket.side}_to_{'close' if closing else 'open'}"
    if ticket.position_intent not in (None, intent):
        unprocessable(f"position intent mismatch, inferred: {intent}, specified: {ticket.position_intent}")
    if closing and ticket.order_class in ("bracket", "oto"):
        raise forbidden(f"{ticket.order_class} orders must be entry orders")
    if not closing and ticket.order_class == "oco":
        raise forbidden("oco orders must be exit orders")
    for other in working:
        if other.side != ticket.side:
            _refuse_wash_trade(ticket, other, wash_trade_status)
    if closing:
        _refuse_reserved(ticket.symbol, abs(position), [o for o in working if o.side == ticket.side], estimate)
        return Admission(intent, closing)
    opposite_opening = any(o.side != ticket.side and o.position_intent.endswith("open") for o in working)
    if ticket.side == "sell":
        if opposite_opening:
            raise forbidden("cannot open a short sell while a long buy order is open")
        if ticket.fractional:
            unprocessable("fractional orders cannot be sold short")
    elif opposite_opening:
        raise forbidden("cannot open a long buy while a short sell order is open")
    return Admission(intent, closing)


def _refuse_wash_trade(ticket: Ticket, other: Order, status: int) -> None:
    """Reference table 4.3: two limits may stand against each other when they do not cross, nothing else may.

    Groups and trailing stops are exempt.
    """
    if ticket.order_class or other.group or "trailing_stop" in (ticket.type, other.type):
        return
    limits = ("limit", "stop_limit")
    if ticket.type in limits and other.type in limits and ticket.limit_price and other.limit_price:
        buy, sell = (
            (ticket.limit_price, other.limit_price) if ticket.side == "buy" else (other.limit_price, ticket.limit_price)
        )
        if buy < sell:
            return
    kind = "limit" if other.type == "limit" else "market/stop"
    raise Refused(
        status,
        40310000 if status == 403 else 42210000,
        "potential wash trade detected. use complex orders",
        reject_reason=f"opposite side {kind} order exists",
        existing_order_id=other.id,
    )


def _refuse_reserved(symbol: str, existing: Decimal, same_side: list[Order], estimate: Decimal) -> None:
    """Refused unless `estimate` shares of a position are free of the closing orders `same_side`."""
    held = sum((order.held for order in same_side), ZERO)
    available = existing - held
    if estimate > available:
        free = f"{available.normalize():f}"
        raise forbidden(
            f"insufficient qty available for order (requested: {estimate.normalize():f}, available: {free})",
            available=free,
            existing_qty=f"{existing.normalize():f}",
            held_for_orders=f"{held.normalize():f}",
            symbol=symbol,
            related_orders=[order.id for order in same_side if order.held],
        )


def check_legs(ticket: Ticket, base: Decimal) -> None:
    """The legs of a group lie on the right sides of the price it starts from, by a cent at least.

    An entry's exits are on the other side of the market than the entry; an oco is itself the exit.
    """
    up = (ticket.side == "buy") != (ticket.order_class == "oco")
    profit, loss = ticket.take_profit, ticket.stop_loss
    if ticket.order_class == "oco":
        base, profit = profit or base, None
    if profit is not None and (profit < base + CENT if up else profit > base - CENT):
        unprocessable(f"take_profit.limit_price must be {'>= base_price +' if up else '<= base_price -'} {CENT}")
    if loss is not None and (loss > base - CENT if up else loss < base + CENT):
        unprocessable(f"stop_loss.stop_price must be {'<= base_price -' if up else '>= base_price +'} {CENT}")
