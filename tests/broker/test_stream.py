"""The streams against a websocket server that follows a script: one coroutine for each connection it gets."""

import asyncio
import json
import queue
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import msgpack
import pytest
from raw_server import AT, raw_order
from websockets.asyncio.server import ServerConnection, serve

from gambler_ai.broker.alpaca import AlpacaGateway
from gambler_ai.broker.alpaca_stream import BarStream, OrderStream
from gambler_ai.broker.endpoint import check_endpoint
from gambler_ai.broker.gateway import OrderEvent, StreamState
from gambler_ai.clock import SystemClock
from gambler_ai.domain.market import Bar
from gambler_ai.errors import Stop

Script = Callable[[ServerConnection], Awaitable[None]]
Inbox = queue.SimpleQueue[Any]
UP = StreamState("trade_updates", listening=True)


class SocketServer:
    """`orders` and `bars` hold what each next connection gets; the last one is used again."""

    def __init__(self) -> None:
        self.orders: list[Script] = []
        self.bars: list[Script] = []
        self.connections: list[float] = []
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), daemon=True)
        self._thread.start()
        self._ready.wait()

    async def _main(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with serve(self._talk, "127.0.0.1", 0) as server:
            self.port: int = next(iter(server.sockets)).getsockname()[1]
            self._ready.set()
            await self._stop.wait()

    async def _talk(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        self.connections.append(time.monotonic())
        scripts = self.orders if socket.request.path == "/stream" else self.bars
        await (scripts.pop(0) if len(scripts) > 1 else scripts[0])(socket)

    def close(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(5)


@pytest.fixture
def server() -> Iterator[SocketServer]:
    made = SocketServer()
    yield made
    made.close()


@pytest.fixture
def gateway(server: SocketServer) -> Iterator[AlpacaGateway]:
    made = AlpacaGateway(check_endpoint(f"http://127.0.0.1:{server.port}"), "PKTEST", "sesame", SystemClock())
    yield made
    made.close()


def frame(stream: str, data: Any) -> bytes:
    return json.dumps({"stream": stream, "data": data}).encode()


ACK = frame("listening", {"streams": ["trade_updates"]})
FILL = frame(
    "trade_updates",
    {
        "event": "fill",
        "execution_id": "e1",
        "qty": "10",
        "price": "187.41",
        "timestamp": "2026-11-20T14:31:07.912004871Z",
        "order": raw_order(status="filled", filled_qty="10"),
    },
)


async def authorized(socket: ServerConnection) -> None:
    assert json.loads(await socket.recv())["data"] == {"key_id": "PKTEST", "secret_key": "sesame"}
    await socket.send(frame("authorization", {"status": "authorized", "action": "authenticate"}))


def says(*frames: bytes | str, then_close: bool = False) -> Script:
    """Authorizes, acknowledges the first wish to listen and every later one, and sends these frames once."""

    async def script(socket: ServerConnection) -> None:
        await authorized(socket)
        await socket.recv()
        for one in (ACK, *frames):
            await socket.send(one)
        while not then_close:
            await socket.recv()
            await socket.send(ACK)

    return script


def take(inbox: Inbox) -> Any:
    return inbox.get(timeout=5)


def listen(gateway: AlpacaGateway, *symbols: str) -> Inbox:
    inbox: Inbox = queue.SimpleQueue()
    began = time.monotonic()
    gateway.listen(inbox.put, symbols)
    assert time.monotonic() - began < 0.5
    return inbox


def test_the_acknowledgement_is_told_and_events_follow(server: SocketServer, gateway: AlpacaGateway) -> None:
    server.orders = [says(FILL, FILL.decode(), b"\x01")]
    inbox = listen(gateway)
    assert take(inbox) == UP
    for _ in ("binary", "text"):
        event = take(inbox)
        assert isinstance(event, OrderEvent)
        assert (event.event, event.execution_id, str(event.price)) == ("fill", "e1", "187.41")
    assert inbox.empty()


BAD_FRAMES = {
    "null": frame("trade_updates", None),
    "no order": frame("trade_updates", {"event": "fill"}),
    "an amount that is none": FILL.replace(b'"filled_qty": "10"', b'"filled_qty": "many"'),
    "not JSON": b"\x00\x01\x02",
    "half a frame": FILL[:100],
    "an unknown stream": frame("gossip", {}),
}


@pytest.mark.parametrize("what", BAD_FRAMES)
def test_a_frame_that_makes_no_sense_is_a_gap_and_the_stream_stands_again(
    what: str, server: SocketServer, gateway: AlpacaGateway
) -> None:
    server.orders = [says(BAD_FRAMES[what], FILL)]
    inbox = listen(gateway)
    assert take(inbox) == UP
    gap = take(inbox)
    assert (gap.listening, gap.stream) == (False, "trade_updates")
    assert "made no sense" in gap.detail
    assert {type(take(inbox)), type(take(inbox))} == {OrderEvent, StreamState}
    assert len(server.connections) == 1


def test_an_unknown_event_or_status_is_told_like_any_other(server: SocketServer, gateway: AlpacaGateway) -> None:
    server.orders = [says(frame("trade_updates", {"event": "teleported", "order": raw_order(status="elsewhere")}))]
    inbox = listen(gateway)
    assert take(inbox) == UP
    assert take(inbox).order.status == "elsewhere"


def test_every_disconnect_is_told_and_the_stream_comes_back_soon(server: SocketServer, gateway: AlpacaGateway) -> None:
    server.orders = [says(then_close=True), says()]
    inbox = listen(gateway)
    assert take(inbox) == UP
    assert take(inbox).detail.startswith("disconnected")
    assert take(inbox) == UP
    assert server.connections[1] - server.connections[0] < 1.0


def test_refused_keys_are_told_and_tried_again_ever_more_slowly(server: SocketServer, gateway: AlpacaGateway) -> None:
    async def refuses(socket: ServerConnection) -> None:
        await socket.recv()
        await socket.send(frame("authorization", {"status": "unauthorized", "action": "authenticate"}))

    server.orders = [refuses]
    inbox = listen(gateway)
    for _ in range(2):
        state = take(inbox)
        assert not state.listening
        assert state.detail.startswith("not authorized")
    time.sleep(0.5)
    assert len(server.connections) <= 4


def test_a_server_that_is_not_there_is_told(gateway: AlpacaGateway, server: SocketServer) -> None:
    server.close()
    inbox = listen(gateway)
    assert take(inbox).detail.startswith("cannot connect")


def test_a_wish_to_listen_that_is_not_granted_is_no_success(server: SocketServer, gateway: AlpacaGateway) -> None:
    async def grants_nothing(socket: ServerConnection) -> None:
        await authorized(socket)
        await socket.recv()
        await socket.send(frame("listening", {"streams": []}))
        await socket.wait_closed()

    server.orders = [grants_nothing]
    inbox = listen(gateway)
    assert not take(inbox).listening


def test_a_redirect_is_not_followed_with_our_keys(server: SocketServer) -> None:
    from http import HTTPStatus

    from websockets.sync.server import Server, ServerConnection
    from websockets.sync.server import serve as serve_sync

    def redirect(connection: ServerConnection, request: Any) -> Any:
        response = connection.respond(HTTPStatus.FOUND, "")
        response.headers["Location"] = f"ws://127.0.0.1:{server.port}/stream"
        return response

    with serve_sync(lambda _: None, "127.0.0.1", 0, process_request=redirect) as front:
        assert isinstance(front, Server)
        thread = threading.Thread(target=front.serve_forever, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{front.socket.getsockname()[1]}"
        gateway = AlpacaGateway(check_endpoint(url), "PKTEST", "sesame", SystemClock())
        inbox = listen(gateway)
        assert "redirect" in take(inbox).detail
        gateway.close()
        front.shutdown()
        thread.join(5)
    assert server.connections == []


def bars_script(subscribed: list[str], *frames: list[dict[str, Any]]) -> Script:
    async def script(socket: ServerConnection) -> None:
        async def say(items: list[dict[str, Any]]) -> None:
            await socket.send(msgpack.packb(items, datetime=True))

        await say([{"T": "success", "msg": "connected"}])
        assert msgpack.unpackb(await socket.recv()) == {"action": "auth", "key": "PKTEST", "secret": "sesame"}
        await say([{"T": "success", "msg": "authenticated"}])
        assert msgpack.unpackb(await socket.recv())["bars"] == ["AAPL", "SPY"]
        await say([{"T": "subscription", "bars": subscribed}])
        for items in frames:
            await say(items)
        while True:
            await socket.recv()
            await say([{"T": "subscription", "bars": subscribed}])

    return script


BAR = {"T": "b", "S": "SPY", "t": AT, "o": 600.1, "h": 601.0, "l": 600.0, "c": 600.55, "v": 1200}


def of_stream(inbox: Inbox, stream: str) -> Any:
    while isinstance(one := take(inbox), StreamState) and one.stream != stream:
        pass
    return one


def test_bars_come_exact_after_the_acknowledgement(server: SocketServer, gateway: AlpacaGateway) -> None:
    server.orders, server.bars = [says()], [bars_script(["AAPL", "SPY"], [BAR, {**BAR, "S": "AAPL"}])]
    inbox = listen(gateway, "AAPL", "SPY")
    assert of_stream(inbox, "bars") == StreamState("bars", listening=True)
    bar = of_stream(inbox, "bars")
    assert isinstance(bar, Bar)
    assert (bar.symbol, str(bar.open), str(bar.close), bar.start) == ("SPY", "600.1", "600.55", AT)
    assert of_stream(inbox, "bars").symbol == "AAPL"


def test_a_bar_that_makes_no_sense_is_a_gap(server: SocketServer, gateway: AlpacaGateway) -> None:
    server.orders, server.bars = [says()], [bars_script(["AAPL", "SPY"], [{**BAR, "c": None}], [BAR])]
    inbox = listen(gateway, "AAPL", "SPY")
    assert of_stream(inbox, "bars").listening
    assert not of_stream(inbox, "bars").listening
    assert {type(of_stream(inbox, "bars")), type(of_stream(inbox, "bars"))} == {Bar, StreamState}


def test_symbols_that_get_no_bars_are_told_by_name(server: SocketServer, gateway: AlpacaGateway) -> None:
    server.orders, server.bars = [says()], [bars_script(["SPY"])]
    inbox = listen(gateway, "AAPL", "SPY")
    state = of_stream(inbox, "bars")
    assert (state.listening, state.detail) == (False, "no bars are sent for AAPL")


def test_closing_ends_the_threads_in_two_seconds_whatever_they_wait_for(server: SocketServer) -> None:
    async def mute(socket: ServerConnection) -> None:
        await socket.wait_closed()

    for scripts in ([says()], [mute], [says(then_close=True)]):
        server.orders = scripts
        gateway = AlpacaGateway(check_endpoint(f"http://127.0.0.1:{server.port}"), "PKTEST", "sesame", SystemClock())
        listen(gateway)
        time.sleep(0.1)
        began = time.monotonic()
        gateway.close()
        assert time.monotonic() - began < 2.0
        assert [thread.name for thread in threading.enumerate() if thread.name.startswith("stream-")] == []


def test_closing_right_after_listening_leaves_nothing_behind(server: SocketServer) -> None:
    server.orders = [says()]
    gateway = AlpacaGateway(check_endpoint(f"http://127.0.0.1:{server.port}"), "PKTEST", "sesame", SystemClock())
    for _ in range(5):
        listen(gateway)
    gateway.close()
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("stream-")] == []


def test_keys_never_get_into_a_log(
    server: SocketServer, gateway: AlpacaGateway, caplog: pytest.LogCaptureFixture
) -> None:
    server.orders = [says(frame("trade_updates", None))]
    with caplog.at_level("DEBUG"):
        inbox = listen(gateway)
        assert take(inbox) == UP
        take(inbox)
        gateway.close()
    ours = [record.getMessage() for record in caplog.records if record.name != "websockets.server"]
    assert ours
    assert "sesame" not in "\n".join(ours)


@pytest.mark.parametrize("name", ["_run_forever", "_start_ws", "_consume", "_reconnect_delay", "close"])
def test_a_library_without_our_hooks_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from alpaca.data.live.websocket import DataStream
    from alpaca.trading.stream import TradingStream

    monkeypatch.delattr(TradingStream, name)
    monkeypatch.delattr(DataStream, name)
    with pytest.raises(Stop, match=name):
        OrderStream("ws://127.0.0.1:1/stream", "K", "S", print)
    with pytest.raises(Stop, match=name):
        BarStream("ws://127.0.0.1:1/v2/iex", "K", "S", print, ["SPY"])
