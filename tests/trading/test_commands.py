"""Halt, unhalt, flatten, cancel: carried out by a running session or without one, under a halt, through a crash."""

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from gambler_ai import crashpoints
from gambler_ai.crashpoints import CrashPlan, SimulatedCrash
from gambler_ai.domain.orders import Order, OrderStatus
from gambler_ai.errors import UsageError
from gambler_ai.face_status import status_of
from gambler_ai.storage.commands import Command, CommandRows
from gambler_ai.storage.reading import reading
from gambler_ai.trading.asking import ask
from gambler_ai.trading.loop import Loop
from gambler_ai.trading.messages import Tick
from gambler_ai.trading.order_desk import Blocked
from gambler_ai.trading.session_run import SessionRun
from gambler_ai.trading.shutdown import EXIT_DONE, Shutdown
from tests.trading.driving import begun, market_moves, minutes, take_all
from tests.trading.rig import BUY, PROTECTED, RESTING, SELL, Rig


def stop_file(rig: Rig) -> Path:
    return rig.folder / ".default_emergency_stop"


def held_at_exchange(rig: Rig) -> dict[str, str]:
    return {row["symbol"]: row["qty"] for row in rig.exchange.truth(None)["positions"] if row["qty"] != "0"}


def open_at_exchange(rig: Rig) -> list[str]:
    return [o["client_order_id"] for o in rig.raw("/v2/orders")]


def blocks(rig: Rig) -> list[tuple[str, str]]:
    with reading(rig.database_url, "default") as reader:
        return [(b["symbol"], b["kind"]) for b in status_of(reader, rig.folder, "default")["blocks"]]


def taken(rig: Rig, run: SessionRun, loop: Loop, command: Command) -> dict[str, Any]:
    """The session goes on until it has done it."""
    for _ in range(60):
        rig.clock.sleep(0.5)
        loop.step(Tick())
        market_moves(rig, run, seconds=4)
        take_all(run, loop)
        if (result := answer(run, command)) is not None:
            return result
    raise AssertionError("the session never did it")


def answer(run: SessionRun, command: Command) -> dict[str, Any] | None:
    found = CommandRows(run.parts.database).find(command.id)
    assert found is not None
    return found.result


def asked(run: SessionRun, kind: str, symbol: str | None = None) -> Command:
    state = run.house.books.state
    return CommandRows(run.parts.database).ask(state.account_id, kind, symbol, "3 a.m.", run.parts.clock.wall())


# --- halt -------------------------------------------------------------------------------------------------------


def test_a_halt_stops_new_risk_from_the_moment_it_is_asked_for(rig_on_both: Rig) -> None:
    rig = rig_on_both
    rig.held()
    rig.asks("halt", "AAA")
    assert isinstance(rig.place(key="later"), Blocked)
    assert isinstance(rig.place(SELL, key="out"), Order)
    assert ("AAA", "halt") in blocks(rig)


def test_a_session_takes_a_halt_and_trades_on_elsewhere(rig: Rig, run: SessionRun) -> None:
    loop = begun(run)
    command = asked(run, "halt", "AAA")
    assert taken(rig, run, loop, command) == {"ok": True}
    state = run.house.books.state
    assert [(h.symbol, h.reason) for h in state.records.active_halts()] == [("AAA", "3 a.m.")]
    assert loop.desk.requests == 0
    assert loop.finished is None


def asking(rig: Rig, kind: str, symbol: str | None, parts: Callable[[], Any] | None = None) -> tuple[int, Any]:
    rig.close()
    return ask(
        kind,
        symbol,
        "3 a.m.",
        rig.database_url,
        rig.folder,
        "default",
        Shutdown(),
        parts or (lambda: rig.opened_anew().parts),
    )


def no_broker() -> Any:
    raise AssertionError("a halt needs no broker")


def test_a_halt_without_a_session_needs_no_broker_and_survives_restarts(rig_on_both: Rig) -> None:
    rig = rig_on_both
    code, answer = asking(rig, "halt", None, no_broker)
    assert (code, answer) == (EXIT_DONE, {"ok": True})
    rig.restart()
    assert [h.symbol for h in rig.state.records.active_halts()] == [None]
    assert isinstance(rig.place(), Blocked)
    rig.prove_the_chain()


def test_the_emergency_stop_file_has_the_fields_of_the_seed(rig: Rig) -> None:
    asking(rig, "halt", None, no_broker)
    content = json.loads(stop_file(rig).read_text())
    assert set(content) == {"timestamp", "account", "symbol", "reason", "additional_data"}
    assert (content["symbol"], content["reason"]) == (None, "3 a.m.")


def test_with_the_database_lost_a_halt_of_the_account_is_the_file_and_one_of_a_symbol_an_error(rig: Rig) -> None:
    rig.close()
    rig.database_url = f"sqlite:///{rig.folder / 'gone.db'}"
    code, answer = asking(rig, "halt", None, no_broker)
    assert (code, stop_file(rig).exists()) == (EXIT_DONE, True)
    assert "no database" in answer["why"]
    with pytest.raises(Exception, match="no database"):
        asking(rig, "halt", "AAA", no_broker)


def test_nobody_commands_an_account_that_was_never_bound(rig: Rig) -> None:
    rig.close()
    with pytest.raises(UsageError, match="no account is bound"):
        ask("cancel", None, "why", rig.database_url, rig.folder, "other", Shutdown(), no_broker)


# --- unhalt -----------------------------------------------------------------------------------------------------


def test_unhalt_of_a_running_session_looks_first_and_lifts(rig: Rig, run: SessionRun) -> None:
    loop = begun(run)
    taken(rig, run, loop, asked(run, "halt"))
    assert stop_file(rig).exists()
    result = taken(rig, run, loop, asked(run, "unhalt"))
    assert (result["ok"], [h["symbol"] for h in result["lifted"]]) == (True, [None])
    assert (stop_file(rig).exists(), run.house.books.state.records.active_halts()) == (False, [])


