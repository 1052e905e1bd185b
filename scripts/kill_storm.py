"""Kill a trading session with -9 again and again, resume it each time, and compare the books with the exchange.

    python scripts/kill_storm.py --kills 200 [--db postgresql://...] [--tape DIR] [--json]

Starts a local exchange of its own, trades `sma_cross` with short averages and stops through a relay that sees every
request pass, and kills the trader at random instants, or within 100 ms after a POST to /v2/orders. At the end the
session is resumed once more, stopped cleanly, and the exchange's own record (`/_lab/truth`) is compared with the
database. The checker reads nothing else; the same record says how long shares were without a live stop. Exit 0 = no
order sent twice, no execution lost or booked twice, positions and cash equal, journal whole, never two active sessions.
"""

import argparse
import json
import os
import random
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gambler_ai.operations import unprotected
from gambler_ai.operations.proof import compare
from gambler_ai.operations.unprotected import Life

GAMBLER = [sys.executable, "-m", "gambler_ai"]
AFTER_POST_S = 0.1
RECOVERED = "recovered in"
LONGEST = 10
KEYS = {"APCA-API-KEY-ID": "PKSTORM", "APCA-API-SECRET-KEY": "storm-secret"}
ASKING = {"APCA-API-KEY-ID": "PKASKING", "APCA-API-SECRET-KEY": "storm-secret"}
"""The storm's own question for the time: what the trader's account asks is the trader's alone."""


class Relay:
    """A TCP relay to the exchange that notices the instant a POST to /v2/orders passes."""

    def __init__(self, target_port: int) -> None:
        self._target = target_port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self.posted = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        try:
            exchange = socket.create_connection(("127.0.0.1", self._target))
        except OSError:
            client.close()
            return
        with client, exchange:
            for end in (client, exchange):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                while True:
                    for end in select.select([client, exchange], [], [])[0]:
                        data = end.recv(65536)
                        if not data:
                            return
                        if end is client and b"POST /v2/orders" in data:
                            self.posted.set()
                        (exchange if end is client else client).sendall(data)
            except OSError:
                return

    def close(self) -> None:
        self._server.close()


@dataclass
class Storm:
    """One storm's figures; times in wall seconds."""

    killed_at: list[float] = field(default_factory=list)
    lives: list[Life] = field(default_factory=list)
    recovered_after_s: list[float] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


