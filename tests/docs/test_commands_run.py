"""Blocks marked `sh run` do what the pages say, on an empty machine without keys or network."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, Command, page, runnable

BLOCKS = [
    pytest.param(block, id=f"{path.relative_to(ROOT)}-{number}")
    for path in PAGES
    for number, block in enumerate(runnable(path), start=1)
]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "data").mkdir()
    scripts = Path(sys.executable).parent
    return {
        "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "GAMBLER_DATA_DIR": str(tmp_path / "data"),
    }


@pytest.mark.parametrize("block", BLOCKS)
def test_the_commands_of_the_block_end_and_say_what_the_page_promises(
    block: list[Command], environment: dict[str, str], tmp_path: Path
) -> None:
    for command in block:
        done = subprocess.run(
            ["bash", "-c", command.line], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
        )
        said = done.stdout + done.stderr
        assert done.returncode == command.exit_code, f"{command.line}\n{said}"
        for text in command.contains:
            assert text in said, command.line


def test_the_guides_have_commands_that_are_run() -> None:
    assert {"docs/commands.md", "docs/configuration.md", "docs/RECOVERY_GUIDE.md"} <= {
        str(path.relative_to(ROOT)) for path in PAGES if runnable(path)
    }


def test_the_strategy_in_the_readme_loads_and_its_parameter_is_read(
    environment: dict[str, str], tmp_path: Path
) -> None:
    example = page("README.md").split("```python\n", 1)[1].split("```", 1)[0]
    (tmp_path / "mymodule.py").write_text(example)
    flags = ["--strategy", "mymodule:BuyOnce", "--param", "shares=many"]
    done = subprocess.run(
        [sys.executable, "-m", "gambler_ai", "run", *flags],
        cwd=tmp_path,
        env=environment | {"PYTHONPATH": "."},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert "shares='many' is not a int" in done.stderr
