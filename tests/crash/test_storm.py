"""A small storm on both databases: `scripts/kill_storm.py` kills, resumes and compares."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "kill_storm.py"


def begin(folder: Path, kills: int, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(SCRIPT), "--kills", str(kills), "--folder", str(folder), *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.timeout(420)
@pytest.mark.slow
def test_killed_again_and_again_nothing_is_lost_or_sent_twice(tmp_path: Path, postgres_url: str) -> None:
    storms = [
        begin(tmp_path / "sqlite", 20, "--seed", "20"),
        begin(tmp_path / "postgresql", 10, "--seed", "10", "--db", postgres_url),
    ]
    try:
        told = [storm.communicate(timeout=400)[0] for storm in storms]
    finally:
        for storm in storms:
            storm.terminate()
            storm.wait()
    for storm, text in zip(storms, told, strict=True):
        assert storm.returncode == 0, text
        assert "0 duplicate orders, 0 lost fills" in text
        assert re.search(r"after the fill +[1-9]", text), "no entry was filled whose stop could be waited for"
