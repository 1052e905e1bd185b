"""Frames on their way out: what frame faults hold back, and when they let go."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest
from starlette.websockets import WebSocket

from gambler_ai.paper_exchange import transport
from gambler_ai.paper_exchange.app import App, _read
from gambler_ai.paper_exchange.faults import Faults
from gambler_ai.paper_exchange.sockets import Channel, Piece


@pytest.fixture
def faults() -> Faults:
    return Faults(lambda: Decimal(0))


def said(faults: Faults, *steps: Any) -> list[str]:
    """What a socket is sent, when these frames are published; a step that can be called is called."""

    async def talk() -> list[str]:
        socket = WebSocket({"type": "websocket", "path": "/stream", "client": ("there", 1)}, None, None)  # type: ignore[arg-type]
        channel = Channel(socket, faults, str)
        for step in steps:
            step() if callable(step) else channel.publish([Piece("fill", "AAA", step)])
        return [str(channel._queue.get_nowait()) for _ in range(channel._queue.qsize())]

    return asyncio.run(talk())


def test_a_swap_without_end_swaps_pairs(faults: Faults) -> None:
    faults.add({"act": "ws_swap"})
    assert said(faults, "a", "b", "c", "d") == ["b", "a", "d", "c"]


def test_a_frame_held_back_follows_the_next_one_whatever_becomes_of_that(faults: Faults) -> None:
    faults.add({"act": "ws_swap", "times": 1})
    faults.add({"act": "ws_drop", "times": 1})
    assert said(faults, "a", "b", "c") == ["a", "c"]


@pytest.mark.parametrize("rule_id", [None, 1])
def test_a_mute_socket_speaks_again_when_its_rule_is_removed(faults: Faults, rule_id: int | None) -> None:
    faults.add({"act": "ws_mute", "times": 1})
    assert said(faults, "a", "b", lambda: faults.remove(rule_id), "c") == ["c"]


def test_another_rules_end_does_not_end_the_silence(faults: Faults) -> None:
    faults.add({"act": "ws_mute", "times": 1})
    faults.add({"act": "ws_drop"})
    assert said(faults, "a", lambda: faults.remove(2), "b") == []


def test_a_stale_endpoint_tells_the_past_to_readers_only(faults: Faults) -> None:
    faults.add({"act": "stale", "match": {"path": "^/v2/orders"}, "seconds": 9})
    assert faults.on_request("POST", "/v2/orders", lambda: ()) is None
    assert faults.on_request("GET", "/v2/orders", lambda: ()) is not None


def test_a_refused_upgrade_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "_transports", {("there", 7): object()})
    app = App(None, None, None, None, None, None)  # type: ignore[arg-type]

    async def connect() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        assert message.get("status", 404) == 404

    extensions: dict[str, Any] = {"websocket.http.response": {}}
    scope = {"type": "websocket", "path": "/v2/nope", "client": ("there", 7), "headers": [], "extensions": extensions}
    asyncio.run(app(scope, connect, send))
    assert transport._transports == {}


def test_a_bearer_token_is_a_key_of_its_own() -> None:
    """Section 1: `Authorization: Bearer`."""
    scope = {
        "method": "GET",
        "path": "/v2/account",
        "query_string": b"",
        "headers": [(b"authorization", b"Bearer tok")],
    }

    async def nothing() -> dict[str, Any]:
        return {"type": "http.request"}

    request = asyncio.run(_read(scope, nothing))
    assert (request.key, request.secret) == ("tok", "tok")
