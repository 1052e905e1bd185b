"""Who changes what is written is refused; who changes it anyway is found."""

from typing import Any

import pytest
from sqlalchemy.exc import DBAPIError

from gambler_ai.domain import facts
from gambler_ai.domain.facts import note
from gambler_ai.domain.fills import Fill
from gambler_ai.domain.market import iso
from gambler_ai.errors import AlreadyStored
from gambler_ai.storage import models
from gambler_ai.storage.database import Database
from gambler_ai.storage.head_file import Head
from gambler_ai.storage.journal import GENESIS, Ledger, chained
from gambler_ai.storage.verify import Verdict
from tests.builders import D, an_order, at
from tests.storage.rig import one, run, trade, verdict_of, without_triggers

NOT_HASHED = ("prev_hash", "hash")


@pytest.fixture
def traded(database: Database, ledger: Ledger) -> Database:
    trade(ledger, seed=11, steps=120)
    assert ledger.head.seq > 30
    return database


@pytest.fixture
def unprotected(traded: Database) -> Database:
    without_triggers(traded)
    return traded


REFUSED = [
    "UPDATE order_journal SET error = 'x' WHERE seq = 3",
    "DELETE FROM order_journal WHERE seq = 3",
    "DELETE FROM order_journal",
    "INSERT INTO order_journal SELECT * FROM order_journal WHERE seq = 3",
]


def test_a_written_row_is_neither_changed_nor_removed_nor_written_again(traded: Database) -> None:
    before = one(traded, "SELECT count(*) FROM order_journal")
    for statement in REFUSED:
        with pytest.raises(AlreadyStored, match="the journal is append-only"):
            run(traded, statement)
    assert one(traded, "SELECT count(*) FROM order_journal") == before
    assert verdict_of(traded).ok


def test_postgresql_refuses_truncate_and_sqlite_refuses_replace(traded: Database) -> None:
    replace = "INSERT OR REPLACE INTO order_journal SELECT * FROM order_journal WHERE seq = 3"
    with pytest.raises(AlreadyStored, match="the journal is append-only"):
        run(traded, replace if traded.is_sqlite else "TRUNCATE order_journal")
    assert verdict_of(traded).ok


def test_a_whole_chain_is_whole(traded: Database, ledger: Ledger) -> None:
    verdict = verdict_of(traded)
    assert (verdict.ok, verdict.head, verdict.rows) == (True, ledger.head, ledger.head.seq)


def test_an_empty_journal_is_whole(database: Database, ledger: Ledger) -> None:
    assert verdict_of(database).rows == 1


HASHED = [c.name for c in models.order_journal.columns if c.name not in (*NOT_HASHED, "account_id", "seq")]


def verdict_after(database: Database, table: str, column: str, value: str, where: str) -> Verdict:
    """What is said after this change of one column, which is taken back then."""
    before = one(database, f"SELECT {column} FROM {table} WHERE {where}")
    run(database, f"UPDATE {table} SET {column} = '{value}' WHERE {where}")
    found = verdict_of(database)
    run(database, f"UPDATE {table} SET {column} = :before WHERE {where}", before=before)
    return found


def test_a_change_of_any_column_is_found(unprotected: Database) -> None:
    values: dict[str, Any] = {"at": iso(at(99)), "wall_at": iso(at(99)), "payload": "{}"}
    for column in HASHED:
        verdict = verdict_after(unprotected, "order_journal", column, values.get(column, "7"), "seq = 9")
        assert (column, verdict.first_bad_seq) == (column, 9)
    assert verdict_of(unprotected).ok


def test_nothing_turned_into_an_empty_text_is_found(unprotected: Database) -> None:
    for column in ("error", "session_id", "position_id", "broker_order_id", "side"):
        empty = one(unprotected, f"SELECT min(seq) FROM order_journal WHERE {column} IS NULL")
        assert verdict_after(unprotected, "order_journal", column, "", f"seq = {empty}").first_bad_seq == empty


def test_a_removed_row_is_found(unprotected: Database) -> None:
    run(unprotected, "DELETE FROM order_journal WHERE seq = 17")
    assert verdict_of(unprotected).first_bad_seq == 17


def test_two_swapped_rows_are_found(unprotected: Database) -> None:
    for old, new in ((12, -1), (13, 12), (-1, 13)):
        run(unprotected, f"UPDATE order_journal SET seq = {new} WHERE seq = {old}")
    assert verdict_of(unprotected).first_bad_seq == 12


def test_a_cut_tail_is_found_by_the_accounts_head(unprotected: Database, ledger: Ledger) -> None:
    run(unprotected, f"DELETE FROM order_journal WHERE seq > {ledger.head.seq - 2}")
    assert verdict_of(unprotected).first_bad_seq == ledger.head.seq - 1


def test_a_row_too_many_is_found(unprotected: Database, ledger: Ledger) -> None:
    before = one(unprotected, f"SELECT prev_hash FROM order_journal WHERE seq = {ledger.head.seq}")
    run(unprotected, f"UPDATE accounts SET seq = seq - 1, hash = '{before}'")
    assert not verdict_of(unprotected).ok


