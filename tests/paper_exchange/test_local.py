"""The exchange of a data directory."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from gambler_ai.errors import GamblerError
from gambler_ai.paper_exchange import local

from .rig import eventually

COMMAND = (sys.executable, str(Path(__file__).with_name("serve_for_tests.py")))


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    yield tmp_path / "data"
    local.stop(tmp_path / "data")


def test_it_is_started_found_stopped_and_continues(data_dir: Path) -> None:
    assert local.status(data_dir) == {"running": False}
    first = local.ensure_running(data_dir, command=COMMAND)
    assert first.started
    again = local.ensure_running(data_dir, command=COMMAND)
    assert (again.started, again.pid, again.base_url) == (False, first.pid, first.base_url)
    assert os.getsid(first.pid) == first.pid, "detached from whoever started it"
    for name in ("exchange.json", "lab-token"):
        assert (data_dir / name).stat().st_mode & 0o777 == 0o600
    keys = {"APCA-API-KEY-ID": "K", "APCA-API-SECRET-KEY": "S"}
    account = requests.get(f"{first.base_url}/v2/account", headers=keys, timeout=5).json()
    clock = requests.get(f"{first.base_url}/v2/clock", headers=keys, timeout=5).json()
    assert clock["is_open"], "a newcomer at any hour finds the market open"
    assert local.status(data_dir)["answering"] is True
    assert local.stop(data_dir) is True
    assert local.stop(data_dir) is False
    back = local.ensure_running(data_dir, command=COMMAND)
    assert requests.get(f"{back.base_url}/v2/account", headers=keys, timeout=5).json()["id"] == account["id"]


def test_two_callers_at_once_get_one_exchange(data_dir: Path) -> None:
    found: list[Any] = []
    callers = [
        threading.Thread(target=lambda: found.append(local.ensure_running(data_dir, command=COMMAND))) for _ in "ab"
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(30)
    assert len({one.pid for one in found}) == 1
    assert sorted(one.started for one in found) == [False, True]


def test_it_outlives_its_starter_and_is_replaced_after_kill_9(data_dir: Path) -> None:
    program = (
        "import os, sys; from pathlib import Path; from gambler_ai.paper_exchange import local;"
        f"print(local.ensure_running(Path({str(data_dir)!r}), command={COMMAND!r}).pid, flush=True);"
        "os.kill(os.getpid(), 9)"
    )
    told = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, check=False, text=True)
    assert told.returncode == -signal.SIGKILL
    pid = int(told.stdout)
    assert local.ensure_running(data_dir, command=COMMAND).pid == pid
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: local.status(data_dir) == {"running": False})
    assert local.ensure_running(data_dir, command=COMMAND).started


def test_an_exchange_whose_starter_died_before_noting_it_is_found(data_dir: Path) -> None:
    program = (
        "import os; from pathlib import Path; from gambler_ai.paper_exchange import local\n"
        "def die(path, text): os.kill(os.getpid(), 9) if path.name == 'exchange.json' else path.write_text(text)\n"
        f"local.write_atomically = die; local.ensure_running(Path({str(data_dir)!r}), command={COMMAND!r})"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -signal.SIGKILL
    orphan = json.loads(eventually(lambda: (port := data_dir / "exchange.port").exists() and port.read_text(), 30))
    assert not (data_dir / "exchange.json").exists()
    assert local.ensure_running(data_dir, command=COMMAND).pid == orphan["pid"]
    about = {"pid": orphan["pid"], "started": local._birth(orphan["pid"]), "port": None, "market": "m"}
    about["lab_token_file"] = str(data_dir / "lab-token")
    (data_dir / "exchange.json").write_text(json.dumps(about))
    found = local.ensure_running(data_dir, command=COMMAND)
    assert (found.pid, found.started, found.base_url) == (orphan["pid"], False, f"http://127.0.0.1:{orphan['port']}")
    assert local.stop(data_dir) is True


def test_a_pid_of_somebody_else_is_not_ours(data_dir: Path) -> None:
    data_dir.mkdir()
    about = {"pid": os.getpid(), "started": "1", "port": 1, "market": "m", "lab_token_file": "x"}
    (data_dir / "exchange.json").write_text(json.dumps(about))
    assert local.status(data_dir) == {"running": False}
    assert local.stop(data_dir) is False


def test_a_failed_start_says_why(data_dir: Path) -> None:
    with pytest.raises(GamblerError, match="moon"):
        local.ensure_running(data_dir, market="moon", command=COMMAND)
