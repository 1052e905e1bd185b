"""The lab's limits, stale endpoints, bursts and snapshots, over real sockets."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from alpaca.trading.client import TradingClient

from gambler_ai.paper_exchange.gate import RateLimit
from gambler_ai.paper_exchange.limits import Limits

from .rig import Server, eventually

Start = Callable[..., Server]
ORDER = {"symbol": "AAA", "qty": "1", "side": "buy", "type": "market", "time_in_force": "day"}


def buy(server: Server, name: str) -> requests.Response:
    return server.call("POST", "/v2/orders", {**ORDER, "client_order_id": name})


def test_a_stale_endpoint_answers_as_it_did_and_then_catches_up(start_server: Start) -> None:
    server = start_server()
    buy(server, "before")
    server.lab("POST", "faults", {"match": {"path": "^/v2/positions"}, "act": "stale", "seconds": 0.6})
    buy(server, "after")
    assert server.call("GET", "/v2/positions/AAA").json()["qty"] == "1"
    assert len(server.call("GET", "/v2/orders?status=all").json()) == 2, "orders know more than positions"
    assert eventually(lambda: server.call("GET", "/v2/positions/AAA").json()["qty"] == "2")
    assert server.lab("GET", "faults") == []


def test_orders_can_lag_positions_too(start_server: Start) -> None:
    server = start_server()
    server.lab("POST", "faults", {"match": {"path": "^/v2/orders", "method": "GET"}, "act": "stale", "seconds": 30})
    buy(server, "unseen")
    assert server.call("GET", "/v2/positions/AAA").json()["qty"] == "1"
    assert server.call("GET", "/v2/orders?status=all").json() == []
    assert server.call("GET", "/v2/orders:by_client_order_id?client_order_id=unseen").status_code == 404
    rows = [row for row in server.lab("GET", "truth")["requests"] if row["path"].startswith("/v2/orders")]
    assert [row["acted"] for row in rows] == [True, False, False]
    assert server.lab("DELETE", "faults") == {"removed": 1}
    assert len(server.call("GET", "/v2/orders?status=all").json()) == 1


def test_an_endpoint_can_lose_its_list(start_server: Start) -> None:
    server = start_server()
    buy(server, "one")
    server.lab("POST", "faults", {"match": {"path": "^/v2/positions$"}, "act": "empty", "times": 1})
    assert server.call("GET", "/v2/positions").json() == []
    assert len(server.call("GET", "/v2/positions").json()) == 1


@pytest.mark.parametrize(
    ("code", "body"),
    [(401, {"message": "unauthorized."}), (429, {"code": 42910000, "message": "rate limit exceeded"})],
)
def test_a_burst_of_refusals_ends_by_itself(start_server: Start, code: int, body: Any) -> None:
    server = start_server()
    server.lab("POST", "faults", {"act": "status_before", "code": code, "times": 3})
    answers = [server.call("GET", "/v2/account") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [code, code, code, 200]
    assert answers[0].json() == body


def test_a_reset_can_kill_the_keys(start_server: Start, tmp_path: Path) -> None:
    state = str(tmp_path / "exchange.db")
    server = start_server(state=state)
    server.call("GET", "/v2/account")
    assert server.lab("POST", "account", {"reset": True, "keys_die": True})["closed"] is True
    assert server.call("GET", "/v2/account").json() == {"message": "unauthorized."}
    server.kill()
    again = start_server(state=state)
    assert again.call("GET", "/v2/account").status_code == 401, "dead keys stay dead"
    assert again.call("GET", "/v2/account", key="NEW").ok


def test_every_answer_carries_the_rate_headers(start_server: Start) -> None:
    server = start_server()
    assert "x-ratelimit-limit" not in server.call("GET", "/v2/clock").headers
    server.lab("POST", "limits", {"requests_per_minute": 3})
    answers = [server.call("GET", "/v2/clock") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert [answer.headers["X-RateLimit-Remaining"] for answer in answers] == ["2", "1", "0", "0"]
    assert {answer.headers["X-RateLimit-Limit"] for answer in answers} == {"3"}
    assert time.time() < int(answers[0].headers["X-RateLimit-Reset"]) < time.time() + 62
    assert answers[3].json() == {"code": 42910000, "message": "rate limit exceeded"}
    assert server.call("GET", "/v2/clock", key="OTHER").ok, "a bucket for each key"
    assert server.call("GET", "/v2/stocks/AAA/bars?timeframe=1Min").ok, "data are counted apart"
    row = [row for row in server.lab("GET", "truth")["requests"] if row["status"] == 429]
    assert [one["acted"] for one in row] == [False]


def test_rate_limits_can_come_without_headers(start_server: Start) -> None:
    server = start_server()
    server.lab("POST", "limits", {"requests_per_minute": 1, "rate_headers": False})
    answers = [server.call("GET", "/v2/clock") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 429]
    assert not any(name.lower().startswith("x-ratelimit") for name in answers[1].headers)


def test_alpaca_py_waits_a_rate_limit_out(start_server: Start) -> None:
    server = start_server()
    server.lab("POST", "limits", {"requests_per_minute": 60})
    client = TradingClient("KEY", "SECRET", url_override=server.url)
    client._retry_wait = 1
    for _ in range(61):
        assert client.get_clock().is_open


def test_a_bucket_fills_evenly() -> None:
    now = [1000.0]
    limits = Limits(requests_per_minute=60)
    rates = RateLimit(limits, lambda: now[0])
    assert all(rates.take("K", "/v2/clock")[0] for _ in range(60))
    assert not rates.take("K", "/v2/clock")[0]
    now[0] += 2
    assert [rates.take("K", "/v2/clock")[0] for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize("wrong", [{"nope": 1}, {"sip": 1}, {"data_symbols": True}, {"data_symbols": -1}])
def test_a_wrong_limit_changes_nothing(start_server: Start, wrong: dict[str, Any]) -> None:
    server = start_server()
    before = server.lab("GET", "limits")
    with pytest.raises(AssertionError, match="limit"):
        server.lab("POST", "limits", {"requests_per_minute": 5, **wrong})
    assert server.lab("GET", "limits") == before


@pytest.mark.parametrize("durable", [True, False])
def test_a_snapshot_brings_the_whole_exchange_back(start_server: Start, tmp_path: Path, durable: bool) -> None:
    state = str(tmp_path / "exchange.db") if durable else ":memory:"
    server = start_server(state=state)
    buy(server, "before")
    server.lab("POST", "snapshot", {"name": "clean"})
    truth = server.lab("GET", "truth")
    buy(server, "after")
    server.lab("POST", "clock", {"advance_s": 600})
    if durable:
        server.kill()
        server = start_server(state=state)
    assert server.lab("POST", "restore", {"name": "clean"})["now"] == truth["now"]
    restored = server.lab("GET", "truth")
    assert [row["path"] for row in restored.pop("lab")] == ["/_lab/restore"]
    assert {**restored, "lab": []} == {**truth, "lab": []}
    assert buy(server, "before").status_code == 422, "its client order ids are taken again"
    assert buy(server, "after").ok, "and those of the future are free"
    if durable:
        server.kill()
        server = start_server(state=state)
        assert server.call("GET", "/v2/positions/AAA").json()["qty"] == "2", "what came after is stored as ever"


def test_a_snapshot_nobody_made_cannot_be_restored(start_server: Start) -> None:
    server = start_server()
    for name in ("nope", "../etc"):
        answer = requests.post(
            f"{server.url}/_lab/restore", json={"name": name}, headers={"X-Lab-Token": "open-sesame"}, timeout=5
        )
        assert answer.status_code == 422


def test_streams_go_on_after_a_restore(start_server: Start) -> None:
    from ..parity.stream_rig import trades

    server = start_server()
    buy(server, "first")
    server.lab("POST", "snapshot")
    with trades(server) as one:
        server.lab("POST", "restore")
        buy(server, "second")
        assert one.hear()["data"]["order"]["client_order_id"] == "second"
