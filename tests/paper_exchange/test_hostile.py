"""Requests nobody should send: each is refused by itself, and everybody else is served as before."""

import asyncio
import json
import resource
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from gambler_ai.errors import DatabaseUnavailable, UsageError
from gambler_ai.paper_exchange.app import _in_turns
from gambler_ai.paper_exchange.exchange import Exchange
from gambler_ai.paper_exchange.synthetic import Synthetic

from .rig import FRIDAY_OPEN, Desk, Server, eventually, wall
from .test_server import ORDER

Start = Callable[..., Server]
HALF = "\ud800x"


@pytest.mark.parametrize("field", ["client_order_id", "symbol", "unknown"])
def test_half_a_surrogate_pair_is_no_text(desk: Desk, field: str) -> None:
    assert desk.send(**{field: HALF})[0] == 400
    resting = desk.order(type="limit", limit_price="90")
    assert desk.call("PATCH", f"/v2/orders/{resting}", {"client_order_id": "\udc00"})[0] == 400
    assert desk.order()


def test_whole_pairs_and_every_other_letter_are_taken(desk: Desk) -> None:
    order = desk.order(client_order_id="\U0001f600 naïve")
    assert desk.get("/v2/orders:by_client_order_id", client_order_id="\U0001f600 naïve")["id"] == order


@pytest.mark.parametrize("body", ["[" * 5000, '{"a":' * 100_000, '{"qty": 1e999999999999999999999}', '{"qty": NaN}'])
def test_a_body_that_cannot_be_read_is_400(desk: Desk, body: str) -> None:
    status, answer = desk.call("POST", "/v2/orders", body)
    assert (status, answer["message"]) == (400, "request body format is invalid")


@pytest.mark.parametrize("qty", ["1e-99999999999999", "0e-99999999999999", "1e99"])
def test_a_number_that_would_fill_the_memory_is_refused(desk: Desk, qty: str) -> None:
    text = json.dumps({**ORDER, "qty": "?"}).replace('"?"', qty)
    assert desk.call("POST", "/v2/orders", text)[0] == 422


@pytest.mark.parametrize("qty", [" 1 ", "+5", "1_000", "\u0661", "\uff11", "5.", "1e1", True, [1]])
def test_a_quantity_is_written_in_plain_digits(desk: Desk, qty: Any) -> None:
    assert desk.refused(qty=qty) == (422, 40010001)


@pytest.mark.parametrize("start", ["1900-01-01", "0001-01-01T00:00:00+05:00"])
def test_a_history_from_long_ago_starts_with_the_first_day_there_is(start: str) -> None:
    desk = Desk(Exchange.open(":memory:", Synthetic(7), FRIDAY_OPEN, wall))
    status, answer = desk.call("GET", "/v2/stocks/SPY/bars", start=start, timeframe="1Day", limit="2")
    assert status == (200 if start == "1900-01-01" else 400)
    if status == 200:
        assert [bar["t"][:10] for bar in answer["bars"]] == ["1970-01-05", "1970-01-06"]


def test_a_long_history_costs_what_is_given_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    market = Synthetic(7)
    desk = Desk(Exchange.open(":memory:", market, FRIDAY_OPEN, wall))
    invented: list[str] = []
    invent = market._invent
    monkeypatch.setattr(market, "_invent", lambda *day: invented.append(day[0]) or invent(*day))
    for sort in ("asc", "desc"):
        for frame, days in (("1Day", 5), ("1Hour", 3), ("1Min", 3)):
            invented.clear()
            answer = desk.get("/v2/stocks/SPY/bars", timeframe=frame, start="2015-01-01", limit="2", sort=sort)
            assert len(answer["bars"]) == 2
            assert len(invented) <= days, (frame, sort)


@pytest.mark.parametrize("sort", ["asc", "desc"])
@pytest.mark.parametrize("frame", ["1Min", "7Min", "1Hour", "1Day", "1Week", "1Month"])
def test_pages_are_the_whole_in_order(sort: str, frame: str) -> None:
    desk = Desk(Exchange.open(":memory:", Synthetic(7), FRIDAY_OPEN + timedelta(minutes=90), wall))
    start = {"1Min": "2026-11-20", "7Min": "2026-11-20", "1Hour": "2026-11-18"}.get(frame, "2026-09-04")
    asked = {"symbols": "SPY,F", "timeframe": frame, "start": start, "sort": sort}
    whole, pages, token = desk.get("/v2/stocks/bars", **asked)["bars"], {"F": [], "SPY": []}, ""
    while token is not None:
        page = desk.get("/v2/stocks/bars", **asked, limit="4", page_token=token)
        token = page["next_page_token"]
        for symbol, bars in page["bars"].items():
            pages[symbol] += bars
    assert pages == whole
    assert [bar["t"] for bar in whole["F"]] == sorted((bar["t"] for bar in whole["F"]), reverse=sort == "desc")


