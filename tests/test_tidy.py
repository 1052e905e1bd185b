"""Rules of the house that no linter knows. Each says what to write instead, and has a test that it fires."""

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "gambler_ai"
AMOUNT_ROOMS = ("domain", "storage", "trading", "broker", "paper_exchange")
MOST_LINES = 400

# Where a float is right, and why. A line stands here as its innermost call, so that a new one does not slip in.
FLOATS = {
    "broker/alpaca_rest.py: float(after)": "seconds of Retry-After",
    "broker/alpaca_rest.py: float(reset)": "seconds since 1970 of a rate limit",
    "trading/sessions.py: float(request.duration_min)": "minutes",
    "paper_exchange/driver.py: float(text)": "a speed",
    "paper_exchange/faults.py: float(self.p)": "a probability",
    "paper_exchange/fields.py: float(kind.read(value))": "seconds",
    "paper_exchange/sockets.py: float('inf')": "seconds",
    # Alpaca's market data are JSON numbers on the wire; they are made of exact amounts here and nowhere else
    "paper_exchange/wire.py: float(band[0])": "market data on the wire",
    "paper_exchange/wire.py: float(band[1])": "market data on the wire",
    "paper_exchange/wire.py: float(bar.open)": "market data on the wire",
    "paper_exchange/wire.py: float(bar.high)": "market data on the wire",
    "paper_exchange/wire.py: float(bar.low)": "market data on the wire",
    "paper_exchange/wire.py: float(bar.close)": "market data on the wire",
    "paper_exchange/wire.py: float(round(typical, 6))": "market data on the wire",
    "paper_exchange/wire.py: float(quote.ask)": "market data on the wire",
    "paper_exchange/wire.py: float(quote.bid)": "market data on the wire",
    "paper_exchange/wire.py: float(trade.price)": "market data on the wire",
}
CLOCKS = {
    "datetime.now": "clock.now() or clock.wall() of the Clock you were given",
    "datetime.utcnow": "clock.now() of the Clock you were given",
    "datetime.today": "clock.now() of the Clock you were given",
    "date.today": "clock.now().date() of the Clock you were given",
    "time.time": "clock.wall(), or clock.monotonic() to measure",
    "time.time_ns": "clock.wall(), or clock.monotonic() to measure",
}
# Not imported by any other module, and why.
ENTRANCES = {
    "gambler_ai.__main__": "the program's entry",
    "gambler_ai.broker.direct": "the second gateway, for deterministic runs in one process",
    "gambler_ai.operations.unprotected": "what scripts/kill_storm.py measures with",
}


def nodes(source: str, *kinds: type[ast.AST]) -> Iterator[ast.AST]:
    return (node for node in ast.walk(ast.parse(source)) if isinstance(node, kinds))


def calls(source: str) -> Iterator[tuple[str, str]]:
    """Every call: what is called, and the whole of it as text."""
    for node in nodes(source, ast.Call):
        yield ast.unparse(node.func), ast.unparse(node)  # type: ignore[attr-defined]


def wild_clocks(path: str, source: str) -> list[str]:
    if path == "clock.py":
        return []
    made = [(name, ".".join(name.split(".")[-2:])) for name, _ in calls(source)]
    return [f"{path}: {name}(): write {CLOCKS[short]}" for name, short in made if short in CLOCKS]


def floats(path: str, source: str) -> list[str]:
    if path.split("/")[0] not in AMOUNT_ROOMS:
        return []
    found = [f"{path}: {whole}" for name, whole in calls(source) if name == "float"]
    advice = "write domain.money.amount() for an amount; for anything else say why in FLOATS of tests/test_tidy.py"
    return [f"{one}: {advice}" for one in found if one not in FLOATS]


def swallowed(path: str, source: str) -> list[str]:
    found = []
    for node in nodes(source, ast.ExceptHandler):
        assert isinstance(node, ast.ExceptHandler)
        caught = ast.unparse(node.type) if node.type else None
        empty = all(isinstance(line, ast.Pass) or ast.unparse(line) == "..." for line in node.body)
        if caught is None or (empty and caught in ("Exception", "BaseException")):
            advice = "name the errors you expect, and do something about them; contextlib.suppress(...) for nothing"
            found.append(f"{path}:{node.lineno}: except {caught or ''}: {advice}")
    return found


def printed(path: str, source: str) -> list[str]:
    advice = "log through structlog; results go through click.echo in the command line"
    return [f"{path}: {whole}: {advice}" for name, whole in calls(source) if name == "print"]


