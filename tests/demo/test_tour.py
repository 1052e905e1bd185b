"""The tour, once, as a stranger sees it; and what it says and ends with when a promise is broken."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from gambler_ai.demo import MARKET, OPENS, Tour, conclude, promises_of, tour
from gambler_ai.operations.narrator import Narrator
from gambler_ai.operations.rehearsal import Rehearsal

pytestmark = pytest.mark.slow
BARS = {"SPY": [{"t": f"2026-06-15T13:3{minute}:00Z", "c": 540.0} for minute in range(5)]}


@dataclass(frozen=True)
class Visit:
    said: str
    code: int
    seconds: float
    output: Path

    @property
    def folder(self) -> Path:
        return next(self.output.glob("run-*"))


@pytest.fixture(scope="module")
def visit(tmp_path_factory: pytest.TempPathFactory) -> Visit:
    output = tmp_path_factory.mktemp("tour")
    command = [sys.executable, "-m", "gambler_ai", "demo", "--output", str(output), "--keep"]
    environment = {**os.environ, "APCA_API_KEY_ID": "PKREAL", "APCA_API_SECRET_KEY": "never-used"}
    started = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, timeout=150, env=environment, cwd=output)
    return Visit(done.stdout, done.returncode, time.monotonic() - started, output)


def test_the_tour_shows_the_kill_the_resume_and_the_proof(visit: Visit) -> None:
    assert visit.code == 0, visit.said
    assert "SENDING" in visit.said
    assert "while you were down" in visit.said
    assert "stopped clean, exit 0" in visit.said
    assert "0 duplicate orders, 0 lost fills" in visit.said
    assert "PKREAL" not in visit.said


def test_without_a_terminal_the_tour_speaks_plain_lines(visit: Visit) -> None:
    assert "\x1b" not in visit.said
    assert visit.said.isascii()


def test_the_report_needs_no_network(visit: Visit) -> None:
    page = (visit.output / "report.html").read_text()
    assert not re.search(r"<(script|link|img)[^>]+(src|href)\s*=", page)
    for word in ("killed 1", "resumed 1", "Round trips", "0 lost fills", "bought"):
        assert word in page


def test_the_tour_leaves_no_process_behind(visit: Visit) -> None:
    running = subprocess.run(["ps", "-A", "-ww", "-o", "args="], capture_output=True, text=True, check=True).stdout
    assert sys.executable in running
    assert str(visit.folder) not in running, "the exchange's command names its state"
    assert not (visit.folder / "exchange.port").exists()


def test_the_tour_is_over_within_a_minute(visit: Visit) -> None:
    assert visit.seconds < 60


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_tour_that_is_broken_off_ends_what_it_started(tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "gambler_ai", "demo", "--output", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        trader = next(int(found[1]) for line in process.stdout if (found := re.search(r"\(process (\d+)\)", line)))
        [port_file] = tmp_path.glob("run-*/exchange.port")
        exchange = json.loads(port_file.read_text())["pid"]
        process.send_signal(number)
        process.communicate(timeout=30)
    assert process.returncode not in (0, None)
    for pid in (trader, exchange):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert not list(tmp_path.glob("run-*"))


def test_a_lost_fill_is_named_and_ends_the_tour_with_1(visit: Visit, tmp_path: Path) -> None:
    truth = json.loads((visit.folder / "truth.json").read_text())
    with sqlite3.connect(visit.folder / "gambler.db") as database:
        database.execute("DELETE FROM fills WHERE rowid = (SELECT max(rowid) FROM fills)")
    database.close()
    heard = StringIO()
    stage = Rehearsal(visit.folder, MARKET, OPENS)
    say = Narrator(Console(file=heard, soft_wrap=True))
    code = conclude(stage, truth, BARS, Tour(killed_at=datetime(2026, 6, 15, 15, tzinfo=UTC)), tmp_path / "r.html", say)
    assert code == 1
    assert "FAILED 1 lost fills" in heard.getvalue()
    assert "lost fill: " in heard.getvalue()
    assert "FAILED the journal" in heard.getvalue()
    assert "0 duplicate orders, 0 lost fills" not in heard.getvalue()


@pytest.mark.parametrize(
    ("problem", "broken"),
    [
        ("duplicate order: 2 orders at the exchange have the id x", "1 duplicate orders"),
        ("fill that never happened: x shares 0..1 @ 5 x1", "1 lost fills"),
        ("cash: 5 USD by the books, 6 USD at the exchange", "positions and cash"),
        ("request without an intent: POST /v2/orders x", "every order"),
        ("lost order: x (SPY, filled) is not in the books", "every order"),
    ],
)
def test_every_problem_breaks_exactly_its_promise(problem: str, broken: str) -> None:
    truth = {"requests": [], "orders": [], "executions": []}
    promises = promises_of([problem], truth, {"ok": True, "rows": 7})
    assert [(text, detail) for holds, text, detail in promises if not holds] == [(broken, problem)]


def test_an_output_that_cannot_be_written_is_said_and_ends_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    assert tour(tmp_path / "file", keep=False) == 1
    assert "cannot be written" in capsys.readouterr().out