def test_others_are_served_while_a_long_history_is_made() -> None:
    exchange = Exchange.open(":memory:", Synthetic(7), FRIDAY_OPEN, wall)
    query = {"symbols": "SPY", "timeframe": "1Day", "start": "2026-11-01"}
    turns = 0

    async def both() -> Any:
        nonlocal turns
        work = asyncio.ensure_future(_in_turns(exchange.acting("GET", "/v2/stocks/bars", query, None, "KEY", "SECRET")))
        while not work.done():
            turns += 1
            await asyncio.sleep(0)
        return work.result()

    assert len(json.loads(asyncio.run(both()).body)["bars"]["SPY"]) == 14
    assert turns > 10


def test_a_state_that_cannot_be_stored_is_never_told(desk: Desk) -> None:
    frames, called = desk.listen(), []
    desk.exchange.fail = lambda: called.append(1)
    desk.exchange._store._db.execute("PRAGMA query_only=1")
    for _ in range(2):
        with pytest.raises(DatabaseUnavailable, match="could not store its state"):
            desk.order()
    assert (frames, called) == ([], [1])
    desk.exchange._store._db.execute("PRAGMA query_only=0")
    with pytest.raises(DatabaseUnavailable):
        desk.exchange.commit()


def test_the_process_ends_when_it_cannot_store(start_server: Start, tmp_path: Path) -> None:
    state = tmp_path / "exchange.db"
    server = start_server(state=str(state))
    assert server.call("POST", "/v2/orders", {**ORDER, "client_order_id": "kept"}).ok
    size = (tmp_path / "exchange.db-wal").stat().st_size
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (size, size))
    assert server.call("POST", "/v2/orders", {**ORDER, "client_order_id": "lost"}).status_code == 500
    assert server.process.wait(5) == 1
    again = start_server(state=str(state))
    assert [one["client_order_id"] for one in again.lab("GET", "truth")["orders"]] == ["kept"]


@pytest.mark.parametrize("year", [1960, 2045])
def test_a_start_outside_the_calendar_is_refused(year: int) -> None:
    with pytest.raises(UsageError, match=r"outside the exchange's calendar .* to 2040-12-31"):
        Exchange.open(":memory:", Synthetic(7), datetime(year, 1, 5, tzinfo=UTC), wall)


def test_the_calendar_is_answered_to_its_end(desk: Desk) -> None:
    days = desk.get("/v2/calendar", start="2040-12-20", end="2045-01-01")
    assert days[-1]["date"] == "2040-12-28"


def test_max_waits_for_its_first_follower(start_server: Start) -> None:
    server = start_server(speed="max", market="synthetic:7")
    before = server.lab("GET", "clock")["now"]
    with connect(f"{server.ws}/v2/iex", close_timeout=0.1) as socket:
        socket.send('{"action":"auth","key":"KEY","secret":"SECRET"}')
        assert server.lab("GET", "clock")["now"][:13] == before[:13]
        socket.send('{"action":"subscribe","bars":["SPY"]}')
        eventually(lambda: server.lab("GET", "clock")["now"][:10] > before[:10])


def test_the_market_stands_still_and_says_so_at_the_end(start_server: Start, capfd: pytest.CaptureFixture[str]) -> None:
    server = start_server("--start", "2040-12-28T20:59:00+00:00", market="synthetic:7")
    server.lab("POST", "clock", {"speed": "max"})
    ended = eventually(lambda: (clock := server.lab("GET", "clock"))["next_event"] is None and clock)
    assert ended["now"].startswith("2040-12-28T21:00:00")
    assert server.call("GET", "/v2/account").ok
    assert "calendar has ended" in capfd.readouterr().err


def test_a_socket_refuses_what_it_cannot_read(start_server: Start) -> None:
    server = start_server()
    with connect(f"{server.ws}/v2/iex") as socket:
        socket.recv()
        for text in ("[" * 5000, '{"action":"auth","key":"\\ud800","secret":"S"}'):
            socket.send(text)
            assert '"code":400' in socket.recv()
    assert server.call("GET", "/v2/account").ok


