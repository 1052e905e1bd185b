"""What is known of a session's process when it has ended: its exit code and its own last words."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from gambler_ai.domain.schedules import Run, RunStatus, Slot, read
from gambler_ai.operations import session_process
from gambler_ai.operations.session_process import SessionProcess, command
from tests.operations.rig import definition
from tests.support.waiting import eventually

START = datetime(2026, 11, 20, 14, 35, tzinfo=UTC)
PLAN = read("daily", definition(params={"fast": "2", "slow": "5"}, symbols=["SPY", "BRK.B"]), START)
LOG_LINE = """echo '{"event": "x"}'"""
RUN = Run(Slot("daily", date(2026, 11, 20), START, START + timedelta(hours=6)), "s1", RunStatus.OPEN, PLAN)


def test_the_command_names_the_session_its_end_and_the_plan() -> None:
    words = command(RUN)[3:]
    assert words[:5] == ["run", "--session", "s1", "--until", "2026-11-20T20:35:00.000000Z"]
    assert words[5:] == [
        *("--strategy", "sma_cross", "--symbols", "SPY,BRK.B"),
        *("--param", "fast=2", "--param", "slow=5"),
    ]


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (f"{LOG_LINE}; echo 'gambler: the strategy'; echo 'is gone'; exit 2", (2, "the strategy is gone")),
        (f"echo '  · load the books'; {LOG_LINE}; kill -9 $$", (-9, "· load the books")),
        ("exit 0", (0, "it said nothing")),
    ],
)
def test_the_last_words_are_those_of_this_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, expected: tuple[int, str]
) -> None:
    (tmp_path / "sessions").mkdir()
    (tmp_path / "sessions" / "s1.log").write_text("gambler: what the process before said\n")
    monkeypatch.setattr(session_process, "command", lambda _run: ["sh", "-c", script])
    process = SessionProcess(RUN, tmp_path)
    assert eventually(process.ended) == expected
