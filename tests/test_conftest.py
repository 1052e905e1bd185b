"""Tests on market data that is not here: left out with one line at home, failing where the data is promised."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TWO_TESTS = """
import pytest

def test_plain(): pass

@pytest.mark.shared_data
def test_on_data(): pass
"""


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    tests = tmp_path / "repo" / "tests"
    tests.mkdir(parents=True)
    shutil.copy(Path(__file__).with_name("conftest.py"), tests)
    (tests / "test_two.py").write_text(TWO_TESTS)
    (tests.parent / "pytest.ini").write_text("[pytest]\nmarkers = shared_data: needs data\n")
    return tests.parent


def outcome(repo: Path, **environment: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "."]
    done = subprocess.run(command, cwd=repo, env=environment, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout


def test_missing_data_leaves_tests_out_with_one_line(elsewhere: Path) -> None:
    code, said = outcome(elsewhere)
    assert code == 0
    assert said.count("1 tests need the market data") == 1
    assert "1 passed, 1 deselected" in said


def test_missing_data_fails_in_ci(elsewhere: Path) -> None:
    code, said = outcome(elsewhere, CI="1")
    assert code == 1
    assert "1 passed, 1 error" in said


def test_data_that_is_here_is_used(elsewhere: Path) -> None:
    (elsewhere.parent / "shared").mkdir()
    assert "2 passed" in outcome(elsewhere, CI="1")[1]
