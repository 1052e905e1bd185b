"""What is read back is what was written: exact amounts, the same book, the same rows for people."""

from dataclasses import replace
from decimal import Decimal

import pytest
from sqlalchemy import select

from gambler_ai.domain import facts
from gambler_ai.domain.fills import Allocation, Fill
from gambler_ai.domain.market import iso
from gambler_ai.domain.money import text
from gambler_ai.domain.orders import OrderStatus
from gambler_ai.domain.sessions import SessionStatus
from gambler_ai.storage import models
from gambler_ai.storage.database import Database
from gambler_ai.storage.journal import Ledger
from gambler_ai.storage.reading import reading
from gambler_ai.storage.records import Records
from gambler_ai.storage.writes import Writes
from tests.builders import ACCOUNT, SESSION, D, an_order, at
from tests.storage.rig import A_SESSION, ledger_of, one, trade, verdict_of

SEEDS = range(4)


AMOUNTS = ["0.000000001", "0.1", "123456789012345.123456789", "1E+2", "10.50", "99999999999999999999"]


def test_amounts_come_back_exactly(database: Database, ledger: Ledger) -> None:
    orders = [an_order(amount, qty=D(amount), limit_price=D(amount), notional=-D(amount)) for amount in AMOUNTS]
    ledger.commit([facts.order_intended(order) for order in orders])
    stored = [Records(database, ACCOUNT).order(order.client_order_id) for order in orders]
    assert stored == orders
    assert all(isinstance(order.qty, Decimal) for order in stored if order)
    assert verdict_of(database).ok


def test_small_amounts_add_up_in_the_books(database: Database, ledger: Ledger) -> None:
    order = an_order(qty=D("100"))
    pieces = [Fill(order.client_order_id, D(n) / 10, D(n + 1) / 10, D("0.1"), at(n), "stream") for n in range(50)]
    ledger.commit([facts.order_intended(order), *(facts.fill_booked(order, piece) for piece in pieces)])
    (position,) = Records(database, ACCOUNT).load_book().open_positions()
    assert (position.quantity, position.entry_price) == (5, D("0.1"))


def test_times_come_back_to_the_microsecond_in_utc(database: Database, ledger: Ledger) -> None:
    order = an_order(valid_until=at(0.000001), late_at=at(86400 * 365 * 40))
    ledger.commit([facts.order_intended(order)])
    stored = Records(database, ACCOUNT).order(order.client_order_id)
    assert stored is not None
    assert (stored.valid_until, stored.late_at) == (order.valid_until, order.late_at)
    assert iso(stored.late_at).endswith("Z")  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_restart_has_the_book_that_was_there(database: Database, ledger: Ledger, seed: int) -> None:
    trade(ledger, seed)
    loaded = Records(database, ACCOUNT).load_book()
    assert loaded.orders == ledger.book.orders
    assert {i: loaded.fills(i) for i in loaded.orders} == {i: ledger.book.fills(i) for i in loaded.orders}
    assert loaded.open_positions() == ledger.book.open_positions()


@pytest.mark.parametrize("seed", SEEDS)
def test_random_histories_verify_with_restarts_in_between(database: Database, ledger: Ledger, seed: int) -> None:
    flow = trade(ledger, seed, 60)
    for _ in range(6):
        again = ledger_of(database)
        flow.book = again.book
        for _ in range(15):
            if found := flow.step():
                again.commit(found)
        again.drop_connection()
    verdict = verdict_of(database)
    assert (verdict.first_bad_seq, verdict.differences) == (None, ())
    assert verdict.rows > 30


