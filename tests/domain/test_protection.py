"""Wanted against actual exits: one step a symbol, never more exits than shares, the same step for the same books."""

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from random import Random
from typing import Any

import pytest

from gambler_ai.domain.cover import Terms, away_from, shares
from gambler_ai.domain.orders import Order, OrderStatus, Role, Side
from gambler_ai.domain.positions import EXTERNAL, Position
from gambler_ai.domain.protection import Act, Decision, decide
from tests.builders import D, a_position, an_order, at

LONG = a_position(stop_loss=D(9))
SHORT = a_position(quantity=-100, stop_loss=D(11))


def an_exit(key: str = "1", **changes: Any) -> Order:
    """A stop of 100 shares that works at the broker, made for the position above."""
    values = {
        "role": Role.STOP,
        "side": Side.SELL,
        "type": "stop",
        "stop_price": D(9),
        "status": OrderStatus.WORKING,
        "position_id": "SPY-1",
        "broker_order_id": f"b{key}",
    }
    return an_order(key, **values | changes)


WAITING = an_exit(
    role=Role.EXIT, type="market", stop_price=None, status=OrderStatus.PLANNED, position_id=None, broker_order_id=None
)


def decided(position: Position | None, *orders: Order, **terms: Any) -> list[tuple[Any, ...]]:
    decision = decide([position] if position else [], orders, Terms(**terms))
    return [(s.act, s.exit.qty if s.exit else s.order and s.order.client_order_id) for s in decision.steps]


@pytest.mark.parametrize(
    ("position", "orders", "terms", "expected"),
    [
        (LONG, [], {}, [(Act.PLACE, 100)]),
        (SHORT, [], {}, [(Act.PLACE, 100)]),
        (replace(LONG, stop_loss=None), [], {}, []),
        (LONG, [an_exit()], {}, []),
        (LONG, [an_exit(qty=D(60))], {}, [(Act.PLACE, 40)]),
        (LONG, [an_exit(qty=D(120))], {}, [(Act.CANCEL, an_exit().client_order_id)]),
        (LONG, [an_exit(qty=D(120), cancel_asked_at=at(1))], {}, [(Act.READ, an_exit().client_order_id)]),
        (LONG, [an_exit(stop_price=D(8))], {}, [(Act.CANCEL, an_exit().client_order_id)]),
        (LONG, [an_exit(broker_filled_qty=D(4))], {}, [(Act.READ, an_exit().client_order_id)]),
        (None, [an_exit()], {}, [(Act.CANCEL, an_exit().client_order_id)]),
        (SHORT, [an_exit()], {}, [(Act.CANCEL, an_exit().client_order_id)]),
        (LONG, [an_exit(status=OrderStatus.IN_DOUBT)], {}, []),
        (LONG, [], {"place": False}, []),
        (LONG, [], {"place": False, "flatten": {"SPY-1"}}, [(Act.PLACE, 100)]),
        (LONG, [an_exit()], {"flatten": {"SPY-1"}}, [(Act.CANCEL, an_exit().client_order_id)]),
        (LONG, [], {"beyond": {"SPY": D(-40)}, "unconfirmed": {"SPY"}}, [(Act.PLACE, 60)]),
        (LONG, [an_exit()], {"beyond": {"SPY": D(-40)}, "unconfirmed": {"SPY"}}, []),
        (LONG, [an_exit()], {"beyond": {"SPY": D(-40)}}, [(Act.CANCEL, an_exit().client_order_id)]),
        (LONG, [an_exit()], {"beyond": {"SPY": D(20)}}, [(Act.PLACE, 20)]),
        (LONG, [an_exit()], {"beyond": {"SPY": D(-150)}}, [(Act.CANCEL, an_exit().client_order_id)]),
        (a_position(owner=EXTERNAL), [], {}, []),
        (a_position(owner=EXTERNAL), [], {"external_pct": D(5)}, [(Act.PLACE, 100)]),
        (a_position(owner=EXTERNAL), [WAITING], {}, [(Act.WITHDRAW, WAITING.client_order_id)]),
    ],
)
def test_a_table_of_positions_and_exits(
    position: Position | None, orders: list[Order], terms: dict[str, Any], expected: list[Any]
) -> None:
    assert decided(position, *orders, **terms) == expected


@pytest.mark.parametrize(
    ("qty", "stop", "target", "expected"),
    [
        ("100", "9", None, ("stop", "gtc", "")),
        ("100", None, "12", ("limit", "gtc", "")),
        ("100", "9", "12", ("limit", "gtc", "oco")),
        ("100.5", "9", "12", ("stop", "day", "")),
        ("0.5", None, "12", ("limit", "day", "")),
    ],
)
def test_the_kind_of_exit_is_one_that_alpaca_takes(
    qty: str, stop: str | None, target: str | None, expected: tuple[str, str, str]
) -> None:
    levels = {"stop_loss": D(stop) if stop else None, "take_profit": D(target) if target else None}
    wanted = decide([a_position(quantity=qty, **levels)], [], Terms()).steps[0].exit
    assert wanted is not None
    assert (wanted.type, wanted.time_in_force, wanted.order_class) == expected


def test_a_price_away_from_another_is_on_the_tick_grid() -> None:
    assert (away_from(D("187.51"), D(-2)), away_from(D("0.5001"), D(3))) == (D("183.76"), D("0.5151"))


def worlds(random: Random) -> Iterator[tuple[list[Position], list[Order], Terms]]:
    """Books as bad luck may leave them: several owners, exits of all kinds, in all states, for too many or too few."""
    for number in range(400):
        sign = random.choice([1, -1])
        owners = random.sample(["alpha", "beta", EXTERNAL], random.randint(0, 3))
        held = [
            a_position(
                owner=owner,
                quantity=sign * random.randint(1, 9),
                position_id=f"SPY-{n}",
                stop_loss=random.choice([None, D(9)]),
                take_profit=random.choice([None, D(12)]),
                protections=random.randint(0, 3),
            )
            for n, owner in enumerate(owners)
        ]
        orders = [
            an_exit(
                f"{number}-{n}",
                side=random.choice(list(Side)),
                qty=D(random.randint(1, 9)),
                role=random.choice([Role.STOP, Role.TAKE_PROFIT, Role.EXIT, Role.FOREIGN]),
                owner=random.choice(["alpha", "beta", EXTERNAL]),
                position_id=random.choice([None, "SPY-0", "SPY-1", "SPY-9"]),
                status=random.choice(list(OrderStatus)),
            )
            for n in range(random.randint(0, 4))
        ]
        yield held, orders, Terms(external_pct=random.choice([None, D(5)]))


def exits_after(decision: Decision, orders: list[Order], held: list[Position]) -> Decimal:
    """Shares that live exits and what the decision places may sell or cover together."""
    net = sum(p.quantity for p in held)
    live = [o for o in orders if o.status is not OrderStatus.PLANNED and o.side.sign * net < 0]
    return shares(live) + sum((s.exit.qty for s in decision.steps if s.exit), D(0))


@pytest.mark.parametrize("seed", range(5))
def test_nothing_is_ever_placed_beyond_the_shares_there_are(seed: int) -> None:
    placed = 0
    for held, orders, terms in worlds(Random(seed)):
        decision = decide(held, orders, terms)
        assert len(decision.steps) <= 1
        assert decision == decide(held, orders, terms)
        if decision.steps and decision.steps[0].act is Act.PLACE:
            assert exits_after(decision, orders, held) <= abs(sum(p.quantity for p in held))
            placed += 1
    assert placed > 20
