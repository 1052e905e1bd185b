"""What the lab lets in: known fields of the right kind; everything else is refused with what is allowed."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from gambler_ai.paper_exchange.driver import Driver
from gambler_ai.paper_exchange.faults import Faults
from gambler_ai.paper_exchange.lab import Lab
from gambler_ai.paper_exchange.pacing import Pacing
from gambler_ai.paper_exchange.shelf import Shelf

from .rig import TOKEN, Desk

LabCall = Callable[..., tuple[int, Any]]


@pytest.fixture
def lab(desk: Desk) -> LabCall:
    """The desk's exchange by its back door."""
    faults = Faults(lambda: desk.exchange.venue.ids.chance("fault"))
    desk.exchange.venue.fault = faults.on_order
    driver = Driver(desk.exchange, Pacing(), "manual", "skip")
    door = Lab(desk.exchange, driver, faults, TOKEN, Shelf(":memory:"))
    desk.get("/v2/account")

    def call(method: str, path: str, body: Any = None) -> tuple[int, Any]:
        text = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        answer = asyncio.run(door.answer(method, f"/_lab/{path}", {}, text, TOKEN))
        return answer.status, json.loads(answer.body or "null")

    return call


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ({"act": "delay", "seconds": 1}, 'act is "delay"; want reset_before or'),
        ({"act": "ws_drop", "matches": {}}, 'no field "matches"; there are act, match, p, times, seconds, code, qty'),
        ({"act": "ws_drop", "match": {"event": "bars"}}, 'event is "bars"; want new or fill'),
        ({"act": "ws_null", "match": {"event": "bar"}}, 'event is "bar"'),
        ({"act": "ws_drop", "match": {"method": "POST"}}, "there are event, path, symbol"),
        ({"act": "reset_before", "match": {"event": "fill"}}, "there are method, path, symbol"),
        ({"act": "partial_fill", "match": {"path": "x"}}, "there are symbol"),
        ({"act": "reset_before", "match": {"path": "("}}, "a regular expression"),
        ({"act": "reset_before", "match": "x"}, "want an object"),
        ({"act": "reset_before", "times": 0}, "want a whole number from 1"),
        ({"act": "reset_before", "times": -1}, "want a whole number from 1"),
        ({"act": "reset_before", "times": 1.5}, "want a whole number from 1"),
        ({"act": "reset_before", "p": 2}, "p is 2; want a number from 0, at most 1"),
        ({"act": "stale"}, "seconds is missing"),
        ({"act": "delay_before", "seconds": -5}, "seconds from 0"),
        ({"act": "status_before", "code": 9999}, "a whole number from 400 to 599"),
        ({"act": "status_before", "code": 100}, "a whole number from 400 to 599"),
        ({"act": "partial_fill", "qty": -3}, "a number above 0"),
        ({"act": "partial_fill", "qty": "NaN"}, "a number above 0"),
    ],
)
def test_a_fault_rule_without_sense_is_refused(lab: LabCall, rule: dict[str, Any], says: str) -> None:
    status, answer = lab("POST", "faults", rule)
    assert status == 422
    assert says in answer["message"]
    assert lab("GET", "faults") == (200, [])


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("account", {}, "want one of account, cash"),
        ("account", {"foo": 4}, 'no field "foo"; there are account, cash'),
        ("account", {"block": "false"}, 'block is "false"; want true or false'),
        ("account", {"cash": "NaN"}, "cash"),
        ("account", {"cash": -50000}, "a number from 0"),
        ("account", {"cash": 1e30}, "at most 1000000000000"),
        ("account", {"multiplier": 3}, "1 or 2 or 4"),
        ("account", {"keys_die": True}, "keys_die only beside reset"),
        ("account", {"account": "nobody", "block": True}, "no account 'nobody'; there are KEY ("),
        ("switches", {"multiplier": 3}, "1 or 2 or 4"),
        ("switches", {"day_end_status": "gone"}, "expired or canceled"),
        ("switches", {"inactive": "A A"}, "symbols like"),
        ("limits", {"requests_per_minute": -1}, "a whole number from 0"),
        ("price", {"symbol": "AAA", "bid": "NaN", "ask": 3}, "bid"),
        ("price", {"symbol": "AAA", "bid": 3, "ask": 2}, "bid 3 is above ask 2"),
        ("price", {"symbol": "AAA", "bid": -1, "ask": 2}, "a number from 0"),
        ("price", {"symbol": "AAA", "bid": 0, "ask": 0}, "a number above 0"),
        ("price", {"symbol": "AAA", "bid": 1, "ask": 1e20}, "at most"),
        ("price", {"symbol": "AAA", "last": 599}, "bid is missing"),
        ("price", {"symbol": "NOPE", "bid": 1, "ask": 2}, "a symbol of this market"),
        ("orders", {"symbol": "AAA", "side": "buy", "qty": 1, "quantity": 2}, 'no field "quantity"'),
        ("clock", {}, "want one of speed, advance_s, to"),
        ("clock", {"advance_s": -5}, "seconds from 0"),
        ("clock", {"advance_s": 1e12}, "seconds from 0"),
        ("clock", {"to": "2020-01-01T00:00:00Z"}, "time does not run back, and it is 2026-11-20T14:30"),
        ("clock", {"to": "2050-01-01T00:00:00Z"}, "to 2040-12-31"),
        ("clock", {"to": "soon"}, "a time like"),
        ("clock", {"speed": "fast"}, "a factor above 0, max, paced or manual"),
        ("corporate-action", {"type": "merger", "symbol": "AAA"}, "split or dividend or name_change or delisting"),
        ("corporate-action", {"type": "split", "symbol": "AAA"}, "ratio is missing"),
        ("corporate-action", {"type": "delisting", "symbol": "AAA", "ratio": 2}, 'no field "ratio"'),
        ("corporate-action", {"type": "name_change", "symbol": "AAA", "new_symbol": "AAA"}, "another symbol"),
        ("snapshot", {"nam": "x"}, 'no field "nam"; there are name'),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_changes(
    desk: Desk, lab: LabCall, path: str, body: dict[str, Any], says: str
) -> None:
    before = desk.exchange.truth()
    status, answer = lab("POST", path, body)
    assert status == 422
    assert says in answer["message"]
    assert desk.exchange.truth() == before


