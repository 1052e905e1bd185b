"""The examiner: what the local exchange says really happened, against what the database says happened.

Reads nothing but the truth document of `/_lab/truth` and the database. Meant for books at rest: the trader has
ended, or was killed and resumed to its end. Every sentence it returns is a broken promise; no sentence, all kept.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from gambler_ai.storage.reading import Reader, reading

Row = Mapping[str, Any]
ZERO = Decimal(0)
START_CASH = Decimal(100_000)
_SIGN = {"buy": 1, "sell": -1}
_FINAL = {
    "filled": "FILLED",
    "canceled": "CANCELED",
    "expired": "EXPIRED",
    "rejected": "REJECTED",
    "replaced": "REPLACED",
}
_KNOWN_AT_BROKER = {"WORKING", "FILLED", "CANCELED", "EXPIRED", "REPLACED"}


@dataclass(frozen=True, slots=True)
class Books:
    """What the database holds of one account, as rows of text."""

    account_id: str
    bound_at: str
    orders: Sequence[Row]
    fills: Sequence[Row]
    positions: Sequence[Row]
    sessions: Sequence[Row]
    intents: Mapping[str, str]
    """Wall time of the journal row by which an order was first intended, by client order id."""
    epoch: str = ""
    """Wall time from which these books were kept: empty, or when they were rebuilt from the broker's history."""


def compare(
    truth: Mapping[str, Any], database_url: str, label: str, *, initial_cash: Decimal = START_CASH
) -> list[str]:
    """Every difference between the exchange's truth and the books of the account under `label`; empty = equal.

    `initial_cash` is what the exchange gave the account in USD. Requests to submit that did not come from our trader
    count as ours: manual trades of a test go through the lab.
    """
    with reading(database_url, label) as reader:
        books = _read(reader)
    if books is None:
        return [f"no account is bound to the label {label!r}"]
    return judge(truth, books, initial_cash)


def judge(truth: Mapping[str, Any], books: Books, initial_cash: Decimal) -> list[str]:
    """`compare` on what was read."""
    mine = {name: [row for row in truth[name] if row["account"] == books.account_id] for name in _ROWS}
    return [
        *_orders_once(mine["orders"], books),
        *_orders_known(mine["orders"], books),
        *_executions_once(mine["executions"], books),
        *_positions_equal(mine["positions"], books),
        *_cash_equal(truth["cash"].get(books.account_id), mine["executions"], books, initial_cash),
        *_sent_after_intent(mine["requests"], books),
        *_one_session(books),
    ]


_ROWS = ("orders", "executions", "positions", "requests")


def _read(reader: Reader) -> Books | None:
    account = reader.account()
    if account is None:
        return None
    whose = account["account_id"]
    return Books(
        account_id=whose,
        bound_at=account["bound_at"],
        orders=reader.query("SELECT * FROM orders WHERE account_id = ?", whose),
        fills=reader.fills(),
        positions=reader.positions(),
        sessions=reader.sessions(),
        intents={
            row["client_order_id"]: row["wall_at"]
            for row in reader.query(
                "SELECT client_order_id, wall_at FROM order_journal WHERE account_id = ? AND kind = 'order.intended'",
                whose,
            )
        },
        epoch=next(
            (
                row["wall_at"]
                for row in reader.query(
                    "SELECT wall_at FROM order_journal WHERE account_id = ? AND kind = 'epoch.begun'", whose
                )
            ),
            "",
        ),
    )


def _orders_once(orders: Sequence[Row], books: Books) -> Iterable[str]:
    """One order per id, and one per decision of ours."""
    for client_order_id, count in Counter(order["client_order_id"] for order in orders).items():
        if count > 1:
            yield f"duplicate order: {count} orders at the exchange have the id {client_order_id}"
    there = {order["client_order_id"] for order in orders}
    decided = Counter(
        (row["session_id"], row["owner"], row["role"], row["symbol"], row["decision_key"])
        for row in books.orders
        if row["decision_key"] and row["client_order_id"] in there
    )
    for (session, owner, role, symbol, key), count in decided.items():
        if count > 1:
            yield f"duplicate order: {count} orders for one decision {session} {owner} {role} {symbol} {key}"


def _orders_known(orders: Sequence[Row], books: Books) -> Iterable[str]:
    """Every order the exchange took is in our books with its status; none of ours was only dreamt of."""
    ours = {row["client_order_id"]: row for row in books.orders}
    for order in orders:
        name, row = order["client_order_id"], ours.get(order["client_order_id"])
        if row is None:
            came_and_went = order["status"] in _FINAL and not Decimal(order["filled_qty"]) and not _is_ours(name)
            if not came_and_went and (order["submitted_at"] >= books.bound_at or order["status"] not in _FINAL):
                yield f"lost order: {name} ({order['symbol']}, {order['status']}) is not in the books"
            continue
        expected = _FINAL.get(order["status"], "WORKING")
        if row["status"] != expected:
            yield f"order {name} is {row['status']} in the books, but {order['status']} at the exchange"
        if row["broker_order_id"] != order["id"]:
            yield f"order {name} is {row['broker_order_id']} in the books, but {order['id']} at the exchange"
        if Decimal(row["filled_qty"]) != Decimal(order["filled_qty"]):
            yield f"order {name}: {row['filled_qty']} filled in the books, {order['filled_qty']} at the exchange"
    there = {order["client_order_id"] for order in orders}
    for name, row in ours.items():
        if row["status"] in _KNOWN_AT_BROKER and name not in there:
            yield f"order {name} is {row['status']} in the books, but the exchange never had it"


