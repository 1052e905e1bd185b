"""Exchanges for the tests: in process, and as real processes that never outlive their test."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from gambler_ai.paper_exchange.exchange import Exchange
from gambler_ai.paper_exchange.markets import open_market

from .rig import FRIDAY_OPEN, TOKEN, Desk, Server, Wall, write_moving_tape, write_tape


@pytest.fixture
def open_desk(tmp_path: Path) -> Iterator[Callable[..., Desk]]:
    """Open an exchange on the quiet tape, by default at Friday's opening and without partial fills."""
    opened: list[Exchange] = []

    def open_one(
        start: datetime = FRIDAY_OPEN, state: Any = ":memory:", rate: str = "0", seed: int = 1, moving: bool = False
    ) -> Desk:
        market = open_market(write_moving_tape(tmp_path / "moving") if moving else write_tape(tmp_path / "tape"))
        wall = Wall()
        exchange = Exchange.open(state, market, start, wall, seed, Decimal(rate))
        opened.append(exchange)
        return Desk(exchange, wall=wall)

    yield open_one
    for exchange in opened:
        exchange._store.close()


@pytest.fixture
def desk(open_desk: Callable[..., Desk]) -> Desk:
    return open_desk()


@pytest.fixture
def moving(open_desk: Callable[..., Desk]) -> Desk:
    """At Friday's opening, on the tape whose prices move."""
    return open_desk(moving=True)


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start servers; whatever still runs at the end of the test is killed."""
    running: list[Server] = []
    program = Path(__file__).with_name("serve_for_tests.py")

    def start(*flags: str, market: str | None = None, speed: str = "manual", state: str | None = None) -> Server:
        token, announced = tmp_path / "token", tmp_path / "port"
        token.write_text(TOKEN)
        announced.unlink(missing_ok=True)
        place = market or write_tape(tmp_path / "tape")
        command = [sys.executable, str(program), "--market", place, "--speed", speed, "--lab-token-file", str(token)]
        command += ["--state", state or ":memory:", "--port-file", str(announced), "--partial-fill-rate", "0", *flags]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
        process = subprocess.Popen(command, env=environment)
        deadline = time.monotonic() + 30
        while not announced.exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        server = Server(process, json.loads(announced.read_text())["port"])
        running.append(server)
        return server

    yield start
    for server in running:
        if server.process.poll() is None:
            server.kill()
