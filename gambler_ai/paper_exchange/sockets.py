"""One websocket to one client: frames queue up and go out in order, and a slow client never blocks the market."""

import asyncio
from collections.abc import Callable
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from gambler_ai.paper_exchange import transport
from gambler_ai.paper_exchange.faults import Faults, Rule

_DEEPEST = 50_000
_CLEAN = (1000, 1001)
_GRACE_S = 1.0


Encode = Callable[[Any], str | bytes]


class Channel:
    """The sending side of a socket, with the lab's frame faults. `encode` makes bytes or text of a frame."""

    def __init__(self, socket: WebSocket, faults: Faults, encode: Encode, too_slow: Any = None) -> None:
        self._socket = socket
        self._faults = faults
        self._encode = encode
        self._too_slow = too_slow
        self._queue: asyncio.Queue[str | bytes | None] = asyncio.Queue(_DEEPEST)
        self._muted: Rule | None = None
        self._mute_until = 0.0
        self._held_back: list[Any] = []
        self.clean = False

    def put(self, frame: Any) -> None:
        """Send a frame soon; a client that does not read is cut off."""
        try:
            self._queue.put_nowait(self._encode(frame))
        except asyncio.QueueFull:
            self._give_up()

    def _give_up(self) -> None:
        """A client that does not read is told so, if this kind of socket has words for it, and cut off.

        It has a moment to hear that, if it reads at all.
        """
        if self._too_slow is None:
            transport.reset(self._socket.scope)
            return
        while not self._queue.empty():
            self._queue.get_nowait()
        self._queue.put_nowait(self._encode(self._too_slow))
        self._queue.put_nowait(None)
        asyncio.get_running_loop().call_later(_GRACE_S, transport.reset, self._socket.scope)

    def finish(self) -> None:
        """Close once everything said has gone out."""
        self._queue.put_nowait(None)

    def publish(self, event: str, symbol: str | None, frame: Any) -> None:
        """Send news soon, or what a fault makes of it."""
        now = asyncio.get_running_loop().time()
        if self._muted and not self._muted.lifted and now < self._mute_until:
            return
        rule = self._faults.on_frame(self._socket.scope["path"], event, symbol)
        said = [frame]
        if rule is None:
            pass
        elif rule.act == "ws_mute":
            self._muted, self._mute_until = rule, now + rule.seconds if rule.seconds is not None else float("inf")
            return
        elif rule.act == "ws_cut":
            transport.reset(self._socket.scope)
            return
        elif rule.act == "ws_swap" and not self._held_back:
            self._held_back.append(frame)
            return
        elif rule.act == "ws_delay":
            asyncio.get_running_loop().call_later(rule.seconds or 0, self.put, frame)
            said = []
        elif rule.act == "ws_drop":
            said = []
        elif rule.act != "ws_swap":
            said = _spoilt(rule.act, frame)
        for one in (*said, *self._held_back):
            self.put(one)
        self._held_back.clear()

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
