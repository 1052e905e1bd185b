"""Kill at every named point, start again, count the shares.

Each case is a real session against a real exchange; the cases run a few at a time while the tests wait for them.
"""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from gambler_ai.crashpoints import POINTS
from tests.support.databases import KINDS, new_database
from tests.support.world import World

AT_ONCE = 3
IN_A_RESUME = {
    "session.before_resume": "order.after_outcome",
    "session.after_resume": "order.after_outcome",
    "recovery.before_lookup": "order.after_send",
    "recovery.after_lookup": "order.after_send",
    "recovery.before_resolve": "order.after_send",
    "recovery.after_resolve": "order.after_send",
    "recovery.before_apply": "order.after_outcome",
    "recovery.after_apply": "order.after_outcome",
}
"""Points only a recovery passes, and where the session before it has to be killed."""

LATER = {
    "order.before_intent": (3,),
    "order.after_intent": (3,),
    "order.before_send": (2,),
    "order.after_send": (4,),
    "order.before_outcome": (3,),
    "order.after_outcome": (3,),
    "fill.before_commit": (1, 3),
    "fill.after_commit": (2,),
    "transaction.before_commit": (1, 4, 9),
    "transaction.after_commit": (3, 8),
}
"""Which passing of a point ends the process, when not the first."""

BY_A_CANCEL = tuple(point for point in POINTS if point.startswith("cancel."))
BY_AN_EVENT = tuple(point for point in POINTS if point.startswith("event."))
CASES = [f"{point}:{passing}" for point in POINTS if point not in BY_A_CANCEL for passing in LATER.get(point, (1,))]


@pytest.fixture(scope="module")
def begun(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[tuple[str, str], Future[None]]]:
    """Every chosen case of this module, running or done."""
    chosen = [
        item.callspec.params
        for item in request.session.items
        if isinstance(item, pytest.Function)
        and item.originalname == "test_a_crash_at_every_point_loses_and_doubles_nothing"
    ]
    wanted = [(one["kind"], one["case"]) for one in chosen]
    server = request.getfixturevalue("postgres") if any(kind == "postgresql" for kind, _ in wanted) else ""
    root = tmp_path_factory.mktemp("crash")

    def run(kind: str, case: str) -> None:
        directory = root / f"{kind}-{case.replace(':', '-')}"
        crash_and_go_on(directory, new_database(kind, directory, server), case)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {(kind, case): pool.submit(run, kind, case) for kind, case in wanted}
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", CASES)
def test_a_crash_at_every_point_loses_and_doubles_nothing(
    begun: dict[tuple[str, str], Future[None]], case: str, kind: str
) -> None:
    begun[kind, case].result()


def crash_and_go_on(directory: Path, database_url: str, case: str) -> None:
    """Session, crash, restart, proof; raises AssertionError when a promise is broken."""
    point = case.partition(":")[0]
    by_hand = point in BY_AN_EVENT
    world = World(directory, database_url, speed="manual" if by_hand else "paced")
    try:
        if by_hand:
            crash_at_an_order_by_hand(world, case)
        else:
            first = IN_A_RESUME.get(point, case)
            ended = world.gambler.trade("--duration", "12", GAMBLER_TEST="1", GAMBLER_CRASH_AT=first).ended()
            assert ended.code == 137, f"{first} was not passed:\n{ended.err}"
            if point in IN_A_RESUME:
                ended = world.gambler.crash(case, "run", "--resume")
                assert ended.code == 137, f"{case} was not passed:\n{ended.err}"
        again = world.resume_to_the_end()
        assert again.code == 0, again.err
        world.prove_one_finished_session()
    finally:
        world.end()


def crash_at_an_order_by_hand(world: World, case: str) -> None:
    """Somebody else's resting order is the event without a fill."""
    running = world.gambler.trade("--duration", "12", GAMBLER_TEST="1", GAMBLER_CRASH_AT=case)
    running.says("stream.listening", times=2)
    world.exchange.order("AAA", "1", "buy", type="limit", limit_price="90")
    ended = running.ended()
    assert ended.code == 137, f"{case} was not passed:\n{ended.err}"
    world.exchange.clock(speed="paced")
