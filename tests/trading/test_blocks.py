"""What only the running process knows is told to every other one: with its reason, its way out, and once."""

from dataclasses import replace
from typing import Any

from gambler_ai.broker.gateway import StreamState
from gambler_ai.domain.blocks import WAYS_OUT
from gambler_ai.domain.facts import order_intended
from gambler_ai.domain.orders import OrderStatus
from gambler_ai.face_status import status_of
from gambler_ai.storage.reading import reading
from gambler_ai.trading.messages import Tick
from gambler_ai.trading.session_run import SessionRun
from tests.builders import an_order
from tests.trading.driving import begun
from tests.trading.rig import Rig


def told(rig: Rig) -> list[dict[str, Any]]:
    with reading(rig.database_url, "default") as reader:
        blocks: list[dict[str, Any]] = status_of(reader, rig.folder, "default")["blocks"]
    return blocks


def test_a_difference_that_is_being_confirmed_is_told_with_both_numbers(rig: Rig) -> None:
    rig.the_broker_shows(BBB="4")
    rig.rounds(1)
    rig.blocks.tell()
    (block,) = told(rig)
    assert (block["symbol"], block["kind"]) == ("BBB", "confirming")
    assert "books say 0, the broker 4" in block["reason"]
    rig.rounds(5)
    rig.blocks.tell()
    assert told(rig) == []


def test_a_lost_broker_and_a_gap_are_told_until_a_complete_look(rig: Rig, run: SessionRun) -> None:
    loop = begun(run)
    rig.weather.answers["/v2/positions"] = "<html>"
    loop.step(StreamState("trade_updates", listening=False))
    assert {(b["symbol"], b["kind"]) for b in told(rig)} == {("*", "stream trade_updates"), ("*", "broker")}
    assert all(b["way_out"] in WAYS_OUT.values() for b in told(rig))
    del rig.weather.answers["/v2/positions"]
    rig.clock.sleep(120)
    loop.step(Tick())
    assert told(rig) == []


def test_a_session_that_ends_leaves_no_loss_behind(rig: Rig, run: SessionRun) -> None:
    loop = begun(run)
    loop.blocks.degraded["broker"] = "gone"
    loop.blocks.tell()
    assert [b["kind"] for b in told(rig)] == ["broker"]
    loop.blocks.degraded["broker"] = "gone"
    loop.finished = "the test is over"
    run.end(loop)
    assert told(rig) == []


def test_blocks_are_written_only_when_they_change(rig: Rig) -> None:
    rig.the_broker_shows(BBB="4")
    rig.rounds(1)
    rig.blocks.tell()
    since = [block["since"] for block in told(rig)]
    rig.clock.sleep(1)
    rig.rounds(1, apart_s=1)
    rig.blocks.tell()
    assert [block["since"] for block in told(rig)] == since != []


def test_three_orders_in_doubt_block_everything_and_status_says_so(rig: Rig) -> None:
    for number in range(3):
        order = an_order(f"doubt {number}", account_id=rig.state.account_id, session_id="s1", symbol="AAA")
        rig.state.record([order_intended(replace(order, status=OrderStatus.IN_DOUBT))])
    blocks = told(rig)
    assert {(b["symbol"], b["kind"]) for b in blocks} == {("AAA", "in doubt"), ("*", "in doubt")}
    assert all(b["way_out"] for b in blocks)
