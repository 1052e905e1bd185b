"""Levels of a position as the books tell them, whatever happened between its entries; on both databases."""

import json
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from gambler_ai.domain import facts
from gambler_ai.domain.adjustments import Adjustment
from gambler_ai.domain.grid import Level, levels
from gambler_ai.storage.records import Records
from tests.trading.rig import BUY, KEYS, RESTING, SELL, Rig

D = Decimal


@pytest.fixture
def rig(tmp_path: Path, database_url: str) -> Iterator[Rig]:
    rig = Rig(tmp_path, database_url)
    yield rig
    rig.close()
    rig.exchange.close()


def bought(rig: Rig, qty: str, key: str) -> None:
    rig.placed(replace(BUY, qty=D(qty)), key)
    rig.pass_time(60)
    rig.recovery.run()


def of_alpha(rig: Rig) -> list[Level]:
    (position,) = [p for p in rig.state.book.open_positions() if p.owner == "alpha"]
    return levels(rig.state.records.steps_of(position), position.quantity, position.entry_price, position.entry_time)


def shown(rig: Rig) -> list[tuple[int, Decimal]]:
    return [(one.number, one.qty) for one in of_alpha(rig)]


def test_every_entry_is_a_level_at_its_own_price(rig: Rig) -> None:
    bought(rig, "10", "bar:1:0")
    bought(rig, "0.5", "bar:2:0")
    at_exchange = [(D(o["filled_qty"]), D(o["filled_avg_price"])) for o in rig.at_exchange()]
    assert [(one.qty, one.price) for one in of_alpha(rig)] == at_exchange


def test_exits_and_trades_by_hand_take_the_newest_level_first(rig: Rig) -> None:
    for number in range(3):
        bought(rig, "10", f"bar:{number}:0")
    rig.placed(replace(SELL, qty=D(4)), "bar:7:0")
    rig.by_hand(qty="8", side="sell")
    rig.pass_time(60)
    rig.recovery.run()
    assert shown(rig) == [(0, D(10)), (1, D(8))]


def test_the_position_before_the_last_flat_moment_has_no_levels_any_more(rig: Rig) -> None:
    bought(rig, "10", "bar:1:0")
    rig.placed(SELL, "bar:2:0")
    rig.pass_time(60)
    rig.recovery.run()
    bought(rig, "3", "bar:3:0")
    assert shown(rig) == [(0, D(3))]


def test_shares_of_somebody_else_are_no_level(rig: Rig) -> None:
    bought(rig, "10", "bar:1:0")
    rig.by_hand(qty="5")
    rig.pass_time(60)
    rig.recovery.run()
    assert shown(rig) == [(0, D(10))]


def test_a_replaced_entry_is_one_level_with_its_first_id(rig: Rig) -> None:
    first = rig.placed(RESTING)
    (there,) = rig.at_exchange()
    answer = rig.exchange.request("PATCH", f"/v2/orders/{there['id']}", {}, json.dumps({"limit_price": "150"}), *KEYS)
    assert answer.status == 200, answer.body
    rig.pass_time(60)
    rig.recovery.run()
    assert [(one.qty, one.client_order_id) for one in of_alpha(rig)] == [(D(10), first.client_order_id)]


def test_a_split_changes_every_level(rig: Rig) -> None:
    bought(rig, "10", "bar:1:0")
    bought(rig, "20", "bar:2:0")
    before = of_alpha(rig)
    change = Adjustment("AAA", D(60), D(0), rig.clock.now(), "split", D(2))
    rig.state.record([facts.position_adjusted(change, {})])
    assert shown(rig) == [(0, D(20)), (1, D(40))]
    assert [one.price * 2 for one in of_alpha(rig)] == [one.price for one in before]


def test_levels_cost_the_same_few_reads_however_many_fills_there_were(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.held()
    for number in range(5):
        rig.placed(replace(BUY, qty=Decimal(1)), f"bar:{number}:0")
        rig.pass_time(60)
        rig.in_doubt.settle()
        rig.recovery.run()
    (position,) = rig.state.book.open_positions()
    reads = []
    real = Records._all

    def counted(self: Records, query: Any, **values: Any) -> list[Any]:
        reads.append(query)
        return real(self, query, **values)

    monkeypatch.setattr(Records, "_all", counted)
    assert len(rig.state.records.steps_of(position)) == 6
    assert len(reads) == 3
