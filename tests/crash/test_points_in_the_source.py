"""The points themselves: where the source passes them, and who may name them."""

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import gambler_ai
from gambler_ai.crashpoints import POINTS

PACKAGE = Path(gambler_ai.__file__).parent
CHANGES_THE_BROKER = {"submit", "cancel"}


def calls(file: Path) -> Iterator[tuple[str, ast.FunctionDef, ast.Call]]:
    """Every call in the file as (name of what is called, function around it, call), in the order of the source."""
    for function in ast.walk(ast.parse(file.read_text())):
        if isinstance(function, ast.FunctionDef):
            for node in ast.walk(function):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute | ast.Name):
                    name = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
                    yield name, function, node


def named(call: ast.Call) -> list[str]:
    """The points a `crashpoint(...)` call may mean."""
    texts = [node.value for node in ast.walk(call) if isinstance(node, ast.Constant)]
    return [text for text in texts if isinstance(text, str)]


def points_of(file: Path, function: ast.FunctionDef) -> dict[str, int]:
    """Line of each point passed in a function of the file."""
    found = [call for name, around, call in calls(file) if name == "crashpoint" and around.lineno == function.lineno]
    return {point: call.lineno for call in found for point in named(call)}


def test_the_package_passes_every_named_point_and_no_other() -> None:
    passed = [
        point
        for file in PACKAGE.rglob("*.py")
        for name, _, call in calls(file)
        if name == "crashpoint"
        for point in named(call)
    ]
    assert set(passed) == set(POINTS)


def test_every_before_has_its_after() -> None:
    steps = Counter(point.replace(".before_", ".").replace(".after_", ".") for point in POINTS)
    asymmetric = {"order.intent", "order.send", "order.outcome"} | {s for s in steps if s.startswith("cancel.")}
    assert {step for step, count in steps.items() if count != 2} <= asymmetric
    assert len(POINTS) >= 25


def test_every_request_that_changes_the_broker_lies_between_two_points() -> None:
    seen = []
    for file in (PACKAGE / "trading").glob("*.py"):
        for name, function, call in calls(file):
            if name in CHANGES_THE_BROKER and "_gateway" in ast.unparse(call.func):
                lines = points_of(file, function).values()
                assert min(lines) < call.lineno < max(lines), f"{file.name}:{call.lineno}"
                seen.append(f"{file.name} {name}")
    assert seen == ["order_desk.py submit", "order_desk.py cancel"]


def test_every_commit_of_the_books_lies_between_two_points() -> None:
    storage = PACKAGE / "storage"
    assert [file.name for file in storage.glob("*.py") if '"COMMIT"' in file.read_text()] == ["journal.py"]
    steps = {(around.name, name): (around, call.lineno) for name, around, call in calls(storage / "journal.py")}
    write, ending = steps["_write", "_end"]
    commit, writing = steps["commit", "_write"]
    assert points_of(storage / "journal.py", write)["transaction.before_commit"] < ending
    assert writing < points_of(storage / "journal.py", commit)["transaction.after_commit"]


@pytest.mark.parametrize("spec", ["order.after_lunch", "order.after_send:soon"])
def test_an_unknown_point_is_refused(spec: str) -> None:
    ended = crash_points(GAMBLER_TEST="1", GAMBLER_CRASH_AT=spec)
    assert ended.returncode == 2
    assert spec.partition(":")[2] in ended.stderr
    assert spec.partition(":")[0] in ended.stderr


def test_outside_tests_a_point_is_not_even_read() -> None:
    assert crash_points(GAMBLER_CRASH_AT="order.after_lunch").returncode == 0


def crash_points(**environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gambler_ai", "crash-points", "--json"]
    return subprocess.run(command, cwd=PACKAGE.parent, env=environment, capture_output=True, text=True, timeout=60)
