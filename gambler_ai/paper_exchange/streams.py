"""`/stream`: an account's order events (reference section 8). Frames are binary; nothing is replayed."""

from collections.abc import Callable
from typing import Any

import msgpack
from starlette.responses import Response
from starlette.websockets import WebSocket

from gambler_ai.paper_exchange import wire
from gambler_ai.paper_exchange.audience import Frame
from gambler_ai.paper_exchange.exchange import Exchange
from gambler_ai.paper_exchange.faults import Faults
from gambler_ai.paper_exchange.gate import Gate
from gambler_ai.paper_exchange.refusal import read_json
from gambler_ai.paper_exchange.sockets import Channel, Piece


class TradeUpdates:
    """The conversation on one `/stream` socket: authenticate, listen, then events."""

    def __init__(self, socket: WebSocket, exchange: Exchange, faults: Faults, gate: Gate) -> None:
        self._socket = socket
        self._exchange = exchange
        self._gate = gate
        self._packed = "msgpack" in socket.headers.get("content-type", "")
        self._channel = Channel(socket, faults, self._encode)
        self._account: str | None = None
        self._slot: str | None = None
        self._stop: Callable[[], None] | None = None

    async def run(self) -> None:
        """Until the client is gone. The server says nothing first; a surplus connection is refused with 429."""
        expected = self._expected()
        if expected and self._gate.streams.full(expected, self._gate.limits.stream_connections):
            await self._socket.send_denial_response(Response("too many connections", 429))
            return
        await self._socket.accept()
        try:
            await self._channel.serve(self._hear)
        finally:
            self._leave(0.0 if self._channel.clean else self._gate.limits.stream_slot_seconds)

    def _expected(self) -> str | None:
        """Whose connection this will be: keys come later, unless the upgrade has them or there is one account."""
        headers = self._socket.headers
        named = headers.get("apca-api-key-id"), headers.get("apca-api-secret-key")
        if named[0] and named[1]:
            return self._exchange.account_of(named[0], named[1])
        accounts = [one.id for one in self._exchange.venue.accounts.values() if not one.closed]
        return accounts[0] if len(accounts) == 1 else None

    def _hear(self, raw: str | bytes) -> None:
        message = read(raw, self._packed)
        action = message.get("action")
        given = message.get("data")
        data: dict[str, Any] = given if isinstance(given, dict) else {}
        if action in ("authenticate", "auth"):
            self._leave(0.0)
            token = data.get("oauth_token")
            key, secret = data.get("key_id") or message.get("key"), data.get("secret_key") or message.get("secret")
            self._account = self._exchange.account_of(str(key or token or ""), str(secret or token or ""))
            if self._admitted():
                self._authorization("authenticate")
        elif action == "listen" and self._account is None:
            self._authorization("listen")
        elif action == "listen":
            self._listen(data.get("streams"))

    def _admitted(self) -> bool:
        """Take the account's slot; a surplus connection is closed."""
        if self._account is None:
            return True
        if self._gate.streams.full(self._account, self._gate.limits.stream_connections):
            self._channel.finish()
            return False
        self._slot = self._account
        self._gate.streams.take(self._slot)
        return True

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
        self._channel.publish([Piece(data["event"], data["order"].get("symbol"), frame)])

    def _leave(self, linger: float) -> None:
        """Hear no more, and give the slot back; it may stay taken for `linger` seconds."""
        self._unlisten()
        if self._slot:
            self._gate.streams.give_back(self._slot, linger)
            self._slot = None

    def _unlisten(self) -> None:
        if self._stop:
            self._stop()
            self._stop = None

    def _encode(self, frame: Frame) -> bytes:
        return msgpack.packb(frame) if self._packed else wire.dump(frame).encode()


def read(raw: str | bytes, packed: bool) -> dict[str, Any]:
    """What a client said, as an object; empty when it makes no sense. JSON is understood in either dialect."""
    try:
        if packed and isinstance(raw, bytes):
            message = msgpack.unpackb(raw)
        else:
            message = read_json(raw if isinstance(raw, str) else raw.decode())
    except (ValueError, msgpack.UnpackException):
        return {}
    return message if isinstance(message, dict) else {}
