"""The stock data socket: one fact a test, its source in the docstring (section 11 of the reference)."""

import asyncio
import json
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgpack
import pytest
from alpaca.data.models import TradingStatus
from websockets.exceptions import ConnectionClosed

from ..paper_exchange.rig import Server
from .stream_rig import data, talk

Start = Callable[..., Server]
AUTH = {"action": "auth", "key": "KEY", "secret": "SECRET"}
ALL_KINDS = {"trades", "quotes", "bars", "updatedBars", "dailyBars", "statuses", "lulds", "corrections", "cancelErrors"}


def error(code: int, message: str) -> list[dict[str, Any]]:
    return [{"T": "error", "code": code, "msg": message}]


def minute(server: Server, count: int = 1) -> None:
    server.lab("POST", "clock", {"advance_s": 60 * count})


@pytest.mark.parametrize("path", ["/v2/iex", "/v2/sip", "/v2/test"])
def test_the_server_greets_first(start_server: Start, path: str) -> None:
    """Section 11.2."""
    with talk(start_server(), path) as one:
        assert one.hear() == [{"T": "success", "msg": "connected"}]
        assert isinstance(one.raw, str), "text frames without the header"
        assert one.ask(AUTH) == [{"T": "success", "msg": "authenticated"}]


def test_msgpack_goes_both_ways_with_the_header(start_server: Start) -> None:
    """Section 11.1: every frame in both directions is msgpack, binary."""
    with data(start_server(), packed=True) as one:
        assert one.ask({"action": "subscribe", "bars": ["AAA"]})[0]["bars"] == ["AAA"]
        assert isinstance(one.raw, bytes)


def test_times_in_msgpack_are_the_timestamp_extension(start_server: Start) -> None:
    """Section 11: `t` must be the extension type -1; alpaca-py calls .to_datetime()."""
    server = start_server()
    with data(server, packed=True, bars=["AAA"], quotes=["AAA"], trades=["AAA"]) as one:
        minute(server)
        assert all(isinstance(item["t"], datetime) for item in one.hear())
        assert isinstance(msgpack.unpackb(one.raw)[0]["t"], msgpack.Timestamp)


def test_a_subscription_answers_the_complete_set(start_server: Start) -> None:
    """Section 11.6: always the complete current set; trades imply corrections and cancelErrors."""
    with data(start_server(), bars=["AAA"]) as one:
        [answer] = one.ask({"action": "subscribe", "trades": ["BBB"], "bars": ["BBB"]})
        assert answer["T"] == "subscription"
        assert set(answer) == ALL_KINDS | {"T"}
        assert answer["bars"] == ["AAA", "BBB"]
        assert answer["trades"] == answer["corrections"] == answer["cancelErrors"] == ["BBB"]


def test_unsubscribing_takes_out_of_the_set(start_server: Start) -> None:
    """Section 11.6."""
    server = start_server()
    with data(server, bars=["AAA", "BBB"]) as one:
        [answer] = one.ask({"action": "unsubscribe", "bars": ["AAA"]})
        assert answer["bars"] == ["BBB"]
        minute(server)
        assert [item["S"] for item in one.hear()] == ["BBB"]


@pytest.mark.parametrize("kind", ["statuses", "lulds", "updatedBars", "dailyBars"])
def test_every_kind_can_be_subscribed_to(start_server: Start, kind: str) -> None:
    """Section 11.5."""
    with data(start_server()) as one:
        assert one.ask({"action": "subscribe", kind: ["*"]})[0][kind] == ["*"]


def test_a_bar_frame(start_server: Start) -> None:
    """Section 11, frames: T b."""
    server = start_server()
    with data(server, bars=["AAA"]) as one:
        minute(server)
        [bar] = one.hear()
        assert set(bar) == {"T", "S", "o", "h", "l", "c", "v", "t", "n", "vw"}
        assert (bar["T"], bar["t"]) == ("b", "2026-11-20T14:30:00Z")


def test_a_quote_frame(start_server: Start) -> None:
    """Section 11, frames: T q."""
    server = start_server()
    with data(server, quotes=["AAA"]) as one:
        minute(server)
        [quote] = one.hear()
        assert set(quote) == {"T", "S", "bx", "bp", "bs", "ax", "ap", "as", "t", "c", "z"}
        assert (quote["T"], quote["bp"], quote["ap"]) == ("q", 99.99, 100.01)


def test_trade_frames_are_the_trades_of_rest(start_server: Start) -> None:
    """Section 11, frames: T t; the same items as section 10."""
    server = start_server()
    with data(server, trades=["AAA"]) as one:
        minute(server)
        items = one.hear()
        assert {item.pop("T") for item in items} == {"t"}
        assert {item.pop("S") for item in items} == {"AAA"}
        page = server.call("GET", "/v2/stocks/AAA/trades?start=2026-11-20T14:30:00.000001Z").json()
        assert items == page["trades"]


