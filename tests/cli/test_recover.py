"""`gambler recover --from-broker` as a person uses it: the session was killed, and its database is gone."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gambler_ai.operations.proof import compare
from tests.support.gambler import Result
from tests.support.world import LABEL, World

TRADED = "order.after_outcome:3"


@pytest.fixture
def world(tmp_path: Path, sqlite_url: str) -> Iterator[World]:
    world = World(tmp_path, sqlite_url)
    yield world
    world.end()


def killed_in_mid_session(world: World) -> None:
    crashed = world.gambler.trade("--duration", "12", GAMBLER_TEST="1", GAMBLER_CRASH_AT=TRADED).ended()
    assert crashed.code == 137, crashed.err


def refused(result: Result) -> str:
    assert result.code == 5, result.err
    assert "recover --from-broker" in result.message
    return result.message


def test_the_database_is_deleted_rebuilt_proven_and_traded_on(world: World) -> None:
    killed_in_mid_session(world)
    assert "is not empty" in refused_over_books(world)
    world.lose_the_database()
    refused(world.gambler("run", "--resume"))
    sent = len(world.exchange.posts())
    shown = world.gambler("recover", "--from-broker", "--dry-run", "--json")
    assert not world.query_if_any("SELECT session_id FROM trading_sessions")
    done = world.gambler("recover", "--from-broker", "--json")
    assert (shown.code, done.code) == (0, 0), done.err
    assert done.json()["applied"] == shown.json()["plan"]
    assert compare(world.exchange.truth(), world.database_url, LABEL) == []
    assert world.gambler("journal", "verify", "--json").json()["rebuilt_equal"] is True
    assert world.gambler("reconcile").code == 0
    assert len(world.exchange.posts()) == sent
    assert world.gambler.trade("--duration", "6").ended().code == 0
    assert len(world.exchange.posts()) > sent
    world.prove()


def refused_over_books(world: World) -> str:
    result = world.gambler("recover", "--from-broker")
    assert result.code == 5, result.err
    return result.message


def test_a_damaged_file_is_left_alone_and_the_way_out_is_named(world: World) -> None:
    killed_in_mid_session(world)
    file = Path(world.database_url.removeprefix("sqlite:///"))
    for end in ("-wal", "-shm"):
        Path(f"{file}{end}").unlink(missing_ok=True)
    content = file.read_bytes()
    file.write_bytes(b"garbage" + content[7:])
    refused(world.gambler("run", "--resume"))
    refused(world.gambler("recover", "--from-broker"))
    file.write_bytes(content[: len(content) // 2])
    refused(world.gambler("run", "--resume"))
    assert file.read_bytes() == content[: len(content) // 2]


def test_without_saying_from_where_nothing_is_rebuilt(world: World) -> None:
    result = world.gambler("recover")
    assert (result.code, "recover --from-broker" in result.message) == (2, True)