def long_files(path: str, source: str) -> list[str]:
    lines = source.count("\n")
    return [f"{path} has {lines} lines, more than {MOST_LINES}: which noun is missing?"] if lines > MOST_LINES else []


def left_over(path: str, source: str) -> list[str]:
    # the words stand here and in the two tables below because this is the rule against them
    marks = re.findall(r"#.*\b(TODO|FIXME|XXX|HACK)\b.*", source)
    return [f"{path}: {mark}: do it now, or open an issue and take the mark out" for mark in marks]


RULES: list[Callable[[str, str], list[str]]] = [wild_clocks, floats, swallowed, printed, long_files, left_over]


def sources() -> dict[str, str]:
    found = {path.relative_to(PACKAGE).as_posix(): path.read_text() for path in PACKAGE.rglob("*.py")}
    assert len(found) > 50
    return found


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_package_keeps_the_rule(rule: Callable[[str, str], list[str]]) -> None:
    assert [line for path, source in sources().items() for line in rule(path, source)] == []


@pytest.mark.parametrize(
    ("rule", "source"),
    [
        (wild_clocks, "import datetime\nat = datetime.datetime.now(UTC)"),
        (wild_clocks, "at = datetime.utcnow()"),
        (wild_clocks, "at = time.time()"),
        (floats, "price = float(row['price'])"),
        (swallowed, "try:\n    f()\nexcept:\n    g()"),
        (swallowed, "try:\n    f()\nexcept Exception:\n    pass"),
        (printed, "print('here')"),
        (long_files, "x = 1\n" * 401),
        (left_over, "x = 1  # TODO: y"),
        (left_over, "# FIXME"),
    ],
)
def test_the_rule_fires(rule: Callable[[str, str], list[str]], source: str) -> None:
    assert len(rule("domain/new.py", source)) == 1


@pytest.mark.parametrize(
    ("rule", "source"),
    [
        (wild_clocks, "at = clock.now()\nstart = time.monotonic()\n# datetime.now() is not for us"),
        (floats, "wait: float = 1.0"),
        (swallowed, "try:\n    f()\nexcept ValueError:\n    pass"),
        (swallowed, "try:\n    f()\nexcept Exception as error:\n    raise Ours from error"),
        (printed, "console.print(table)"),
        (long_files, "x = 1\n" * 400),
        (left_over, "todo = 'TODO'"),
    ],
)
def test_the_rule_leaves_the_rest_alone(rule: Callable[[str, str], list[str]], source: str) -> None:
    assert rule("domain/new.py", source) == []


def test_the_clock_may_ask_the_machine() -> None:
    assert wild_clocks("clock.py", "datetime.now(UTC)") == []


def test_every_float_that_is_allowed_is_still_there() -> None:
    made = {f"{path}: {whole}" for path, source in sources().items() for _, whole in calls(source)}
    assert FLOATS.keys() - made == set()


def module_name(path: str) -> str:
    return "gambler_ai." + path.removesuffix(".py").replace("/", ".")


def imported_by(name: str, source: str) -> set[str]:
    """Full names of what the module `name` imports, lazily too, and `package.module:Class` texts in it."""
    found = set(re.findall(r"[\"'](gambler_ai(?:\.\w+)+)(?::\w+)?[\"']", source))
    for node in nodes(source, ast.Import, ast.ImportFrom):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join(filter(None, [name.rsplit(".", node.level)[0], base]))
            found |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    return found - {name}


def unused(files: dict[str, str]) -> set[str]:
    modules = {module_name(path): source for path, source in files.items() if not path.endswith("__init__.py")}
    used = set().union(*(imported_by(name, source) for name, source in modules.items()))
    return modules.keys() - used - ENTRANCES.keys()


def test_every_module_is_imported_by_another() -> None:
    assert unused(sources()) == set(), "nobody imports these: use them, or take them out"


def test_a_module_nobody_imports_is_noticed() -> None:
    files = {
        "a.py": "from gambler_ai import b\nfrom gambler_ai.domain.c import x\nD = 'gambler_ai.d:Class'",
        "b.py": "def f():\n    import gambler_ai.a",
        "domain/c.py": "from . import e",
        "d.py": "",
        "domain/e.py": "",
        "lonely.py": "import gambler_ai.lonely",
    }
    assert unused(files) == {"gambler_ai.lonely"}
