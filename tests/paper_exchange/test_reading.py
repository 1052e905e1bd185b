"""Lists, pages, clock, calendar and market data."""

from datetime import timedelta

from .rig import FRIDAY_OPEN, Desk


def test_orders_page_forward_and_backward_without_loss(desk: Desk) -> None:
    ids = [desk.order(type="limit", limit_price="40", qty=1, symbol=("AAA", "BBB")[n % 2]) for n in range(7)]
    assert [o["id"] for o in desk.get("/v2/orders")] == ids[::-1]
    found, token = [], {}
    while page := desk.get("/v2/orders", status="all", direction="asc", limit="3", **token):
        found += [o["id"] for o in page]
        token = {"after_order_id": found[-1]}
    assert found == ids
    found, moment = [], {}
    while page := desk.get("/v2/orders", direction="asc", limit="2", **moment):
        found += [o["id"] for o in page]
        moment = {"after": page[-1]["submitted_at"]}
    assert found == ids, "no two orders share a submitted_at"
    assert [o["id"] for o in desk.get("/v2/orders", before_order_id=ids[2])] == [ids[1], ids[0]]
    until = desk.get(f"/v2/orders/{ids[2]}")["submitted_at"]
    assert [o["id"] for o in desk.get("/v2/orders", until=until)] == [ids[1], ids[0]]
    assert len(desk.get("/v2/orders", symbols="BBB,CCC")) == 3
    assert desk.get("/v2/orders", side="sell") == []
    desk.call("DELETE", f"/v2/orders/{ids[0]}")
    assert [o["id"] for o in desk.get("/v2/orders", status="closed", nested="True")] == [ids[0]]


def test_bad_order_filters_are_422(desk: Desk) -> None:
    for query in ({"limit": "501"}, {"limit": "x"}, {"status": "odd"}, {"after": "never"}, {"direction": "up"}):
        assert desk.call("GET", "/v2/orders", **query)[0] == 422


def test_fills_page_both_ways_and_join_with_the_stream(desk: Desk) -> None:
    desk.listen()
    for _ in range(5):
        desk.order(qty=1)
    executions = [frame["execution_id"] for frame in desk.frames if frame["event"] == "fill"]
    for direction, expected in (("asc", executions), ("desc", executions[::-1])):
        found, token = [], {}
        while page := desk.get("/v2/account/activities/FILL", direction=direction, page_size="2", **token):
            found += [one["id"].split("::")[1] for one in page]
            token = {"page_token": page[-1]["id"]}
        assert found == expected
    one = desk.get("/v2/account/activities", activity_types="FILL", date="2026-11-20", direction="asc")[0]
    assert one["id"].startswith("20261120093000000::"), "the time part is New York's"
    assert (one["type"], one["cum_qty"], one["leaves_qty"], one["order_status"]) == ("fill", "1", "0", "filled")
    assert desk.get("/v2/account/activities", date="2026-11-19") == []
    assert desk.get("/v2/account/activities", activity_types="DIV") == []
    assert len(desk.get("/v2/account/activities", after=one["transaction_time"])) == 4
    assert desk.call("GET", "/v2/account/activities/NOPE")[0] == 422


def test_the_clock_carries_new_yorks_offset(desk: Desk) -> None:
    clock = desk.get("/v2/clock")
    assert clock["timestamp"] == "2026-11-20T09:30:00.000000-05:00"
    assert clock["is_open"] is True
    assert (clock["next_open"], clock["next_close"]) == ("2026-11-23T09:30:00-05:00", "2026-11-20T16:00:00-05:00")
    desk.exchange.advance_to(FRIDAY_OPEN.replace(hour=21))
    assert desk.get("/v2/clock")["is_open"] is False


def test_the_calendar_knows_early_closes_and_holidays(desk: Desk) -> None:
    days = desk.get("/v2/calendar", start="2026-11-26", end="2026-11-27")
    assert [(day["date"], day["open"], day["close"]) for day in days] == [("2026-11-27", "09:30", "13:00")]
    assert days[0]["settlement_date"] == "2026-11-30"


