"""Account activities (section 3.5): trades and everything else that changes an account."""

import re
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from alpaca.trading.models import NonTradeActivity

from gambler_ai.errors import UsageError
from gambler_ai.paper_exchange.lab_trading import corporate_action

from ..paper_exchange.rig import FRIDAY_OPEN, Desk
from .test_trading_objects import RFC3339, is_number

OpenDesk = Callable[..., Desk]
ALWAYS = {"id", "activity_type", "date", "created_at", "net_amount", "status", "currency", "description", "group_id"}
SHARES = {"activity_sub_type", "symbol", "cusip", "qty"}


def act(desk: Desk, kind: str, **fields: str) -> None:
    corporate_action(desk.exchange, {"type": kind, "symbol": "AAA", **fields})


def listed(desk: Desk, path: str = "", **query: str) -> list[dict[str, Any]]:
    return list(desk.get(f"/v2/account/activities{path}", **query))


@pytest.mark.parametrize(
    ("kind", "fields", "keys"),
    [
        ("JNLC", {}, ALWAYS),
        ("DIV", {"type": "dividend", "per_share": "0.24"}, ALWAYS | SHARES | {"per_share_amount"}),
        ("SPLIT", {"type": "split", "ratio": "4"}, ALWAYS | SHARES | {"price"}),
        ("NC", {"type": "name_change", "new_symbol": "BBB"}, ALWAYS | SHARES | {"price"}),
    ],
)
def test_a_non_trade_activity_has_the_fields_of_3_5(
    desk: Desk, kind: str, fields: dict[str, str], keys: set[str]
) -> None:
    """3.5: amounts as strings, a date and a time of creation; OAS-T: what a type has no use for is not present."""
    desk.order()
    if fields:
        corporate_action(desk.exchange, {"symbol": "AAA", **fields})
    for shown in listed(desk, f"/{kind}"):
        assert shown.keys() == keys
        assert all(is_number(shown[name]) for name in keys & {"net_amount", "qty", "price", "per_share_amount"})
        assert re.fullmatch(r"20261120000000000::[0-9a-f-]{36}", shown["id"])
        assert RFC3339.fullmatch(shown["created_at"])
        assert (shown["date"], shown["status"], shown["currency"]) == ("2026-11-20", "executed", "USD")
        assert (shown["group_id"] is None) == (kind in ("JNLC", "DIV"))
        assert NonTradeActivity(**shown, account_id="5a1b0c52-9c5d-47f3-8a3a-0d8a0b6c1f10").activity_type == kind


def test_a_paper_account_starts_with_a_journal_of_its_cash(desk: Desk) -> None:
    """3.5: JNLC or CSD of the initial cash [inferred]."""
    opening = listed(desk, category="non_trade_activity")
    assert [(one["activity_type"], one["net_amount"]) for one in opening] == [("JNLC", "100000")]


def test_the_id_of_an_activity_may_carry_its_creation(desk: Desk) -> None:
    """3.5: `...000000000` or the creation time; New York's, as a fill's. Each leads to the next page."""
    desk.order()
    desk.exchange.venue.switches.set({"activity_ids": "created"})
    first = listed(desk, direction="asc")[0]
    assert first["id"].startswith("20261120093000000::")
    for ids in ("created", "midnight"):
        desk.exchange.venue.switches.set({"activity_ids": ids})
        token = listed(desk, direction="asc", page_size="1")[0]["id"]
        assert [one["activity_type"] for one in listed(desk, direction="asc", page_token=token)] == ["FILL"]
        assert listed(desk, page_token=token) == [], "older than the oldest there is nothing"


def test_a_cash_dividend_is_paid_on_what_is_held(desk: Desk) -> None:
    """3.5: DIV / CDIV with quantity and amount per share; the money is on the account, rounded to a cent."""
    desk.order(qty="10")
    before = Decimal(desk.get("/v2/account")["cash"])
    act(desk, "dividend", per_share="0.2406")
    shown = listed(desk, "/DIV")[0]
    assert (shown["qty"], shown["per_share_amount"], shown["net_amount"]) == ("10", "0.2406", "2.41")
    assert (shown["activity_sub_type"], shown["description"]) == ("CDIV", "Cash DIV @ 0.2406")
    assert Decimal(desk.get("/v2/account")["cash"]) - before == Decimal("2.41")


def test_who_is_short_pays_the_dividend(desk: Desk) -> None:
    """A short owes the lender what the shares pay [inferred]."""
    desk.order(side="sell", qty="10")
    act(desk, "dividend", per_share="0.5")
    assert [(one["qty"], one["net_amount"]) for one in listed(desk, "/DIV")] == [("-10", "-5")]


