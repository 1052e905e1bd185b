"""An exchange in process, driven by hand; and a real server process for what needs sockets."""

import json
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import requests

from gambler_ai.paper_exchange.exchange import Exchange
from gambler_ai.paper_exchange.market import Quote

SHARED = Path(__file__).resolve().parents[3] / "shared"
FRIDAY_OPEN = datetime(2026, 11, 20, 14, 30, tzinfo=UTC)
HEADER = "timestamp,open,high,low,close,volume,bid,ask,bid_size,ask_size"
TOKEN = "open-sesame"


def write_tape(directory: Path, first: datetime = FRIDAY_OPEN, minutes: int = 60) -> str:
    """Two quiet symbols: AAA at 100.00 (99.99/100.01) and BBB at 50.00 (49.98/50.02)."""
    directory.mkdir(exist_ok=True)
    starts = [first + timedelta(minutes=n) for n in range(-1, minutes - 1)]
    for symbol, row in (
        ("AAA", "100,100,100,100,500,99.99,100.01,100,100"),
        ("BBB", "50,50,50,50,900,49.98,50.02,1,1"),
    ):
        lines = [f"{start:%Y-%m-%dT%H:%M:%SZ},{row}" for start in starts]
        (directory / f"{symbol}.csv").write_text("\n".join([HEADER, *lines]) + "\n")
    return f"tape:{directory}"


MOVING = {
    "AAA": """
        20T14:29:00Z,99,130,60,100,400,99.99,100.01,100,100
        20T14:30:00Z,100,104,96,102,402,101.98,102.02,100,100
        20T14:31:00Z,102,103,101,101.5,800,101.48,101.52,100,100
        20T14:32:00Z,101.5,108,101,107,400,106.95,107.05,100,100
        20T20:59:00Z,110,112,109,111,400,110.99,111.01,100,100
        20T21:00:00Z,111,140,50,120,400,118,121,100,100
        23T14:30:00Z,115,118,114,117,400,116.99,117.01,100,100
        23T14:31:00Z,117,117.5,115,116,400,115.99,116.01,100,100
    """,
    "BBB": """
        20T14:29:00Z,40,40,40,40,400,39.98,40.02,100,100
        20T14:30:00Z,40,40,40,40,400,39.98,40.02,100,100
        20T20:59:00Z,38,38,38,38,400,37.98,38.02,100,100
        23T14:30:00Z,39,39,39,39,400,38.98,39.02,100,100
    """,
}


def write_moving_tape(directory: Path) -> str:
    """A Friday and a Monday of few bars; AAA goes from 100 to 111 and over the weekend to 117, BBB is below 50."""
    directory.mkdir(exist_ok=True)
    for symbol, rows in MOVING.items():
        lines = [f"2026-11-{row.strip()}" for row in rows.strip().splitlines()]
        (directory / f"{symbol}.csv").write_text("\n".join([HEADER, *lines]) + "\n")
    return f"tape:{directory}"


@dataclass
class Wall:
    """A wall clock that a test moves."""

    at: datetime = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at

    def pass_time(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@dataclass
class Desk:
    """One trader's view of an exchange in process."""

    exchange: Exchange
    key: str = "KEY"
    secret: str = "SECRET"
    frames: list[dict[str, Any]] = field(default_factory=list)
    wall: Wall = field(default_factory=Wall)

    def call(self, method: str, path: str, body: Any = None, **query: str) -> tuple[int, Any]:
        text = None if body is None else body if isinstance(body, str) else json.dumps(body)
        answer = self.exchange.request(method, path, query, text, self.key, self.secret)
        return answer.status, json.loads(answer.body) if answer.body else None

    def get(self, path: str, **query: str) -> Any:
        status, found = self.call("GET", path, **query)
        assert status == 200, found
        return found

    def send(self, **order: Any) -> tuple[int, Any]:
        asked = {"symbol": "AAA", "qty": "10", "side": "buy", "type": "market", "time_in_force": "day", **order}
        return self.call("POST", "/v2/orders", {name: value for name, value in asked.items() if value is not None})

    def order(self, **order: Any) -> str:
        status, answer = self.send(**order)
        assert status == 200, answer
        return answer["id"]

    def refused(self, **order: Any) -> tuple[int, int]:
        status, answer = self.send(**order)
        return status, answer.get("code")

    def status(self, order_id: str) -> str:
        return self.get(f"/v2/orders/{order_id}")["status"]

    def price(self, bid: str, ask: str, last: str | None = None, symbol: str = "AAA") -> None:
        quote = Quote(symbol, self.exchange.now, Decimal(bid), Decimal(ask), Decimal(last or bid))
        self.exchange.set_quote(quote)

    def listen(self) -> list[dict[str, Any]]:
        account = self.exchange.account_of(self.key, self.secret)
        self.exchange.listen(account, lambda frame: self.frames.append(frame["data"]))
        return self.frames

    def events_of(self, event: str) -> list[dict[str, Any]]:
        return [frame for frame in self.frames if frame["event"] == event]

    def events(self) -> list[str]:
        return [frame["event"] for frame in self.frames]

    def pass_time(self, **delta: float) -> None:
        self.exchange.advance_to(self.exchange.now + timedelta(**delta))


def wall() -> datetime:
    return datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Server:
    """A real exchange process."""

    process: subprocess.Popen[bytes]
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def lab(self, method: str, path: str, body: Any = None, token: str = TOKEN) -> Any:
        answer = requests.request(
            method, f"{self.url}/_lab/{path}", json=body, headers={"X-Lab-Token": token}, timeout=10
        )
        assert answer.status_code == 200, answer.text
        return answer.json()

    def call(self, method: str, path: str, body: Any = None, key: str = "KEY", timeout: float = 5) -> requests.Response:
        headers = {"APCA-API-KEY-ID": key, "APCA-API-SECRET-KEY": "SECRET"}
        return requests.request(method, self.url + path, json=body, headers=headers, timeout=timeout)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def terminate(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(5)


def eventually(check: Callable[[], Any], seconds: float = 5) -> Any:
    """Wait until `check` is true; returns what it returned."""
    deadline = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)
    return found
