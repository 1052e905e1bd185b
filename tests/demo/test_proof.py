"""The examiner must find every kind of broken promise; one that finds nothing proves nothing."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from gambler_ai.operations.proof import Books, judge

ORDER = {
    "client_order_id": "g1-e-a-1",
    "id": "b1",
    "account": "acc",
    "symbol": "SPY",
    "status": "filled",
    "filled_qty": "10",
    "submitted_at": "2026-06-15T14:00:00.000000Z",
}
TRUTH: dict[str, Any] = {
    "orders": [ORDER],
    "executions": [
        {
            "client_order_id": "g1-e-a-1",
            "account": "acc",
            "symbol": "SPY",
            "side": "buy",
            "qty": "10",
            "price": "500.25",
            "cum_qty": "10",
            "at": "2026-06-15T14:00:00.000001Z",
        }
    ],
    "positions": [{"account": "acc", "symbol": "SPY", "qty": "10"}],
    "cash": {"acc": "94997.5"},
    "requests": [
        {
            "account": "acc",
            "method": "POST",
            "path": "/v2/orders",
            "client_order_id": "g1-e-a-1",
            "wall_at": "2026-06-15T09:00:00.000002Z",
        }
    ],
}
BOOKED = {
    "client_order_id": "g1-e-a-1",
    "broker_order_id": "b1",
    "session_id": "s1",
    "owner": "a",
    "role": "e",
    "symbol": "SPY",
    "decision_key": "bar:1:0",
    "status": "FILLED",
    "filled_qty": "10",
}
FILL = {"client_order_id": "g1-e-a-1", "side": "buy", "cum_from": "0", "cum_to": "10", "price": "500.25"}
BOOKS = Books(
    account_id="acc",
    bound_at="2026-06-15T13:30:00.000000Z",
    orders=[BOOKED],
    fills=[FILL],
    positions=[{"symbol": "SPY", "qty": "10"}],
    sessions=[{"session_id": "s1", "status": "stopped"}],
    intents={"g1-e-a-1": "2026-06-15T09:00:00.000001Z"},
)
SECOND = ORDER | {"client_order_id": "g1-e-a-2", "id": "b2", "filled_qty": "0", "status": "new"}


def judged(truth: dict[str, Any] = TRUTH, books: Books = BOOKS) -> list[str]:
    return judge(truth, books, Decimal(100_000))


def test_equal_books_have_no_problem() -> None:
    assert judged() == []


def test_rebuilt_books_know_no_intents_of_before_and_all_of_theirs() -> None:
    rebuilt = replace(BOOKS, intents={})
    sent = TRUTH["requests"][0]["wall_at"]
    assert judged(books=replace(rebuilt, epoch=sent)) == []
    assert "request without an intent" in judged(books=replace(rebuilt, epoch=""))[0]


@pytest.mark.parametrize(
    ("books", "problem"),
    [
        ({"orders": []}, "lost order: g1-e-a-1"),
        ({"orders": [BOOKED | {"status": "REJECTED"}]}, "order g1-e-a-1 is REJECTED in the books, but filled"),
        ({"orders": [BOOKED | {"status": "ABSENT"}]}, "order g1-e-a-1 is ABSENT in the books, but filled"),
        ({"orders": [BOOKED | {"broker_order_id": "b9"}]}, "order g1-e-a-1 is b9 in the books, but b1"),
        ({"orders": [BOOKED | {"filled_qty": "9"}]}, "order g1-e-a-1: 9 filled in the books, 10"),
        ({"orders": [BOOKED, BOOKED | {"client_order_id": "dream"}]}, "order dream is FILLED in the books, but the"),
        ({"fills": []}, "lost fill: g1-e-a-1 shares 0..10 @ 500.25 x1"),
        ({"fills": [FILL, FILL]}, "fill that never happened: g1-e-a-1 shares 0..10 @ 500.25 x1"),
        ({"fills": [FILL | {"price": "500.24"}]}, "cash: 94997.60 USD by the books, 94997.5"),
        ({"positions": []}, "position SPY: 0 in the books, 10 at the exchange"),
        ({"intents": {}}, "request without an intent: POST /v2/orders g1-e-a-1"),
        ({"intents": {"g1-e-a-1": "2026-06-15T09:00:00.000003Z"}}, "request before its intent: g1-e-a-1"),
        ({"sessions": [{"session_id": s, "status": "active"} for s in ("s1", "s2")]}, "2 sessions are active: s1, s2"),
        ({"account_id": "other"}, "the exchange knows no account other"),
    ],
)
def test_every_lie_in_the_books_is_found(books: dict[str, Any], problem: str) -> None:
    assert any(text.startswith(problem) for text in judged(books=replace(BOOKS, **books)))


def _same_id_twice(truth: dict[str, Any]) -> None:
    truth["orders"].append(ORDER | {"id": "b2"})


def _same_decision_twice(truth: dict[str, Any]) -> None:
    truth["orders"].append(SECOND)


@pytest.mark.parametrize(
    ("happen", "problem"),
    [
        (_same_id_twice, "duplicate order: 2 orders at the exchange have the id g1-e-a-1"),
        (_same_decision_twice, "duplicate order: 2 orders for one decision s1 a e SPY bar:1:0"),
    ],
)
def test_an_order_that_exists_twice_is_found(happen: Callable[[dict[str, Any]], None], problem: str) -> None:
    truth = deepcopy(TRUTH)
    happen(truth)
    twin = BOOKED | {"client_order_id": "g1-e-a-2", "broker_order_id": "b2", "status": "WORKING", "filled_qty": "0"}
    assert problem in judged(truth, replace(BOOKS, orders=[BOOKED, twin]))


def test_what_happened_before_the_account_was_bound_is_not_a_lost_fill() -> None:
    books = replace(BOOKS, bound_at="2026-06-15T15:00:00.000000Z", orders=[], fills=[], intents={})
    truth = TRUTH | {"requests": []}
    assert judged(truth, books) == []


def test_other_accounts_of_the_exchange_are_not_ours() -> None:
    truth = deepcopy(TRUTH)
    truth["orders"].append(SECOND | {"account": "someone"})
    assert judged(truth) == []