@pytest.mark.parametrize(
    ("side", "ratio", "kind", "legs"),
    [
        ("buy", "4", "FSPLIT", [("-10", "100.01"), ("40", "25.0025")]),
        ("buy", "0.1", "RSPLIT", [("-10", "100.01"), ("1", "1000.1")]),
        ("sell", "2", "FSPLIT", [("10", "99.99"), ("-20", "49.995")]),
    ],
)
def test_a_split_takes_the_old_shares_and_gives_the_new(
    desk: Desk, side: str, ratio: str, kind: str, legs: list[tuple[str, str]]
) -> None:
    """docs.alpaca.markets, Activities: a split is two SPLIT entries of one group, REMOVE and ADD, at unchanged cost."""
    desk.order(side=side, qty="10")
    act(desk, "split", ratio=ratio)
    shown = listed(desk, "/SPLIT", direction="asc")
    assert [(one["qty"], one["price"]) for one in shown] == legs
    assert [one["description"].split(",")[0] for one in shown] == ["REMOVE", "ADD"]
    assert {one["activity_sub_type"] for one in shown} == {kind}
    assert len({one["group_id"] for one in shown}) == 1
    position = desk.get("/v2/positions/AAA")
    assert (position["qty"], position["avg_entry_price"]) == legs[1]


def test_a_split_that_leaves_positions_alone_is_no_activity(desk: Desk) -> None:
    """6: users say that paper positions were not adjusted (Alpaca-API #181)."""
    desk.exchange.venue.switches.set({"split_positions": "false"})
    desk.order()
    act(desk, "split", ratio="2")
    assert listed(desk, "/SPLIT") == []
    assert desk.get("/v2/positions/AAA")["qty"] == "10"


def test_a_symbol_change_moves_the_position(desk: Desk) -> None:
    """16: NC / SNC, one leg for the old symbol and one for the new; 5.2 row 21: orders of the old one end."""
    desk.order(qty="10")
    stop = desk.order(side="sell", type="stop", stop_price="90", time_in_force="gtc")
    act(desk, "name_change", new_symbol="BBB")
    assert desk.status(stop) == "canceled"
    legs = [(one["symbol"], one["qty"], one["price"]) for one in listed(desk, "/NC", direction="asc")]
    assert legs == [("AAA", "-10", "100.01"), ("BBB", "10", "100.01")]
    assert [(one["symbol"], one["cost_basis"]) for one in desk.get("/v2/positions")] == [("BBB", "1000.1")]
    assert desk.refused() == (422, 42210000), "the old symbol is not active any more"


def test_activities_are_listed_by_type_and_by_category(desk: Desk) -> None:
    """2: `activity_types` csv or `category`, not both; newest first unless asked otherwise."""
    desk.order()
    act(desk, "dividend", per_share="1")
    kinds = lambda **query: [one["activity_type"] for one in listed(desk, **query)]  # noqa: E731
    assert kinds() == ["DIV", "FILL", "JNLC"]
    assert kinds(activity_types="JNLC,FILL", direction="asc") == ["JNLC", "FILL"]
    assert kinds(category="trade_activity") == ["FILL"]
    assert kinds(category="non_trade_activity") == ["DIV", "JNLC"]
    assert kinds(activity_types="SPLIT") == []
    for query in ({"category": "DIV"}, {"category": "trade_activity", "activity_types": "FILL"}):
        assert desk.call("GET", "/v2/account/activities", **query)[0] == 422


def test_activities_are_filtered_by_the_time_they_were_made(open_desk: OpenDesk) -> None:
    """3.5: filter times refer to creation; a `date` is New York's and is answered whole."""
    desk = open_desk(FRIDAY_OPEN - timedelta(hours=12))
    opening = listed(desk)[0]["created_at"]
    desk.exchange.advance_to(FRIDAY_OPEN)
    desk.order()
    act(desk, "dividend", per_share="1")
    kinds = lambda **query: [one["activity_type"] for one in listed(desk, **query)]  # noqa: E731
    assert kinds(after=opening, direction="asc") == ["FILL", "DIV"]
    assert kinds(until=listed(desk, "/FILL")[0]["transaction_time"]) == ["JNLC"]
    assert (kinds(date="2026-11-19"), kinds(date="2026-11-20")) == (["JNLC"], ["DIV", "FILL"])


def test_fills_are_found_by_their_order(desk: Desk) -> None:
    """2: an `order_id` filter (changelog 2026-07-29)."""
    desk.order()
    mine = desk.order(qty="3")
    assert [one["qty"] for one in listed(desk, order_id=mine)] == ["3"]


def test_a_strangers_activity_is_no_page_token(desk: Desk) -> None:
    """3.5: `page_token` is the id of the last item you have."""
    stranger = Desk(desk.exchange, key="OTHER")
    token = listed(stranger)[0]["id"]
    assert desk.call("GET", "/v2/account/activities", page_token=token)[0] == 422


def test_activities_are_there_after_a_restart(open_desk: OpenDesk, tmp_path: Path) -> None:
    """16: server restart with persistence; cash is what fills and activities moved."""
    first = open_desk(state=tmp_path / "exchange.db")
    first.order()
    act(first, "split", ratio="3")
    told, truth = listed(first), first.exchange.truth()
    first.exchange._store.close()
    second = open_desk(state=tmp_path / "exchange.db")
    assert listed(second) == told
    assert second.exchange.truth()["activities"] == truth["activities"]
    assert [one["activity_type"] for one in truth["activities"]] == ["JNLC", "SPLIT", "SPLIT"]


@pytest.mark.parametrize("ratio", ["0", "-2", "NaN", "Infinity"])
def test_a_split_without_sense_is_refused(desk: Desk, ratio: str) -> None:
    with pytest.raises(UsageError):
        act(desk, "split", ratio=ratio)
