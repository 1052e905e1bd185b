"""Strategies by name: parameters as text, and errors that say what is possible."""

from dataclasses import dataclass, field
from decimal import Decimal

import pytest

from gambler_ai.errors import UsageError
from gambler_ai.strategies.base import Strategy
from gambler_ai.strategies.loading import load, parameters
from gambler_ai.strategies.sma_cross import SmaCross


@dataclass
class Mine(Strategy):
    """A strategy of a user."""

    name = "mine"

    hold: bool = False
    size: Decimal = Decimal(1)


class NotOne:
    pass


def test_a_built_in_strategy_is_found_by_name() -> None:
    found = load("sma_cross", {"fast": "2", "slow": "5", "notional": "99.5"})
    assert isinstance(found, SmaCross)
    assert (found.fast, found.slow, found.notional) == (2, 5, Decimal("99.5"))


def test_a_users_strategy_is_found_by_path() -> None:
    found = load(f"{__name__}:Mine", {"hold": "True", "size": "2.50"})
    assert parameters(found) == {"hold": "True", "size": "2.5"}


def test_parameters_in_force_can_be_loaded_again() -> None:
    first = load("sma_cross", {"fast": "3"})
    assert parameters(first) == {
        "fast": "3",
        "notional": "10000",
        "slow": "30",
        "stop_pct": "0",
        "target_pct": "0",
    }
    assert load("sma_cross", parameters(first)) == first


@pytest.mark.parametrize(
    ("name", "params", "says"),
    [
        ("momentun", {}, "built in: .*sma_cross.*package.module:Class"),
        ("no.such.module:Thing", {}, "cannot be imported: No module named 'no'"),
        (f"{__name__}:Missing", {}, "cannot be imported"),
        (f"{__name__}:NotOne", {}, "is not a Strategy"),
        ("sma_cross", {"fats": "2"}, "has no parameter fats; it has fast, slow, notional"),
        ("sma_cross", {"_above": "{}"}, "has no parameter _above"),
        ("sma_cross", {"fast": "two"}, "fast='two' is not a int"),
        ("sma_cross", {"notional": "NaN"}, "notional='NaN' is not a decimal"),
        ("sma_cross", {"notional": "-1"}, "write a positive amount"),
        ("sma_cross", {"fast": "30", "slow": "10"}, "fast=30 and slow=10: write 1 <= fast < slow"),
        (f"{__name__}:Mine", {"hold": "perhaps"}, "hold='perhaps' is not a bool"),
    ],
)
def test_what_cannot_be_loaded_is_a_usage_error_that_says_why(name: str, params: dict[str, str], says: str) -> None:
    with pytest.raises(UsageError, match=says) as raised:
        load(name, params)
    assert raised.value.exit_code == 2


def test_a_strategy_must_say_what_it_does_with_a_bar() -> None:
    # the base class's own refusal, not something that is left to do
    with pytest.raises(NotImplementedError, match="Mine must say"):
        Mine().on_bar(None, None)  # type: ignore[arg-type]


@dataclass
class Remembering(Strategy):
    """Holds state in a field of its own."""

    length: int = 3
    seen: dict[str, int] = field(default_factory=dict)


def test_a_dict_of_a_strategy_is_its_state_and_no_parameter() -> None:
    strategy = load(f"{__name__}:Remembering", {"length": "5"})
    assert parameters(strategy) == {"length": "5"}
    with pytest.raises(UsageError, match="has no parameter seen"):
        load(f"{__name__}:Remembering", {"seen": "{}"})
