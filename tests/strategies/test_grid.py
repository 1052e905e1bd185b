"""Decisions of the grid: they follow from its levels and the price alone."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

import pytest

from gambler_ai.domain.grid import Level, total
from gambler_ai.domain.orders import Role, Side, Wish
from gambler_ai.errors import UsageError
from gambler_ai.strategies.grid import Grid
from gambler_ai.strategies.loading import load
from tests.builders import START, D, bars


@dataclass
class Account:
    """A view whose entries are filled at the close they were decided on."""

    held: list[Level] = field(default_factory=list)
    waiting: bool = False
    now: datetime = START

    def position(self, symbol: str) -> Decimal:
        return total(self.held)

    def levels(self, symbol: str) -> list[Level]:
        return self.held

    def pending(self, symbol: str) -> bool:
        return self.waiting


def decided(grid: Grid, closes: list[float | int | str], account: Account | None = None) -> list[Wish]:
    account = account or Account()
    found = []
    for bar in bars(closes):
        for wish in grid.on_bar(bar, account):
            found.append(wish)
            account.held.append(Level(len(account.held), wish.qty, bar.close, bar.end, "x"))
    return found


def test_it_doubles_with_every_step_down_as_in_the_requirements() -> None:
    grid = Grid(notional=D("75.03"), step_pct=D("1"), most_levels=6)
    wishes = decided(grid, ["0.2061", "0.2040", "0.2018", "0.1996", "0.1975", "0.1953", "0.1900"])
    assert [wish.qty for wish in wishes] == [364, 728, 1456, 2912, 5824, 11648]
    assert sum(wish.qty for wish in wishes) == 22932


def test_it_waits_until_the_price_is_a_step_below_the_newest_level() -> None:
    assert len(decided(Grid(step_pct=D(2)), [100, 99, "98.01", 98, 97, "96.05", "96.04"])) == 3


def test_the_target_lies_above_what_all_shares_cost_on_the_average() -> None:
    first, second = decided(Grid(notional=D(1000), step_pct=D(10), target_pct=D(1)), [100, 90])
    assert first.take_profit == 101
    assert second.take_profit == D("94.27")  # 10 at 100 and 20 at 90 cost 93.33
    assert (second.role, second.side, second.type, second.limit_price) == (Role.ENTRY, Side.BUY, "limit", D("90.09"))


def test_short_it_sells_into_rising_prices_and_its_target_lies_below() -> None:
    first, second = decided(Grid(notional=D(1000), step_pct=D(10), short=True), [100, 105, 110, 90])
    assert (first.side, first.limit_price, first.take_profit) == (Side.SELL, D("99.9"), D(99))
    assert second.qty == 20


def test_it_buys_no_more_than_its_levels_and_nothing_while_an_order_is_pending() -> None:
    assert len(decided(Grid(most_levels=2), [100, 90, 80, 70])) == 2
    assert decided(Grid(), [100, 90], Account(waiting=True)) == []


def test_without_open_initial_only_what_is_there_is_traded() -> None:
    assert decided(Grid(open_initial=False), [100, 90]) == []
    imported = Account([Level(0, D(5), D(100), START, None)])
    assert [wish.qty for wish in decided(Grid(open_initial=False), [99], imported)] == [10]


@pytest.mark.parametrize(
    "params", [{"most_levels": "0"}, {"multiplier": "0.5"}, {"step_pct": "0"}, {"target_pct": "100"}, {"notional": "0"}]
)
def test_parameters_that_make_no_sense_are_refused(params: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="write"):
        load("grid", params)
