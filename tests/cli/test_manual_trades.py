"""What somebody does by hand in the account while we are down, and what recovery makes of it."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.support.world import World

BOOKS = ("orders", "fills", "positions", "trading_sessions", "halts")


@pytest.fixture
def world(tmp_path: Path, database_url: str) -> Iterator[World]:
    """An account whose session was killed with 19 or more AAA or BBB in hand."""
    one = World(tmp_path, database_url, partial="0")
    crashed = one.gambler.trade("--duration", "30", GAMBLER_TEST="1", GAMBLER_CRASH_AT="fill.after_commit").ended()
    assert crashed.code == 137, crashed.err
    yield one
    one.end()


def ours(world: World) -> dict[str, Any]:
    """The one position our strategy holds."""
    (position,) = [row for row in world.query("SELECT * FROM positions") if row["owner"] != "EXTERNAL"]
    return position


def other(symbol: str) -> str:
    return {"AAA": "BBB", "BBB": "AAA"}[symbol]


def by_hand(world: World, symbol: str) -> list[dict[str, Any]]:
    """Orders of ours in a symbol at the exchange since the crash."""
    return [o for o in world.exchange.truth()["orders"] if o["symbol"] == symbol and o["source"] == "dashboard"]


def test_orders_and_shares_of_somebody_else_are_recorded_and_never_traded(world: World) -> None:
    symbol = other(ours(world)["symbol"])
    world.exchange.order(symbol, "7", "buy")
    resting = world.exchange.order(symbol, "3", "buy", type="limit", limit_price="10")
    session = world.gambler("run", "--resume")
    assert session.code == 0, session.err
    world.prove_one_finished_session()
    foreign = world.query(f"SELECT * FROM positions WHERE symbol = '{symbol}' AND owner = 'EXTERNAL'")
    assert [(Decimal(p["quantity"]), p["origin"], p["status"]) for p in foreign] == [(7, "external", "open")]
    recorded = world.query(f"SELECT * FROM orders WHERE broker_order_id = '{resting['id']}'")[0]
    assert (recorded["role"], recorded["owner"], recorded["status"]) == ("-", "EXTERNAL", "WORKING")
    assert not [r for r in world.exchange.posts() if r["method"] != "POST"]
    still = next(o for o in world.exchange.truth()["orders"] if o["id"] == resting["id"])
    assert still["status"] in ("new", "accepted")


def test_shares_somebody_else_bought_in_our_symbol_are_not_sold_by_us(world: World) -> None:
    mine = ours(world)
    world.exchange.order(mine["symbol"], "5", "buy")
    assert world.gambler("run", "--resume").code == 0
    world.prove_one_finished_session()
    foreign = world.query(f"SELECT * FROM positions WHERE symbol = '{mine['symbol']}' AND owner = 'EXTERNAL'")
    assert [(Decimal(p["quantity"]), p["status"]) for p in foreign] == [(5, "open")]


def test_a_position_closed_by_hand_is_closed_in_the_books_at_its_real_price(world: World) -> None:
    mine = ours(world)
    sold = world.exchange.order(mine["symbol"], str(mine["quantity"]).rstrip("0").rstrip("."), "sell")
    (execution,) = [e for e in world.exchange.truth()["executions"] if e["order_id"] == sold["id"]]
    assert world.gambler("reconcile", "--json").code == 0
    after = next(p for p in world.query("SELECT * FROM positions") if p["position_id"] == mine["position_id"])
    assert after["status"] == "closed"
    assert Decimal(after["exit_price"]) == Decimal(execution["price"])
    assert after["exit_reason"] == "closed by hand"
    assert Decimal(after["pnl"]) == Decimal(mine["quantity"]) * (
        Decimal(execution["price"]) - Decimal(mine["entry_price"])
    )
    world.prove()


@pytest.mark.parametrize("command", [("run", "--reconcile-only"), ("reconcile",)])
def test_a_second_reconcile_changes_nothing_and_sends_nothing(world: World, command: tuple[str, ...]) -> None:
    symbol = other(ours(world)["symbol"])
    world.exchange.order(symbol, "7", "buy")
    world.exchange.order(symbol, "3", "buy", type="limit", limit_price="10")
    first = world.gambler(*command, "--json")
    assert first.code == 0, first.err
    assert {action["row"] for action in first.json()["plan"]} >= {"R4", "R12"}
    books, journal, sent = world.tables(*BOOKS), journal_of(world), world.exchange.posts()
    second = world.gambler(*command, "--json")
    assert second.code == 0, second.err
    assert (second.json()["plan"], second.json()["applied"], second.json()["requests"]) == ([], [], 0)
    assert world.tables(*BOOKS) == books
    assert journal_of(world) == [*journal, "recovery.report"]
    assert world.exchange.posts() == sent


def test_a_dry_run_tells_the_plan_and_changes_nothing_at_all(world: World) -> None:
    world.exchange.order("AAA", "7", "buy")
    books, journal, sent = world.tables(*BOOKS), journal_of(world), world.exchange.posts()
    dry = world.gambler("reconcile", "--dry-run", "--json")
    assert "R4" in {action["row"] for action in dry.json()["plan"]}
    assert world.tables(*BOOKS) == books
    assert journal_of(world) == journal
    assert world.exchange.posts() == sent


def journal_of(world: World) -> list[str]:
    return [row["kind"] for row in world.query("SELECT kind FROM order_journal ORDER BY seq")]