def test_assets_are_found_by_symbol_and_id(desk: Desk) -> None:
    asset = desk.get("/v2/assets/AAA")
    assert desk.get(f"/v2/assets/{asset['id']}") == asset
    assert [one["symbol"] for one in desk.get("/v2/assets")] == ["AAA", "BBB"]
    assert desk.call("GET", "/v2/assets/NOPE")[0] == 404


def test_unbuilt_paths_are_404(desk: Desk) -> None:
    assert desk.call("GET", "/v2/watchlists") == (404, {"message": "endpoint not found."})
    assert desk.call("PATCH", "/v2/orders/x", {})[0] == 404


def test_bars_are_complete_ones_only_and_page_over_symbols(desk: Desk) -> None:
    desk.pass_time(minutes=10)
    bars = desk.get("/v2/stocks/bars", symbols="BBB,AAA,NOPE", timeframe="1Min")["bars"]
    assert list(bars) == ["AAA", "BBB"]
    assert [bar["t"] for bar in bars["AAA"]][-1] == "2026-11-20T14:39:00Z"
    found, token = [], {}
    while True:
        page = desk.get("/v2/stocks/bars", symbols="AAA,BBB", timeframe="1Min", limit="4", **token)
        found += [(symbol, bar["t"]) for symbol, items in page["bars"].items() for bar in items]
        if page["next_page_token"] is None:
            break
        token = {"page_token": page["next_page_token"]}
    assert found == [(symbol, bar["t"]) for symbol in ("AAA", "BBB") for bar in bars[symbol]]
    assert (
        desk.get("/v2/stocks/AAA/bars", timeframe="1Min", sort="desc", limit="1")["bars"][0]["t"]
        == bars["AAA"][-1]["t"]
    )


def test_bars_are_joined_into_longer_ones(desk: Desk) -> None:
    desk.pass_time(minutes=12)
    five = desk.get("/v2/stocks/AAA/bars", timeframe="5Min", start="2026-11-20T14:30:00Z")["bars"]
    assert [(bar["t"], bar["v"]) for bar in five] == [("2026-11-20T14:30:00Z", 2500), ("2026-11-20T14:35:00Z", 2500)]
    day = desk.get("/v2/stocks/AAA/bars", timeframe="1Day", start="2026-11-20")["bars"]
    assert [(bar["t"], bar["v"]) for bar in day] == [("2026-11-20T05:00:00Z", 6000)]
    for timeframe in ("60Min", "2Day", "soon"):
        assert desk.call("GET", "/v2/stocks/bars", symbols="AAA", timeframe=timeframe)[0] == 400
    assert desk.call("GET", "/v2/stocks/bars", symbols="AAA", timeframe="1Min", limit="10001")[0] == 400


def test_latest_things_are_of_now(desk: Desk) -> None:
    desk.price("101.5", "101.75", "101.6")
    assert desk.get("/v2/stocks/bars/latest", symbols="AAA")["bars"]["AAA"]["t"] == "2026-11-20T14:29:00Z"
    quote = desk.get("/v2/stocks/quotes/latest", symbols="AAA,NOPE")["quotes"]
    assert (list(quote), quote["AAA"]["bp"], quote["AAA"]["ap"]) == (["AAA"], 101.5, 101.75)
    assert desk.get("/v2/stocks/trades/latest", symbols="AAA")["trades"]["AAA"]["p"] == 101.6
    assert desk.get("/v2/stocks/AAA/quotes/latest")["quote"]["bp"] == 101.5
    desk.pass_time(minutes=1)
    assert desk.get("/v2/stocks/quotes/latest", symbols="AAA")["quotes"]["AAA"]["bp"] == 99.99


def test_market_events_come_in_order_and_once(desk: Desk) -> None:
    seen: list = []
    stop = desk.exchange.listen_market(seen.append, frozenset({"AAA"}))
    desk.pass_time(minutes=5)
    assert [event.at for event in seen] == [FRIDAY_OPEN + timedelta(minutes=n) for n in range(1, 6)]
    assert {bar.symbol for event in seen for bar in event.bars} == {"AAA"}
    stop()
    desk.pass_time(minutes=5)
    assert len(seen) == 5
