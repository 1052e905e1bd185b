"""Rivals, measured in the same run: each in an environment of its own, which only `make bench-peers` makes."""

import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).parent
ENVIRONMENTS = HERE.parents[1] / ".peers"
PINNED = {"freqtrade": "2026.9", "nautilus_trader": "1.221.0"}


def python_of(name: str) -> Path:
    return ENVIRONMENTS / name / "bin" / "python"


def install(name: str) -> None:
    """Make the rival's environment, if it is not there."""
    done = ENVIRONMENTS / name / f".{PINNED[name]}"
    if done.exists():
        return
    print(f"installing {name} {PINNED[name]} in an environment of its own", file=sys.stderr, flush=True)
    venv.create(ENVIRONMENTS / name, with_pip=True, clear=True)
    command = [python_of(name), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*command, f"{name}=={PINNED[name]}"], check=True)
    done.touch()


def seconds(name: str, script: str, *words: object) -> tuple[float, str] | None:
    """What the rival's script has measured, and who it is; None where the rival is not installed."""
    python = python_of(name)
    if not python.exists():
        return None
    command = [str(python), str(HERE / script), *map(str, words)]
    told = subprocess.run(command, check=True, capture_output=True, text=True, timeout=600).stdout
    return float(told.split()[-1]), f"anchor: {name} {PINNED[name]}, in this run"
