"""The local exchange of a data directory: start it, find it, stop it.

It runs as a detached process that survives whatever started it, and keeps its state in the directory:
`exchange.db` (state), `exchange.json` (pid, process start time, port), `lab-token`, `exchange.log`. Who
changes any of that holds the file lock `exchange.lock`. The file names the process from its start on and the
port once it is known, so that an exchange whose starter died in between is found by the next one; one that
is not in it yet is known by the port it has announced.
"""

import contextlib
import fcntl
import http.client
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from gambler_ai.errors import GamblerError
from gambler_ai.paper_exchange.files import write_atomically

HOST = "127.0.0.1"
IDLE_EXIT_S = 30 * 60.0
_START_WITHIN_S, _STOP_WITHIN_S, _LOOK_EVERY_S = 30.0, 5.0, 0.02
_COMMAND = (sys.executable, "-m", "gambler_ai", "exchange", "serve")
_children: dict[int, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A running exchange; `started` says whether this call started it."""

    base_url: str
    pid: int
    started: bool
    lab_token_file: Path


def ensure_running(
    data_dir: Path,
    market: str = "synthetic:7",
    speed: str = "1",
    start: datetime | None = None,
    idle_exit_s: float = IDLE_EXIT_S,
    options: Sequence[str] = (),
    command: Sequence[str] = _COMMAND,
) -> Endpoint:
    """The exchange of this directory, started if none runs. A running one is taken as it is.

    `start` (aware) counts only for a new state; None is the next session's open. `options` are more flags of
    `exchange serve`. Safe against two callers at once. Raises GamblerError with the log's last line when it
    does not come up.
    """
    data_dir = data_dir.resolve()
    data_dir.mkdir(parents=True, exist_ok=True)
    token_file = data_dir / "lab-token"
    with _locked(data_dir):
        found = _running(data_dir)
        if found is not None:
            return Endpoint(_url(found["port"]), found["pid"], False, token_file)
        if not token_file.exists():
            write_atomically(token_file, secrets.token_urlsafe(24))
        flags = ["--port", "0", "--state", str(data_dir / "exchange.db"), "--market", market, "--speed", str(speed)]
        flags += ["--lab-token-file", str(token_file), "--port-file", str(data_dir / "exchange.port")]
        flags += ["--idle-exit", f"{idle_exit_s:g}"]
        flags += ["--start", start.isoformat()] if start else []
        about: dict[str, Any] = {"port": None, "lab_token_file": str(token_file), "market": market, "speed": str(speed)}
        about = _spawn(data_dir, [*command, *flags, *options], about)
        return Endpoint(_url(about["port"]), about["pid"], True, token_file)


def stop(data_dir: Path) -> bool:
    """End the exchange of this directory; False when none runs. Its state is complete either way."""
    if not data_dir.is_dir():
        return False
    with _locked(data_dir):
        about = _about(data_dir)
        if about is None:
            return False
        os.kill(about["pid"], signal.SIGTERM)
        if not _wait_gone(about):
            os.kill(about["pid"], signal.SIGKILL)
            _wait_gone(about)
        (data_dir / "exchange.json").unlink(missing_ok=True)
        return True


def status(data_dir: Path) -> dict[str, Any]:
    """`running`, and when it runs: pid, port, base_url, market, and the lab's view of the clock."""
    about = _about(data_dir)
    if about is None:
        return {"running": False}
    clock = _ask(about)
    shown = {name: about[name] for name in ("pid", "port", "market")}
    url = _url(about["port"]) if about["port"] else None
    return {"running": True, "answering": clock is not None, **shown, "base_url": url, **(clock or {})}


def _spawn(data_dir: Path, command: Sequence[str], about: dict[str, Any]) -> dict[str, Any]:
    """Start the detached process and wait until it has announced its port; `about` with pid, birth and port."""
    log = data_dir / "exchange.log"
    (data_dir / "exchange.port").unlink(missing_ok=True)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=descriptor, stderr=descriptor, start_new_session=True
        )
    finally:
        os.close(descriptor)
    _children[child.pid] = child
    about = {**about, "pid": child.pid, "started": _birth(child.pid)}
    write_atomically(data_dir / "exchange.json", json.dumps(about))
    if (found := _announced(data_dir, about)) is None:
        child.kill()
        lines = log.read_text(errors="replace").strip().splitlines() or ["it said nothing"]
        raise GamblerError(f"the local exchange did not start: {lines[-1]} (see {log})")
    return found


def _announced(data_dir: Path, about: dict[str, Any]) -> dict[str, Any] | None:
    """Wait for the port of a started process, and note it; None when it ends, or says nothing in time."""
    file, deadline = data_dir / "exchange.port", time.monotonic() + _START_WITHIN_S
    while _alive(about) and time.monotonic() < deadline:
        told = _read(file)
        if told.get("pid") == about["pid"]:
            write_atomically(data_dir / "exchange.json", json.dumps(about := {**about, "port": told["port"]}))
            return about
        time.sleep(_LOOK_EVERY_S)
    return None


def _running(data_dir: Path) -> dict[str, Any] | None:
    about = _about(data_dir)
    if about is None:
        return None
    known = about if about["port"] else _announced(data_dir, about)
    return known if known is not None and _ask(known) is not None else None


def _about(data_dir: Path) -> dict[str, Any] | None:
    """The exchange that runs here, or starts; None when there is none."""
    about = _read(data_dir / "exchange.json")
    if {"pid", "started", "port"} <= about.keys() and _alive(about):
        return about
    told = _read(data_dir / "exchange.port")
    if not {"pid", "port"} <= told.keys():
        return None
    orphan = {"market": None, "lab_token_file": str(data_dir / "lab-token"), **told, "started": _birth(told["pid"])}
    return orphan if orphan["started"] and _ask(orphan) is not None else None


def _read(file: Path) -> dict[str, Any]:
    """A JSON object; empty when there is none."""
    try:
        found = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _ask(about: dict[str, Any]) -> dict[str, Any] | None:
    """The lab's clock: only our exchange, with our token, answers 200."""
    if not about["port"]:
        return None
    connection = http.client.HTTPConnection(HOST, about["port"], timeout=3)
    try:
        token = Path(about["lab_token_file"]).read_text().strip()
        connection.request("GET", "/_lab/clock", headers={"X-Lab-Token": token})
        answer = connection.getresponse()
        return dict(json.loads(answer.read())) if answer.status == 200 else None
    except (OSError, ValueError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def _alive(about: dict[str, Any]) -> bool:
    child = _children.get(about["pid"])
    if child is not None and child.poll() is not None:
        return False
    return bool(_birth(about["pid"]) == about["started"])


def _wait_gone(about: dict[str, Any]) -> bool:
    deadline = time.monotonic() + _STOP_WITHIN_S
    while _alive(about):
        if time.monotonic() > deadline:
            return False
        time.sleep(_LOOK_EVERY_S)
    return True


def _birth(pid: int) -> str | None:
    """When a process started, as its system says it: a pid alone may have been given to another one."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if fields[0] == "Z" else fields[19]
    except OSError:
        if Path("/proc/self/stat").exists():
            return None
    told = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return told.stdout.strip() or None


@contextlib.contextmanager
def _locked(data_dir: Path) -> Iterator[None]:
    with open(data_dir / "exchange.lock", "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _url(port: int) -> str:
    return f"http://{HOST}:{port}"
