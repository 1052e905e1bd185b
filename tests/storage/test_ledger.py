"""One fact, one transaction: all of it or nothing, fenced, gap-free, and never twice after a lost answer."""

import threading
from typing import Any

import pytest

from gambler_ai.domain import facts
from gambler_ai.domain.facts import note
from gambler_ai.domain.fills import Fill
from gambler_ai.domain.orders import ImpossibleStep, Side
from gambler_ai.errors import AlreadyStored, DatabaseUnavailable, Fenced
from gambler_ai.storage.database import Database
from gambler_ai.storage.holder import Holder
from gambler_ai.storage.journal import Ledger
from gambler_ai.storage.lease import take
from gambler_ai.storage.records import Records
from gambler_ai.storage.writes import Writes
from tests.builders import ACCOUNT, SESSION, D, an_order, at, commit
from tests.storage.rig import interrupted, ledger_of, one, run, the_account, trade, verdict_of

ORDER = an_order()
BOUGHT = Fill(ORDER.client_order_id, D(0), D(40), D("187.515"), at(1), "stream", "x1")
EVERYTHING = [facts.order_intended(ORDER), facts.fill_booked(ORDER, BOUGHT)]


def counts(database: Database) -> dict[str, int]:
    return {t: one(database, f"SELECT count(*) FROM {t}") for t in ("order_journal", "orders", "fills", "positions")}


NOTHING = {"order_journal": 1, "orders": 0, "fills": 0, "positions": 0}


def test_a_fact_and_all_its_rows_are_written_together(database: Database, ledger: Ledger) -> None:
    head = ledger.commit(EVERYTHING)
    assert counts(database) == {"order_journal": 3, "orders": 1, "fills": 1, "positions": 1}
    assert head == ledger.head == the_account(database).head
    assert head.seq == 3


def test_a_guard_that_raises_leaves_nothing(database: Database, ledger: Ledger) -> None:
    def guard(_cursor: Any) -> None:
        raise RuntimeError("halted")

    with pytest.raises(RuntimeError, match="halted"):
        ledger.commit(EVERYTHING, guard=guard)
    assert counts(database) == NOTHING
    assert (ledger.book.orders, ledger.head.seq, the_account(database).head) == ({}, 1, ledger.head)
    assert ledger.commit(EVERYTHING).seq == 3


def test_the_guard_reads_what_is_true_in_this_transaction(database: Database, ledger: Ledger) -> None:
    writes = Writes(database, ACCOUNT)
    ledger.commit([note("halt", {})], lambda seq: [writes.raise_halt(seq, "SPY", "because", {}, at(1))])
    run(database, "INSERT INTO commands (id, account_id, kind, reason, requested_at) "
        f"VALUES ('c1', '{ACCOUNT}', 'halt', 'asked', '2013-10-07T13:30:00.000000Z')")  # fmt: skip
    found: list[Any] = []
    ledger.commit([note("look", {})], guard=lambda cursor: found.extend(writes.stops(cursor)))
    assert sorted(found, key=str) == [("SPY", "because"), (None, "asked")]
    ledger.commit([note("unhalt", {})], lambda _seq: [writes.lift_halt(2, "over", at(2))])
    found.clear()
    ledger.commit([note("look", {})], guard=lambda cursor: found.extend(writes.stops(cursor)))
    assert found == [(None, "asked")]


def test_a_statement_that_fails_leaves_nothing(database: Database, ledger: Ledger) -> None:
    stranger = an_order("2", session_id="no such session")
    with pytest.raises(AlreadyStored):
        ledger.commit([*EVERYTHING, facts.order_intended(stranger)])
    assert counts(database) == NOTHING
    assert ledger.book.orders == {}
    assert ledger.commit(EVERYTHING).seq == 3


def test_a_fact_that_contradicts_the_book_is_not_written(database: Database, ledger: Ledger) -> None:
    with pytest.raises(ImpossibleStep):
        ledger.commit([*EVERYTHING, facts.order_intended(ORDER)])
    assert counts(database) == NOTHING


