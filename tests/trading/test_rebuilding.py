"""A lost database comes back from the broker's history alone; checked against the exchange's own record."""

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from gambler_ai import crashpoints
from gambler_ai.broker.alpaca_rest import Reply
from gambler_ai.crashpoints import CrashPlan, SimulatedCrash
from gambler_ai.domain.grid import levels
from gambler_ai.domain.orders import Wish
from gambler_ai.domain.positions import EXTERNAL, Origin
from gambler_ai.errors import AlreadyStored, BrokerUnreachable, StoredStateUnsafe
from gambler_ai.face_report import told_again
from gambler_ai.operations.proof import compare
from gambler_ai.paper_exchange import actions
from gambler_ai.storage.database import Database
from gambler_ai.storage.reading import reading
from gambler_ai.storage.records import find_account
from gambler_ai.storage.verify import verify
from gambler_ai.trading.rebuilding import recover
from gambler_ai.trading.session_run import SessionRun
from gambler_ai.trading.sessions import Request
from tests.trading.driving import minutes
from tests.trading.rig import BRACKETED, BUY, KEYS, NO_ORDER, NO_POSITION, PROTECTED, RESTING, SELL, Rig

D = Decimal


class Lost:
    """A rig whose first database is gone; `recover` makes the second."""

    def __init__(self, folder: Path, sqlite_url: str, second_url: str) -> None:
        self.rig = Rig(folder, sqlite_url)
        self.second_url = second_url

    def buy(self, qty: str, key: str, wish: Wish = BUY) -> None:
        self.rig.placed(replace(wish, qty=D(qty)), key)
        self.settle()

    def settle(self) -> None:
        self.rig.pass_time(60)
        self.rig.recovery.run()

    def recover(self, *, dry_run: bool = False, killed_at: str = "") -> tuple[int, dict[str, Any]]:
        self.rig.close()
        crashpoints.arm(CrashPlan(killed_at, in_process=True) if killed_at else None)
        self.rig.database_url = self.second_url
        self.rig.weather.sent.clear()
        return recover(self.rig.opened_anew(), dry_run=dry_run)

    def proven(self) -> dict[tuple[str, str], Decimal]:
        """Books and exchange agree in every share and cent, the chain is whole; what is held, by owner."""
        assert compare(self.rig.exchange.truth(None), self.second_url, "default") == []
        assert self.rig.weather.sent == []
        with closing(Database(self.second_url)) as database:
            account = find_account(database, "default")
            assert account is not None
            verdict = verify(database, account)
        assert verdict.ok, verdict
        self.rig.open()
        return self.rig.shares

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with closing(Database(self.second_url)) as database, database.connect() as connection:
            return [tuple(row) for row in connection.exec_driver_sql(sql)]


@pytest.fixture
def lost(tmp_path: Path, sqlite_url: str) -> Iterator[Lost]:
    lost = Lost(tmp_path, sqlite_url, f"sqlite:///{tmp_path / 'second.db'}")
    yield lost
    lost.rig.close()
    lost.rig.exchange.close()


def test_positions_come_back_with_owner_price_and_levels(lost: Lost) -> None:
    lost.buy("10", "bar:1:0")
    lost.buy("20.5", "bar:2:0")
    before = lost.rig.state.book.open_positions()[0]
    code, report = lost.recover()
    assert (code, report["ok"], report["requests"]) == (0, True, 0)
    assert lost.proven() == {("AAA", "alpha"): D("30.5")}
    (after,) = lost.rig.state.book.open_positions()
    assert (after.entry_price, after.entry_time, after.origin) == (before.entry_price, before.entry_time, "restored")
    steps = lost.rig.state.records.steps_of(after)
    assert [one.qty for one in levels(steps, D("30.5"), D(0), after.entry_time)] == [D(10), D("20.5")]
    (action,) = report["plan"]
    assert [level["shares"] for level in action["evidence"]["levels"]] == ["10", "20.5"]


@pytest.mark.parametrize("second", ["sqlite", "postgresql"])
def test_both_databases_can_be_rebuilt(lost: Lost, second: str, request: pytest.FixtureRequest) -> None:
    if second == "postgresql":
        lost.second_url = request.getfixturevalue("postgres_url")
    lost.buy("10", "bar:1:0")
    lost.rig.by_hand("BBB", "3")
    lost.settle()
    assert lost.recover()[0] == 0
    assert lost.proven() == {("AAA", "alpha"): D(10), ("BBB", EXTERNAL): D(3)}


