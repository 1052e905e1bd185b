"""Plain websocket conversations with a real exchange process."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgpack
from websockets.sync.client import ClientConnection, connect

from ..paper_exchange.rig import Server

ORDER = {"symbol": "AAA", "qty": "1", "side": "buy", "type": "market", "time_in_force": "day"}
MSGPACK = {"Content-Type": "application/msgpack"}


class Talk:
    """One socket; what is said and heard are objects, in JSON or msgpack."""

    def __init__(self, socket: ClientConnection, packed: bool) -> None:
        self.socket = socket
        self.packed = packed
        self.raw: str | bytes = b""

    def say(self, message: Any) -> None:
        self.socket.send(msgpack.packb(message) if self.packed else json.dumps(message))

    def hear(self, seconds: float = 5) -> Any:
        self.raw = self.socket.recv(timeout=seconds)
        return msgpack.unpackb(self.raw, timestamp=3) if self.packed else json.loads(self.raw)

    def ask(self, message: Any) -> Any:
        self.say(message)
        return self.hear()

    def silent(self, seconds: float = 0.15) -> bool:
        try:
            self.hear(seconds)
        except TimeoutError:
            return True
        return False


@contextmanager
def talk(server: Server, path: str, packed: bool = False, **headers: str) -> Iterator[Talk]:
    given = {**(MSGPACK if packed else {}), **headers}
    with connect(f"{server.ws}{path}", additional_headers=given) as socket:
        yield Talk(socket, packed)


@contextmanager
def trades(server: Server, path: str = "/stream", packed: bool = False) -> Iterator[Talk]:
    """Authenticated and listening to trade_updates."""
    with talk(server, path, packed) as one:
        one.ask({"action": "authenticate", "data": {"key_id": "KEY", "secret_key": "SECRET"}})
        one.ask({"action": "listen", "data": {"streams": ["trade_updates"]}})
        yield one


@contextmanager
def data(server: Server, packed: bool = False, **subscription: list[str]) -> Iterator[Talk]:
    """Authenticated on the data socket, subscribed if asked."""
    with talk(server, "/v2/iex", packed) as one:
        one.hear()
        one.ask({"action": "auth", "key": "KEY", "secret": "SECRET"})
        if subscription:
            one.ask({"action": "subscribe", **subscription})
        yield one
