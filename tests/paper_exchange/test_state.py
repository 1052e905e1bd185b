"""What was answered is stored: reopening continues the same world."""

import sqlite3
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from gambler_ai.errors import StoredStateUnsafe, UsageError
from gambler_ai.paper_exchange.exchange import Exchange
from gambler_ai.paper_exchange.markets import open_market

from .rig import FRIDAY_OPEN, Desk, wall
from .test_books import trade_at_random


def test_a_reopened_exchange_is_the_same_exchange(open_desk: Callable[..., Desk], tmp_path: Path) -> None:
    whole, state = open_desk(rate="0.3"), tmp_path / "exchange.db"
    first = open_desk(rate="0.3", state=state)
    for desk in (whole, first):
        trade_at_random(desk, 1)
    first.exchange._store.close()
    second = open_desk(start=FRIDAY_OPEN.replace(year=2030), rate="0.3", state=state, seed=77)
    assert second.exchange.now == whole.exchange.now
    assert second.exchange.truth() == whole.exchange.truth()
    for desk in (whole, second):
        trade_at_random(desk, 2)
    assert second.exchange.truth() == whole.exchange.truth(), "ids and chances continue where they were"
    account = second.get("/v2/account")
    assert account == whole.get("/v2/account")


def test_another_market_or_a_second_exchange_on_a_state_is_refused(
    open_desk: Callable[..., Desk], tmp_path: Path
) -> None:
    state = tmp_path / "exchange.db"
    desk = open_desk(state=state)
    with pytest.raises(UsageError, match="another exchange"):
        open_desk(state=state)
    desk.exchange.close()
    with pytest.raises(UsageError, match="belongs to market"):
        Exchange.open(state, open_market("synthetic:1"), FRIDAY_OPEN, wall)
    open_desk(state=state)


def test_a_file_that_is_no_state_is_not_touched(open_desk: Callable[..., Desk], tmp_path: Path) -> None:
    state = tmp_path / "exchange.db"
    state.write_text("this is no database, and long enough to be seen as none" * 50)
    with pytest.raises(StoredStateUnsafe):
        open_desk(state=state)
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as db:
        db.execute("CREATE TABLE theirs (x)")
    db.close()
    with pytest.raises(StoredStateUnsafe):
        open_desk(state=other)


def test_the_truth_log_names_every_request(desk: Desk) -> None:
    desk.order(client_order_id="one")
    desk.send(client_order_id="one")
    desk.call("GET", "/v2/orders:by_client_order_id", client_order_id="one")
    Desk(desk.exchange, secret="WRONG").call("GET", "/v2/account")
    rows = desk.exchange.truth()["requests"]
    seen = [(row["method"], row["path"], row["client_order_id"], row["status"], row["acted"]) for row in rows]
    assert seen == [
        ("POST", "/v2/orders", "one", 200, True),
        ("POST", "/v2/orders", "one", 422, True),
        ("GET", "/v2/orders:by_client_order_id", "one", 200, True),
        ("GET", "/v2/account", None, 401, True),
    ]
    account = desk.exchange.account_of("KEY", "SECRET")
    assert [row["account"] for row in rows] == [account, account, account, None]
    assert len(desk.exchange.truth(account)["requests"]) == 3


def test_days_after_the_last_bar_open_and_close_and_a_restart_changes_nothing(
    open_desk: Callable[..., Desk], tmp_path: Path
) -> None:
    def look(desk: Desk) -> list[object]:
        taken = desk.send(type="limit", limit_price="101", time_in_force="gtc")[1]["status"]
        return [desk.get("/v2/clock")["is_open"], taken, desk.exchange.venue.session is not None]

    monday, state = FRIDAY_OPEN + timedelta(days=3, hours=1), tmp_path / "exchange.db"
    desk = open_desk(state=state)
    desk.exchange.advance_to(monday)
    day_order = desk.order(type="limit", limit_price="101")
    assert look(desk) == [True, "pending_new", True]
    desk.exchange.close()
    again = open_desk(state=state)
    assert look(again) == [True, "pending_new", True]
    assert again.exchange.next_event() == FRIDAY_OPEN + timedelta(days=3, hours=6, minutes=30)
    again.exchange.advance_to(monday + timedelta(days=1))
    assert again.status(day_order) == "expired"


def test_nobody_waits_for_the_days_after_the_last_bar(desk: Desk) -> None:
    desk.exchange.advance_to(FRIDAY_OPEN + timedelta(hours=7))
    assert desk.exchange.next_event() is None
