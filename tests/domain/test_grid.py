"""Levels of a position, from its steps since the last flat moment."""

from decimal import Decimal
from random import Random

import pytest

from gambler_ai.domain.grid import Entered, Left, Level, Split, Step, average, levels, total
from gambler_ai.domain.money import ZERO
from tests.builders import START, D, at


def entered(order: str | None, qty: str | int, price: str | int = 10) -> Entered:
    return Entered(order, D(qty), D(price), START)


def left(qty: str | int) -> Left:
    return Left(D(qty), START)


def rebuilt(steps: list[Step], held: str | int) -> list[Level]:
    return levels(steps, D(held), D(7), at(-60))


def shown(found: list[Level]) -> list[tuple[int, str | None, Decimal]]:
    return [(one.number, one.client_order_id, one.qty) for one in found]


def test_the_example_of_the_requirements_is_six_levels_that_add_up() -> None:
    prices = ("0.2061", "0.2061", "0.2040", "0.2018", "0.1996", "0.1975")
    quantities = (364, 728, 1456, 2912, 5824, 11648)
    steps: list[Step] = [entered(f"o{n}", q, p) for n, (q, p) in enumerate(zip(quantities, prices, strict=True))]
    found = rebuilt(steps, 22932)
    assert [(one.number, one.qty, one.price) for one in found] == [
        (n, D(q), D(p)) for n, (q, p) in enumerate(zip(quantities, prices, strict=True))
    ]
    assert total(found) == 22932
    assert round(average(found), 4) == D("0.1994")


def test_partial_fills_of_an_order_are_one_level_also_with_another_between() -> None:
    found = rebuilt([entered("a", "1.5", 10), entered("b", 2), entered("a", "0.5", 14)], 4)
    assert shown(found) == [(0, "a", D(2)), (1, "b", D(2))]
    assert found[0].price == 11


def test_what_leaves_takes_the_newest_levels_first() -> None:
    found = rebuilt([entered("a", 10), entered("b", 20), entered("c", 40), left(50)], 20)
    assert shown(found) == [(0, "a", D(10)), (1, "b", D(10))]


def test_a_level_bought_after_an_exit_has_the_next_free_number() -> None:
    found = rebuilt([entered("a", 10), entered("b", 20), left(20), entered("c", 20)], 30)
    assert shown(found) == [(0, "a", D(10)), (1, "c", D(20))]


def test_a_short_position_has_levels_too() -> None:
    assert total(rebuilt([entered("a", 3), entered("b", 6)], -9)) == 9


@pytest.mark.parametrize("ratio", ["2", "0.1", "1.5"])
def test_a_split_multiplies_shares_and_divides_prices(ratio: str) -> None:
    found = rebuilt([entered("a", 10, 30), Split(D(ratio), START), entered("b", 20, 3)], str(10 * D(ratio) + 20))
    assert found[0].qty * found[0].price == 300
    assert shown(found)[1] == (1, "b", D(20))


def test_what_a_split_was_rounded_by_makes_no_level() -> None:
    third = D("3.333333333")
    found = rebuilt([entered("a", 5), entered("b", 5), Split(D(1) / 3, START)], str(third))
    assert len(found) == 2
    assert total(found) == third


def test_shares_older_than_the_history_are_one_level_without_an_order_at_the_bottom() -> None:
    assert shown(rebuilt([entered("a", 10)], 25)) == [(0, None, D(15)), (1, "a", D(10))]
    assert rebuilt([], 25) == [Level(0, D(25), D(7), at(-60), None)]


def test_more_than_is_held_leaves_from_the_top() -> None:
    assert shown(rebuilt([entered("a", 10), entered("b", 10)], 12)) == [(0, "a", D(10)), (1, "b", D(2))]


def test_nothing_held_is_no_level() -> None:
    assert rebuilt([entered("a", 10), left(10)], 0) == []


@pytest.mark.parametrize("seed", range(50))
def test_levels_always_add_up_to_the_position(seed: int) -> None:
    random, held = Random(seed), ZERO
    steps: list[Step] = []
    for _ in range(random.randint(0, 12)):
        qty = D(random.randint(1, 900)) / 8
        if held and random.random() < 0.4:
            qty = min(qty, held)
            steps.append(left(str(qty)))
            held -= qty
        else:
            steps.append(entered(random.choice("abcdef"), str(qty)))
            held += qty
    found = rebuilt(steps, str(held))
    assert total(found) == held
    assert [one.number for one in found] == list(range(len(found)))
    assert all(one.qty > 0 for one in found)
