"""alpaca-trade-api 3.2.0, unmodified, trades here: in an environment of its own, because its pins clash with ours."""

import fcntl
import json
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import platformdirs
import pytest

from .rig import TOKEN, Server

HERE = Path(__file__).with_name("alpaca_trade_api")
REQUIREMENTS = HERE / "requirements.txt"


def environment() -> Path:
    """The Python of a virtual environment with exactly those packages; built once for each machine and list."""
    named = sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()[:16]
    home = Path(platformdirs.user_cache_dir("gambler-ai-tests")) / f"alpaca-trade-api-{named}"
    home.mkdir(parents=True, exist_ok=True)
    python, made = home / "venv" / "bin" / "python", home / "made"
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            run([sys.executable, "-m", "venv", "--clear", str(home / "venv")])
            run([str(python), "-m", "pip", "install", "--quiet", "--no-input", "-r", str(REQUIREMENTS)])
            made.touch()
    return python


def run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0, f"alpaca-trade-api cannot be installed here ({' '.join(command)}):\n{done.stderr}"


@pytest.fixture
def seen(start_server: Callable[..., Server]) -> dict[str, Any]:
    server = start_server()
    command = [str(environment()), str(HERE / "trade.py"), server.url, TOKEN]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_the_old_python_sdk_works_unmodified(seen: dict[str, Any]) -> None:
    assert seen["cash"] == "100000"
    assert seen["open"] is True
    assert seen["close"] == "13:00:00"
    assert seen["assets"] == ["AAA", "BBB"]
    assert (seen["bought"], seen["by_client_id"], seen["orders"]) == ("filled", True, 2)
    assert (seen["position"], seen["positions"], seen["cancelled"]) == ("5", ["AAA"], "canceled")
    assert seen["activities"] == ["5"]
    assert seen["refused"] == [422, 40010001]
    assert (seen["bars"], seen["trades"], seen["quotes"]) == (6, 24, 6)
    assert (seen["latest_quote"], seen["latest_trade"], seen["snapshot"]) == (100.01, 100.0, 99.99)
    assert seen["snapshots"] == ["AAA", "BBB"]
    assert seen["events"] == ["new", "fill"]
    assert seen["stream_bars"] == ["AAA", "BBB"]
    assert seen["stream_quotes"] == [100.01]
    assert seen["stream_trades"] == [100.0] * 4
