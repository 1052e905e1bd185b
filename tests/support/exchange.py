"""A real exchange process with its lab open, on a port of its own."""

import json
import multiprocessing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import requests

from gambler_ai.paper_exchange.server import ServeOptions
from tests.support import warm
from tests.support.market import OPEN, write_tape
from tests.support.waiting import eventually

TOKEN = "open-sesame"
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.support.warm"])


class ExchangeProcess:
    """An exchange at the market's opening; its state lies in `directory`. `end` kills it, `start` brings it back."""

    def __init__(self, directory: Path, *, speed: str = "paced", partial: str = "0.3", market: str = "") -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        token = directory / "token"
        token.write_text(TOKEN)
        self.state = directory / "exchange.db"
        self._options = ServeOptions(
            market=market or write_tape(directory / "tape"),
            state=str(self.state),
            start=OPEN,
            speed=speed,
            partial_fill_rate=Decimal(partial),
            lab_token_file=token,
            port_file=directory / "port.json",
        )
        self._session = requests.Session()
        self.port = 0
        self.start()

    def start(self) -> None:
        """On the port it had, if it had one."""
        announced = self._directory / "port.json"
        announced.unlink(missing_ok=True)
        self.process = PROCESSES.Process(target=warm.serve, args=(replace(self._options, port=self.port),))
        self.process.start()
        eventually(lambda: announced.exists() or not self.process.is_alive(), what="the exchange's start")
        assert announced.exists(), "the exchange did not start"
        self.port = json.loads(announced.read_text())["port"]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def lab(self, method: str, path: str, body: Any = None) -> Any:
        answer = self._session.request(
            method, f"{self.url}/_lab/{path}", json=body, headers={"X-Lab-Token": TOKEN}, timeout=10
        )
        assert answer.status_code == 200, answer.text
        return answer.json()

    def truth(self) -> dict[str, Any]:
        return self.lab("GET", "truth")

    def fault(self, act: str, method: str = "POST", path: str = "/v2/orders$", **more: Any) -> None:
        self.lab("POST", "faults", {"match": {"method": method, "path": path}, "act": act, **more})

    def heal(self) -> None:
        self.lab("DELETE", "faults")

    def order(self, symbol: str, qty: str, side: str, **more: Any) -> dict[str, Any]:
        """A trade by hand, as if made in the broker's dashboard."""
        return self.lab("POST", "orders", {"symbol": symbol, "qty": qty, "side": side, **more})

    def price(self, symbol: str, bid: str, ask: str) -> None:
        self.lab("POST", "price", {"symbol": symbol, "bid": bid, "ask": ask})

    def clock(self, **move: Any) -> dict[str, Any]:
        """Move the exchange's clock: advance_s, to or speed; without any only look at it."""
        return self.lab("POST" if move else "GET", "clock", move or None)

    def posts(self) -> list[dict[str, Any]]:
        """Every request that could change the broker's state."""
        return [r for r in self.truth()["requests"] if r["method"] in ("POST", "DELETE", "PATCH")]

    def end(self) -> None:
        self._session.close()
        self.process.kill()
        self.process.join()