def test_half_a_character_is_refused_everywhere(desk: Desk, lab: LabCall) -> None:
    for path in ("account", "faults", "snapshot", "orders"):
        assert lab("POST", path, rb'{"name": "\ud800"}')[0] == 400
    assert desk.call("GET", "/v2/account")[0] == 200


def test_a_list_of_symbols_may_have_spaces_or_be_a_list(desk: Desk, lab: LabCall) -> None:
    assert lab("POST", "switches", {"inactive": "AAA, BBB"})[1]["inactive"] == "AAA,BBB"
    assert [desk.refused(symbol=name)[0] for name in ("AAA", "BBB")] == [422, 422]
    assert lab("POST", "switches", {"inactive": ["AAA"]})[1]["inactive"] == "AAA"


def test_a_forced_part_is_whole_shares_of_a_whole_order(desk: Desk, lab: LabCall) -> None:
    assert lab("POST", "faults", {"act": "partial_fill", "qty": "1.5", "times": 1})[0] == 200
    order = desk.order(qty="4")
    assert desk.get(f"/v2/orders/{order}")["filled_qty"] == "1"


def test_an_account_is_shown_as_it_is_now_and_as_it_will_be(desk: Desk, lab: LabCall) -> None:
    shown = lab("POST", "account", {"multiplier": 4, "liquidation_only": True})[1]
    assert (shown["multiplier"], shown["liquidation_only"], shown["next"]) == (4, True, None)
    ended = lab("POST", "account", {"reset": True})[1]
    assert ended["closed"]
    assert desk.get("/v2/account")["id"] == ended["next"] != ended["account"]
    assert lab("POST", "account", {"reset": True, "keys_die": True})[1]["next"] is None


def test_a_second_delisting_is_refused(lab: LabCall) -> None:
    gone = {"type": "delisting", "symbol": "AAA"}
    assert lab("POST", "corporate-action", gone)[0] == 200
    assert lab("POST", "corporate-action", gone) == (
        422,
        {"message": "AAA is delisted already: it is in the switch inactive"},
    )


def test_a_wide_jump_over_quiet_years_takes_no_time(desk: Desk, lab: LabCall) -> None:
    status, clock = lab("POST", "clock", {"to": "2040-12-31T14:00:00Z"})
    assert (status, clock["now"]) == (200, "2040-12-31T14:00:00.000000Z")
    desk.pass_time(days=1000)
    assert lab("GET", "clock")[1]["now"] == "2040-12-31T14:29:59.000000Z", "the clock stands at the calendar's end"
    assert desk.get("/v2/clock")["next_open"].startswith("2040-12-31")
