"""Whatever a user may meet by name is explained in the pages."""

import re
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

import click
import pytest

from gambler_ai import config, errors
from gambler_ai.cli import cli
from gambler_ai.crashpoints import POINTS
from gambler_ai.domain import facts, orders, positions, sessions
from gambler_ai.domain.orders import table
from tests.docs.pages import ROOT, code_of, page, table_column


def _commands(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    if path != "gambler":
        yield path, command
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            yield from _commands(child, f"{path} {name}")


COMMANDS = dict(_commands(cli, "gambler"))
ENUMS = [
    e
    for m in (orders, positions, sessions)
    for e in vars(m).values()
    if isinstance(e, type) and e.__module__ == m.__name__
]
VALUES = sorted({value.value for e in ENUMS if issubclass(e, StrEnum) for value in e})
ERRORS = {n: e for n, e in vars(errors).items() if isinstance(e, type) and issubclass(e, errors.GamblerError)}
STEPS = sorted(
    {
        name
        for path in (ROOT / "gambler_ai/trading").glob("*.py")
        for name in re.findall(r'step\("([^"]+)"\)', path.read_text())
    }
)


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_has_a_section_that_names_its_flags(path: str) -> None:
    sections = re.split(r"^##+ ", page("docs/commands.md"), flags=re.MULTILINE)
    mine = [section for section in sections if section.startswith(f"{path}\n")]
    assert len(mine) == 1, f"docs/commands.md has {len(mine)} sections {path!r}"
    flags = [o for p in COMMANDS[path].params if isinstance(p, click.Option) for o in (*p.opts, *p.secondary_opts)]
    missing = [flag for flag in flags if not re.search(rf"`[^`]*{flag}\b", mine[0])]
    assert not missing


def test_no_section_describes_a_command_that_does_not_exist() -> None:
    described = re.findall(r"^##+ (gambler .*)$", page("docs/commands.md"), re.MULTILINE)
    assert set(described) == set(COMMANDS)


def test_every_setting_is_explained_and_every_explained_one_exists() -> None:
    text = page("docs/configuration.md")
    assert not [name for name in config.setting_names() if f"`{name}`" not in text]
    in_file = table_column(text.replace("# Settings", "## Settings", 1), "Settings", column=1) - {"never"}
    assert in_file == set(config._PLAIN)


def test_the_defaults_in_the_docs_are_the_defaults() -> None:
    rows = [line.split("|") for line in page("docs/configuration.md").splitlines() if line.startswith("| `")]
    shown = {row[2].strip().strip("`"): row[3].strip().strip("`") for row in rows}
    assert {name: shown[name] for name in config.DEFAULTS} == config.DEFAULTS


@pytest.mark.parametrize(("name", "heading"), [("README.md", "Exit codes"), ("docs/RECOVERY_GUIDE.md", "Exit codes")])
def test_every_exit_code_is_explained(name: str, heading: str) -> None:
    shown = {int(code) for cell in table_column(page(name), heading) for code in cell.split(",")}
    assert {0, 75, 130, 143, *(error.exit_code for error in ERRORS.values())} <= shown


def test_the_crash_points_are_listed_with_what_is_true_there() -> None:
    listed = re.findall(r"^\| `([a-z_]+\.[a-z_]+)` \| (.+) \|$", page("docs/commands.md"), re.MULTILINE)
    assert dict(listed) == dict(POINTS)


@pytest.mark.parametrize("name", ERRORS)
def test_every_error_class_is_in_the_guide_with_its_exit_code(name: str) -> None:
    row = re.search(rf"^\| `{name}` \| [^|]+ \| (\d+) \|", page("docs/RECOVERY_GUIDE.md"), re.MULTILINE)
    assert row is not None
    assert int(row[1]) == ERRORS[name].exit_code


@pytest.mark.parametrize("value", VALUES)
def test_every_value_of_an_enum_is_in_the_glossary(value: str) -> None:
    assert value in code_of(page("docs/glossary.md"))


def test_the_glossary_shows_the_steps_an_order_may_take() -> None:
    assert f"```\n{table()}\n```" in page("docs/glossary.md")


def test_every_kind_of_journal_row_is_in_the_glossary() -> None:
    source = "".join(path.read_text() for path in (ROOT / "gambler_ai/trading").glob("*.py"))
    kinds = {v for k, v in vars(facts).items() if k.isupper() and isinstance(v, str)}
    kinds |= set(re.findall(r'note\(\s*"([a-z.]+)"', source)) | {f"session.{s}" for s in sessions.SessionStatus}
    assert not kinds - code_of(page("docs/glossary.md"))


@pytest.mark.parametrize("step", STEPS)
def test_every_step_of_a_recovery_is_in_the_guide(step: str) -> None:
    assert f"| `{step}` |" in page("docs/RECOVERY_GUIDE.md")


@pytest.mark.parametrize("path", sorted((ROOT / "scripts").glob("*.py")), ids=lambda path: path.name)
def test_every_script_is_explained(path: Path) -> None:
    assert f"scripts/{path.name}" in table_column(page("docs/commands.md"), "Scripts")