def test_the_whole_history_comes_back_round_trips_and_refusals_too(lost: Lost) -> None:
    lost.buy("10", "bar:1:0")
    lost.rig.placed(SELL, "bar:2:0")
    lost.settle()
    lost.buy("4", "bar:3:0")
    lost.rig.placed(RESTING, "bar:4:0")
    before = {(p.quantity, p.pnl) for p in lost.rig.state.book.open_positions()}
    closed = "SELECT pnl FROM positions WHERE status = 'closed'"
    with closing(Database(lost.rig.database_url)) as database, database.connect() as connection:
        earned = [tuple(row) for row in connection.exec_driver_sql(closed)]
    assert lost.recover()[0] == 0
    assert lost.proven() == {("AAA", "alpha"): D(4)}
    assert lost.rows(closed) == earned
    assert {(p.quantity, p.pnl) for p in lost.rig.state.book.open_positions()} == before
    assert [o.status.value for o in lost.rig.state.book.attention()] == ["WORKING"]


def test_the_first_row_says_from_what_the_books_were_rebuilt(lost: Lost) -> None:
    lost.buy("10", "bar:1:0")
    lost.recover()
    ((kind, payload),) = lost.rows("SELECT kind, payload FROM order_journal WHERE seq = 1")
    told = json.loads(payload)
    assert (kind, told["rebuilt from"]) == ("epoch.begun", "the broker's history")
    assert (told["orders"], told["fills"]) == (1, 1)
    ((session, owner, status),) = lost.rows("SELECT session_id, owner, status FROM trading_sessions")
    assert told["sessions"] == [session]
    assert (owner, status) == ("alpha", "stopped")


@pytest.mark.parametrize("wish", [PROTECTED, BRACKETED], ids=["stop", "both"])
def test_protection_at_the_broker_is_known_again_and_nothing_is_placed_twice(lost: Lost, wish: Wish) -> None:
    lost.rig.placed(wish)
    lost.rig.pass_time(60)
    lost.rig.recovery.run()
    exits = lost.rig.live_exits()
    assert exits
    lost.recover()
    lost.proven()
    lost.rig.recovery.run()
    assert lost.rig.weather.sent == []
    assert lost.rig.live_exits() == exits
    (position,) = lost.rig.state.book.open_positions()
    assert (position.stop_loss, position.take_profit) == (wish.stop_loss, wish.take_profit)


def test_a_stop_that_was_lost_with_the_database_is_wanted_still(lost: Lost) -> None:
    lost.rig.placed(PROTECTED)
    lost.rig.pass_time(60)
    lost.rig.recovery.run()
    exits = [one[:3] for one in lost.rig.live_exits()]
    for order in lost.rig.at_exchange():
        if order["status"] in ("new", "held"):
            lost.rig.exchange.request("DELETE", f"/v2/orders/{order['id']}", {}, None, *KEYS)
    lost.rig.pass_time(1)
    lost.recover()
    lost.proven()
    lost.rig.recovery.run()
    assert [one[:3] for one in lost.rig.live_exits()] == exits


def test_shares_nobody_explains_are_external_with_the_reason_once_they_are_confirmed(lost: Lost) -> None:
    lost.buy("10", "bar:1:0")
    lost.rig.the_broker_shows(AAA="10", BBB="7")
    started = lost.rig.clock.monotonic()
    code, report = lost.recover()
    assert lost.rig.clock.monotonic() - started >= 6
    assert code == 0
    (external,) = [action for action in report["plan"] if action["row"] == "R10"]
    assert (external["symbol"], external["evidence"]["shares"]) == ("BBB", "7")
    assert "older than the broker's history" in external["reason"]
    lost.rig.open()
    assert lost.rig.shares == {("AAA", "alpha"): D(10), ("BBB", EXTERNAL): D(7)}


def test_less_in_the_history_than_held_leaves_the_rest_to_external(lost: Lost) -> None:
    lost.buy("10", "bar:1:0")
    lost.rig.the_broker_shows(AAA="25")
    assert lost.recover()[0] == 0
    lost.rig.open()
    assert lost.rig.shares == {("AAA", "alpha"): D(10), ("AAA", EXTERNAL): D(15)}