def test_two_guesses_refined_at_once_reach_the_table(database: Database, ledger: Ledger) -> None:
    guess = Fill(ORDER.client_order_id, D(0), D(10), D(13), at(1), "snapshot", inferred=True)
    ledger.commit([facts.order_intended(ORDER), facts.fill_booked(ORDER, guess)])
    real = [Fill(ORDER.client_order_id, D(0), D(4), D(10), at(1), "activity", "x1"),
            Fill(ORDER.client_order_id, D(4), D(10), D(15), at(1), "activity", "x2")]  # fmt: skip
    ledger.commit([facts.fill_refined(ORDER, fill) for fill in real])
    stored = Records(database, ACCOUNT).fills(ORDER.client_order_id)
    assert [(f.cum_from, f.cum_to, f.price, f.inferred) for f in stored] == [(0, 4, 10, False), (4, 10, 15, False)]
    assert verdict_of(database).ok


def test_a_turned_position_closes_and_opens_in_one_transaction(database: Database, ledger: Ledger) -> None:
    sale = an_order("2", side=Side.SELL)
    sold = Fill(sale.client_order_id, D(0), D(60), D(188), at(2), "stream", "x2")
    ledger.commit([*EVERYTHING, facts.order_intended(sale), facts.fill_booked(sale, sold)])
    assert [p.quantity for p in Records(database, ACCOUNT).load_book().open_positions()] == [-20]
    assert counts(database)["positions"] == 2


def test_a_taken_over_account_fences_the_old_writer(database: Database, ledger: Ledger) -> None:
    take(database, the_account(database), Holder.of_this_process(), ledger._clock)
    with pytest.raises(Fenced, match="took this account over"):
        ledger.commit(EVERYTHING)
    assert counts(database) == NOTHING


def test_a_writer_whose_facts_contradict_what_its_successor_wrote_is_fenced(database: Database, ledger: Ledger) -> None:
    refined = facts.fill_refined(ORDER, BOUGHT)
    ledger.commit(EVERYTHING)
    with pytest.raises(ImpossibleStep):
        ledger.commit([refined])
    take(database, the_account(database), Holder.of_this_process(), ledger._clock)
    with pytest.raises(Fenced, match="took this account over"):
        ledger.commit([refined])


def test_a_writer_whose_head_is_old_is_fenced(database: Database, ledger: Ledger) -> None:
    other = ledger_of(database)
    other.commit([note("checkpoint", {})])
    with pytest.raises(Fenced):
        ledger.commit(EVERYTHING)
    assert counts(database) == NOTHING | {"order_journal": 2}
    other.drop_connection()


def test_two_writers_never_interleave(database: Database, ledger: Ledger) -> None:
    other, inside, outcome = ledger_of(database), threading.Event(), []

    def second() -> None:
        inside.wait(20)
        try:
            other.commit([note("second", {})])
        except Fenced as error:
            outcome.append(error)

    thread = threading.Thread(target=second)
    thread.start()

    def guard(_cursor: Any) -> None:
        inside.set()
        thread.join(0.2)
        assert thread.is_alive()  # it waits for the account's row

    ledger.commit(EVERYTHING, guard=guard)
    thread.join(30)
    assert len(outcome) == 1
    assert counts(database)["order_journal"] == 3
    other.drop_connection()


def test_the_sequence_has_no_gap_after_every_kind_of_failure(database: Database, ledger: Ledger) -> None:
    trade(ledger, 3, 30)

    def guard(_cursor: Any) -> None:
        raise RuntimeError

    for _ in range(3):
        with pytest.raises(RuntimeError):
            ledger.commit([note("never", {})], guard=guard)
        ledger.drop_connection()
        ledger.commit([note("checkpoint", {})])
    assert one(database, "SELECT count(*) FROM order_journal") == ledger.head.seq
    assert one(database, "SELECT max(seq) FROM order_journal") == ledger.head.seq
    assert verdict_of(database).ok


def broken_at_commit(ledger: Ledger, monkeypatch: pytest.MonkeyPatch, *, done: bool) -> None:
    """The next COMMIT ends with the driver's error, after it was done or before."""
    real = ledger._cursor
    armed = [True]

    def strike(sql: str, when_done: bool) -> None:
        if sql == "COMMIT" and armed and when_done is done:
            armed.clear()
            raise ledger._database.engine.dialect.dbapi.OperationalError("the connection was cut")  # type: ignore[union-attr]

    monkeypatch.setattr(
        ledger, "_cursor", lambda: interrupted(real(), lambda sql: strike(sql, False), lambda sql: strike(sql, True))
    )


