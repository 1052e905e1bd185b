"""Kill the local exchange with -9 under load, again and again, and look for what it lost.

Four clients send orders without pause, each order under a client order id of its own; an order whose answer was lost is
sent again. After every restart and at the end: every acknowledged order is there with its id, no client order id is
there twice or is taken a second time, fills add up to positions and to cash.

    python scripts/exchange_storm.py [--kills 100] [--seed 1]
"""

import argparse
import http.client
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

CLIENTS, START_CASH, TOKEN = 4, Decimal(100_000), "storm"
SYMBOLS = ("SPY", "AAPL", "F", "T")
SERVE = (sys.executable, "-m", "gambler_ai", "exchange", "serve")


@dataclass
class Storm:
    """An exchange that is killed, its clients, and what they were promised."""

    folder: Path
    seed: int
    serve: tuple[str, ...] = SERVE
    promised: dict[str, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    resent: int = 0
    taken_again: int = 0
    port: int = 0
    over: threading.Event = field(default_factory=threading.Event)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the exchange on its state; returns once it listens."""
        announced, token = self.folder / "port.json", self.folder / "token"
        announced.unlink(missing_ok=True)
        token.write_text(TOKEN)
        command = [*self.serve, "--port", "0", "--speed", "600"]
        command += [
            "--state",
            str(self.folder / "exchange.db"),
            "--market",
            "synthetic:7",
            "--port-file",
            str(announced),
        ]
        command += ["--start", "2026-11-20T14:30:00Z", "--lab-token-file", str(token)]
        root = str(Path(__file__).resolve().parents[1])
        self.process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": root})
        deadline = time.monotonic() + 60
        while not announced.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the exchange does not come up")
            time.sleep(0.02)
        self.port = json.loads(announced.read_text())["port"]

    def kill(self) -> None:
        """As the kernel would: no warning, no last words."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """One request; OSError or HTTPException when the answer is lost."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        headers = {"APCA-API-KEY-ID": "STORM", "APCA-API-SECRET-KEY": "SECRET", "X-Lab-Token": TOKEN}
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or b"null")
        finally:
            connection.close()

    def client(self, number: int) -> None:
        """Send orders until the storm is over; a lost answer is asked for again under the same id."""
        chance = random.Random(f"{self.seed}:{number}")
        count = 0
        while not self.over.is_set():
            count += 1
            name = f"c{number}-{count}"
            order = {"symbol": SYMBOLS[number], "qty": "1", "side": chance.choice(("buy", "sell")), "type": "market"}
            self._send({**order, "time_in_force": "day", "client_order_id": name}, name)

    def _send(self, order: dict[str, str], name: str) -> None:
        sent = 0
        while not self.over.is_set():
            sent += 1
            try:
                status, answer = self.ask("POST", "/v2/orders", order)
            except (OSError, http.client.HTTPException, ValueError):
                self.resent += 1
                time.sleep(0.02)
                continue
            if status == 200:
                self.promised[name] = answer["id"]
            elif sent == 1 and answer.get("code") == 40010001:
                self.faults.append(f"{name} was refused as known, but nobody had sent it")
            return

    def look(self) -> int:
        """Compare promises with the truth; returns how many orders there are."""
        promised = dict(self.promised)
        _, truth = self.ask("GET", "/_lab/truth")
        ids = defaultdict(list)
        for order in truth["orders"]:
            ids[order["client_order_id"]].append(order["id"])
        self.faults += [f"{name} is there {len(found)} times" for name, found in ids.items() if len(found) > 1]
        self.faults += [f"{name} was acknowledged and is gone" for name, one in promised.items() if ids[name] != [one]]
        self._add_up(truth)
        for name in list(promised)[-3:]:
            order = {"symbol": "SPY", "qty": "1", "side": "buy", "type": "market", "time_in_force": "day"}
            status, _ = self.ask("POST", "/v2/orders", {**order, "client_order_id": name})
            self.taken_again += status == 200
        return len(truth["orders"])

    def _add_up(self, truth: dict[str, Any]) -> None:
        cash, held, filled = START_CASH, defaultdict(Decimal), defaultdict(Decimal)
        for fill in truth["executions"]:
            signed = Decimal(fill["qty"]) * (1 if fill["side"] == "buy" else -1)
            held[fill["symbol"]] += signed
            cash -= signed * Decimal(fill["price"])
            filled[fill["order_id"]] += Decimal(fill["qty"])
        stated = {one["symbol"]: Decimal(one["qty"]) for one in truth["positions"]}
        if {symbol: qty for symbol, qty in held.items() if qty} != stated:
            self.faults.append(f"positions {stated} are not the sum of their fills")
        if [Decimal(one) for one in truth["cash"].values()] not in ([cash], []):
            self.faults.append(f"cash {truth['cash']} is not {cash}")
        wrong = [one["id"] for one in truth["orders"] if Decimal(one["filled_qty"]) != filled[one["id"]]]
        self.faults += [f"order {one} has other fills than it says" for one in wrong]


def run(folder: Path, kills: int, seed: int, say: Any = lambda line: None, serve: tuple[str, ...] = SERVE) -> Storm:
    """The whole storm; its `faults` are empty when nothing was lost. `serve` is the exchange's command."""
    storm, chance = Storm(folder, seed, serve), random.Random(seed)
    storm.start()
    threads = [threading.Thread(target=storm.client, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        for number in range(1, kills + 1):
            time.sleep(chance.uniform(0.05, 0.5))
            storm.kill()
            storm.start()
            total = storm.look()
            say(f"kill {number:3}: {total} orders, {len(storm.promised)} acknowledged, {storm.resent} answers lost")
            if storm.faults:
                break
    finally:
        storm.over.set()
        for thread in threads:
            thread.join(15)
    storm.look()
    storm.kill()
    return storm


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="exchange-storm-") as name:
        storm = run(Path(name), asked.kills, asked.seed, lambda line: print(line, flush=True))
    for fault in storm.faults:
        print(f"LOST: {fault}")
    print(
        f"{asked.kills} kills: {len(storm.promised)} orders acknowledged, {storm.resent} answers lost and asked again, "
        f"{storm.taken_again} ids taken twice, {len(storm.faults)} faults"
    )
    return 1 if storm.faults or storm.taken_again else 0


if __name__ == "__main__":
    sys.exit(main())