def test_more_in_the_history_than_held_halts_the_symbol(lost: Lost) -> None:
    lost.buy("10", "bar:1:0")
    lost.buy("10", "bar:2:0")
    lost.rig.the_broker_shows(AAA="12")
    code, report = lost.recover()
    assert code == 3
    assert [action["row"] for action in report["plan"]] == ["R7", "R9"]
    assert len(report["report"]["halts"]) == 1
    lost.rig.open()
    lost.rig.recovery.run()
    assert [halt.symbol for halt in lost.rig.state.records.active_halts()] == ["AAA"]


def test_what_our_orders_explain_and_nobody_holds_is_closed_without_a_price(lost: Lost) -> None:
    lost.buy("10", "bar:1:0")
    lost.rig.the_broker_shows()
    code, report = lost.recover()
    assert (code, [action["row"] for action in report["plan"]]) == (0, ["R6"])
    assert lost.rows("SELECT status, exit_price, pnl FROM positions") == [("closed", None, None)]


def test_no_history_at_all_is_an_empty_and_valid_book(lost: Lost) -> None:
    assert lost.recover()[0] == 0
    assert lost.proven() == {}
    assert lost.rows("SELECT kind FROM order_journal WHERE seq = 1") == [("epoch.begun",)]


@pytest.mark.parametrize("path", ["/v2/orders", "/v2/account/activities/FILL", "/v2/positions"])
def test_an_answer_that_is_empty_for_a_while_changes_nothing(lost: Lost, path: str) -> None:
    """The look in which it is empty explains nothing, so another one follows; then it is whole."""
    lost.buy("10", "bar:1:0")
    lost.rig.close()
    weather = lost.rig.weather
    weather.answers[path] = "[]"
    asked = 0
    real = weather.before

    def before(method: str, asked_path: str) -> Any:
        nonlocal asked
        asked += asked_path == path
        if asked > 2:
            weather.answers.pop(path, None)
        return real(method, asked_path)

    weather.before = before  # type: ignore[method-assign]
    assert lost.recover()[0] == 0
    assert lost.proven() == {("AAA", "alpha"): D(10)}
    assert lost.rows("SELECT DISTINCT inferred FROM fills") == [(0,)]


def test_a_list_of_positions_that_contradicts_the_symbols_own_endpoint_is_not_believed(lost: Lost) -> None:
    lost.buy("10", "bar:1:0")
    lost.rig.weather.answers["/v2/positions"] = "[]"
    with pytest.raises(Exception, match="its own endpoint shows it"):
        lost.recover()
    assert lost.rows("SELECT seq FROM accounts") == [(0,)]
    assert NO_POSITION.status == 404


def test_a_group_that_its_own_endpoint_does_not_show_is_not_rebuilt_without_its_legs(rig: Rig) -> None:
    rig.bought(BRACKETED)
    rig.protection.run()
    (head,) = [order for order in rig.at_exchange() if order["client_order_id"].startswith("g1-t-")]
    path = f"/v2/orders/{head['id']}"
    rig.weather.answers[path] = NO_ORDER
    rig.close()
    rig.database_url = f"sqlite:///{rig.folder / 'second.db'}"
    with pytest.raises(BrokerUnreachable, match=f"shows {head['id']}, its own endpoint does not"):
        recover(rig.opened_anew(), dry_run=False)
    del rig.weather.answers[path]
    recover(rig.opened_anew(), dry_run=False)
    rig.open()
    assert all(order.is_ours for order in rig.state.book.orders.values())