def _is_ours(client_order_id: str) -> bool:
    return client_order_id.startswith("g1-")


def _executions_once(executions: Sequence[Row], books: Books) -> Iterable[str]:
    """Every execution since the account was bound is one fill with its interval and price; no fill is invented."""
    ours = {row["client_order_id"] for row in books.orders}
    happened = Counter(_interval(one) for one in executions if not _before_binding(one, books, ours))
    booked = Counter(
        (fill["client_order_id"], Decimal(fill["cum_from"]), Decimal(fill["cum_to"]), Decimal(fill["price"]))
        for fill in books.fills
    )
    yield from (f"lost fill: {_shown(one)} x{count}" for one, count in (happened - booked).items())
    yield from (f"fill that never happened: {_shown(one)} x{count}" for one, count in (booked - happened).items())


def _before_binding(execution: Row, books: Books, ours: set[str]) -> bool:
    """What happened to an account before we knew it is a position to import, not fills to book."""
    return execution["at"] < books.bound_at and execution["client_order_id"] not in ours


def _interval(execution: Row) -> tuple[str, Decimal, Decimal, Decimal]:
    top = Decimal(execution["cum_qty"])
    return execution["client_order_id"], top - Decimal(execution["qty"]), top, Decimal(execution["price"])


def _shown(interval: tuple[str, Decimal, Decimal, Decimal]) -> str:
    name, start, end, price = interval
    return f"{name} shares {start:f}..{end:f} @ {price:f}"


def _positions_equal(positions: Sequence[Row], books: Books) -> Iterable[str]:
    """Per symbol: the owners' shares add up to what the exchange holds for the account."""
    there = _summed((row["symbol"], Decimal(row["qty"])) for row in positions)
    here = _summed((row["symbol"], Decimal(row["qty"])) for row in books.positions)
    for symbol in sorted(there.keys() | here.keys()):
        if here.get(symbol, ZERO) != there.get(symbol, ZERO):
            yield (
                f"position {symbol}: {here.get(symbol, ZERO):f} in the books, "
                f"{there.get(symbol, ZERO):f} at the exchange"
            )


def _summed(pairs: Iterable[tuple[str, Decimal]]) -> dict[str, Decimal]:
    sums: dict[str, Decimal] = {}
    for symbol, qty in pairs:
        sums[symbol] = sums.get(symbol, ZERO) + qty
    return sums


def _cash_equal(cash: str | None, executions: Sequence[Row], books: Books, initial: Decimal) -> Iterable[str]:
    """What the fills in the books cost is exactly what left the account."""
    if cash is None:
        yield f"the exchange knows no account {books.account_id}"
        return
    ours = {row["client_order_id"] for row in books.orders}
    before = sum((_paid(one) for one in executions if _before_binding(one, books, ours)), ZERO)
    booked = sum(
        (
            _SIGN[fill["side"]] * (Decimal(fill["cum_to"]) - Decimal(fill["cum_from"])) * Decimal(fill["price"])
            for fill in books.fills
        ),
        ZERO,
    )
    if initial - before - booked != Decimal(cash):
        yield f"cash: {initial - before - booked:f} USD by the books, {cash} USD at the exchange"


def _paid(execution: Row) -> Decimal:
    return _SIGN[execution["side"]] * Decimal(execution["qty"]) * Decimal(execution["price"])


def _sent_after_intent(requests: Sequence[Row], books: Books) -> Iterable[str]:
    """No request to submit ever left without an intent committed before it."""
    for request in requests:
        if request["method"] != "POST" or not request["path"].endswith("/v2/orders"):
            continue
        name = request["client_order_id"]
        intended = books.intents.get(name or "")
        if intended is None and request["wall_at"] <= books.epoch:
            continue  # its intent was in the database that is lost
        if intended is None:
            yield f"request without an intent: POST {request['path']} {name} at {request['wall_at']}"
        elif intended > request["wall_at"]:
            yield f"request before its intent: {name} was sent {request['wall_at']}, intended {intended}"


def _one_session(books: Books) -> Iterable[str]:
    active = [row["session_id"] for row in books.sessions if row["status"] == "active"]
    if len(active) > 1:
        yield f"{len(active)} sessions are active: {', '.join(active)}"