def test_daily_bars_grow_with_the_minutes(start_server: Start) -> None:
    """Section 11: `d` = daily bar, the running day's."""
    server = start_server()
    with data(server, dailyBars=["AAA"]) as one:
        minute(server, 2)
        first, second = one.hear()[0], one.hear()[0]
        assert (first["T"], first["t"]) == ("d", "2026-11-20T05:00:00Z")
        assert (first["v"], second["v"]) == (500, 1000)


def test_updated_bars_come_when_they_are_switched_on(start_server: Start) -> None:
    """Section 11: `u` = updated bar, after late trades."""
    server = start_server()
    server.lab("POST", "limits", {"updated_bars": True})
    with data(server, updatedBars=["AAA"]) as one:
        minute(server)
        [bar] = one.hear()
        assert (bar["T"], bar["t"]) == ("u", "2026-11-20T14:29:00Z")


def test_a_star_is_every_symbol(start_server: Start) -> None:
    """Section 11.5: "bars":["*"]."""
    server = start_server()
    with data(server, bars=["*"]) as one:
        minute(server)
        assert [item["S"] for item in one.hear()] == ["AAA", "BBB"]


def test_control_messages_come_alone(start_server: Start) -> None:
    """Section 11.7: arrays of length one."""
    with data(start_server()) as one:
        assert len(one.ask({"action": "subscribe", "bars": ["AAA"]})) == 1


@pytest.mark.parametrize("nonsense", ["nonsense", "[]", '{"action":"dance"}', '{"action":"subscribe"}'])
def test_400_for_what_makes_no_sense(start_server: Start, nonsense: str) -> None:
    """Section 11, error 400: also for an empty subscribe."""
    with data(start_server()) as one:
        one.socket.send(nonsense)
        assert one.hear() == error(400, "invalid syntax")


def test_401_for_a_subscription_before_auth(start_server: Start) -> None:
    """Section 11, error 401."""
    with talk(start_server(), "/v2/iex") as one:
        one.hear()
        assert one.ask({"action": "subscribe", "bars": ["AAA"]}) == error(401, "not authenticated")


def test_402_for_wrong_keys(start_server: Start) -> None:
    """Section 11, error 402."""
    server = start_server()
    server.call("GET", "/v2/clock")
    with talk(server, "/v2/iex") as one:
        one.hear()
        assert one.ask({**AUTH, "secret": "guess"}) == error(402, "auth failed")
        assert one.ask(AUTH)[0]["msg"] == "authenticated"


def test_403_for_a_second_auth(start_server: Start) -> None:
    """Section 11, error 403."""
    with data(start_server()) as one:
        assert one.ask(AUTH) == error(403, "already authenticated")


def test_404_for_who_does_not_authenticate_and_the_socket_is_closed(start_server: Start) -> None:
    """Section 11, error 404 after about 10 s: then closed."""
    server = start_server()
    assert server.lab("GET", "limits")["data_auth_seconds"] == 10
    server.lab("POST", "limits", {"data_auth_seconds": 0.2})
    with talk(server, "/v2/iex") as one:
        one.hear()
        assert one.hear() == error(404, "auth timeout")
        with pytest.raises(ConnectionClosed):
            one.hear()


def test_the_clock_stops_ticking_once_authenticated(start_server: Start) -> None:
    """Section 11, error 404 is only for the unauthenticated."""
    server = start_server()
    server.lab("POST", "limits", {"data_auth_seconds": 0.1})
    with data(server) as one:
        time.sleep(0.2)
        assert one.ask({"action": "subscribe", "bars": ["AAA"]})[0]["T"] == "subscription"


def test_405_for_too_many_symbols_and_the_old_set_stays(start_server: Start) -> None:
    """Section 11, error 405: 30 symbols for trades and quotes on the free plan."""
    server = start_server()
    server.lab("POST", "limits", {"data_symbols": 2})
    with data(server, quotes=["AAA"], bars=["A", "B", "C", "D"]) as one:
        assert one.ask({"action": "subscribe", "trades": ["BBB", "CCC"]}) == error(405, "symbol limit exceeded")
        [answer] = one.ask({"action": "subscribe", "trades": ["BBB"]})
        assert (answer["quotes"], answer["trades"]) == (["AAA"], ["BBB"])


@pytest.mark.parametrize("packed", [False, True])
def test_a_halt_and_its_end_are_told(start_server: Start, packed: bool) -> None:
    """Section 11, frame `s`: status code and message, reason code and message, tape; alpaca-py's model takes it."""
    server = start_server()
    with data(server, packed=packed, statuses=["AAA"]) as one:
        server.lab("POST", "halt", {"symbol": "BBB"})
        server.lab("POST", "halt", {"symbol": "AAA"})
        [halted] = one.hear()
        assert halted.keys() == {"T", "S", "sc", "sm", "rc", "rm", "t", "z"}
        assert (halted["T"], halted["S"], halted["sc"], halted["rc"]) == ("s", "AAA", "H", "T12")
        model = TradingStatus("AAA", halted)
        assert (model.status_code, model.status_message, model.tape) == ("H", "Trading Halt", "C")
        assert server.lab("POST", "halt", {"symbol": "AAA", "halted": False}) == {"halted": "BBB"}
        assert [(item["sc"], item["sm"]) for item in one.hear()] == [("T", "Trading Resumption")]


