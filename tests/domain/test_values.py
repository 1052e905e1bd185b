"""Values that are changed quickly are what `dataclasses.replace` makes of them."""

import dataclasses

import pytest

from gambler_ai.domain.money import ZERO
from gambler_ai.domain.orders import OrderStatus
from gambler_ai.domain.values import contents, defaults, names, replace
from tests.builders import a_position, an_order


def test_a_changed_value_is_the_one_dataclasses_would_make_and_the_old_one_stays() -> None:
    order = an_order()
    before = dataclasses.asdict(order)
    changes = {"status": OrderStatus.WORKING, "broker_order_id": "b-1", "error": None}
    assert replace(order, **changes) == dataclasses.replace(order, **changes)
    assert hash(replace(order)) == hash(order)
    assert dataclasses.asdict(order) == before


def test_a_field_that_does_not_exist_is_refused() -> None:
    with pytest.raises(AttributeError):
        replace(an_order(), colour="red")


def test_contents_and_defaults_follow_the_names() -> None:
    position = a_position()
    assert dict(zip(names(type(position)), contents(position), strict=True)) == dataclasses.asdict(position)
    assert defaults(type(position))[names(type(position)).index("pnl")] == ZERO
    assert defaults(type(position))[0] is dataclasses.MISSING


@dataclasses.dataclass(frozen=True, slots=True)
class Checked:
    number: int

    def __post_init__(self) -> None:
        assert self.number > 0


def test_a_value_that_checks_itself_is_not_copied_past_its_check() -> None:
    with pytest.raises(AssertionError, match="checks its fields"):
        replace(Checked(1), number=-1)