def test_the_archive_finds_what_memory_let_go(database: Database, ledger: Ledger) -> None:
    order = an_order(qty=D(10))
    bought = Fill(order.client_order_id, D(0), D(10), D(5), at(1), "stream", "x1")
    done = replace(order, status=OrderStatus.FILLED, broker_order_id="b1", broker_filled_qty=D(10))
    ledger.commit([facts.order_intended(order), facts.order_changed(order, done, ""), facts.fill_booked(done, bought)])
    assert ledger.book.orders == {}
    assert ledger.book.order_by_broker_id("b1") == ledger.book.order(order.client_order_id)
    (fill,) = ledger.book.fills(order.client_order_id)
    assert fill == replace(bought, allocations=(Allocation("SPY-4", D(10), opens=True),))
    assert ledger.book.order("never heard of") is None


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_recalled_at_once_is_what_is_read_one_by_one(
    database: Database, ledger: Ledger, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    trade(ledger, seed)
    records, book = Records(database, ACCOUNT), ledger.book
    with database.connect() as connection:
        stored = connection.execute(select(models.orders.c.client_order_id, models.orders.c.broker_order_id)).all()
    names = [name for name, _ in stored if name not in book.orders]
    numbers = [number for name, number in stored if number and name in names]
    one_by_one = [(records.order(name), records.fills(name)) for name in names]
    assert len(names) > 3
    by_number = [records.order_by_broker_id(number) for number in numbers]
    book.recall([*names, "nobody's"], [*numbers, "b-nobody's"])
    for read in ("order", "order_by_broker_id", "fills"):
        monkeypatch.delattr(Records, read)
    assert [(book.order(name), book.fills(name)) for name in names] == one_by_one
    assert [book.order_by_broker_id(number) for number in numbers] == by_number
    assert (book.order("nobody's"), book.order_by_broker_id("b-nobody's")) == (None, None)


def test_an_order_that_changes_after_it_was_recalled_is_the_changed_one(database: Database, ledger: Ledger) -> None:
    order, known = an_order("new"), an_order("known", status=OrderStatus.CANCELED, broker_order_id="b-1")
    ledger.commit([facts.order_adopted(known)])
    ledger.book.recall([order.client_order_id, known.client_order_id], ["b-1"])
    late = replace(known, status=OrderStatus.FILLED, broker_filled_qty=D(1))
    ledger.commit([facts.order_intended(order), facts.order_changed(known, late, "late")])
    bought = Fill(known.client_order_id, D(0), D(1), D(5), at(1), "stream", "x1")
    ledger.commit([facts.fill_booked(late, bought)])
    assert ledger.book.order(order.client_order_id) == order
    assert ledger.book.order_by_broker_id("b-1") == replace(late, filled_qty=D(1), filled_avg_price=D(5))
    assert [fill.qty for fill in ledger.book.fills(known.client_order_id)] == [D(1)]


def test_loading_reads_only_what_needs_attention(database: Database, ledger: Ledger) -> None:
    for n in range(20):
        order = an_order(str(n))
        gone = replace(order, status=OrderStatus.CANCELED)
        ledger.commit([facts.order_intended(order), facts.order_changed(order, gone, "")])
    ledger.commit([facts.order_intended(an_order("open"))])
    assert len(Records(database, ACCOUNT).load_book().orders) == 1


def test_sessions_and_halts_come_back(database: Database, ledger: Ledger) -> None:
    writes, records = Writes(database, ACCOUNT), Records(database, ACCOUNT)
    assert records.session(SESSION) == A_SESSION
    stopped = replace(A_SESSION, status=SessionStatus.STOPPED, end_time=at(9), final_capital=D("100000.000000001"))
    ledger.commit([facts.note("session.stopped", {})], lambda _seq: [writes.update_session(stopped)])
    assert records.sessions(SessionStatus.ACTIVE) == []
    assert records.sessions() == [stopped]
    ledger.commit([facts.note("halt.raised", {})], lambda seq: [writes.raise_halt(seq, None, "why", {"n": 1}, at(3))])
    (halt,) = records.active_halts()
    assert (halt.symbol, halt.reason, halt.evidence, halt.raised_at) == (None, "why", {"n": 1}, at(3))


def test_the_rows_for_people_say_what_the_records_say(database_url: str, database: Database, ledger: Ledger) -> None:
    trade(ledger, seed=5)
    records = Records(database, ACCOUNT)
    with reading(database_url, "default") as reader:
        orders, fills, positions = reader.orders(), reader.fills(), reader.positions(every=True)
        open_orders, held, account = reader.orders(open_only=True), reader.positions(), reader.account()
    assert len(orders) == one(database, "SELECT count(*) FROM orders") > 5
    for row in orders:
        stored = records.order(row["client_order_id"])
        assert stored is not None
        assert (row["status"], row["filled_qty"]) == (stored.status.value, text(stored.filled_qty))
        assert (row["created_at"], row["qty"]) == (iso(stored.created_at), text(stored.qty))  # type: ignore[arg-type]
    told = {(row["client_order_id"], row["cum_to"], row["price"], bool(row["inferred"])) for row in fills}
    booked = [fill for row in orders for fill in records.fills(row["client_order_id"])]
    assert told == {(f.client_order_id, text(f.cum_to), text(f.price), f.inferred) for f in booked}
    for row in positions:
        position = records.position(row["position_id"])
        assert position is not None
        assert (row["qty"], row["entry_price"]) == (text(position.quantity), text(position.entry_price))
        assert row["pnl"] == (None if position.pnl is None else text(position.pnl))
    assert {row["position_id"] for row in held} == {p.position_id for p in ledger.book.open_positions()}
    alive = {"PLANNED", "SENDING", "IN_DOUBT", "WORKING"}
    assert [row for row in orders if row["status"] in alive] == open_orders
    assert (account or {})["seq"] == ledger.head.seq


def test_the_journal_for_people_is_the_journal(database_url: str, database: Database, ledger: Ledger) -> None:
    trade(ledger, seed=5, steps=30)
    with reading(database_url, "default") as reader:
        last, after = reader.journal(3), reader.journal_after(2, 4)
        sessions, halts, report = reader.sessions(), reader.halts(), reader.last_report()
    assert [row["seq"] for row in last] == list(range(ledger.head.seq - 2, ledger.head.seq + 1))
    assert (last[-1]["hash"], type(last[-1]["payload"])) == (ledger.head.hash, dict)
    assert [row["seq"] for row in after] == [3, 4, 5, 6]
    assert sessions[0]["symbols"] == ["IBM", "SPY"]
    assert (sessions[0]["parameters"], halts, report) == ({"fast": "2"}, [], None)


def test_another_label_sees_nothing(database_url: str, ledger: Ledger) -> None:
    trade(ledger, seed=5, steps=30)
    with reading(database_url, "second") as reader:
        assert (reader.account(), reader.orders(), reader.journal(5)) == (None, [], [])


def test_reading_changes_nothing(database_url: str, ledger: Ledger) -> None:
    with reading(database_url, "default") as reader, pytest.raises(Exception, match=r"(?i)read.?only"):
        reader.query("DELETE FROM fills")
