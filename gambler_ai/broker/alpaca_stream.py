"""Alpaca's two streams through alpaca-py, each on an event loop of its own in a thread of its own.

Nothing here decides: a frame is converted and enqueued. What cannot be converted is a gap, and told as one. There is no
replay, so the consumer looks at REST after every StreamState(listening=True), which follows each acknowledgement of
the server and nothing else.

alpaca-py 0.44 keeps connecting, authenticating and subscribing; reading is ours, because its own reader drops a frame
that it cannot parse, parses prices as floats, and takes up to five seconds to hear `stop`.
"""

import asyncio
import contextlib
import json
import logging
import random
import threading
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Protocol

import msgpack
from alpaca.data.live.stock import StockDataStream
from alpaca.data.live.websocket import DataStream
from alpaca.trading.stream import TradingStream
from websockets.exceptions import WebSocketException
from websockets.legacy.client import WebSocketClientProtocol
from websockets.legacy.exceptions import RedirectHandshake

from gambler_ai.broker import alpaca_mapping as mapping
from gambler_ai.broker.alpaca_http import require
from gambler_ai.broker.alpaca_rest import BARS, ORDERS
from gambler_ai.broker.gateway import Enqueue, StreamState

FIRST_RETRY_S = 0.4
LONGEST_RETRY_S = 30.0
STEADY_AFTER_S = 30.0
ANSWER_WITHIN_S = 10.0
STOP_WITHIN_S = 2.0

_HEARTBEAT = b"\x01"  # a one-byte frame, skipped by Alpaca's own JavaScript client


class _NoRedirects(WebSocketClientProtocol):
    """The library follows redirects, and would authenticate at wherever they lead."""

    async def handshake(self, *args: Any, **kwargs: Any) -> None:
        try:
            await super().handshake(*args, **kwargs)
        except RedirectHandshake as redirect:
            raise WebSocketException(f"refused to follow a {redirect}") from None


def _socket_options() -> dict[str, Any]:
    frames = logging.getLogger("gambler_ai.broker.websocket")
    frames.setLevel(logging.WARNING)  # at DEBUG the library logs every frame, the one with the keys too
    return {
        "create_protocol": _NoRedirects,
        "logger": frames,
        "open_timeout": 5,
        "ping_interval": 10,
        "ping_timeout": 20,
        "close_timeout": 0.3,
        "max_queue": 1024,
    }


class Told:
    """What the consumer was told of one stream, and whether the server ever answered our wish to listen."""

    def __init__(self, stream: str, enqueue: Enqueue) -> None:
        self.answered = False
        self.enqueue = enqueue
        self._stream = stream

    def up(self) -> None:
        self.answered = True
        self.enqueue(StreamState(self._stream, listening=True))

    def refused(self, detail: str) -> None:
        self.answered = True
        self.down(detail)

    def down(self, detail: str) -> None:
        self.enqueue(StreamState(self._stream, listening=False, detail=detail))


class Stream(Protocol):
    """What both of alpaca-py's stream classes have and StreamThread needs."""

    name: str

    async def _run_forever(self) -> None: ...

    async def close(self) -> None: ...


async def _connected(told: Told, connect: Callable[[], Any]) -> None:
    """Connect and authenticate; whatever fails is told, and handed on as the one error the library is calm about."""
    try:
        await connect()
    except Exception as error:  # noqa: BLE001 - any failure means the same: not connected, try again later
        refused = isinstance(error, ValueError) and "auth" in str(error)
        told.down(f"not authorized: {error}" if refused else f"cannot connect: {error or type(error).__name__}")
        raise WebSocketException(str(error)) from None


async def _read(stream: Any, told: Told, take: Callable[[Any], None], listen_again: Callable[[], Any]) -> None:
    """Hand on frames until the connection ends. After a gap the server is asked to acknowledge once more, so that the
    consumer gets its StreamState(listening=True), and with it a reason to look."""
    loop = asyncio.get_running_loop()
    since = loop.time()
    told.answered = False
    try:
        while True:
            async with asyncio.timeout(None if told.answered else ANSWER_WITHIN_S):
                frame = await stream._ws.recv()
            try:
                take(frame)
            except Exception as error:  # noqa: BLE001 - a bad frame of any kind is a gap, never the end
                told.down(f"a frame made no sense: {type(error).__name__}: {error}")
                if told.answered:
                    told.answered = False
                    await listen_again()
    except Exception as error:  # noqa: BLE001 - the connection ended, in whichever way
        told.down(f"disconnected: {error or type(error).__name__}")
        raise WebSocketException(str(error)) from None
    finally:
        stream._data_received = loop.time() - since > STEADY_AFTER_S  # a connection that held begins with short waits