def test_a_rule_acts_on_one_symbol_of_a_frame(start_server: Start) -> None:
    server = start_server()
    with connect(f"{server.ws}/v2/iex") as socket:
        socket.send('{"action":"auth","key":"KEY","secret":"SECRET"}')
        socket.send('{"action":"subscribe","bars":["*"],"quotes":["BBB"],"dailyBars":["BBB"]}')
        for _ in range(3):
            socket.recv()

        def minute(*rules: dict[str, Any]) -> list[tuple[str, str]]:
            for rule in rules:
                server.lab("POST", "faults", {"times": 1, **rule})
            server.lab("POST", "clock", {"advance_s": 60})
            return [(item["T"], item["S"]) for item in json.loads(socket.recv(timeout=5))]

        whole = [("q", "BBB"), ("b", "AAA"), ("b", "BBB"), ("d", "BBB")]
        assert minute() == whole
        bar = {"event": "bar", "symbol": "BBB"}
        assert minute({"act": "ws_drop", "match": bar}) == [one for one in whole if one != ("b", "BBB")]
        assert minute({"act": "ws_drop", "match": {"event": "dailyBar"}}) == whole[:3]
        assert minute({"act": "ws_duplicate", "match": bar}) == [*whole[:3], ("b", "BBB"), whole[3]]
        assert minute({"act": "ws_swap", "match": bar}) == [one for one in whole if one != ("b", "BBB")]
        assert minute() == [*whole, ("b", "BBB")], "after the next frame's"


@pytest.mark.parametrize("wide", [{"trail_percent": "150"}, {"trail_percent": "100"}, {"trail_price": "101"}])
def test_a_trail_wider_than_the_price_is_refused(desk: Desk, wide: dict[str, str]) -> None:
    desk.order(qty="5")
    trailing = {"side": "sell", "type": "trailing_stop", "qty": "5"}
    assert desk.refused(**trailing, **wide) == (422, 42210000)
    name = next(iter(wide))
    order = desk.order(**trailing, **{name: "2"})
    assert desk.call("PATCH", f"/v2/orders/{order}", {"trail": wide[name]})[0] == 422
    assert desk.call("PATCH", f"/v2/orders/{order}", {"trail": "3"})[1]["stop_price"] == "97"


def test_fields_of_the_wrong_kind_are_named(desk: Desk) -> None:
    assert desk.send(client_order_id=5)[1]["message"] == "client_order_id must be a string"
    assert desk.send(extended_hours="yes")[1] == {
        "code": 40010001,
        "message": "invalid extended_hours: want true or false",
    }
    assert desk.call("GET", "/v2/assets", status="foo")[0] == 422


def test_a_refusal_for_want_of_money_speaks_in_cents(desk: Desk) -> None:
    desk.order(qty="0.123456789")
    answer = desk.send(qty="99999.123456789", side="buy")[1]
    amounts = [answer["buying_power"], answer["cost_basis"], desk.get("/v2/account")["buying_power"]]
    assert all(len(one.partition(".")[2]) <= 2 for one in amounts), amounts


def test_an_emptied_answer_keeps_its_shape_where_it_has_items(start_server: Start) -> None:
    server = start_server()
    server.lab("POST", "faults", {"act": "empty"})
    bars = server.call("GET", "/v2/stocks/bars?symbols=AAA&timeframe=1Min")
    assert bars.json() == {"bars": {}, "next_page_token": None}
    assert server.call("GET", "/v2/orders?status=all").json() == []
    account = server.call("GET", "/v2/account")
    assert (account.status_code, account.text) == (200, "")
    assert len({bars.headers["x-request-id"], account.headers["x-request-id"]}) == 2


@pytest.mark.parametrize(
    ("path", "acts"),
    [
        ("/v2/stocks/AAA/bars?timeframe=1Min", True),
        ("/v2/stocks/bars?symbols=BBB,AAA&timeframe=1Min", True),
        ("/v2/positions/AAA", True),
        ("/v2/assets/AAA", True),
        ("/v2/stocks/bars?symbols=BBB&timeframe=1Min", False),
        ("/v2/account", False),
    ],
)
def test_a_rule_knows_the_symbol_of_a_request(start_server: Start, path: str, acts: bool) -> None:
    server = start_server()
    server.lab("POST", "faults", {"act": "status_before", "match": {"symbol": "AAA"}})
    assert (server.call("GET", path).status_code == 503) == acts


def test_an_unknown_socket_is_not_found(start_server: Start) -> None:
    server = start_server()
    with pytest.raises(InvalidStatus) as refused:
        connect(f"{server.ws}/v2/nope")
    assert refused.value.response.status_code == 404
