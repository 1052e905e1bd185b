"""One websocket to one client: frames queue up and go out in order, and a slow client never blocks the market."""

import asyncio
from collections.abc import Callable
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from gambler_ai.paper_exchange import transport
from gambler_ai.paper_exchange.faults import Faults

_DEEPEST = 50_000


Encode = Callable[[Any], str | bytes]


class Channel:
    """The sending side of a socket, with the lab's frame faults. `encode` makes bytes or text of a frame."""

    def __init__(self, socket: WebSocket, faults: Faults, encode: Encode) -> None:
        self._socket = socket
        self._faults = faults
        self._encode = encode
        self._queue: asyncio.Queue[str | bytes] = asyncio.Queue(_DEEPEST)
        self._mute_until: float | None = None
        self._held_back: list[Any] = []

    def put(self, frame: Any) -> None:
        """Send a frame soon; a client that does not read is cut off."""
        try:
            self._queue.put_nowait(self._encode(frame))
        except asyncio.QueueFull:
            transport.reset(self._socket.scope)

    def publish(self, event: str, symbol: str | None, frame: Any) -> None:
        """Send news soon, or what a fault makes of it."""
        now = asyncio.get_running_loop().time()
        if self._mute_until is not None and now < self._mute_until:
            return
        rule = self._faults.on_frame(self._socket.scope["path"], event, symbol)
        if rule is None:
            for one in (frame, *self._held_back):
                self.put(one)
            self._held_back.clear()
        elif rule.act == "ws_mute":
            self._mute_until = now + rule.seconds if rule.seconds is not None else float("inf")
        elif rule.act == "ws_cut":
            transport.reset(self._socket.scope)
        elif rule.act == "ws_swap":
            self._held_back.append(frame)
        elif rule.act != "ws_drop":
            for one in _spoilt(rule.act, frame):
                self.put(one)

    async def serve(self, hear: Callable[[str | bytes], Any]) -> None:
        """Pass what the client says to `hear`, and send what was put, until either side is gone."""
        sender = asyncio.create_task(self._drain())
        try:
            while True:
                message = await self._socket.receive()
                if message["type"] == "websocket.disconnect":
                    return
                hear(message.get("text") or message.get("bytes") or b"")
        except WebSocketDisconnect:
            return
        finally:
            sender.cancel()
            transport.forget(self._socket.scope)

    async def _drain(self) -> None:
        while True:
            frame = await self._queue.get()
            try:
                if isinstance(frame, bytes):
                    await self._socket.send_bytes(frame)
                else:
                    await self._socket.send_text(frame)
            except (WebSocketDisconnect, RuntimeError, OSError):
                return


def _spoilt(act: str, frame: Any) -> list[Any]:
    """The same frame twice, or an order event without data or of an unknown kind. Data frames are only doubled."""
    if act == "ws_duplicate" or not isinstance(frame, dict):
        return [frame, frame]
    data = None if act == "ws_null" else {**frame["data"], "event": "unheard_of"}
    return [{**frame, "data": data}]