def test_a_group_that_has_ended_is_asked_for_once_and_a_limited_rate_is_waited_out(rig: Rig) -> None:
    for number in range(3):
        rig.placed(BRACKETED, f"bar:{number}:0")
        rig.pass_time(60)
        rig.in_doubt.settle()
        rig.recovery.run()
        rig.placed(SELL, f"bar:{number}:1")
        rig.protection.run()
        rig.pass_time(60)
        rig.recovery.run()
    heads = [order["id"] for order in rig.at_exchange() if order["client_order_id"].startswith("g1-t-")]
    rig.close()
    rig.database_url = f"sqlite:///{rig.folder / 'second.db'}"
    rig.the_broker_shows(BBB="2")  # unexplained: the history is read in several rounds
    limited = Reply(429, '{"code": 42910000, "message": "rate limit exceeded"}', {"Retry-After": "30"})
    asked: list[str] = []
    real = rig.weather.before

    def before(method: str, path: str) -> Reply | None:
        asked.append(path)
        return limited if path.endswith(heads[1]) and asked.count(path) < 4 else real(method, path)

    rig.weather.before = before  # type: ignore[method-assign]
    code, _ = recover(rig.opened_anew(), dry_run=False)
    assert code == 0
    assert asked.count("/v2/positions") > 2
    assert [asked.count(f"/v2/orders/{head}") for head in heads] == [1, 4, 1]


def test_a_replaced_entry_and_a_split_are_told_again(lost: Lost) -> None:
    lost.rig.placed(RESTING)
    (there,) = lost.rig.at_exchange()
    lost.rig.exchange.request("PATCH", f"/v2/orders/{there['id']}", {}, json.dumps({"limit_price": "150"}), *KEYS)
    lost.settle()
    actions.split(lost.rig.exchange.venue, "AAA", D(2))
    lost.rig.exchange.commit()
    lost.rig.pass_time(1)
    code, report = lost.recover()
    assert code == 0, report
    lost.rig.open()
    assert lost.rig.shares == {("AAA", "alpha"): D(20)}
    (position,) = lost.rig.state.book.open_positions()
    steps = lost.rig.state.records.steps_of(position)
    assert [one.qty for one in levels(steps, position.quantity, D(0), position.entry_time)] == [D(20)]


@pytest.mark.parametrize("before", [True, False], ids=["stop of before the split", "stop of after it"])
def test_a_stop_is_wanted_at_the_price_it_had_whatever_was_split(lost: Lost, before: bool) -> None:
    lost.rig.held(PROTECTED)
    actions.split(lost.rig.exchange.venue, "AAA", D(4))
    lost.rig.exchange.commit()
    lost.rig.pass_time(1)
    if not before:
        lost.rig.recovery.run()
        assert lost.rig.live_exits() == [("stop", "40", "23.75", "new")]
    lost.recover()
    lost.rig.open()
    (position,) = lost.rig.state.book.open_positions()
    assert (position.quantity, position.stop_loss) == (D(40), D("23.75"))


def test_a_database_with_books_is_never_written_over(lost: Lost) -> None:
    lost.buy("10", "bar:1:0")
    rows = len(lost.rig.kinds())
    lost.second_url = lost.rig.database_url
    with pytest.raises(AlreadyStored, match="never written over") as refused:
        lost.recover()
    assert refused.value.exit_code == 5
    assert "move" in str(refused.value)
    with pytest.raises(AlreadyStored):
        lost.recover(dry_run=True)
    lost.rig.open()
    assert len(lost.rig.kinds()) == rows


def test_rebuilding_twice_is_refused_and_recovery_after_it_changes_nothing(lost: Lost) -> None:
    lost.buy("10", "bar:1:0")
    lost.recover()
    with pytest.raises(AlreadyStored):
        lost.recover()
    lost.proven()
    kinds = lost.rig.kinds()
    last = lost.rig.recovery.run()
    assert (lost.rig.weather.sent, last.applied, lost.rig.kinds()) == ([], (), kinds)


def test_the_report_of_a_rebuilding_can_be_shown_again(lost: Lost) -> None:
    lost.buy("10", "bar:1:0")
    lost.recover()
    with reading(lost.second_url, "default") as reader:
        stored = reader.last_report()
    assert stored is not None
    told = told_again(stored)
    assert told[1].startswith("1 orders, 1 fills, sessions: recovered-alpha-")
    assert told[-1].startswith("books and broker agree")


def test_a_dry_run_shows_the_same_plan_and_makes_no_database(lost: Lost) -> None:
    lost.buy("10", "bar:1:0")
    code, shown = lost.recover(dry_run=True)
    assert (code, shown["applied"]) == (0, [])
    assert not Path(lost.second_url.removeprefix("sqlite:///")).exists()
    _, done = lost.recover()
    assert shown["plan"] == done["applied"]


