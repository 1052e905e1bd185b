"""The frame: what the README promises, make offers and CI runs; what the lock pins; what a wheel holds."""

import re
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, page


def _targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", page("Makefile"), re.MULTILINE))


def test_the_two_commands_of_the_readme_are_targets_of_make() -> None:
    block = page("README.md").split("## Two commands", 1)[1].split("```sh\n", 1)[1].split("```", 1)[0]
    commands = block.split("\n")[:-1]
    assert commands == ["make demo", "make test"]
    assert {command.removeprefix("make ") for command in commands} <= _targets()


def test_every_make_command_in_the_pages_is_a_target() -> None:
    text = page("README.md") + page("CONTRIBUTING.md")
    assert set(re.findall(r"^make ([a-z]+)|`make ([a-z]+)`", text, re.MULTILINE)) != set()
    named = {a or b for a, b in re.findall(r"^make ([a-z]+)|`make ([a-z]+)`", text, re.MULTILINE)}
    assert named <= _targets()


def test_ci_runs_the_test_command_of_the_readme() -> None:
    assert re.search(r"^make test\b", page(".ci/run"), re.MULTILINE)
    assert (ROOT / ".ci/run").stat().st_mode & 0o111


def test_ci_fails_when_no_test_ran(tmp_path: Path) -> None:
    (tmp_path / ".ci").mkdir()
    (tmp_path / ".ci/run").write_text(page(".ci/run"))
    (tmp_path / "Makefile").write_text("lint:\n\t@true\ntest:\n\t@echo '3 deselected in 0.01s'\n")
    done = subprocess.run(["bash", ".ci/run"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1


@pytest.mark.parametrize(("lint", "tests", "code"), [("true", "true", 0), ("false", "true", 1), ("true", "false", 1)])
def test_ci_fails_when_anything_failed_and_shows_the_closing_line(
    tmp_path: Path, lint: str, tests: str, code: int
) -> None:
    (tmp_path / ".ci").mkdir()
    (tmp_path / ".ci/run").write_text(page(".ci/run"))
    (tmp_path / "Makefile").write_text(f"lint:\n\t@{lint}\ntest:\n\t@echo '7 passed in 1.20s'; {tests}\n")
    done = subprocess.run(["bash", ".ci/run"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == code
    assert done.stdout.rstrip().endswith("7 passed in 1.20s")


def test_setup_says_clearly_when_python_is_too_old(tmp_path: Path) -> None:
    old = tmp_path / "python3.9"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        (tmp_path / name).write_text(page(name))
    done = subprocess.run(["make", "setup", f"PYTHONS={old}"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode != 0
    assert "needs Python 3.11 or newer" in done.stderr


def test_the_lock_pins_every_dependency_with_hashes() -> None:
    project = tomllib.loads(page("pyproject.toml"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    names = {re.match(r"[A-Za-z0-9._-]+", line)[0].lower() for line in wanted}  # type: ignore[index]
    entries = re.findall(
        r"^([a-z0-9._-]+)==\S+ \\\n    --hash=sha256:[0-9a-f]{64}", page("requirements.lock"), re.MULTILINE
    )
    assert names <= set(entries)
    assert len(entries) == len(re.findall(r"^[a-z0-9]", page("requirements.lock"), re.MULTILINE))


@pytest.mark.slow
def test_an_installed_wheel_brings_its_migrations_and_makes_a_database(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    assert any(name.startswith("gambler_ai/_migrations/versions/0001") for name in zipfile.ZipFile(wheel).namelist())
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    target = next((tmp_path / "venv/lib").iterdir()) / "site-packages"
    zipfile.ZipFile(wheel).extractall(target)
    # the dependencies of this environment, without the checkout that is installed in it
    dependencies = next(Path(p) for p in sys.path if p.endswith("site-packages"))
    (target / "dependencies.pth").write_text(f"import sys; sys.path.append({str(dependencies)!r})\n")
    done = subprocess.run(
        [tmp_path / "venv/bin/python", "-m", "gambler_ai", "init-db"],
        cwd=tmp_path,
        env={"GAMBLER_DATA_DIR": str(tmp_path / "data"), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "created" in done.stdout


def test_the_screen_in_the_readme_is_the_tour_of_today() -> None:
    steps = re.findall(r"^\d  (.+?)  (.+)$", page("README.md"), re.MULTILINE)
    tour = page("gambler_ai/demo.py")
    assert len(steps) == 5
    assert not [text for step in steps for text in step if text not in tour]
