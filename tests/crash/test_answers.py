"""Answers that lie about what happened to an order: accepted and spoilt, or refused and spoilt."""

from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.together import begun, chosen
from tests.support.world import World

TOTAL_DEADLINE_S = 15
SPOILT = {
    "reset": {},
    "status": {"code": 504},
    "html": {},
    "hang": {"seconds": 20},
}
CASES = {f"{name}_{when}": more for name, more in SPOILT.items() for when in ("after", "before")}
CASES |= {"truncate_after": {}, "trickle_after": {"seconds": 0.1}}


@pytest.fixture(scope="module")
def ended(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., None]]:
    root = tmp_path_factory.mktemp("answers")
    cases = chosen(request, "test_a_spoilt_answer_means_one_order_or_none_as_the_exchange_says")
    slowest_first = sorted(cases, key=lambda case: "seconds" not in CASES[case["act"]])
    with begun(slowest_first, lambda act: trade_with(root / act, act)) as wait:
        yield wait


@pytest.mark.parametrize("act", CASES)
def test_a_spoilt_answer_means_one_order_or_none_as_the_exchange_says(ended: Callable[..., None], act: str) -> None:
    ended(act=act)


def trade_with(directory: Path, act: str) -> None:
    world = World(directory, f"sqlite:///{directory / 'gambler.db'}")
    try:
        world.exchange.fault(act, times=1, **CASES[act])
        session = world.gambler.trade("--duration", "12").ended()
        assert session.code == 0, session.err
        world.prove_one_finished_session()
        spoilt = next(r for r in world.exchange.posts() if r["path"] == "/v2/orders")
        order = world.query(f"SELECT * FROM orders WHERE client_order_id = '{spoilt['client_order_id']}'")[0]
        assert order["status"] == "FILLED"
        assert order["attempts"] == (2 if act.endswith("before") else 1)
        assert not world.query("SELECT 1 FROM orders WHERE status = 'REJECTED'")
        assert longest_silence_s(world) < TOTAL_DEADLINE_S + 2
    finally:
        world.end()


def longest_silence_s(world: World) -> float:
    """The longest time in which the trader asked for nothing."""
    times = [datetime.fromisoformat(request["wall_at"]) for request in world.exchange.truth()["requests"]]
    return max((later - earlier).total_seconds() for earlier, later in pairwise(times))


def test_orders_that_never_arrive_end_as_absent_and_are_not_sent_under_a_new_id(tmp_path: Path) -> None:
    world = World(tmp_path, f"sqlite:///{tmp_path / 'gambler.db'}")
    try:
        world.exchange.fault("status_before", code=504)
        assert world.gambler.trade("--duration", "12").ended().code == 0
        settled = world.gambler("reconcile", "--json")
        assert settled.code == 0, settled.err
        world.prove_one_finished_session()
        sent = {request["client_order_id"] for request in world.exchange.posts()}
        assert {row["status"] for row in world.query("SELECT status FROM orders")} == {"ABSENT"}
        assert sent == {row["client_order_id"] for row in world.query("SELECT client_order_id FROM orders")}
        assert not world.exchange.truth()["orders"]
    finally:
        world.end()