def test_a_commit_whose_answer_was_lost_is_recognised(
    database: Database, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken_at_commit(ledger, monkeypatch, done=True)
    assert ledger.commit(EVERYTHING).seq == 3
    assert ledger.book.orders.keys() == {ORDER.client_order_id}
    assert ledger.commit([note("checkpoint", {})]).seq == 4
    assert verdict_of(database).ok


def test_a_commit_that_never_arrived_can_be_repeated(
    database: Database, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken_at_commit(ledger, monkeypatch, done=False)
    with pytest.raises(DatabaseUnavailable, match="the connection was cut"):
        ledger.commit(EVERYTHING)
    assert (counts(database), ledger.book.orders) == (NOTHING, {})
    assert ledger.commit(EVERYTHING).seq == 3
    assert verdict_of(database).ok


def test_a_lost_commit_whose_look_up_fails_too_is_settled_by_the_next(
    database: Database, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken_at_commit(ledger, monkeypatch, done=True)
    real = ledger._committed
    still_down = iter([DatabaseUnavailable("still down")])

    def look_up(head: Any) -> bool:
        for error in still_down:
            raise error
        return real(head)

    monkeypatch.setattr(ledger, "_committed", look_up)
    with pytest.raises(DatabaseUnavailable, match="still down"):
        ledger.commit(EVERYTHING)
    assert ledger.commit([note("checkpoint", {})]).seq == 4
    assert ledger.book.orders.keys() == {ORDER.client_order_id}
    assert verdict_of(database).ok


def test_an_intent_that_exists_is_named_as_such(database: Database, ledger: Ledger) -> None:
    ledger.commit(EVERYTHING)
    ledger.book.orders.clear()  # finished long ago: not in memory any more
    with pytest.raises(AlreadyStored):
        ledger.commit([facts.order_intended(ORDER)])
    assert verdict_of(database).ok


def test_strategy_state_and_snapshot_belong_to_the_transaction(database: Database, ledger: Ledger) -> None:
    writes, records = Writes(database, ACCOUNT), Records(database, ACCOUNT)
    amounts = {"equity": D("100000.01"), "cash": D("0.000000001"), "buying_power": D(4)}

    def rows(seq: int) -> Any:
        state = writes.save_state(SESSION, 1, at(60), seq, {"b": ["1"], "a": "ü"})
        return [*state, writes.snapshot(seq, SESSION, at(61), amounts)]

    ledger.commit([note("checkpoint", {})], rows)
    ledger.commit([note("checkpoint", {})], rows)
    stored = records.strategy_state(SESSION)
    assert stored is not None
    assert (stored.seq, stored.last_bar, stored.state) == (3, at(60), {"a": "ü", "b": ["1"]})
    assert {name: records.last_snapshot()[name] for name in amounts} == amounts


def test_a_second_active_session_is_refused_by_the_database(database: Database, ledger: Ledger) -> None:
    with pytest.raises(Exception, match=r"(?i)unique"):
        run(database, "INSERT INTO trading_sessions SELECT 'other', account_id, owner, strategy, symbols, parameters, "
            "status, start_time, ends_at, end_time, initial_capital, final_capital FROM trading_sessions")  # fmt: skip


def test_a_second_open_position_of_an_owner_is_refused_by_the_database(database: Database, ledger: Ledger) -> None:
    ledger.commit(EVERYTHING)
    names = "account_id, symbol, owner, origin, direction, side, quantity, entered_quantity, entry_price, entry_time"
    names += ", status, protections"
    with pytest.raises(Exception, match=r"(?i)unique"):
        run(database, f"INSERT INTO positions (position_id, {names}) SELECT 'SPY-99', {names} FROM positions")


def test_the_book_is_the_same_as_one_folded_in_memory(ledger: Ledger) -> None:
    from gambler_ai.domain.book import Book

    memory = Book()
    commit(memory, EVERYTHING, ledger.head.seq + 1)
    ledger.commit(EVERYTHING)
    assert (ledger.book.orders, ledger.book.positions) == (memory.orders, memory.positions)
