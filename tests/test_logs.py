"""Lines: no secret in any of them, the same in the file as on stderr, and a file that stays small whoever writes."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from gambler_ai import logs
from gambler_ai.log_file import KEPT, LogFile

CANARY = "canary-5f1c-secret"


@pytest.fixture
def log_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Path]:
    monkeypatch.setattr(logs, "_secrets", set())
    monkeypatch.setattr(logs, "_about", {})
    monkeypatch.setattr(logs, "_threshold", None)
    before = logging.getLogger().handlers[:]
    logs.configure("debug", tmp_path / "gambler.log")
    yield tmp_path / "gambler.log"
    logging.getLogger().handlers[:] = before


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_line_is_the_same_on_stderr_and_in_the_file(log_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logs.about(session="s1")
    logs.get_logger("loop").info("fill", client_order_id="g1-e-x", price=Decimal("1.50"), error=None)
    (line,) = lines(log_file)
    assert json.loads(capsys.readouterr().err) == line
    assert {name: line[name] for name in line if name != "timestamp"} == {
        "event": "fill",
        "level": "info",
        "room": "loop",
        "session": "s1",
        "client_order_id": "g1-e-x",
        "price": "1.50",
    }


def test_a_known_secret_is_masked_wherever_it_stands(log_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logs.hide(CANARY)
    log = logs.get_logger("x")
    log.debug("told", why=f"401 for {CANARY}", deep={"a": [f"<{CANARY}>", {"b": ValueError(CANARY)}]})
    log.error(f"event {CANARY}")
    try:
        raise RuntimeError(f"broken by {CANARY}")
    except RuntimeError:
        logging.getLogger("urllib3").exception("retrying with %s", CANARY)
    assert CANARY not in log_file.read_text() + capsys.readouterr().err
    assert [line["event"] for line in lines(log_file)] == ["told", "event ***", "retrying with ***"]
    assert "RuntimeError: broken by ***" in lines(log_file)[2]["error"]


@pytest.mark.parametrize(
    "fields",
    [
        {"secret_key": CANARY},
        {"headers": {"APCA-API-SECRET-KEY": CANARY, "APCA-API-KEY-ID": CANARY}},
        {"Authorization": f"Basic {CANARY}"},
        {"settings": [{"password": CANARY}]},
        {"url": f"postgresql://me:{CANARY}@127.0.0.1/db"},
        {"lab_token": CANARY},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_what_is_named_like_a_secret_is_masked_unknown_as_it_is(log_file: Path, fields: dict[str, Any]) -> None:
    logs.get_logger("x").warning("told", **fields)
    assert CANARY not in log_file.read_text()
    assert "***" in log_file.read_text()


def test_the_file_is_turned_over_and_only_some_are_kept(tmp_path: Path) -> None:
    file = LogFile(tmp_path / "g.log", most_bytes=1000)
    for number in range(300):
        file.write(f"{number:099}")
    file.close()
    written = sorted(path.name for path in tmp_path.iterdir())
    assert written == ["g.log", *(f"g.log.{number}" for number in range(1, KEPT + 1))]
    assert all(path.stat().st_size <= 1000 for path in tmp_path.iterdir())
    assert (tmp_path / "g.log").read_text().splitlines()[-1] == f"{299:099}"


WRITER = """
import sys
from pathlib import Path
from gambler_ai.log_file import LogFile
file = LogFile(Path(sys.argv[1]), most_bytes=20_000)
for number in range(400):
    file.write(f"{sys.argv[2]}-{number:04}" + "x" * 90)
"""


def test_processes_that_turn_pages_under_each_other_lose_no_line(tmp_path: Path) -> None:
    path = tmp_path / "g.log"

    def write(name: str) -> None:
        subprocess.run([sys.executable, "-c", WRITER, str(path), name], check=True, timeout=60)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, ["a", "b"]))
    found = [line for part in tmp_path.iterdir() for line in part.read_text().splitlines()]
    assert len(list(tmp_path.iterdir())) > 2
    assert sorted(line.rstrip("x") for line in found) == sorted(f"{w}-{n:04}" for w in "ab" for n in range(400))


def test_a_disk_that_refuses_is_told_once_and_nothing_else_happens(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = LogFile(tmp_path / "no such directory" / "g.log")
    for _ in range(3):
        file.write("x")
    assert capsys.readouterr().err.count("cannot be written") == 1


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    file = LogFile(tmp_path / "g.log")
    file.write("x")
    file.close()
    assert os.stat(tmp_path / "g.log").st_mode & 0o777 == 0o600
