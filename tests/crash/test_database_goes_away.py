"""PostgreSQL cuts every connection while a session trades: nothing is lost, nothing is sent twice, trading goes on."""

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from tests.support.waiting import eventually
from tests.support.world import World

CUT = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


@pytest.fixture
def world(tmp_path: Path, postgres_url: str) -> Iterator[World]:
    world = World(tmp_path, postgres_url, speed="60")
    yield world
    world.end()


def cut_connections(url: str) -> int:
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute(CUT)
        return len(cursor.fetchall())


def test_cut_connections_in_mid_session_lose_nothing(world: World) -> None:
    session = world.gambler.trade("--duration", "15")
    session.says("order.working")
    cut = 0
    for _ in range(12):
        cut += cut_connections(world.database_url)
        time.sleep(0.4)  # the fault's own rhythm, not a wait for a result
    assert cut >= 3
    assert session.ended().code == 0, session.log()
    world.prove_one_finished_session()


def test_a_locked_account_row_holds_orders_back_and_then_lets_them_go(world: World) -> None:
    session = world.gambler.trade("--duration", "20")
    session.says("order.working")
    with closing(psycopg2.connect(world.database_url)) as blocker:
        blocker.cursor().execute("SELECT 1 FROM accounts FOR UPDATE")
        before = len(world.exchange.posts())
        eventually(lambda: "database.lost" in session.log(), 20, "the trader to notice")
        assert len(world.exchange.posts()) <= before + 1
    assert session.ended().code == 0, session.log()
    world.prove_one_finished_session()
