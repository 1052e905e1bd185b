"""One websocket to one client: frames queue up and go out in order, and a slow client never blocks the market."""

import asyncio
from collections.abc import Callable
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from gambler_ai.paper_exchange import transport
from gambler_ai.paper_exchange.faults import Faults

_DEEPEST = 50_000


class Channel:
    """The sending side of a socket, with the lab's frame faults. Frames are bytes or text, ready to go."""

    def __init__(self, socket: WebSocket, faults: Faults) -> None:
        self._socket = socket
        self._faults = faults
        self._queue: asyncio.Queue[str | bytes] = asyncio.Queue(_DEEPEST)
        self._mute_until: float | None = None

    def put(self, frame: str | bytes) -> None:
        """Send a control frame soon; a client that does not read is cut off."""
        try:
            self._queue.put_nowait(frame)
        except asyncio.QueueFull:
            transport.reset(self._socket.scope)

    def publish(self, event: str, symbol: str | None, make: Callable[[], str | bytes]) -> bool:
        """Send news soon, unless a fault eats it; True when it is on its way."""
        now = asyncio.get_running_loop().time()
        if self._mute_until is not None and now < self._mute_until:
            return False
        rule = self._faults.on_frame(self._socket.scope["path"], event, symbol)
        if rule is None:
            self.put(make())
            return True
        if rule.act == "ws_mute":
            self._mute_until = now + rule.seconds if rule.seconds is not None else float("inf")
        if rule.act == "ws_cut":
            transport.reset(self._socket.scope)
        return False

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
