"""A raw socket server whose every byte a test decides, answers to give, and an order to send."""

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from gambler_ai.broker.alpaca import AlpacaGateway
from gambler_ai.broker.alpaca_http import Limits
from gambler_ai.domain.orders import Order, OrderStatus, Role, Side

LIMITS = Limits(connect_s=0.3, read_s=0.3, total_s=0.45)  # for what never answers; else a busy machine may be slow
AT = datetime(2026, 11, 20, 14, 31, tzinfo=UTC)


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: str


Script = Callable[[socket.socket, Request], None]


@dataclass
class RawServer:
    """Speaks to each request what `script` writes; the connection is kept until the script or the client closes it."""

    script: Script
    tls: ssl.SSLContext | None = None
    requests: list[Request] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._connections: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}"

    def posts(self) -> list[Request]:
        return [request for request in self.requests if request.method == "POST"]

    def close(self) -> None:
        self._listener.close()
        for connection in self._connections:
            connection.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
                self._connections.append(connection)
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            if self.tls is not None:
                connection = self.tls.wrap_socket(connection, server_side=True)
                self._connections.append(connection)
            reader = connection.makefile("rb")
            while line := reader.readline():
                method, path, _ = line.decode().split(" ", 2)
                headers = {}
                while (header := reader.readline().decode().strip()) != "":
                    name, _, value = header.partition(":")
                    headers[name.lower()] = value.strip()
                body = reader.read(int(headers.get("content-length", "0"))).decode()
                request = Request(method, path, headers, body)
                self.requests.append(request)
                self.script(connection, request)
        except (OSError, ValueError):
            return


def http(status: int, body: object = None, headers: str = "", length: int | None = None) -> bytes:
    """A whole answer; `length` lies about its size."""
    text = body if isinstance(body, str) else "" if body is None else json.dumps(body)
    size = len(text) if length is None else length
    head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {size}\r\n{headers}"
    return f"{head}\r\n{text}".encode()


def always(data: bytes) -> Script:
    return lambda connection, _: connection.sendall(data)


def trickle(data: bytes, pause: float = 0.1) -> Script:
    """One byte at a time, each well within the read limit."""

    def script(connection: socket.socket, _: Request) -> None:
        for byte in data:
            connection.sendall(bytes([byte]))
            time.sleep(pause)

    return script


def hang(connection: socket.socket, _: Request) -> None:
    time.sleep(1.5)


def reset(connection: socket.socket, _: Request) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    connection.shutdown(socket.SHUT_RD)
    connection.close()
    raise OSError("reset")


def raw_order(**changes: Any) -> dict[str, Any]:
    """An order as Alpaca shows it, with fields nobody asked for."""
    return {
        "id": "61c3d0a2-5f0e-4b8e-9d0c-2f0a6a6b1c11",
        "client_order_id": "g1-e-sma-aaaaaaaaaaaaaaaaaaaa",
        "created_at": "2026-11-20T14:31:05.123456789Z",
        "updated_at": "2026-11-20T09:31:05.140022731-05:00",
        "submitted_at": "2026-11-20T14:31:05.121904512Z",
        "symbol": "AAPL",
        "qty": "10",
        "notional": None,
        "filled_qty": "0",
        "filled_avg_price": None,
        "type": "limit",
        "order_type": "limit",
        "side": "buy",
        "time_in_force": "day",
        "limit_price": "187.5",
        "stop_price": None,
        "status": "accepted",
        "replaced_by": None,
        "replaces": None,
        "legs": None,
        "something_new": {"of": ["any", "shape"]},
        **changes,
    }


ORDER = Order(
    client_order_id="g1-e-sma-aaaaaaaaaaaaaaaaaaaa",
    account_id="a",
    session_id="s",
    owner="sma",
    role=Role.ENTRY,
    symbol="AAPL",
    side=Side.BUY,
    type="limit",
    time_in_force="day",
    qty=Decimal("10"),
    limit_price=Decimal("187.50"),
    status=OrderStatus.SENDING,
    created_at=AT,
    updated_at=AT,
)


def order(**changes: Any) -> Order:
    return replace(ORDER, **changes)


Connect = Callable[..., tuple[RawServer, AlpacaGateway]]
