"""The lab's hand on trading, over HTTP: switches, corporate actions, and the faults of orders."""

import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import requests

from gambler_ai.errors import UsageError
from gambler_ai.paper_exchange import lab_trading
from gambler_ai.paper_exchange.faults import Faults
from gambler_ai.paper_exchange.limits import Limits
from gambler_ai.paper_exchange.switches import Switches

from .rig import TOKEN, Desk, Server, eventually

Start = Callable[..., Server]


class Held(NamedTuple):
    seconds: float


LIMIT = {"symbol": "AAA", "qty": "10", "side": "buy", "type": "limit", "limit_price": "99", "time_in_force": "gtc"}


@pytest.fixture
def server(start_server: Start) -> Server:
    return start_server("--switch", "emit_held_cancel=true", "--switch", "multiplier=4")


def sent(server: Server, **order: Any) -> dict[str, Any]:
    answer = server.call("POST", "/v2/orders", {**LIMIT, **order})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def status(server: Server, order: dict[str, Any]) -> tuple[str, str]:
    shown = server.call("GET", f"/v2/orders/{order['id']}").json()
    return shown["status"], shown["filled_qty"]


def refused(server: Server, path: str, body: dict[str, Any]) -> int:
    url = f"{server.url}/_lab/{path}"
    return requests.post(url, json=body, headers={"X-Lab-Token": TOKEN}, timeout=5).status_code


def test_switches_are_set_at_the_start_and_by_the_lab(server: Server) -> None:
    shown = server.lab("GET", "switches")
    assert (shown["emit_held_cancel"], shown["multiplier"], shown["replace"]) == (True, 4, "success")
    assert server.lab("POST", "switches", {"replace": "reject"})["replace"] == "reject"
    assert refused(server, "switches", {"replace": "sometimes"}) == 422
    assert refused(server, "switches", {"nonsense": "1"}) == 422
    assert server.call("GET", "/v2/account").json()["multiplier"] == "4"


def test_one_bad_switch_sets_none() -> None:
    switches = Switches()
    with pytest.raises(UsageError, match="multiplier"):
        switches.set({"replace": "reject", "multiplier": "many"})
    assert switches == Switches()


def test_a_forced_sequence_of_partial_fills(server: Server) -> None:
    for qty in ("2", "3"):
        rule = {"act": "partial_fill", "match": {"symbol": "AAA"}, "qty": qty, "times": 1}
        assert server.lab("POST", "faults", rule)["qty"] == qty
    order = sent(server)
    seen = []
    for _ in range(3):
        server.lab("POST", "price", {"symbol": "AAA", "bid": "98", "ask": "98.5"})
        seen.append(status(server, order))
    assert seen == [("partially_filled", "2"), ("partially_filled", "5"), ("filled", "10")]


def test_a_held_up_cancel_ends_after_its_seconds_of_wall_time(server: Server) -> None:
    server.lab("POST", "faults", {"act": "hold_cancel", "seconds": 0.6, "times": 1})
    order = sent(server)
    began = time.monotonic()
    assert server.call("DELETE", f"/v2/orders/{order['id']}").status_code == 204
    server.lab("POST", "clock", {"advance_s": 3600})
    seen = status(server, order)[0]
    assert seen == "pending_cancel" or time.monotonic() - began > 0.5
    eventually(lambda: status(server, order)[0] == "canceled")
    assert time.monotonic() - began >= 0.6


def test_a_held_up_cancel_is_decided_without_being_asked(desk: Desk) -> None:
    faults = Faults(lambda: Decimal(0))
    faults.add({"act": "hold_cancel", "seconds": 30, "times": 1})
    desk.exchange.venue.fault = faults.on_order
    order = desk.order(type="limit", limit_price="99", time_in_force="gtc")
    desk.listen()
    desk.call("DELETE", f"/v2/orders/{order}")
    desk.pass_time(minutes=30)
    desk.wall.pass_time(29)
    desk.exchange.settle_wall()
    assert desk.events() == ["pending_cancel"]
    desk.wall.pass_time(1)
    desk.exchange.settle_wall()
    assert desk.events() == ["pending_cancel", "canceled"]


def test_a_held_up_cancel_outlives_the_process(open_desk: Callable[..., Desk], tmp_path: Path) -> None:
    first = open_desk(state=tmp_path / "exchange.db")
    first.exchange.venue.fault = lambda act, order: Held(30) if act == "hold_cancel" else None
    order = first.order(type="limit", limit_price="99", time_in_force="gtc")
    first.call("DELETE", f"/v2/orders/{order}")
    first.exchange._store.close()
    second = open_desk(state=tmp_path / "exchange.db")
    assert second.status(order) == "pending_cancel"
    second.wall.pass_time(30)
    assert second.status(order) == "canceled"


