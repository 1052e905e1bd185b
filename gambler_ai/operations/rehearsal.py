"""A rehearsal: an exchange, a trader and a database of their own in one folder, for the tour and the self-check.

The trader is the real `gambler run` in a process of its own, so that it can be killed with the real kill -9. What
was started is ended, by its process id, however the `with` block ends. Keys and settings of the surrounding
environment stay outside: nothing here can reach a real account.
"""

import contextlib
import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from gambler_ai.errors import GamblerError
from gambler_ai.paper_exchange import local
from gambler_ai.storage.reading import Reader, Row, reading

LABEL = "default"
_KEY, _SECRET = "PKREHEARSAL000000001", "rehearsal-only-no-secret"
_GAMBLER = (sys.executable, "-m", "gambler_ai")
_OURS = ("GAMBLER_", "APCA_", "ALPACA_")
_LOOK_EVERY_S = 0.02


@dataclass
class Rehearsal:
    """`folder` holds everything; use it in `with`. The trader's log is `trader.log` there."""

    folder: Path
    market: str
    start: datetime
    speed: str = "paced"
    partial_fill_rate: str = "0.3"
    settings: Mapping[str, str] = field(default_factory=dict)
    _endpoint: local.Endpoint | None = None
    _trader: "subprocess.Popen[bytes] | None" = None

    def __enter__(self) -> "Rehearsal":
        self.folder = self.folder.resolve()
        rate = ("--partial-fill-rate", self.partial_fill_rate)
        try:
            self._endpoint = local.ensure_running(
                self.folder, self.market, self.speed, self.start, idle_exit_s=60.0, options=rate
            )
        except BaseException:
            local.stop(self.folder)
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self.kill()
        local.stop(self.folder)

    @property
    def database_url(self) -> str:
        return f"sqlite:///{self.folder / 'gambler.db'}"

    @property
    def address(self) -> str:
        return self._there.base_url.partition("://")[2]

    @property
    def log(self) -> Path:
        return self.folder / "trader.log"

    # --- the trader -------------------------------------------------------------------------------------------

    def trade(self, *flags: str) -> int:
        """Start `gambler run` with these flags; returns its process id."""
        return self.begin("run", *flags)

    def begin(self, *arguments: str) -> int:
        """Start a command of ours that goes on beside us, in the place of the trader; returns its process id."""
        with self.log.open("ab") as log:
            self._trader = subprocess.Popen(
                [*_GAMBLER, *arguments],
                env=self._environment(),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return self._trader.pid

    def kill(self) -> int | None:
        """kill -9, and wait until the process is gone; returns its id, None when there was none."""
        if self._trader is None:
            return None
        self._trader.kill()
        self._trader.wait()
        pid, self._trader = self._trader.pid, None
        return pid

    def ended(self) -> int | None:
        """The trader's exit code, None while it runs."""
        return None if self._trader is None else self._trader.poll()

    def end(self, *, within_s: float) -> int:
        """Wait until the trader ends by itself; its exit code."""
        if self._trader is None:
            raise GamblerError("no trader runs in this rehearsal")
        try:
            return self._trader.wait(within_s)
        except subprocess.TimeoutExpired:
            raise GamblerError(f"the trader did not end within {within_s:g} s: {self._last_words()}") from None

    def wait(self, condition: Callable[[], Any], what: str, *, within_s: float = 60.0) -> Any:
        """The first true value of `condition`, while the trader lives. Raises GamblerError with its last words."""
        deadline = time.monotonic() + within_s
        while not (value := condition()):
            if self.ended() is not None:
                raise GamblerError(f"the trader ended with {self.ended()} before {what}: {self._last_words()}")
            if time.monotonic() > deadline:
                raise GamblerError(f"{what} did not happen within {within_s:g} s: {self._last_words()}")
            time.sleep(_LOOK_EVERY_S)
        return value

    def gambler(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Another command of ours on the same database, to its end."""
        return subprocess.run(
            [*_GAMBLER, *arguments],
            env=self._environment(),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
        keys = {"APCA_API_KEY_ID": _KEY, "APCA_API_SECRET_KEY": _SECRET}
        place = {"GAMBLER_DATA_DIR": str(self.folder)}
        if self._endpoint is not None:
            place["APCA_API_BASE_URL"] = self._endpoint.base_url
        return {**kept, **keys, **place, **self.settings}

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines() if self.log.exists() else []
        return f"{lines[-1]} (see {self.log})" if lines else f"it said nothing (see {self.log})"

    # --- the books --------------------------------------------------------------------------------------------

    def books(self) -> contextlib.AbstractContextManager[Reader]:
        """The database, opened for reading."""
        return reading(self.database_url, LABEL)

    def report(self, number: int) -> dict[str, Any] | None:
        """What the recovery of the start with this number, counted from 1, reported; None before it has."""
        with self.books() as books:
            rows = books.query("SELECT report FROM recovery_reports ORDER BY seq")
        return dict(json.loads(rows[number - 1]["report"])) if len(rows) >= number else None

    def unanswered(self) -> str | None:
        """Under `next_order_hangs`: the id of the order that the exchange took and left without an answer."""
        if self.lab("GET", "faults"):
            return None
        with self.books() as books:
            sent = [row["client_order_id"] for row in books.orders(open_only=True) if row["status"] == "SENDING"]
        taken = {row["client_order_id"] for row in self.truth()["orders"]}
        return next((name for name in sent if name in taken), None)

    def held(self) -> list[Row]:
        """Open positions of the books without an order under way: a person may sell them and nothing else will."""
        with self.books() as books:
            busy = {order["symbol"] for order in books.orders(open_only=True)}
            return [row for row in books.positions() if row["symbol"] not in busy]

    # --- the exchange -----------------------------------------------------------------------------------------

    @property
    def _there(self) -> local.Endpoint:
        if self._endpoint is None:
            raise GamblerError("the exchange of this rehearsal does not run")
        return self._endpoint

    def lab(self, method: str, path: str, **fields: Any) -> Any:
        """One request to the exchange's back door."""
        token = self._there.lab_token_file.read_text().strip()
        return self._ask(method, f"/_lab/{path}", {"X-Lab-Token": token}, fields)

    def truth(self) -> dict[str, Any]:
        """What really happened, by the exchange's own record."""
        return dict(self.lab("GET", "truth"))

    def by_hand(self, symbol: str, side: str, qty: str) -> Mapping[str, Any]:
        """A market order as if made by a person on the broker's page."""
        return dict(self.lab("POST", "orders", symbol=symbol, side=side, qty=qty))

    def bars(self, symbols: tuple[str, ...], start: str, end: str) -> dict[str, list[dict[str, Any]]]:
        """The market's minute bars from `start` to `end` (ISO times), as Alpaca writes them."""
        keys = {"APCA-API-KEY-ID": _KEY, "APCA-API-SECRET-KEY": _SECRET}
        path = f"/v2/stocks/bars?symbols={','.join(symbols)}&timeframe=1Min&start={start}&end={end}&limit=10000"
        found: dict[str, list[dict[str, Any]]] = {}
        token: str | None = ""
        while token is not None:
            page = self._ask("GET", path + (f"&page_token={token}" if token else ""), keys, {})
            for symbol, bars in page["bars"].items():
                found.setdefault(symbol, []).extend(bars)
            token = page["next_page_token"]
        return found

    def _ask(self, method: str, path: str, headers: Mapping[str, str], fields: Mapping[str, Any]) -> Any:
        connection = http.client.HTTPConnection(self.address, timeout=30)
        with contextlib.closing(connection):
            connection.request(method, path, json.dumps(fields) if fields else None, dict(headers))
            answer = connection.getresponse()
            body = answer.read()
        if answer.status != 200:
            raise GamblerError(f"the exchange answered {answer.status} to {method} {path}: {body[:200].decode()}")
        return json.loads(body)

    @contextlib.contextmanager
    def next_order_hangs(self) -> Iterator[None]:
        """The exchange takes the next order and never answers: the instant in which a crash hurts most."""
        rule = {"method": "POST", "path": "^/v2/orders$"}
        self.lab("POST", "faults", match=rule, act="hang_after", times=1)
        try:
            yield
        finally:
            self.lab("DELETE", "faults")
