"""PATCH of an order: a new order with a new id takes the place of the old one (reference 5.4).

Between the answer and the change the old order is pending_replace, and may fill first; the new one then
ends as rejected.
"""

from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

from gambler_ai.paper_exchange import holding, intake, matching, wire
from gambler_ai.paper_exchange.account import Account
from gambler_ai.paper_exchange.book import ZERO, Order
from gambler_ai.paper_exchange.floor import Floor
from gambler_ai.paper_exchange.refusal import Refused, malformed, read_number, unprocessable
from gambler_ai.paper_exchange.rules import admit
from gambler_ai.paper_exchange.tickets import (
    Ticket,
    check_price,
    check_trail,
    check_trailing_stop,
    read_client_order_id,
)

_TAKES = {
    "limit_price": ("limit", "stop_limit"),
    "stop_price": ("stop", "stop_limit"),
    "trail": ("trailing_stop",),
}


@dataclass(frozen=True, slots=True)
class Change:
    """What a PATCH asks for; None leaves it."""

    qty: Decimal | None
    time_in_force: str | None
    limit_price: Decimal | None
    stop_price: Decimal | None
    trail: Decimal | None
    client_order_id: str | None


def change_order(venue: Floor, account: Account, old: Order, fields: dict[str, Any]) -> dict[str, Any]:
    """Replace `old`; the answer is the new order. Refused as Alpaca would, and as a new order of this account."""
    intake.refuse_barred(account, opening=old.reserve_price is not None)
    _check_state(old)
    change = _read(fields, old)
    _check_change(venue, old, change)
    if change.client_order_id and (account.id, change.client_order_id) in venue.book.by_client_id:
        raise Refused(422, 40010001, "client_order_id must be unique")
    new = _successor(venue, old, change)
    _admit(venue, account, old, new)
    venue.book.add(new)
    venue.changed(new)
    answer = wire.order(new, venue.book.legs(new))
    switch, seconds = venue.switches.replace, venue.switches.replace_seconds
    if switch == "reject" or seconds:
        old.replaced_by, old.resume, old.status = new.id, old.status, "pending_replace"
        old.due = venue.now + timedelta(seconds=int(seconds))
        venue.changed(old)
        venue.tell_order(old, "pending_replace")
    else:
        _complete(venue, old, new)
    if switch == "reject" and not seconds:
        decided(venue, old)
    if switch == "error_but_done":
        unprocessable("unable to replace order, order isn't sent to exchange yet")
    return answer


def decided(venue: Floor, old: Order) -> None:
    """The end of pending_replace: the new order takes over, or is rejected and the old one works on."""
    new = venue.book.by_id[old.replaced_by or ""]
    if venue.switches.replace == "reject" or not new.is_alive:
        venue.resume(old)
        _reject(venue, old, new)
    else:
        _complete(venue, old, new)


def ended(venue: Floor, old: Order, filled: Decimal = ZERO) -> None:
    """An order has ended, or `filled` a part; if it was to be replaced, that came too late, or for less."""
    new = venue.book.by_id.get(old.replaced_by or "")
    if new is None or not new.is_alive or new.active or old.status == "replaced":
        return
    if filled and not venue.switches.replace_original_qty:
        new.qty = new.target = (new.qty or ZERO) - filled
        new.held_qty = min(new.held_qty, max(new.qty, ZERO))
        venue.changed(new)
    if not old.is_alive or new.remaining is None or new.remaining <= 0:
        if old.is_alive:
            venue.resume(old)
        _reject(venue, old, new)


def fired(venue: Floor, stop: Order) -> Order:
    """An elected stop leg as an order of its own: market, or limit for a stop-limit leg."""
    new = _successor(venue, stop, Change(None, None, None, None, None, None))
    new.type = "market" if stop.type == "stop" else "limit"
    new.status, new.stop_price = "pending_new", None
    venue.book.add(new)
    holding.take(venue, new)
    venue.changed(new)
    _complete(venue, stop, new)
    return new


def _reject(venue: Floor, old: Order, new: Order) -> None:
    old.replaced_by = None
    venue.changed(old)
    venue.tell_order(old, "order_replace_rejected")
    venue.end(new, "rejected", alone=True)


def _complete(venue: Floor, old: Order, new: Order) -> None:
    old.replaced_by = new.id
    venue.end(old, "replaced", alone=True)
    new.active, new.covered = True, ZERO
    if new.held_qty:
        holding.take(venue, new)
    if not new.is_alive:
        return
    if new.role == "entry":
        entries = [one for one in venue.book.groups[new.group or ""] if one.role == "entry"]
        entered = sum((one.filled_qty for one in entries), ZERO)
        for leg in venue.book.members(new):
            leg.qty = leg.target = entered + (new.qty or ZERO)
            venue.changed(leg)
    if new.status == "held":
        venue.changed(new)
    else:
        venue.start(new)


