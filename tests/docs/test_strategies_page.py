"""The strategy of the page, as a newcomer would save and run it."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import ROOT
from tests.support.gambler import Result
from tests.support.world import World

PAGE = (ROOT / "docs" / "strategies.md").read_text(encoding="utf-8")
SAVED = re.search(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
PARAMS = ("--param", "entry_bars=2", "--param", "exit_bars=1")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    one = World(tmp_path, f"sqlite:///{tmp_path / 'gambler.db'}")
    yield one
    one.end()


def run(world: World, *flags: str, change: tuple[str, str] = ("", "")) -> Result:
    assert SAVED is not None
    folder = world.gambler.directory
    folder.mkdir(exist_ok=True)
    (folder / "breakout.py").write_text(SAVED[1].replace(*change))
    path = f"{folder}:{ROOT}"
    arguments = ("run", "--init-db", "--strategy", "breakout:Breakout", "--symbols", "AAA,BBB", "--duration", "60")
    return world.gambler(*arguments, *PARAMS, *flags, PYTHONPATH=path)


def test_the_strategy_of_the_page_trades(world: World) -> None:
    assert run(world).code == 0
    world.prove_one_finished_session()
    assert {order["side"] for order in world.exchange.truth()["orders"]} == {"buy", "sell"}


def test_a_mistake_in_a_strategy_is_one_line_that_says_where(world: World) -> None:
    ended = run(world, change=("max(before)", "max(befor)"))
    assert (ended.code, "Traceback" in ended.err) == (1, False)
    assert re.search(r"NameError: name 'befor' is not defined \(breakout.py, line \d+, in on_bar\)", ended.message)
    assert "gambler run --resume" in ended.message
    assert world.exchange.truth()["orders"] == []


def test_what_is_no_wish_is_named(world: World) -> None:
    ended = run(world, change=("return [Wish(bar.symbol, Side.BUY,", 'return ["buy"] or [Wish(bar.symbol, Side.BUY,'))
    assert (ended.code, "on_bar returned 'buy', which is not a Wish" in ended.message) == (1, True)
