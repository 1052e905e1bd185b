"""One websocket to one client: frames queue up and go out in order, and a slow client never blocks the market."""

import asyncio
from collections.abc import Callable
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from gambler_ai.paper_exchange import transport
from gambler_ai.paper_exchange.faults import Faults

_DEEPEST = 50_000
_CLEAN = (1000, 1001)


Encode = Callable[[Any], str | bytes]


class Channel:
    """The sending side of a socket, with the lab's frame faults. `encode` makes bytes or text of a frame."""

    def __init__(self, socket: WebSocket, faults: Faults, encode: Encode, too_slow: Any = None) -> None:
        self._socket = socket
        self._faults = faults
        self._encode = encode
        self._too_slow = too_slow
        self._queue: asyncio.Queue[str | bytes | None] = asyncio.Queue(_DEEPEST)
        self._mute_until: float | None = None
        self._held_back: list[Any] = []
        self.clean = False

    def put(self, frame: Any) -> None:
        """Send a frame soon; a client that does not read is cut off."""
        try:
            self._queue.put_nowait(self._encode(frame))
        except asyncio.QueueFull:
            self._give_up()

    def _give_up(self) -> None:
        """A client that does not read is told so, if this kind of socket has words for it, and cut off."""
        if self._too_slow is None:
            transport.reset(self._socket.scope)
            return
        while not self._queue.empty():
            self._queue.get_nowait()
        self._queue.put_nowait(self._encode(self._too_slow))
        self._queue.put_nowait(None)

    def finish(self) -> None:
        """Close once everything said has gone out."""
        self._queue.put_nowait(None)

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
        elif rule.act == "ws_delay":
            asyncio.get_running_loop().call_later(rule.seconds or 0, self.put, frame)
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
                    self.clean = message.get("code") in _CLEAN
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
                if frame is None:
                    await self._socket.close()
                    return
                if isinstance(frame, bytes):
                    await self._socket.send_bytes(frame)
                else:
                    await self._socket.send_text(frame)
            except (WebSocketDisconnect, RuntimeError, OSError):
                return


def _spoilt(act: str, frame: Any) -> list[Any]:
    """The same frame twice, or an order event that a strict client stumbles over. Data frames are only doubled."""
    if act == "ws_duplicate" or not isinstance(frame, dict):
        return [frame, frame]
    data = frame["data"]
    if act == "ws_null":
        spoilt = None
    elif act == "ws_unknown":
        spoilt = {**data, "event": "unheard_of"}
    elif act == "ws_status":
        spoilt = {**data, "order": {**data["order"], "status": "unheard_of"}}
    else:
        bare = ("execution_id", "event_id", "at", "price", "qty", "position_qty")
        spoilt = {name: value for name, value in data.items() if name not in bare}
    return [{**frame, "data": spoilt}]
