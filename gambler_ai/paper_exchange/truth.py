"""The examiner's view: what really happened on this exchange, beside what anybody was told."""

from collections.abc import Iterable
from typing import Any

from gambler_ai.paper_exchange import wire
from gambler_ai.paper_exchange.book import Execution, Order
from gambler_ai.paper_exchange.store import LabRow, RequestRow
from gambler_ai.paper_exchange.venue import Venue


def truth(venue: Venue, requests: Iterable[RequestRow], lab: Iterable[LabRow], account: str | None) -> dict[str, Any]:
    """Design section 7: requests, orders, executions, positions, cash; of one account, or of all.

    Beside them the other activities, and `lab`: what the lab did, on whatever account.
    """
    accounts = [one for one in venue.accounts.values() if account in (None, one.id)]
    chosen = [one.id for one in accounts]
    orders = [order for one in chosen for order in venue.book.by_account.get(one, [])]
    fills = [fill for one in chosen for fill in venue.book.executions.get(one, [])]
    return {
        "now": wire.stamp(venue.now),
        "requests": [row._asdict() for row in requests],
        "lab": [row._asdict() for row in lab],
        "orders": [_order(order) for order in orders],
        "executions": [_execution(fill) for fill in sorted(fills, key=lambda fill: fill.seq)],
        "activities": [
            {**wire.activity(entry, venue.switches), "account": one}
            for one in chosen
            for entry in venue.book.activities.get(one, [])
        ],
        "positions": [
            {"account": one.id, "symbol": symbol, "qty": wire.number(position.qty)}
            for one in accounts
            for symbol, position in sorted(one.positions.items())
        ],
        "cash": {one.id: wire.number(one.cash) for one in accounts},
    }


def _order(order: Order) -> dict[str, Any]:
    """Alpaca's object, and what Alpaca does not tell: whose it is, its group, and wall times."""
    return {
        **wire.order(order),
        "account": order.account,
        "group": order.group,
        "wall_at": wire.maybe_stamp(order.wall_at),
        "ended_wall_at": wire.maybe_stamp(order.ended_wall_at),
    }


def _execution(fill: Execution) -> dict[str, Any]:
    return {
        "id": fill.id,
        "order_id": fill.order_id,
        "client_order_id": fill.client_order_id,
        "account": fill.account,
        "symbol": fill.symbol,
        "side": fill.side,
        "qty": wire.number(fill.qty),
        "price": wire.number(fill.price),
        "cum_qty": wire.number(fill.cum_qty),
        "at": wire.stamp(fill.at),
        "wall_at": wire.maybe_stamp(fill.wall_at),
    }
