"""Orders a second on the local exchange, durable, against bare Starlette on uvicorn; and bars a second at full speed.

Both servers are processes of their own, loaded in turns over 16 connections by this one. Ours takes market orders that
fill, and every answer waits for its transaction (WAL, synchronous=FULL); the anchor reads the same JSON and answers
it. Both figures are rates: higher is better.

    python -m benchmarks.exchange [TAPE_DIRECTORY]
"""

import asyncio
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

ROUNDS, ORDERS, CONNECTIONS = 5, 4000, 16
BAR, GOAL = 0.3, 0.6
SHARED_TAPE = Path(__file__).resolve().parents[2] / "shared" / "data" / "minute"
OPENING = "2026-11-20T14:30:00Z"


@dataclass(frozen=True, slots=True)
class Rates:
    """Operations a second, ours and the anchor's."""

    ours: float
    anchor: float

    @property
    def ratio(self) -> float:
        return self.ours / self.anchor

    @property
    def holds(self) -> bool:
        return self.ratio >= BAR

    def __str__(self) -> str:
        verdict = "goal met" if self.ratio >= GOAL else "bar met" if self.holds else "BAR MISSED"
        return (
            f"{'exchange':<28} ours {self.ours:7.0f} /s   anchor {self.anchor:7.0f} /s   "
            f"ratio {self.ratio:5.2f}   bar {BAR:.2f}   goal {GOAL:.2f}   {verdict}"
        )


class Caller(asyncio.Protocol):
    """One connection that sends its requests one after the other and counts the answers of status 200."""

    def __init__(self, requests: Iterator[bytes]) -> None:
        self._requests = requests
        self._buffer = b""
        self.well = 0
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._next()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(rest) < length:
            return
        self.well += head.startswith(b"HTTP/1.1 200")
        self._buffer = rest[length:]
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)

    def _next(self) -> None:
        request = next(self._requests, None)
        if request is None:
            self._transport.close()
        else:
            self._transport.write(request)


async def load(port: int, requests: Iterator[bytes], connections: int = CONNECTIONS) -> tuple[int, float]:
    """Answers of status 200, and the seconds they took. The connections share the requests."""
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    callers = [
        (await loop.create_connection(lambda: Caller(requests), "127.0.0.1", port))[1] for _ in range(connections)
    ]
    await asyncio.gather(*(caller.done for caller in callers))
    return sum(caller.well for caller in callers), time.perf_counter() - began


def orders(number: int, prefix: str) -> Iterator[bytes]:
    """Market orders of one share, each with its own client order id."""
    for index in range(number):
        fields = {"symbol": "SPY", "qty": "1", "side": "buy" if index % 2 == 0 else "sell", "type": "market"}
        body = json.dumps({**fields, "time_in_force": "day", "client_order_id": f"{prefix}-{index}"}).encode()
        yield (
            b"POST /v2/orders HTTP/1.1\r\nHost: 127.0.0.1\r\nAPCA-API-KEY-ID: BENCH\r\nAPCA-API-SECRET-KEY: SECRET\r\n"
            b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
        )


ANCHOR = """
import asyncio, json, socket, sys, uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

async def take(request):
    return JSONResponse({**await request.json(), "status": "accepted"})

app = Starlette(routes=[Route("/v2/orders", take, methods=["POST"])])
config = uvicorn.Config(app, access_log=False, log_level="warning", http="httptools", loop="asyncio")
listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, int(sys.argv[1]))
asyncio.run(uvicorn.Server(config).serve(sockets=[listener]))
"""