def test_what_the_lab_does_is_in_the_truth(server: Server) -> None:
    sent(server)
    acts: list[tuple[str, dict[str, Any]]] = [
        ("orders", {"symbol": "AAA", "qty": "1", "side": "buy"}),
        ("price", {"symbol": "AAA", "bid": "100", "ask": "100.02"}),
        ("switches", {"replace": "reject"}),
        ("account", {"cash": "5000"}),
        ("corporate-action", {"type": "split", "symbol": "AAA", "ratio": "2"}),
        ("restore", {"name": "now"}),
    ]
    for path, body in acts:
        if path == "restore":
            server.lab("POST", "snapshot", body)
        server.lab("POST", path, body)
    refused(server, "price", {"symbol": "NOPE", "bid": "1", "ask": "2"})
    truth = server.lab("GET", "truth")
    assert [(row["path"], row["fields"]) for row in truth["lab"]] == [(f"/_lab/{path}", body) for path, body in acts]
    assert all(row["method"] == "POST" and row["at"] and row["wall_at"] for row in truth["lab"])
    assert [order["source"] for order in truth["orders"]] == [None, "dashboard"]
    assert {row["path"] for row in truth["requests"]} == {"/v2/orders"}, "requests are the traders'"


def test_limits_are_set_at_the_start_and_survive_a_restart(start_server: Start, tmp_path: Path) -> None:
    state = str(tmp_path / "exchange.db")
    server = start_server("--limit", "stream_connections=1", "--limit", "sip=false", state=state)
    assert server.lab("POST", "limits", {"requests_per_minute": 200})["stream_connections"] == 1
    server.kill()
    again = start_server("--limit", "data_symbols=30", state=state)
    shown = again.lab("GET", "limits")
    kept = {name: shown[name] for name in ("stream_connections", "sip", "requests_per_minute", "data_symbols")}
    assert kept == {"stream_connections": 1, "sip": False, "requests_per_minute": 200, "data_symbols": 30}
    assert again.call("GET", "/v2/clock").headers["X-RateLimit-Limit"] == "200"


@pytest.mark.parametrize("wanted", [{"sip": "perhaps"}, {"requests_per_minute": "-1"}, {"nonsense": "1"}])
def test_one_bad_limit_sets_none(wanted: dict[str, str]) -> None:
    limits = Limits()
    with pytest.raises(UsageError, match=next(iter(wanted))):
        limits.set({"data_symbols": "30", **wanted})
    assert limits == Limits()


def test_a_split_by_the_lab(server: Server) -> None:
    sent(server, limit_price="101")
    order = sent(server, side="sell", limit_price="110")
    server.lab("POST", "corporate-action", {"type": "split", "symbol": "AAA", "ratio": "3"})
    assert server.call("GET", "/v2/positions/AAA").json()["qty"] == "30"
    assert status(server, order)[0] == "canceled"
    assert refused(server, "corporate-action", {"type": "merger", "symbol": "AAA"}) == 422
    assert refused(server, "corporate-action", {"type": "split", "symbol": "NOPE", "ratio": "2"}) == 422


def test_orders_of_a_halted_symbol_rest_until_it_trades_again(desk: Desk) -> None:
    lab_trading.halt(desk.exchange, {"symbol": "AAA"})
    resting, other = desk.order(), desk.order(symbol="BBB")
    assert desk.status(desk.order(time_in_force="ioc")) == "canceled"
    desk.pass_time(minutes=2)
    assert (desk.status(resting), desk.status(other)) == ("new", "filled")
    lab_trading.halt(desk.exchange, {"symbol": "AAA", "halted": False})
    assert desk.status(resting) == "filled"


@pytest.mark.parametrize("wrong", [{"symbol": "NOPE"}, {"halted": "maybe"}, {"reason": "X"}])
def test_a_halt_without_sense_is_refused(desk: Desk, wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        lab_trading.halt(desk.exchange, {"symbol": "AAA", **wrong})
    assert desk.exchange.venue.switches.halted == ""


def test_a_delisted_asset_cannot_be_traded(server: Server) -> None:
    order = sent(server)
    server.lab("POST", "corporate-action", {"type": "delisting", "symbol": "AAA"})
    assert status(server, order)[0] == "canceled"
    answer = server.call("POST", "/v2/orders", LIMIT)
    assert (answer.status_code, answer.json()["message"]) == (422, "asset AAA is not active")
    assert server.call("GET", "/v2/assets/AAA").json()["status"] == "inactive"


def test_every_switch_is_in_the_manual_with_its_default() -> None:
    manual = (Path(__file__).resolve().parents[2] / "docs" / "local-exchange.md").read_text()
    rows = {row.split("|")[1]: row.split("|")[2] for row in manual.splitlines() if row.startswith("| `")}
    for name, default in Switches().show().items():
        told = next(value for names, value in rows.items() if f"`{name}`" in names)
        assert told.split()[0].strip(",;") == (str(default).lower() or "empty")
