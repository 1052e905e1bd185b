"""Which findings of a look want another one."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from gambler_ai.domain import facts
from gambler_ai.domain.orders import OrderStatus
from gambler_ai.domain.reconciliation import Action, Look, Plan
from gambler_ai.trading.look import Sight
from gambler_ai.trading.position_reconciler import Round
from tests.builders import START, an_order

ORDER = an_order()


def found(*some: facts.Fact) -> bool:
    action = Action("R13", "AAA", "update order", "", {}, some)
    look: Any = Look(START, (), {}, {})
    return Round(Sight(look, None), Plan((), (), (), False), (action,), (), (), ()).changed  # type: ignore[arg-type]


def changed(**changes: Any) -> facts.Fact:
    return facts.order_changed(ORDER, replace(ORDER, **changes), "seen in a look")


def test_an_order_that_only_goes_on_under_alpacas_next_word_wants_none() -> None:
    assert not found(changed(broker_status="new", broker_updated_at=START, updated_at=START))


@pytest.mark.parametrize(
    "news",
    [
        changed(broker_status="pending_cancel"),
        changed(broker_status="new", status=OrderStatus.IN_DOUBT),
        changed(broker_status="new", qty=Decimal(3)),
        facts.order_adopted(ORDER),
        facts.note("halt.raised", {}),
    ],
)
def test_everything_else_does_also_beside_such_an_order(news: facts.Fact) -> None:
    assert found(news)
    assert found(changed(broker_status="new"), news)


def test_an_action_without_facts_does() -> None:
    assert found()