POINTS = (
    "account.before_bind",
    "account.after_bind",
    "lease.after_take",
    "recovery.before_look",
    "recovery.after_look",
    "epoch.before_commit",
    "transaction.before_commit",
    "transaction.after_commit",
    "epoch.after_commit",
    "recovery.before_report",
)


@pytest.mark.parametrize("point", POINTS)
def test_killed_at_any_step_the_next_try_ends_in_the_same_books(lost: Lost, point: str) -> None:
    lost.buy("10", "bar:1:0")
    lost.rig.by_hand("BBB", "3")
    lost.settle()
    with pytest.raises(SimulatedCrash):
        lost.recover(killed_at=point)
    lost.rig.clock.sleep(20)
    assert lost.recover()[0] == 0
    assert lost.proven() == {("AAA", "alpha"): D(10), ("BBB", EXTERNAL): D(3)}
    kinds = lost.rig.kinds()
    assert kinds.count("epoch.begun") == 1
    assert kinds[-1] == "recovery.report"


def test_the_old_databases_known_head_does_not_stand_in_the_way(lost: Lost) -> None:
    """The file says how far the lost chain reached; it is about a database of the same name."""
    lost.buy("10", "bar:1:0")
    lost.rig.restart()
    lost.rig.close()
    path = Path(lost.rig.database_url.removeprefix("sqlite:///"))
    for one in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
        one.unlink(missing_ok=True)
    with pytest.raises(StoredStateUnsafe, match="recover --from-broker"):
        SessionRun(lost.rig.opened_anew().parts).run(Request(symbols=("AAA",)))
    lost.second_url = lost.rig.database_url
    assert lost.recover()[0] == 0
    assert lost.proven() == {("AAA", "alpha"): D(10)}


@pytest.mark.parametrize("point", ["epoch.before_commit", "epoch.after_commit"])
def test_a_rebuilding_that_was_killed_is_finished_and_nothing_begins_anew_before(lost: Lost, point: str) -> None:
    lost.buy("10", "bar:1:0")
    lost.rig.restart()
    lost.rig.close()
    path = Path(lost.rig.database_url.removeprefix("sqlite:///"))
    for one in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
        one.unlink(missing_ok=True)
    lost.second_url = lost.rig.database_url
    with pytest.raises(SimulatedCrash):
        lost.recover(killed_at=point)
    crashpoints.arm(None)
    if point == "epoch.before_commit":
        with pytest.raises(StoredStateUnsafe, match="recover --from-broker"):
            SessionRun(lost.rig.opened_anew().parts).run(Request(symbols=("AAA",)))
    assert lost.recover()[0] == 0
    assert lost.proven() == {("AAA", "alpha"): D(10)}
    assert lost.rig.state.records.active_halts() == []


def test_the_same_strategy_trades_on_with_the_rebuilt_levels(lost: Lost) -> None:
    rig = lost.rig
    rig.close()
    rig.pass_time(240)
    asked = Request(
        symbols=("AAA",),
        strategy="grid",
        params={"notional": "1000", "step_pct": "0.5", "target_pct": "50"},
        duration_min=D(60),
    )
    run = SessionRun(rig.opened_anew().parts)
    loop = run.begin(asked)
    while len(loop.host._view.levels("AAA")) < 2:
        minutes(rig, run, loop, 1)
    before = loop.host._view.levels("AAA")
    run.close()
    assert lost.recover()[0] == 0
    assert compare(rig.exchange.truth(None), lost.second_url, "default") == []
    again = SessionRun(rig.opened_anew().parts)
    loop = again.begin(asked)
    assert [(one.number, one.qty, one.price) for one in loop.host._view.levels("AAA")][:2] == [
        (one.number, one.qty, one.price) for one in before
    ]
    minutes(rig, again, loop, 6)
    assert loop.host._view.levels("AAA")[2].qty == 2 * before[1].qty
    assert compare(rig.exchange.truth(None), lost.second_url, "default") == []
    again.close()


def test_an_own_position_has_the_origin_restored(lost: Lost) -> None:
    lost.buy("10", "bar:1:0")
    lost.recover()
    assert lost.rows("SELECT origin FROM positions") == [(Origin.RESTORED.value,)]
