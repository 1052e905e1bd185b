"""Which exits count: what protection does, what it alarms and what people are shown follow from one answer."""

from dataclasses import replace
from decimal import Decimal

import pytest

from gambler_ai.domain.orders import OrderStatus, Role
from gambler_ai.domain.policy import Policy
from gambler_ai.storage.protected import Row
from gambler_ai.storage.reading import reading
from tests.trading.rig import BRACKETED, NO_ORDER, SELL, Rig


def shown(rig: Rig) -> Row:
    with reading(rig.database_url, "default") as reader:
        (position,) = reader.positions()
    protection: Row = position["protection"]
    return protection


def a_minute_passes(rig: Rig, seconds: int = 70) -> None:
    for _ in range(seconds):
        rig.protection.run()
        rig.in_doubt.settle()
        rig.clock.sleep(1)


@pytest.mark.parametrize("weather", ["lost before", "unreachable"])
def test_shares_whose_stop_never_arrives_are_alarmed(rig: Rig, weather: str) -> None:
    rig.bought()
    rig.weather.posts = [weather] * 50
    a_minute_passes(rig, 15)
    assert rig.live_exits() == []
    assert "protection.alarm" in rig.kinds()
    assert "AAA" in rig.blocks.all()


@pytest.mark.parametrize("lost", ["lost before", "lost after"])
def test_an_emergency_sells_no_share_twice_while_a_stop_is_in_doubt(rig: Rig, lost: str) -> None:
    rig.rules = replace(rig.rules, settle_s=300)
    rig.policy = Policy(unprotected="flatten")
    rig.close()
    rig.open()
    rig.bought()
    rig.weather.posts = [lost] * 5
    rig.weather.answers["/v2/orders:by_client_order_id"] = NO_ORDER
    a_minute_passes(rig)
    stops = [o for o in rig.state.book.orders.values() if o.role is Role.STOP]
    assert [o.status for o in stops] == [OrderStatus.IN_DOUBT]
    assert [o["type"] for o in rig.at_exchange()[1:]] == (["stop"] if lost == "lost after" else [])
    rig.weather.answers.clear()
    a_minute_passes(rig)
    rig.pass_time(120)
    rig.recovery.run()
    assert sum(Decimal(o["filled_qty"]) for o in rig.at_exchange() if o["side"] == "sell") <= 10


def test_a_stop_that_may_never_have_arrived_covers_nothing_on_screen(rig: Rig) -> None:
    rig.bought()
    rig.weather.posts = ["lost before"]
    rig.protection.run()
    assert shown(rig) == {"wanted": ["stop 95"], "has": [], "missing": "10"}
    rig.in_doubt.settle()
    assert shown(rig) == {"wanted": ["stop 95"], "has": ["stop 95 x10"], "missing": "0"}


def test_an_exit_of_somebody_else_counts_on_screen_as_for_protection(rig: Rig) -> None:
    rig.bought()
    rig.by_hand("AAA", "6", "sell", type="stop", stop_price="90", time_in_force="gtc")
    rig.recovery.reconciler.round()
    assert shown(rig) == {"wanted": ["stop 95"], "has": ["of others x6"], "missing": "4"}
    assert rig.protection.decision().exposed == {rig.state.book.open_positions()[0].position_id: 4}
    rig.recovery.run()
    assert rig.protection.decision().steps == ()
    assert shown(rig) == {"wanted": ["stop 95"], "has": ["stop 95 x4", "of others x6"], "missing": "0"}


def test_a_group_and_an_exit_of_the_strategy_are_shown_as_they_work(rig: Rig) -> None:
    rig.bought(BRACKETED)
    rig.protection.run()
    assert sorted(shown(rig)["has"]) == ["stop 95 x10", "target 120 x10"]
    rig.placed(SELL, key="bar:two:0")
    rig.protection.run()
    assert shown(rig) == {"wanted": ["stop 95", "target 120"], "has": ["exit x10"], "missing": "0"}