class Trader:
    """One `gambler run` process; knows when its recovery was done."""

    def __init__(self, args: list[str], env: dict[str, str], log: Path) -> None:
        self.started, self.born = time.monotonic(), datetime.now(UTC)
        self.recovered_after_s: float | None = None
        self._log = log
        self.process = subprocess.Popen(
            [*GAMBLER, *args], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self._log.open("a", encoding="utf-8") as log:
            for line in self.process.stderr:
                if RECOVERED in line and self.recovered_after_s is None:
                    self.recovered_after_s = time.monotonic() - self.started
                log.write(line)

    @property
    def life(self) -> Life:
        """Until now: to be asked for when it has ended."""
        return Life(self.born, datetime.now(UTC))

    def kill(self) -> bool:
        """SIGKILL and reap; False when it had ended by itself before."""
        ended = self.process.poll() is not None
        if not ended:
            self.process.kill()
        self.process.wait()
        self._reader.join(timeout=5)
        return not ended


@contextmanager
def exchange(folder: Path, options: argparse.Namespace) -> Iterator[tuple[int, str]]:
    """A local exchange on the tape; yields its port and lab token."""
    token = random.SystemRandom().randbytes(16).hex()
    token_file, port_file = folder / "lab-token", folder / "port.json"
    token_file.write_text(token)
    token_file.chmod(0o600)
    market = f"tape:{options.tape}" if options.tape else "synthetic:11"
    start = ["--start", options.start] if options.start else []
    command = ["exchange", "serve", "--port", "0", "--state", str(folder / "exchange.db"), "--market", market, *start]
    command += ["--speed", str(options.speed), "--lab-token-file", str(token_file), "--port-file", str(port_file)]
    with (folder / "exchange.log").open("w") as log:
        process = subprocess.Popen([*GAMBLER, *command], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 30
        while not port_file.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"the exchange did not start: {(folder / 'exchange.log').read_text()}")
            time.sleep(0.05)
        yield json.loads(port_file.read_text())["port"], token
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def ask(port: int, path: str, headers: dict[str, str], body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data=data, headers=headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def truth(port: int, token: str) -> Any:
    return ask(port, "/_lab/truth", {"X-Lab-Token": token})


def skip_the_night(port: int, token: str) -> None:
    """Nothing is traded while the market is closed: go on at the next open."""
    clock = ask(port, "/v2/clock", ASKING)
    if not clock["is_open"]:
        ask(port, "/_lab/clock", {"X-Lab-Token": token}, {"to": clock["next_open"]})


def stand_still(port: int, token: str) -> None:
    ask(port, "/_lab/clock", {"X-Lab-Token": token}, {"speed": "manual"})


def storm(folder: Path, port: int, token: str, options: argparse.Namespace, database_url: str) -> Storm:
    chance = random.Random(options.seed)
    relay = Relay(port)
    env = environment(folder, relay.port, database_url)
    figures = Storm()
    log = folder / "trader.log"
    start = ["run", "--symbols", options.symbols, "--strategy", "sma_cross"]
    start += ["--param", "fast=2", "--param", "slow=5", "--param", f"stop_pct={options.stop_pct}"]
    start += ["--duration", "10000", "--init-db"]
    resume = ["run", "--resume"]
    while len(figures.killed_at) < options.kills:
        skip_the_night(port, token)
        relay.posted.clear()
        trader = Trader(resume if sessions(env) else start, env, log)
        kill_at_some_point(trader, relay, chance)
        if trader.kill():
            figures.killed_at.append(time.time())
        else:
            code = trader.process.returncode
            figures.problems.append(f"after {len(figures.killed_at)} kills the trader ended by itself with {code}")
            if len(figures.problems) > 3:
                break
        figures.lives.append(trader.life)
        if trader.recovered_after_s is not None:
            figures.recovered_after_s.append(trader.recovered_after_s)
        show(figures, options.kills)
    finish(env, log, resume, figures, lambda: stand_still(port, token))
    relay.close()
    return figures


def kill_at_some_point(trader: Trader, relay: Relay, chance: random.Random) -> None:
    """Wait until the instant of the kill: two in five shortly after a POST, the others anywhere, start-up included."""
    if chance.random() < 0.4:
        limit = time.monotonic() + 20
        while trader.process.poll() is None and time.monotonic() < limit:
            if relay.posted.wait(timeout=0.2):
                time.sleep(chance.uniform(0, AFTER_POST_S * 0.6))
                return
        return
    try:
        trader.process.wait(timeout=chance.uniform(0.05, 5.0))
    except subprocess.TimeoutExpired:
        return


def finish(env: dict[str, str], log: Path, resume: list[str], figures: Storm, stand_still: Callable[[], None]) -> None:
    """Resume once more, give doubts time to settle, and stop cleanly. The market stops first: what it filled after the
    trader's end nobody could know."""
    trader = Trader(resume, env, log)
    deadline = time.monotonic() + 60
    while trader.process.poll() is None and trader.recovered_after_s is None and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(10)
    stand_still()
    trader.process.send_signal(signal.SIGTERM)
    code = trader.process.wait(timeout=30)
    figures.lives.append(trader.life)
    if code != 0:
        figures.problems.append(f"the last session ended with {code}, not 0")


def environment(folder: Path, port: int, database_url: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GAMBLER_", "APCA_", "ALPACA_"))}
    return kept | {
        "APCA_API_BASE_URL": f"http://127.0.0.1:{port}",
        "APCA_API_KEY_ID": KEYS["APCA-API-KEY-ID"],
        "APCA_API_SECRET_KEY": KEYS["APCA-API-SECRET-KEY"],
        "GAMBLER_DATA_DIR": str(folder / "data"),
        "GAMBLER_DATABASE_URL": database_url,
        "GAMBLER_SETTLE_S": "2",
        "GAMBLER_CONFIRM_SPAN_S": "2",
        "GAMBLER_LOOK_EVERY_S": "5",
    }


def sessions(env: dict[str, str]) -> bool:
    """Whether there is a session to resume."""
    done = subprocess.run([*GAMBLER, "sessions", "--json"], env=env, capture_output=True, text=True)
    return done.returncode == 0 and bool(json.loads(done.stdout))


def show(figures: Storm, wanted: int) -> None:
    end = "\r" if sys.stderr.isatty() else "\n"
    if sys.stderr.isatty() or len(figures.killed_at) % 10 == 0:
        print(f"killed {len(figures.killed_at)} of {wanted}", end=end, file=sys.stderr, flush=True)


def soon_after_a_post(killed_at: list[float], record: Any) -> int:
    """How many kills came within 100 ms after the exchange saw a POST to /v2/orders."""
    posts = sorted(
        datetime.fromisoformat(r["wall_at"]).timestamp()
        for r in record["requests"]
        if r["method"] == "POST" and r["path"] == "/v2/orders"
    )
    return sum(any(0 <= at - post <= AFTER_POST_S for post in posts) for at in killed_at)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--db", metavar="URL", help="default: a SQLite file in the storm's folder")
    parser.add_argument("--tape", metavar="DIR", help="CSV minute bars; default: the synthetic market")
    parser.add_argument("--start", metavar="ISO", help="first exchange time")
    parser.add_argument("--stop-pct", default="0.3", metavar="PCT", help="of each position's stop, below its price")
    parser.add_argument("--symbols", default="SPY,IBM,BAC,AIG")
    parser.add_argument("--speed", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="keep everything here")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="kill-storm-"))
    (folder / "data").mkdir(parents=True, exist_ok=True)
    database_url = options.db or f"sqlite:///{folder / 'storm.db'}"
    began = time.monotonic()
    with exchange(folder, options) as (port, token):
        figures = storm(folder, port, token, options, database_url)
        record = truth(port, token)
    problems = figures.problems + compare(record, database_url, "default")
    env = environment(folder, 1, database_url)
    verified = subprocess.run([*GAMBLER, "journal", "verify", "--json"], env=env, capture_output=True, text=True)
    if verified.returncode != 0:
        problems.append(f"journal verify ended with {verified.returncode}: {verified.stdout or verified.stderr}")
    told = report(figures, record, json.loads(verified.stdout or "{}"), time.monotonic() - began)
    if options.json:
        print(json.dumps({**told, "problems": problems}))
        return 1 if problems else 0
    show_report(told)
    for problem in problems:
        print(f"PROBLEM: {problem}")
    print("0 duplicate orders, 0 lost fills" if not problems else f"{len(problems)} problems; see {folder}")
    return 1 if problems else 0


def report(figures: Storm, record: Any, verdict: Any, seconds: float) -> dict[str, Any]:
    """The storm's figures as JSON data; times in wall seconds."""
    waits = sorted(figures.recovered_after_s) or [0.0]
    posts = [r for r in record["requests"] if r["method"] == "POST" and r["path"] == "/v2/orders"]
    gaps = unprotected.gaps(record, figures.lives)
    return {
        "kills": len(figures.killed_at),
        "seconds": round(seconds),
        "soon_after_a_post": soon_after_a_post(figures.killed_at, record),
        "posts": len(posts),
        "orders": len(record["orders"]),
        "executions": len(record["executions"]),
        "journal_rows": verdict.get("rows"),
        "start_to_trading_s": [waits[len(waits) // 2], waits[int(len(waits) * 0.95)], waits[-1]],
        "unprotected": unprotected.by_cause(gaps),
        "unprotected_longest": [
            {"seconds": g.seconds, "after": g.after, "cut_off": g.cut_off, "symbol": g.symbol, "since": str(g.since)}
            for g in gaps[:LONGEST]
        ],
    }


def show_report(told: dict[str, Any]) -> None:
    median, p95, longest = told["start_to_trading_s"]
    print(f"kills                       {told['kills']} in {told['seconds']} s")
    print(f"  within 100 ms of a POST   {told['soon_after_a_post']}")
    print(f"POSTs, orders, executions   {told['posts']}, {told['orders']}, {told['executions']}")
    print(f"journal rows                {told['journal_rows']}")
    print(f"start to trading again      median {median:.2f} s, p95 {p95:.2f} s, max {longest:.2f} s")
    print("shares without a live stop")
    for cause, gap in told["unprotected"].items():
        print(
            f"  after the {cause:<15} {gap['count']:>4} times, p50 {gap['p50_s']:.3f} s, p99 {gap['p99_s']:.3f} s, "
            f"max {gap['max_s']:.3f} s; a kill cut off {gap['cut_off']}, the longest after {gap['cut_off_max_s']:.3f} s"
        )


if __name__ == "__main__":
    sys.exit(main())
