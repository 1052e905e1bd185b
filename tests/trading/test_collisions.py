"""Answers that belong to somebody else, or to nobody: no conclusion is drawn from them."""

import json

import pytest

from gambler_ai.domain.orders import OrderStatus
from gambler_ai.errors import AnotherAccount, BrokerUnreachable
from gambler_ai.trading.messages import Tick
from gambler_ai.trading.session_run import SessionRun
from tests.trading.driving import begun
from tests.trading.rig import Rig


def test_another_order_under_our_id_is_neither_booked_nor_touched(rig: Rig) -> None:
    rig.weather.posts = ["lost before"]
    order = rig.placed()
    rig.by_hand("BBB", "3", client_order_id=order.client_order_id)
    rig.pass_time(60)
    rig.recovery.run()
    rig.settle_for(30)
    assert (rig.shares, rig.order(order).status) == ({}, OrderStatus.IN_DOUBT)
    assert rig.weather.sent == ["POST"]


def test_a_collision_halts_the_account_once_however_often_it_is_seen(rig: Rig) -> None:
    rig.weather.posts = ["lost before"]
    order = rig.placed()
    rig.by_hand("BBB", "3", client_order_id=order.client_order_id)
    rig.settle_for(60)
    rig.rounds(3)
    rig.restart()
    assert [halt.symbol for halt in rig.state.records.active_halts()] == [None]
    assert rig.kinds().count("halt.raised") == 1


def test_a_look_at_another_account_stops_and_changes_nothing(rig: Rig) -> None:
    rig.held()
    rows, shares = rig.kinds(), rig.shares
    rig.the_broker_shows()
    account = {**rig.raw("/v2/account"), "id": "00000000-0000-4000-8000-000000000001"}
    rig.weather.answers["/v2/account"] = json.dumps(account)
    with pytest.raises(AnotherAccount):
        rig.recovery.run()
    assert (rig.kinds(), rig.shares) == (rows, shares)


def test_a_session_whose_keys_open_another_account_ends(rig: Rig, run: SessionRun) -> None:
    loop = begun(run)
    account = {**rig.raw("/v2/account"), "id": "00000000-0000-4000-8000-000000000001"}
    rig.weather.answers["/v2/account"] = json.dumps(account)
    rig.clock.sleep(3700)
    with pytest.raises(AnotherAccount):
        loop.step(Tick())


@pytest.mark.parametrize("lying", ["/v2/positions", "/v2/positions and /v2/positions/AAA"])
def test_an_empty_list_of_positions_closes_nothing_when_others_disagree(rig: Rig, lying: str) -> None:
    rig.held()
    shares = rig.shares
    rig.the_broker_shows()
    del rig.weather.answers["/v2/account"]
    if lying == "/v2/positions":
        del rig.weather.answers["/v2/positions/AAA"]
    for _ in range(6):
        with pytest.raises(BrokerUnreachable):
            rig.rounds(1)
        rig.clock.sleep(3)
    rig.weather.answers.clear()
    rig.rounds(6)
    assert rig.shares == shares


def test_a_mismatch_is_resolved_by_closing_the_symbol_at_the_broker(rig: Rig) -> None:
    rig.held()
    rig.the_broker_shows(AAA="7")
    rig.rounds(6)
    assert [halt.symbol for halt in rig.state.records.active_halts()] == ["AAA"]
    rig.the_broker_shows()
    rig.rounds(6)
    assert rig.shares == {}
    assert rig.recovery.reconciler.blocks() == {}