def test_a_volatility_pause_tells_its_band(start_server: Start) -> None:
    """Section 11, frame `l`: upper and lower limit; the pause itself is a status."""
    server = start_server()
    with data(server, lulds=["*"], statuses=["*"]) as one:
        server.lab("POST", "halt", {"symbol": "AAA", "reason": "LUDP"})
        paused, band = one.hear()
        assert (paused["sc"], paused["sm"]) == ("P", "Volatility Trading Pause")
        assert band.pop("t")
        assert band == {"T": "l", "S": "AAA", "u": 105.0, "d": 95.0, "i": "B", "z": "C"}


def test_406_for_a_second_connection(start_server: Start) -> None:
    """Section 11, error 406: one connection per account on the basic plan."""
    server = start_server()
    server.lab("POST", "limits", {"data_connections": 1})
    with data(server), talk(server, "/v2/iex") as other:
        other.hear()
        assert other.ask(AUTH) == error(406, "connection limit exceeded")


def test_a_closed_connection_makes_room(start_server: Start) -> None:
    """Section 11, error 406 counts what is connected."""
    server = start_server()
    server.lab("POST", "limits", {"data_connections": 1})
    for _ in range(3):
        with data(server, bars=["AAA"]) as one:
            minute(server)
            assert one.hear()


def test_409_for_a_feed_that_is_not_paid_for(start_server: Start) -> None:
    """Section 11, error 409: insufficient subscription."""
    server = start_server()
    server.lab("POST", "limits", {"sip": False})
    with talk(server, "/v2/sip") as one:
        one.hear()
        assert one.ask(AUTH) == error(409, "insufficient subscription")


def test_411_for_keys_without_data(start_server: Start) -> None:
    """Section 11, error 411: insufficient scope (alpaca-trade-api-go errors.go)."""
    with talk(start_server("--limit", "data_scope=false"), "/v2/iex") as one:
        one.hear()
        assert one.ask(AUTH) == error(411, "insufficient scope")


def test_410_for_a_kind_of_another_feed(start_server: Start) -> None:
    """Section 11, error 410 (alpaca-trade-api-go errors.go)."""
    with data(start_server()) as one:
        answer = one.ask({"action": "subscribe", "orderbooks": ["AAA"]})
        assert answer == error(410, "invalid subscribe action for this feed")


@pytest.mark.parametrize("packed", [False, True])
def test_a_subscription_may_come_in_fragments(start_server: Start, packed: bool) -> None:
    """Section 11.5: alpaca-py splits it into fragmented messages of 32 KiB."""
    many = [f"S{number}" for number in range(20_000)]
    with data(start_server(), packed=packed) as one:
        message = {"action": "subscribe", "bars": many}
        raw = msgpack.packb(message) if packed else json.dumps(message)
        one.socket.send(raw[at : at + 32768] for at in range(0, len(raw), 32768))
        assert one.hear()[0]["bars"] == sorted(many)


def test_407_for_a_client_that_does_not_read_and_then_a_reset(monkeypatch: pytest.MonkeyPatch) -> None:
    """Section 11, error 407: slow client; then closed, whether or not it reads that."""
    from starlette.websockets import WebSocket

    from gambler_ai.paper_exchange import sockets, transport
    from gambler_ai.paper_exchange.data_stream import _SLOW

    async def fall_behind() -> None:
        socket = WebSocket({"type": "websocket", "client": ("there", 1)}, None, None)  # type: ignore[arg-type]
        channel = sockets.Channel(socket, None, lambda frame: frame, _SLOW)  # type: ignore[arg-type]
        for number in range(3):
            channel.put(number)
        assert [channel._queue.get_nowait() for _ in range(2)] == [_SLOW, None]
        assert resets == []
        await asyncio.sleep(0.05)

    resets: list[Any] = []
    monkeypatch.setattr(transport, "reset", lambda scope: resets.append(scope["client"]))
    monkeypatch.setattr(sockets, "_DEEPEST", 2)
    monkeypatch.setattr(sockets, "_GRACE_S", 0.01)
    asyncio.run(fall_behind())
    assert resets == [("there", 1)]


def test_recent_sip_history_is_refused_to_the_free_plan(start_server: Start) -> None:
    """Section 10: default feed is sip; a free account asking for its last 15 minutes gets 403."""
    server = start_server()
    server.lab("POST", "limits", {"sip": False})
    path = "/v2/stocks/bars?symbols=AAA&timeframe=1Min"
    refused = server.call("GET", path)
    assert refused.status_code == 403
    assert refused.json() == {"message": "subscription does not permit querying recent SIP data"}
    assert server.call("GET", f"{path}&feed=iex").ok
    for latest in ("bars/latest", "AAA/quotes/latest", "snapshots", "AAA/snapshot"):
        named = f"/v2/stocks/{latest}?symbols=AAA"
        assert server.call("GET", named).ok, "section 10: sip is the default of history only"
        assert server.call("GET", f"{named}&feed=sip").status_code == 403
    assert server.call("GET", f"{path}&start=2026-11-20&end=2026-11-20T14:10:00Z").ok
