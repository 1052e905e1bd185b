"""The screens of the recovery guide, and what commands really print, without what differs from run to run.

A block of the guide begins with ```text WHEN NAME: `$ command`, then lines of its screen, `...` for lines left out, and
`# exit N` where the case itself decides how the command ends.
"""

import re
from dataclasses import dataclass

from tests.docs.pages import page
from tests.support.gambler import Result

_BLOCK = re.compile(r"^```text (\w+) (\S+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_VOLATILE = {
    r"\b\d+\s+(?=\d{4}-\d\d-\d\dT)": "",
    r"(g1-\w+-\w+)-[a-z2-7]{20}": r"\1-#",
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}": "#",
    r"\d{17}::": "#::",
    r"\bPA[0-9A-F]{10}": "PA#",
    r"\bs\d{8}-\d{6}-[a-z0-9]{6}": "s#",
    r"(recovered-\w+)-\d{8}-\d{6}-[0-9a-f]{8}": r"\1-#",
    r"\d{4}-\d\d-\d\dT[\d:.]+Z": "#",
    r"\b([A-Z]+)-\d+\b": r"\1-#",
    r"process \d+ on [\w.-]+": "process # on #",
    r"http://127\.0\.0\.1:\d+": "http://#",
    r"(?:[\w+]+:/)?/+(?:[\w.-]+/)+": "",
    r"[\d.]+ s ago": "# s ago",
    r"\d+ min \d+ s": "# min # s",
    r"recovered in [\d.]+ s": "recovered in # s",
    r"seen for seconds [\d.]+": "seen for seconds #",
    r"\brow \d+": "row #",
    r"\s+": " ",
}


@dataclass(frozen=True, slots=True)
class Shown:
    """What the guide shows of one command: pieces of its screen, in their order."""

    when: str
    command: str
    pieces: tuple[str, ...]
    code: int | None


def plain(screen: str) -> str:
    for volatile, instead in _VOLATILE.items():
        screen = re.sub(volatile, instead, screen)
    return screen.strip()


def shown_in_the_guide() -> dict[str, list[Shown]]:
    """By the name of the case."""
    found: dict[str, list[Shown]] = {}
    for when, name, block in _BLOCK.findall(page("docs/RECOVERY_GUIDE.md")):
        found.setdefault(name, []).extend(_commands(when, block))
    return found


def _commands(when: str, block: str) -> list[Shown]:
    result = []
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, screen = part.partition("\n")
        ended = re.search(r"^# exit (\d+)\n", screen, re.MULTILINE)
        pieces = re.split(r"^\.\.\.\n", re.sub(r"^# exit \d+\n", "", screen, flags=re.MULTILINE), flags=re.MULTILINE)
        result.append(Shown(when, command, tuple(filter(None, map(plain, pieces))), int(ended[1]) if ended else None))
    return result


def check(shown: Shown, real: Result) -> None:
    """The real screen has these pieces in this order, and the command ended so."""
    screen = plain(real.out + "\n" + real.err)
    at = 0
    for piece in shown.pieces:
        assert piece in screen[at:], f"{shown.command} says\n{screen}\nand the guide\n{piece}"
        at = screen.index(piece, at) + len(piece)
    assert shown.code in (None, real.code), shown.command
