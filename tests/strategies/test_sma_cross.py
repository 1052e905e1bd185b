"""Decisions of the moving-average cross, and that a restart in the middle changes none of them."""

import json
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from gambler_ai.domain.grid import Level
from gambler_ai.domain.market import Bar
from gambler_ai.domain.money import ZERO
from gambler_ai.domain.orders import Role, Side, Wish
from gambler_ai.strategies.indicators import SimpleAverage
from gambler_ai.strategies.sma_cross import SmaCross
from tests.builders import START, D, bars


@dataclass
class Account:
    """A view whose orders are filled at once, or stay pending."""

    held: dict[str, Decimal] = field(default_factory=dict)
    waiting: bool = False
    now: datetime = START

    def position(self, symbol: str) -> Decimal:
        return self.held.get(symbol, ZERO)

    def levels(self, symbol: str) -> list[Level]:
        return []

    def pending(self, symbol: str) -> bool:
        return self.waiting

    def fill(self, wishes: list[Wish]) -> None:
        for wish in wishes:
            self.held[wish.symbol] = self.position(wish.symbol) + wish.side.sign * wish.qty


def shown(strategy: SmaCross, seen: list[Bar], account: Account) -> list[list[Wish]]:
    result = []
    for bar in seen:
        wishes = list(strategy.on_bar(bar, account))
        account.fill(wishes)
        result.append(wishes)
    return result


def a_cross() -> SmaCross:
    return SmaCross(fast=2, slow=3, notional=D(1000))


def test_it_buys_whole_shares_when_the_fast_average_crosses_above() -> None:
    decisions = shown(a_cross(), bars([10, 9, 8, 12]), Account())
    assert decisions[:3] == [[], [], []]
    assert decisions[3] == [Wish("SPY", Side.BUY, D(83), Role.ENTRY, reason="fast average crossed above slow")]


def test_it_sells_all_it_holds_when_the_fast_average_falls_below() -> None:
    decisions = shown(a_cross(), bars([10, 9, 8, 12, 7, 6]), Account())
    sale = [Wish("SPY", Side.SELL, D(83), Role.EXIT, reason="fast average fell below slow")]
    assert sale in decisions[4:]


def test_an_upward_start_is_no_cross() -> None:
    assert not any(shown(a_cross(), bars([8, 9, 10, 11, 12]), Account()))


def test_it_waits_while_an_order_is_pending() -> None:
    assert not any(shown(a_cross(), bars([10, 9, 8, 12, 7, 6]), Account(waiting=True)))


def test_a_dear_share_is_bought_once_at_least() -> None:
    (wish,) = shown(SmaCross(2, 3, D(5)), bars([10, 9, 8, 12]), Account())[3]
    assert wish.qty == 1


def test_symbols_do_not_disturb_each_other() -> None:
    mixed = [bar for pair in zip(bars([10, 9, 8, 12]), bars([1, 2, 3, 4], "IBM"), strict=True) for bar in pair]
    wishes = [wish for wishes in shown(a_cross(), mixed, Account()) for wish in wishes]
    assert [wish.symbol for wish in wishes] == ["SPY"]


closes = st.lists(st.integers(1, 400).map(lambda n: Decimal(n) / 8), max_size=40)


@given(closes, st.integers(0, 40))
def test_a_restart_after_any_bar_changes_no_decision(prices: list[Decimal], restart: int) -> None:
    seen = bars(prices)
    undisturbed = shown(a_cross(), seen, Account())
    first, second, account = a_cross(), a_cross(), Account()
    before = shown(first, seen[:restart], account)
    second.load_state(json.loads(json.dumps(first.save_state())))
    assert second.save_state() == first.save_state()
    assert before + shown(second, seen[restart:], account) == undisturbed


@given(st.lists(st.integers(1, 10**6).map(lambda n: Decimal(n) / 100), min_size=1, max_size=30), st.integers(1, 12))
def test_an_average_is_the_mean_of_the_last_values(values: list[Decimal], length: int) -> None:
    average = SimpleAverage(length, values)
    expected = sum(values[-length:], ZERO) / length if len(values) >= length else None
    assert average.value == expected
    assert SimpleAverage.restored(length, average.save()).value == expected


def test_warm_up_covers_the_slow_average() -> None:
    assert SmaCross(fast=2, slow=7).warmup_bars == 7
