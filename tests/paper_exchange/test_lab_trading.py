"""The lab's hand on trading, over HTTP: switches, corporate actions, and the faults of orders."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from gambler_ai.errors import UsageError
from gambler_ai.paper_exchange.switches import Switches

from .rig import TOKEN, Server

Start = Callable[..., Server]
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


def test_a_held_up_cancel_ends_after_its_seconds_of_exchange_time(server: Server) -> None:
    server.lab("POST", "faults", {"act": "hold_cancel", "seconds": 45, "times": 1})
    order = sent(server)
    assert server.call("DELETE", f"/v2/orders/{order['id']}").status_code == 204
    server.lab("POST", "clock", {"advance_s": 44})
    assert status(server, order)[0] == "pending_cancel"
    server.lab("POST", "clock", {"advance_s": 1})
    assert status(server, order)[0] == "canceled"


def test_a_split_by_the_lab(server: Server) -> None:
    sent(server, limit_price="101")
    order = sent(server, side="sell", limit_price="110")
    server.lab("POST", "corporate-action", {"type": "split", "symbol": "AAA", "ratio": "3"})
    assert server.call("GET", "/v2/positions/AAA").json()["qty"] == "30"
    assert status(server, order)[0] == "canceled"
    assert refused(server, "corporate-action", {"type": "merger", "symbol": "AAA"}) == 422
    assert refused(server, "corporate-action", {"type": "split", "symbol": "NOPE", "ratio": "2"}) == 422


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
