"""One websocket to one client: frames queue up and go out in order, and a slow client never blocks the market."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from starlette.websockets import WebSocket, WebSocketDisconnect

from gambler_ai.paper_exchange import transport
from gambler_ai.paper_exchange.acts import ON_FRAMES, ON_ITEMS
from gambler_ai.paper_exchange.faults import Faults, Rule

_DEEPEST = 50_000
_CLEAN = (1000, 1001)
_GRACE_S = 1.0


Encode = Callable[[Any], str | bytes]


class Piece(NamedTuple):
    """One item of news: what fault rules know of it, and what is sent."""

    event: str
    symbol: str | None
    item: Any


class Channel:
    """The sending side of a socket, with the lab's frame faults. `encode` makes bytes or text of a frame.

    `batched` sockets send what is told together as one frame, a list of items; others send each item by itself.
    """

    def __init__(
        self, socket: WebSocket, faults: Faults, encode: Encode, too_slow: Any = None, batched: bool = False
    ) -> None:
        self._socket = socket
        self._faults = faults
        self._encode = encode
        self._batched = batched
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

    def publish(self, pieces: Iterable[Piece]) -> None:
        """Send news soon, or what faults make of it, item by item."""
        if not (self._faults.in_force or self._held_back or self._muted):
            self._send([piece.item for piece in pieces])
            return
        late, self._held_back = self._held_back, []
        kept = [item for piece in pieces for item in self._spoil(piece, swapping=bool(late))]
        self._send([*kept, *late])

    def _send(self, items: list[Any]) -> None:
        if self._batched and items:
            self.put(items)
        elif not self._batched:
            for item in items:
                self.put(item)

    def _spoil(self, piece: Piece, swapping: bool) -> list[Any]:
        """What is sent of one item now; `swapping` while others held back go out behind it."""
        now = asyncio.get_running_loop().time()
        if self._muted and not self._muted.lifted and now < self._mute_until:
            return []
        path = self._socket.scope["path"]
        rule = self._faults.on_frame(ON_ITEMS if self._batched else ON_FRAMES, path, piece.event, piece.symbol)
        if rule is None or (rule.act == "ws_swap" and swapping):
            return [piece.item]
        if rule.act == "ws_mute":
            self._muted, self._mute_until = rule, now + rule.seconds if rule.seconds is not None else float("inf")
        elif rule.act == "ws_cut":
            transport.reset(self._socket.scope)
        elif rule.act == "ws_swap":
            self._held_back.append(piece.item)
        elif rule.act == "ws_delay":
            asyncio.get_running_loop().call_later(rule.seconds or 0, self._send, [piece.item])
        elif rule.act == "ws_duplicate":
            return [piece.item, piece.item]
        elif rule.act != "ws_drop":
            return [_spoilt(rule.act, piece.item)]
        return []

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


def _spoilt(act: str, frame: Any) -> Any:
    """An order event that a strict client stumbles over."""
    data = frame["data"]
    if act == "ws_null":
        return {**frame, "data": None}
    if act == "ws_unknown":
        return {**frame, "data": {**data, "event": "unheard_of"}}
    if act == "ws_status":
        return {**frame, "data": {**data, "order": {**data["order"], "status": "unheard_of"}}}
    bare = ("execution_id", "event_id", "at", "price", "qty", "position_qty")
    return {**frame, "data": {name: value for name, value in data.items() if name not in bare}}