def _delay(retries: int) -> float:
    longest = min(LONGEST_RETRY_S, FIRST_RETRY_S * 2 ** min(retries - 1, 10))
    return random.uniform(longest / 2, longest)


class OrderStream(TradingStream):
    """trade_updates. Its frames are binary on the paper endpoint, and JSON in either case."""

    name = ORDERS

    def __init__(self, url: str, key_id: str, secret_key: str, enqueue: Enqueue) -> None:
        require(
            TradingStream,
            *("_run_forever", "_start_ws", "_consume", "_subscribe_trade_updates", "_reconnect_delay", "close"),
        )
        super().__init__(
            key_id, secret_key, paper=True, raw_data=True, url_override=url, websocket_params=_socket_options()
        )
        require(self, "_ws", "_data_received")
        self._told = Told(ORDERS, enqueue)
        self.subscribe_trade_updates(_never_called)

    async def _start_ws(self) -> None:
        await _connected(self._told, super()._start_ws)

    async def _consume(self) -> None:
        await _read(self, self._told, self._take, self._subscribe_trade_updates)

    def _reconnect_delay(self, retries: int) -> float:
        return _delay(retries)

    def _take(self, frame: str | bytes) -> None:
        if frame == _HEARTBEAT:
            return
        message = json.loads(frame, parse_float=Decimal)
        stream, data = message["stream"], message["data"]
        if stream == ORDERS:
            self._told.enqueue(mapping.order_event(data))
        elif stream == "listening" and ORDERS in data.get("streams", ()):
            self._told.up()
        elif stream == "authorization":
            self._told.refused(f"not authorized: {data.get('status')}")
        else:
            raise ValueError(f"{stream!r} says {data!r}")


class BarStream(StockDataStream):
    """Minute bars of the given symbols; frames are lists in msgpack."""

    name = BARS

    def __init__(self, url: str, key_id: str, secret_key: str, enqueue: Enqueue, symbols: Sequence[str]) -> None:
        require(
            DataStream,
            *("_run_forever", "_start_ws", "_consume", "_send_subscribe_msg", "_reconnect_delay", "close"),
        )
        super().__init__(key_id, secret_key, raw_data=True, url_override=url, websocket_params=_socket_options())
        require(self, "_ws", "_data_received")
        self._told = Told(BARS, enqueue)
        self._symbols = frozenset(symbols)
        self.subscribe_bars(_never_called, *symbols)

    async def _start_ws(self) -> None:
        await _connected(self._told, super()._start_ws)

    async def _consume(self) -> bool:
        await _read(self, self._told, self._take, self._send_subscribe_msg)
        return False

    def _reconnect_delay(self, retries: int) -> float:
        return _delay(retries)

    def _take(self, frame: bytes) -> None:
        for message in msgpack.unpackb(frame):
            kind = message["T"]
            if kind == "b":
                self._told.enqueue(mapping.bar(message["S"], message))
            elif kind == "subscription":
                self._subscribed(frozenset(message.get(BARS) or ()))
            elif kind == "error":
                self._told.refused(f"the server says {message.get('code')} {message.get('msg')}")

    def _subscribed(self, symbols: frozenset[str]) -> None:
        missing = self._symbols - symbols
        if missing:
            self._told.refused(f"no bars are sent for {', '.join(sorted(missing))}")
        else:
            self._told.up()


async def _never_called(_: Any) -> None:
    """The library connects only when it has a handler; frames are taken before they would get to it."""


class StreamThread:
    """Runs a stream on an event loop of its own until told to stop."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._thread = threading.Thread(target=self._run, name=f"stream-{stream.name}", daemon=True)
        self._stopping = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._thread.start()

    def ask_to_stop(self) -> None:
        """Returns at once."""
        self._stopping = True
        if self._loop is not None and self._task is not None:
            with contextlib.suppress(RuntimeError):  # the loop ended by itself
                self._loop.call_soon_threadsafe(self._task.cancel)

    def stop(self) -> None:
        """Returns when the thread has ended, after two seconds at the latest."""
        self.ask_to_stop()
        self._thread.join(STOP_WITHIN_S - 0.2)
        if self._thread.is_alive():
            self.ask_to_stop()  # Python 3.11 may lose a cancellation that meets the end of a wait
            self._thread.join(0.2)

    def _run(self) -> None:
        asyncio.run(self._main())

    async def _main(self) -> None:
        self._task = asyncio.current_task()
        self._loop = asyncio.get_running_loop()
        if self._stopping:
            return
        try:
            await self._stream._run_forever()
        except asyncio.CancelledError:
            return
        finally:
            with contextlib.suppress(asyncio.CancelledError):  # the second ask_to_stop may meet the closing
                await self._stream.close()