def _check_state(old: Order) -> None:
    if old.status == "replaced":
        unprocessable("order already replaced")
    if not old.is_alive:
        unprocessable("unable to replace order, order is not open")
    if old.replaces and not old.active:
        unprocessable("order chain not fully replaced")
    if old.status in ("accepted", "pending_new", "pending_cancel", "pending_replace") or not old.active:
        unprocessable(f"cannot replace order in {old.status} status")
    if old.order_class == "oto":
        unprocessable("oto orders cannot be replaced")
    if old.qty is None:
        unprocessable("notional orders cannot be replaced")


def _read(fields: dict[str, Any], old: Order) -> Change:
    tif = fields.get("time_in_force") or None
    allowed = ("day", "gtc") if old.type not in ("market", "limit") or old.group else ("day", "gtc", "ioc", "fok")
    if tif is not None and tif not in allowed:
        malformed("invalid time_in_force")
    named = read_client_order_id(fields)
    numbers = {name: read_number(fields, name) for name in ("qty", "limit_price", "stop_price", "trail")}
    for name, kinds in _TAKES.items():
        if numbers[name] is not None and old.type not in kinds:
            malformed(f"{old.type} orders require no {name}")
    return Change(numbers["qty"], tif, numbers["limit_price"], numbers["stop_price"], numbers["trail"], named)


def _check_change(venue: Floor, old: Order, change: Change) -> None:
    qty = change.qty
    if qty is not None and qty % 1:
        unprocessable("qty must be an integer")
    if qty is not None and qty <= old.filled_qty:
        unprocessable("qty must be > filled_qty")
    if qty is not None and old.role in ("take_profit", "stop_loss") and qty != old.qty:
        unprocessable("the qty of a leg cannot be replaced")
    check_price("limit_price", change.limit_price)
    check_price("stop_price", change.stop_price)
    if change.trail is not None:
        percent = old.trail_percent is not None
        check_trail(None if percent else change.trail, change.trail if percent else None)
    pairs = (
        (qty, old.qty),
        (change.time_in_force, old.time_in_force),
        (change.limit_price, old.limit_price),
        (change.stop_price, old.stop_price),
        (change.trail, old.trail_price or old.trail_percent),
    )
    if all(asked is None or asked == had for asked, had in pairs) and not change.client_order_id:
        raise Refused(venue.switches.no_change_status, 42210000, "order parameters are not changed")


def _successor(venue: Floor, old: Order, change: Change) -> Order:
    """The new order, not yet active. Without a new quantity it asks for what the old one has left."""
    original = venue.switches.replace_original_qty
    qty = change.qty or (old.qty if original else old.remaining)
    tif = change.time_in_force or old.time_in_force
    at = venue.stamp()
    new = replace(
        old,
        id=venue.ids.uuid("order"),
        client_order_id=change.client_order_id or venue.ids.uuid("client"),
        seq=len(venue.book.by_id) + 1,
        time_in_force=tif,
        qty=qty,
        target=qty,
        limit_price=change.limit_price or old.limit_price,
        stop_price=change.stop_price or old.stop_price,
        created_at=at,
        submitted_at=at,
        updated_at=at,
        filled_qty=ZERO,
        filled_cost=ZERO,
        triggered=old.triggered and change.stop_price is None,
        replaces=old.id,
        active=False,
        due=None,
        due_wall=None,
        resume="",
        wall_at=None,
        ended_wall_at=None,
    )
    if old.status != "held":
        new.status = "pending_new" if venue.day_of(old) else "accepted"
    if tif != old.time_in_force:
        new.expires_at = venue.expiry(tif, old.extended_hours)
    if change.trail is not None:
        new.trail_price = change.trail if old.trail_price is not None else None
        new.trail_percent = change.trail if old.trail_percent is not None else None
        new.stop_price = None
        matching.follow(new, venue.mark(new.symbol))
        check_trailing_stop(new.stop_price)
    return new


def _admit(venue: Floor, account: Account, old: Order, new: Order) -> None:
    """The rules of a new order, with what the old one reserves counted as free."""
    symbol, qty = old.symbol, new.qty or ZERO
    if not old.group:
        ticket = Ticket(symbol, new.side, new.type, new.time_in_force, qty, None, new.limit_price, new.stop_price)
        keep_old = venue.switches.replace_holds_old
        working = [order for order in venue.book.alive(account.id, symbol) if order is not old or keep_old]
        admit(ticket, account.qty(symbol), working, qty, venue.switches.wash_trade_status)
    if old.reserve_price is None:
        new.held_qty = new.covered = min(old.held, qty)
        if not old.group:
            new.held_qty = qty if old.held_qty else ZERO
        return
    guess = new.limit_price or new.stop_price or old.reserve_price
    new.reserve_price = intake.reserve_price(venue, new.side, new.type, symbol, guess)
    cost = new.reserve_price * qty
    if cost > old.reserved:
        intake.refuse_poor(venue, account, cost, old.reserved)
    new.covered = min(old.reserved, cost)
