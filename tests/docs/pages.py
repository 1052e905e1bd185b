"""The project's pages, and the commands in them that are meant to be run."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


@dataclass(frozen=True, slots=True)
class Command:
    """One line of a block marked `sh run`: what its output must contain, and how it must end."""

    line: str
    contains: tuple[str, ...] = ()
    exit_code: int = 0


def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def code_of(text: str) -> set[str]:
    """Everything a page writes as code, `like this` or as the first word of a table's cell."""
    return set(re.findall(r"`([^`\n]+)`", text))


def table_column(text: str, heading: str, column: int = 0) -> set[str]:
    """Cells of a column of the first table below a heading, without backticks."""
    below = text.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    first = below[below.index("\n|") + 1 :].split("\n\n", 1)[0]
    rows = [line.strip("|").split("|") for line in first.splitlines()]
    return {row[column].strip().strip("`") for row in rows[2:]}


def runnable(path: Path) -> list[list[Command]]:
    """The blocks of a page that are marked `sh run`."""
    blocks = re.findall(r"^```sh run\n(.*?)^```$", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return [_commands(block) for block in blocks]


def _commands(block: str) -> list[Command]:
    commands: list[Command] = []
    for line in filter(None, block.splitlines()):
        if line.startswith("# -> "):
            last = commands.pop()
            commands.append(Command(last.line, (*last.contains, line[5:]), last.exit_code))
        elif line.startswith("# exit "):
            last = commands.pop()
            commands.append(Command(last.line, last.contains, int(line[7:])))
        else:
            commands.append(Command(line))
    return commands