@contextlib.contextmanager
def _process(command: list[str], **settings: Any) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(command, env=environment, **settings)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def anchor() -> Iterator[int]:
    """Bare Starlette on uvicorn; its port."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.set_inheritable(True)
        command = [sys.executable, "-c", ANCHOR, str(listener.fileno())]
        with _process(command, pass_fds=[listener.fileno()]):
            yield listener.getsockname()[1]


@contextlib.contextmanager
def exchange(folder: Path, market: str, start: str, speed: str = "manual") -> Iterator[tuple[int, str]]:
    """Ours, with its state in a file; port and lab token."""
    token, announced = folder / "token", folder / "port.json"
    token.write_text("bench")
    announced.unlink(missing_ok=True)
    flags = ["--port", "0", "--state", str(folder / "exchange.db"), "--market", market, "--speed", speed]
    flags += [
        "--start",
        start,
        "--partial-fill-rate",
        "0",
        "--port-file",
        str(announced),
        "--lab-token-file",
        str(token),
    ]
    with _process([sys.executable, "-m", "gambler_ai", "exchange", "serve", *flags]) as process:
        deadline = time.monotonic() + 30
        while not announced.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the exchange does not come up")
            time.sleep(0.02)
        yield json.loads(announced.read_text())["port"], "bench"


def orders_per_second(folder: Path, rounds: int = ROUNDS, each: int = ORDERS) -> Rates:
    """Median rates of interleaved turns; the first turn of each is not counted."""
    rates: dict[str, list[float]] = {"ours": [], "anchor": []}
    with exchange(folder, "synthetic:7", OPENING) as (ours, _), anchor() as bare:
        for turn in range(rounds + 1):
            for name, port in [("ours", ours), ("anchor", bare)][:: 1 if turn % 2 else -1]:
                well, seconds = asyncio.run(load(port, orders(each, f"{turn}")))
                if well != each:
                    raise RuntimeError(f"{name}: {each - well} of {each} orders were not taken")
                if turn:
                    rates[name].append(each / seconds)
    return Rates(statistics.median(rates["ours"]), statistics.median(rates["anchor"]))


def bars_per_second(folder: Path, tape: Path, day: str = "2013-10-07") -> tuple[int, float]:
    """Bars of a whole tape day that one stream client heard, in order and without loss, and the seconds they took."""
    from websockets.sync.client import connect

    start = datetime.fromisoformat(f"{day}T13:30:00+00:00")
    expected = _bars_of(tape, start, start + timedelta(hours=6, minutes=30))
    with exchange(folder, f"tape:{tape}", start.isoformat()) as (port, token):
        address = f"ws://127.0.0.1:{port}/v2/iex"
        with connect(address, max_queue=None, max_size=None) as socket:
            for message in ({"action": "auth", "key": "B", "secret": "S"}, {"action": "subscribe", "bars": ["*"]}):
                socket.recv(timeout=20)
                socket.send(json.dumps(message))
            socket.recv(timeout=20)
            began = time.perf_counter()
            _speed_up(port, token)
            heard: list[tuple[str, str]] = []
            while len(heard) < len(expected):
                heard += [(bar["t"], bar["S"]) for bar in json.loads(socket.recv(timeout=20))]
            seconds = time.perf_counter() - began
    if heard != expected:
        raise RuntimeError("bars were lost or came out of order")
    return len(heard), seconds


def _speed_up(port: int, token: str) -> None:
    import requests

    headers = {"X-Lab-Token": token}
    requests.post(f"http://127.0.0.1:{port}/_lab/clock", json={"speed": "max"}, headers=headers, timeout=10)


def _bars_of(tape: Path, start: datetime, end: datetime) -> list[tuple[str, str]]:
    from gambler_ai.paper_exchange.tape import Tape

    source = Tape(tape)
    bars = [bar for symbol in source.symbols for bar in source.bars(symbol, start - timedelta(minutes=1), end, end)]
    bars = [bar for bar in bars if start < bar.end <= end]
    return [(f"{one.start.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}", one.symbol) for one in sorted(bars, key=_when)]


def _when(bar: Any) -> tuple[datetime, str]:
    return bar.end, bar.symbol


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="bench-exchange-") as name:
        folder = Path(name)
        rates = orders_per_second(folder)
        print(rates, flush=True)
        tape = Path(sys.argv[1]) if len(sys.argv) > 1 else SHARED_TAPE
        if tape.is_dir():
            (folder / "tape").mkdir()
            count, seconds = bars_per_second(folder / "tape", tape)
            print(
                f"{'exchange, tape at max':<28} {count} bars to a stream client, in order: {count / seconds:.0f} bars/s"
            )
    return 0 if rates.holds else 1


if __name__ == "__main__":
    sys.exit(main())
