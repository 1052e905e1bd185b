"""`/stream`: an account's order events (reference section 8). Frames are binary; nothing is replayed."""

import json
from collections.abc import Callable
from typing import Any

import msgpack
from starlette.websockets import WebSocket

from gambler_ai.paper_exchange import wire
from gambler_ai.paper_exchange.audience import Frame
from gambler_ai.paper_exchange.exchange import Exchange
from gambler_ai.paper_exchange.faults import Faults
from gambler_ai.paper_exchange.sockets import Channel


class TradeUpdates:
    """The conversation on one `/stream` socket: authenticate, listen, then events."""

    def __init__(self, socket: WebSocket, exchange: Exchange, faults: Faults) -> None:
        self._socket = socket
        self._exchange = exchange
        self._packed = "msgpack" in socket.headers.get("content-type", "")
        self._channel = Channel(socket, faults, self._encode)
        self._account: str | None = None
        self._stop: Callable[[], None] | None = None

    async def run(self) -> None:
        """Until the client is gone. The server says nothing first."""
        await self._socket.accept()
        try:
            await self._channel.serve(self._hear)
        finally:
            self._unlisten()

    def _hear(self, raw: str | bytes) -> None:
        message = read(raw, self._packed)
        action = message.get("action")
        given = message.get("data")
        data: dict[str, Any] = given if isinstance(given, dict) else {}
        if action in ("authenticate", "auth"):
            key, secret = data.get("key_id") or message.get("key"), data.get("secret_key") or message.get("secret")
            self._account = self._exchange.account_of(str(key or ""), str(secret or ""))
            self._authorization("authenticate")
        elif action == "listen" and self._account is None:
            self._authorization("listen")
        elif action == "listen":
            self._listen(data.get("streams"))

    def _authorization(self, action: str) -> None:
        status = "unauthorized" if self._account is None else "authorized"
        self._channel.put({"stream": "authorization", "data": {"status": status, "action": action}})

    def _listen(self, wanted: Any) -> None:
        streams = [name for name in wanted if name == "trade_updates"] if isinstance(wanted, list) else []
        self._unlisten()
        if streams and self._account:
            self._stop = self._exchange.listen(self._account, self._send)
        self._channel.put({"stream": "listening", "data": {"streams": streams}})

    def _send(self, frame: Frame) -> None:
        data = frame["data"]
        self._channel.publish(data["event"], data["order"]["symbol"], frame)

    def _unlisten(self) -> None:
        if self._stop:
            self._stop()
            self._stop = None

    def _encode(self, frame: Frame) -> bytes:
        return msgpack.packb(frame) if self._packed else wire.dump(frame).encode()


def read(raw: str | bytes, packed: bool) -> dict[str, Any]:
    """What a client said, as an object; empty when it makes no sense. JSON is understood in either dialect."""
    try:
        message = msgpack.unpackb(raw) if packed and isinstance(raw, bytes) else json.loads(raw)
    except (ValueError, msgpack.UnpackException):
        return {}
    return message if isinstance(message, dict) else {}
