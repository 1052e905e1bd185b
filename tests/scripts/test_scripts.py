"""The seeds' scripts, as they are called."""

import importlib.util
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"


def loaded(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(name: str, *flags: str, home: Path) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GAMBLER_", "APCA_", "ALPACA_"))}
    return subprocess.run(
        [sys.executable, str(SCRIPTS / name), *flags],
        env={**kept, "GAMBLER_DATA_DIR": str(home)},
        cwd=home,
        capture_output=True,
        text=True,
        timeout=150,
    )


@pytest.mark.parametrize(
    ("flags", "handed"),
    [
        (["--symbols", "AAPL,MSFT", "--duration", "120"], ["run", "--symbols", "AAPL,MSFT", "--duration", "120"]),
        (["--resume"], ["run", "--resume"]),
        (["--reconcile-only"], ["run", "--reconcile-only"]),
        (["--init-db"], ["init-db"]),
        (["--init-db", "--symbols", "SPY"], ["run", "--init-db", "--symbols", "SPY"]),
        ([], ["run"]),
    ],
)
def test_the_flags_of_old_reach_the_command_line(flags: list[str], handed: list[str]) -> None:
    assert loaded("alpaca_paper_trading_recovery").command_line(flags) == handed


def test_init_db_alone_makes_the_tables_and_ends(tmp_path: Path) -> None:
    done = run("alpaca_paper_trading_recovery.py", "--init-db", home=tmp_path)
    assert done.returncode == 0, done.stderr
    database = sqlite3.connect(tmp_path / "gambler.db")
    assert database.execute("SELECT count(*) FROM trading_sessions").fetchone() == (0,)
    database.close()


def test_a_wrong_symbol_ends_with_the_exit_code_of_the_command_line(tmp_path: Path) -> None:
    done = run("alpaca_paper_trading_recovery.py", "--symbols", "not a symbol", home=tmp_path)
    assert done.returncode == 2


@pytest.mark.slow
def test_the_recovery_self_check_passes_offline(tmp_path: Path) -> None:
    done = run("test_recovery_system.py", home=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "FAIL" not in done.stdout
    assert "pass  kill -9 in mid-order leaves the intent behind" in done.stdout
    assert "pass  books and exchange are equal" in done.stdout