def test_a_row_hashed_anew_breaks_the_next_one(unprotected: Database) -> None:
    fields = {c.name: "x" for c in models.order_journal.columns}
    forged = chained(GENESIS, fields)
    run(unprotected, f"UPDATE order_journal SET hash = '{forged}' WHERE seq = 20")
    assert verdict_of(unprotected).first_bad_seq == 20


def test_only_the_tail_is_read_when_a_head_is_known(unprotected: Database, ledger: Ledger) -> None:
    known = Head(20, one(unprotected, "SELECT hash FROM order_journal WHERE seq = 20"))
    run(unprotected, "UPDATE order_journal SET error = 'x' WHERE seq = 9")
    verdict = verdict_of(unprotected, since=known)
    assert (verdict.ok, verdict.rows) == (True, ledger.head.seq - 20)
    assert verdict_of(unprotected, since=Head(20, "0" * 64)).first_bad_seq == 21


def test_progress_is_told_and_batches_lose_nothing(traded: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gambler_ai.storage.verify._BATCH", 7)
    told: list[int] = []
    verdict = verdict_of(traded, progress=told.append)
    assert (verdict.ok, told) == (True, list(range(7, verdict.rows + 1, 7)))


@pytest.mark.parametrize(("table", "key"), [("orders", "client_order_id"), ("positions", "position_id")])
def test_a_changed_table_row_is_named_with_its_column(traded: Database, table: str, key: str) -> None:
    found = one(traded, f"SELECT min({key}) FROM {table}")
    columns = {"orders": {"filled_qty": "12345", "error": "x", "broker_updated_at": iso(at(999))}}
    for column, value in columns.get(table, {"quantity": "12345", "pnl_pct": "99", "exit_reason": "x"}).items():
        verdict = verdict_after(traded, table, column, value, f"{key} = '{found}'")
        assert verdict.differences == (f"{table}: {found} differs in {column}",)
    assert verdict_of(traded).ok


def test_a_changed_and_a_removed_fill_are_named(traded: Database) -> None:
    changed, removed = (one(traded, f"SELECT {which}(client_order_id) FROM fills") for which in ("min", "max"))
    run(traded, f"UPDATE fills SET price = '1' WHERE client_order_id = '{changed}'")
    run(traded, f"DELETE FROM fills WHERE client_order_id = '{removed}'")
    said = verdict_of(traded).differences
    assert {line.partition(" ")[0] for line in said} == {"fills:"}
    assert {line.split()[1]: line.split(" ", 3)[3] for line in said} == {
        changed: "differs in price",
        removed: "is not stored",
    }


def test_a_removed_position_is_named(traded: Database) -> None:
    gone = one(traded, "SELECT min(position_id) FROM positions")
    run(traded, f"DELETE FROM positions WHERE position_id = '{gone}'")
    assert verdict_of(traded).differences == (f"positions: {gone} is not stored",)


def test_a_row_without_a_journal_row_is_named(traded: Database) -> None:
    names = ", ".join(c.name for c in models.fills.columns if c.name not in ("client_order_id", "execution_id"))
    run(traded, f"INSERT INTO fills (client_order_id, {names}) SELECT (SELECT min(client_order_id) FROM orders WHERE "
        f"client_order_id NOT IN (SELECT client_order_id FROM fills)), {names} FROM fills LIMIT 1")  # fmt: skip
    (line,) = verdict_of(traded).differences
    assert line.startswith("fills: ")
    assert line.endswith("is stored without a journal row")


def test_padded_amounts_are_equal_amounts(database: Database, ledger: Ledger) -> None:
    order = an_order(qty=D("40.500"))
    bought = Fill(order.client_order_id, D("0.0"), D("40.50"), D("187.510"), at(1), "stream", "x1")
    ledger.commit([facts.order_intended(order), facts.fill_booked(order, bought)])
    assert verdict_of(database).differences == ()


def test_a_fact_that_cannot_be_replayed_is_named(database: Database, ledger: Ledger) -> None:
    ledger.commit([note("order.changed", {"changes": {}}, client_order_id="never intended")])
    (line,) = verdict_of(database).differences
    assert line == "row 2 cannot be replayed: there is no order never intended"


def test_verify_without_rebuilding_checks_the_chain_only(traded: Database) -> None:
    run(traded, "UPDATE positions SET quantity = '5'")
    assert verdict_of(traded, rebuild=False).ok


def test_another_accounts_rows_are_not_ours(traded: Database) -> None:
    run(traded, "INSERT INTO accounts (account_id, label, number, endpoint, bound_at, looked_at, hash) "
        "SELECT 'other', 'other', number, endpoint, bound_at, looked_at, hash FROM accounts")  # fmt: skip
    assert verdict_of(traded).ok


def test_the_database_refuses_what_breaks_its_rules(traded: Database) -> None:
    for statement in ("DELETE FROM accounts", "UPDATE trading_sessions SET status = 'sleeping'"):
        with pytest.raises(AlreadyStored, match=r"(?i)constraint") as raised:
            run(traded, statement)
        assert isinstance(raised.value.__cause__, DBAPIError)