def test_unhalt_keeps_what_still_differs_and_lifts_the_rest(rig: Rig) -> None:
    rig.held()
    rig.the_broker_shows(AAA="7")
    rig.rounds(6)
    rig.told("halt", "BBB")
    result = rig.told("unhalt", None)
    assert [h["symbol"] for h in result["lifted"]] == ["BBB"]
    assert [h["symbol"] for h in result["kept"]] == ["AAA"]


def test_an_unreadable_emergency_stop_file_halts_and_unhalt_removes_it(rig: Rig) -> None:
    stop_file(rig).write_bytes(b"\xff{")
    assert isinstance(rig.place(), Blocked)
    assert rig.told("unhalt", None)["ok"]
    assert not stop_file(rig).exists()


# --- cancel -----------------------------------------------------------------------------------------------------


def test_cancel_ends_every_open_order_and_keeps_what_protects(rig_on_both: Rig) -> None:
    rig = rig_on_both
    rig.bought(PROTECTED)
    rig.protection.run()
    resting = rig.placed(RESTING.__class__("BBB", RESTING.side, Decimal(10), type="limit", limit_price=Decimal(20)))
    foreign = rig.by_hand("BBB", "3", type="limit", limit_price="10")
    rig.recovery.run()
    result = rig.told("cancel", None)
    assert set(result["cancelled"]) == {resting.client_order_id, foreign["client_order_id"]}
    assert (result["ok"], open_at_exchange(rig)) == (True, result["kept"])


def test_cancel_of_a_symbol_leaves_the_others(rig: Rig) -> None:
    rig.by_hand("BBB", "3", type="limit", limit_price="10")
    order = rig.by_hand("AAA", "3", type="limit", limit_price="10")
    rig.told("cancel", "BBB")
    assert open_at_exchange(rig) == [order["client_order_id"]]


# --- flatten ----------------------------------------------------------------------------------------------------


def closing(rig: Rig, kind: str, symbol: str | None) -> dict[str, Any]:
    """Without a session, while the market moves on."""
    rig.weather.every_look = lambda: rig.pass_time(60)
    result = rig.told(kind, symbol)
    rig.weather.every_look = lambda: None
    return result


def test_flatten_cancels_what_protects_and_closes_everything(rig_on_both: Rig) -> None:
    rig = rig_on_both
    rig.bought(PROTECTED)
    rig.protection.run()
    rig.by_hand("BBB", "5")
    rig.pass_time(60)
    rig.recovery.run()
    result = closing(rig, "flatten", None)
    assert (result["ok"], result["open"], held_at_exchange(rig), rig.shares) == (True, {}, {}, {})
    assert open_at_exchange(rig) == []
    sells = [o for o in rig.at_exchange() if o["side"] == "sell" and o["status"] == "filled"]
    assert sorted(o["client_order_id"][:5] for o in sells) == ["g1-c-", "g1-c-"]
    rig.prove_the_chain()


def test_flatten_of_a_symbol_under_a_halt_closes_that_symbol_only(rig: Rig) -> None:
    rig.held()
    rig.by_hand("BBB", "5")
    rig.pass_time(60)
    rig.recovery.run()
    rig.told("halt", None)
    assert closing(rig, "flatten", "AAA")["ok"]
    assert held_at_exchange(rig) == {"BBB": "5"}


def test_a_session_flattens_when_asked_and_takes_no_entry_meanwhile(rig: Rig, run: SessionRun) -> None:
    loop = begun(run)
    minutes(rig, run, loop, 4)
    assert held_at_exchange(rig)
    taken(rig, run, loop, asked(run, "halt"))
    result = taken(rig, run, loop, asked(run, "flatten"))
    assert (result["ok"], held_at_exchange(rig), run.house.books.state.book.open_positions()) == (True, {}, [])


def test_a_flatten_that_is_asked_for_blocks_entries_before_anybody_takes_it(rig: Rig) -> None:
    rig.asks("flatten", "AAA")
    assert isinstance(rig.place(BUY), Blocked)
    assert ("AAA", "flatten") in blocks(rig)


@pytest.mark.parametrize("passing", [1, 2, 3, 4, 5, 6])
def test_a_flatten_killed_anywhere_is_finished_by_the_next_start_and_sells_nothing_twice(
    rig: Rig, passing: int
) -> None:
    rig.bought(PROTECTED)
    rig.protection.run()
    command = rig.asks("flatten", "AAA")
    crashpoints.arm(CrashPlan("transaction.before_commit", passing, in_process=True))
    assert rig.house is not None
    commands = rig.house.commands(rig.recovery)

    def until_killed() -> None:
        for _ in range(30):
            rig.pass_time(60)
            rig.recovery.reconciler.round()
            commands.step()

    with pytest.raises(SimulatedCrash):
        until_killed()
    rig.restart()
    rig.pass_time(60)
    rig.told("flatten", "AAA")
    assert rig.answer(command) is not None
    assert (held_at_exchange(rig), rig.shares) == ({}, {})
    assert sum(o["side"] == "sell" and o["status"] == "filled" for o in rig.at_exchange()) == 1


def test_flatten_with_the_market_closed_says_what_is_left(rig: Rig) -> None:
    rig.held()
    rig.pass_time(24_000)
    result = rig.told("flatten", None)
    assert (result["ok"], result["open"], len(result["closing"])) == (False, {"AAA": "10"}, 1)
    (order,) = [o for o in rig.state.book.orders.values() if o.client_order_id in result["closing"]]
    assert order.status is OrderStatus.WORKING
