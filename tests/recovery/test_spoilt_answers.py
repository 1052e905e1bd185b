"""No spoilt answer of any endpoint closes, imports, protects or sends anything, for as long as it is spoilt; and when
the answers are whole again, books and exchange agree without a trace.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from gambler_ai.broker.alpaca_rest import Reply
from gambler_ai.errors import AnotherAccount, BrokerRefusesUs, BrokerUnreachable, RateLimited
from gambler_ai.trading.house import Rules
from tests.recovery.steps import books_hold, do, exchange_holds
from tests.trading.rig import KEYS, Rig

STORY = "protected AAA; hand buy BBB 4; reconciled; rest BBB"
LATER = "hand buy BBB 1"
ENDPOINTS = (
    "/v2/account",
    "/v2/clock",
    "/v2/orders",
    "/v2/positions",
    "/v2/positions/AAA",
    "/v2/positions/BBB",
    "/v2/account/activities/FILL",
    "/v2/account/activities",
    "/v2/orders:by_client_order_id",
    "the order",
)
GUESSES = {"position.orphaned", "position.imported", "position.adjusted", "order.intended", "order.adopted"}
LAG_S = 10


@pytest.fixture
def rig(tmp_path: Path, database_url: str) -> Iterator[Rig]:
    """Shares of ours with their stop, shares of others, an order: all known. Waits as with the real service."""
    one = Rig(tmp_path, database_url)
    do(one, STORY)
    one.recovery.run()
    one.rules = Rules(look_every_s=3600)
    one.close()
    one.open()
    one.recovery.run()
    one.weather.sent.clear()
    yield one
    one.close()
    one.exchange.close()


Body = str
SPOILT: dict[str, Callable[[Body], Reply | Body]] = {
    "empty list": lambda _body: "[]",
    "empty object": lambda _body: "{}",
    "nothing": lambda _body: "",
    "truncated": lambda body: body[: len(body) // 2],
    "null": lambda _body: "null",
    "html": lambda _body: "<html>502 Bad Gateway</html>",
    "503": lambda _body: Reply(503, "", {}),
    "429": lambda _body: Reply(429, '{"code": 42910000, "message": "too many"}', {"Retry-After": "1"}),
    "404": lambda _body: Reply(404, '{"code": 40410000, "message": "not found"}', {}),
    "one item less": lambda body: json.dumps(json.loads(body)[1:]) if body.startswith("[") else "",
}
SOME = ("empty list", "truncated", "503", "one item less")
"""Of these on PostgreSQL, of all on SQLite: what differs between them is the database, not the answer."""


def path_of(rig: Rig, endpoint: str) -> str:
    stop = next(o for o in rig.state.book.orders.values() if o.symbol == "AAA")
    return f"/v2/orders/{stop.broker_order_id}" if endpoint == "the order" else endpoint


def shown(rig: Rig, path: str) -> str:
    query = {"status": "all"} if path == "/v2/orders" else {}
    return rig.exchange.request("GET", path, query, None, *KEYS).body or ""


def looked_at_for(rig: Rig, seconds: float) -> list[str]:
    """Recovery, then looks and duties beside a session for so long; the kinds of journal rows that came of it."""
    before = len(rig.kinds())
    end = rig.clock.monotonic() + seconds
    with suppress(BrokerUnreachable, RateLimited, BrokerRefusesUs):
        rig.recovery.run()
    while rig.clock.monotonic() < end:
        with suppress(BrokerUnreachable, RateLimited, BrokerRefusesUs):
            rig.recovery.learn(rig.recovery.reconciler.round())
            rig.protection.run()
        rig.clock.sleep(2)
    return rig.kinds()[before:]


def whole_again(rig: Rig) -> None:
    rig.weather.answers.clear()
    rig.recovery.run()
    rig.rounds(12)
    assert books_hold(rig) == exchange_holds(rig)
    assert rig.state.records.active_halts() == []
    rig.prove_the_chain()


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_a_spoilt_answer_leads_to_no_guess_and_no_request(rig: Rig, endpoint: str) -> None:
    path = path_of(rig, endpoint)
    for how in SPOILT if rig.database_url.startswith("sqlite") else SOME:
        rig.weather.answers[path] = SPOILT[how](shown(rig, path))
        told = looked_at_for(rig, LAG_S)
        assert (GUESSES & set(told), rig.weather.sent) == (set(), []), how
        whole_again(rig)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_an_answer_that_lags_ten_seconds_behind_leads_to_no_guess(rig: Rig, endpoint: str) -> None:
    """The world moves on; this endpoint alone still tells of before."""
    path = path_of(rig, endpoint)
    rig.weather.answers[path] = shown(rig, path)
    do(rig, LATER)
    told = looked_at_for(rig, LAG_S)
    assert not (GUESSES - {"order.adopted"}) & set(told), told
    assert rig.weather.sent == []
    whole_again(rig)


@pytest.mark.parametrize("shows", [{"AAA": "10"}, {"BBB": "4"}, {"AAA": "4", "BBB": "4"}, {"AAA": "10", "BBB": "9"}])
def test_orders_and_positions_that_disagree_lead_to_no_guess(rig: Rig, shows: dict[str, str]) -> None:
    rig.the_broker_shows(**shows)
    told = looked_at_for(rig, LAG_S)
    assert not GUESSES & set(told), told
    assert rig.weather.sent == []
    whole_again(rig)


def test_another_account_under_these_keys_concludes_nothing(rig: Rig) -> None:
    account: Any = {**rig.raw("/v2/account"), "id": "00000000-0000-4000-8000-000000000000", "account_number": "PA2"}
    rig.weather.answers["/v2/account"] = json.dumps(account)
    rows = rig.kinds()
    with pytest.raises(AnotherAccount):
        rig.recovery.run()
    assert (rig.kinds(), rig.weather.sent) == (rows, [])
