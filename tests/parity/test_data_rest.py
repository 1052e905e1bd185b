"""Market data over REST: one fact a test, its source in the docstring (section 10 of the reference, OAS-D)."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from alpaca.data.models import BarSet, Quote, QuoteSet, Snapshot, Trade, TradeSet

from ..paper_exchange.rig import Desk

OpenDesk = Callable[..., Desk]
BAR, QUOTE = {"t", "o", "h", "l", "c", "v", "n", "vw"}, {"t", "ax", "ap", "as", "bx", "bp", "bs", "c", "z"}
TRADE = {"t", "x", "p", "s", "i", "c", "z"}


@pytest.fixture
def noon(desk: Desk) -> Desk:
    desk.pass_time(minutes=10)
    return desk


def bars(desk: Desk, **query: str) -> Any:
    return desk.get("/v2/stocks/bars", **{"symbols": "AAA,BBB", "timeframe": "1Min", **query})


def refused(desk: Desk, **query: str) -> str:
    status, body = desk.call("GET", "/v2/stocks/bars", **{"symbols": "AAA", "timeframe": "1Min", **query})
    assert (status, set(body)) == (400, {"message"})
    return body["message"]


def test_a_bar_has_exactly_these_fields(noon: Desk) -> None:
    """OAS-D stock_bar."""
    [bar, *_] = bars(noon)["bars"]["AAA"]
    assert set(bar) == BAR
    assert {type(bar[name]) for name in ("v", "n")} == {int}
    assert {type(bar[name]) for name in ("o", "h", "l", "c", "vw")} == {float}, "numbers, not strings"


def test_a_quote_has_exactly_these_fields(noon: Desk) -> None:
    """OAS-D stock_quote."""
    [quote, *_] = noon.get("/v2/stocks/quotes", symbols="AAA")["quotes"]["AAA"]
    assert set(quote) == QUOTE
    assert (quote["c"], quote["z"]) == (["R"], "C")


def test_a_trade_has_exactly_these_fields(noon: Desk) -> None:
    """OAS-D stock_trade."""
    [trade, *_] = noon.get("/v2/stocks/trades", symbols="AAA")["trades"]["AAA"]
    assert set(trade) == TRADE


@pytest.mark.parametrize("kind", ["bars", "quotes", "trades"])
def test_several_symbols_are_keyed_by_symbol_beside_a_page_token(noon: Desk, kind: str) -> None:
    """Section 10, shape of bars, quotes, trades."""
    found = noon.get(f"/v2/stocks/{kind}", symbols="BBB,AAA", timeframe="1Min")
    assert set(found) == {kind, "next_page_token"}
    assert list(found[kind]) == ["AAA", "BBB"]
    assert found["next_page_token"] is None


@pytest.mark.parametrize("kind", ["bars", "quotes", "trades"])
def test_one_symbol_in_the_path_gives_a_list_and_its_name(noon: Desk, kind: str) -> None:
    """Section 10: {"symbol","bars","next_page_token"}; used by the old SDKs."""
    found = noon.get(f"/v2/stocks/AAA/{kind}", timeframe="1Min")
    assert set(found) == {"symbol", kind, "next_page_token"}
    assert found["symbol"] == "AAA"
    assert found[kind] == noon.get(f"/v2/stocks/{kind}", symbols="AAA", timeframe="1Min")[kind]["AAA"]


@pytest.mark.parametrize("kind", ["bars", "quotes", "trades"])
def test_an_empty_single_symbol_answer_is_null(noon: Desk, kind: str) -> None:
    """Section 10: "bars may be null when empty (npm 3 tolerates)"."""
    found = noon.get(f"/v2/stocks/AAA/{kind}", timeframe="1Min", start="2026-11-21T00:00:00Z")
    assert found == {"symbol": "AAA", kind: None, "next_page_token": None}


@pytest.mark.parametrize("kind", ["bars", "quotes", "trades"])
def test_an_unknown_symbol_is_missing_and_no_error(noon: Desk, kind: str) -> None:
    """Section 10: "Unknown or dataless symbol: 200 with the key missing"."""
    assert noon.get(f"/v2/stocks/{kind}", symbols="NOPE", timeframe="1Min")[kind] == {}
    assert noon.get(f"/v2/stocks/{kind}/latest", symbols="NOPE")[kind] == {}


@pytest.mark.parametrize("good", ["1Min", "59Min", "5T", "1Hour", "23H", "1Day", "D", "1Week", "W", "12Month", "3M"])
def test_these_timeframes_exist(noon: Desk, good: str) -> None:
    """OAS-D timeframe: [1-59]Min|T, [1-23]Hour|H, 1Day|D, 1Week|W, [1,2,3,4,6,12]Month|M."""
    assert "bars" in bars(noon, timeframe=good)


@pytest.mark.parametrize("bad", ["60Min", "0Min", "24Hour", "2Day", "2Week", "5Month", "13Month", "1min", "x", ""])
def test_these_timeframes_do_not(noon: Desk, bad: str) -> None:
    """Section 10: `60Min`, `24Hour` -> 400."""
    assert refused(noon, timeframe=bad) == f"invalid timeframe: {bad}"


def test_a_limit_counts_all_symbols_together(noon: Desk) -> None:
    """Section 10, pagination; alpaca-py merges the pages."""
    page = bars(noon, limit="12")
    assert {symbol: len(items) for symbol, items in page["bars"].items()} == {"AAA": 11, "BBB": 1}
    assert page["next_page_token"]


@pytest.mark.parametrize("kind", ["bars", "quotes", "trades"])
@pytest.mark.parametrize("sort", ["asc", "desc"])
def test_pages_put_together_are_the_whole(noon: Desk, kind: str, sort: str) -> None:
    """Section 10: repeat with page_token until null; symbols come sorted, one may miss from a page."""
    query = {"symbols": "AAA,BBB", "timeframe": "1Min", "sort": sort}
    whole = noon.get(f"/v2/stocks/{kind}", **query)[kind]
    token, found = {}, {"AAA": [], "BBB": []}
    for _ in range(100):
        page = noon.get(f"/v2/stocks/{kind}", limit="7", **query, **token)
        for symbol, items in page[kind].items():
            found[symbol] += items
        if page["next_page_token"] is None:
            break
        token = {"page_token": page["next_page_token"]}
    assert found == whole
    assert len(whole["AAA"]) >= 10


@pytest.mark.parametrize("limit", ["0", "-1", "x", "1.5"])
def test_a_limit_is_a_whole_number_from_one(noon: Desk, limit: str) -> None:
    """OAS-D limit: 1..10000."""
    assert refused(noon, limit=limit) == f"invalid limit: {limit}"


def test_a_limit_over_ten_thousand_is_refused_in_these_words(noon: Desk) -> None:
    """Section 7, data: bad parameter (curl report)."""
    assert refused(noon, limit="10001") == "invalid limit: larger than the allowed maximum of 10000"
    assert bars(noon, limit="10000")["bars"]


def test_a_symbol_that_cannot_be_is_refused(noon: Desk) -> None:
    """Section 7, data: `invalid symbol: ...`."""
    assert refused(noon, symbols="a b") == "invalid symbol: a b"


def test_symbols_are_needed(noon: Desk) -> None:
    """OAS-D: symbols is a required parameter."""
    assert refused(noon, symbols="") == "symbols is required"


@pytest.mark.parametrize("word", ["raw", "split", "dividend", "spin-off", "all", "split,dividend"])
def test_every_adjustment_is_accepted(noon: Desk, word: str) -> None:
    """OAS-D adjustment, csv."""
    assert len(bars(noon, adjustment=word)["bars"]["AAA"]) == 11


@pytest.mark.parametrize("feed", ["iex", "sip", "boats", "otc"])
def test_every_historical_feed_is_accepted(noon: Desk, feed: str) -> None:
    """OAS-D stock_historical_feed."""
    assert bars(noon, feed=feed)["bars"]


@pytest.mark.parametrize("feed", ["delayed_sip", "overnight", "iex"])
def test_every_latest_feed_is_accepted(noon: Desk, feed: str) -> None:
    """OAS-D stock_latest_feed."""
    assert noon.get("/v2/stocks/quotes/latest", symbols="AAA", feed=feed)["quotes"]


@pytest.mark.parametrize(
    ("name", "value"), [("feed", "nyse"), ("adjustment", "none"), ("sort", "up"), ("asof", "soon"), ("start", "later")]
)
def test_a_parameter_out_of_its_words_is_a_400(noon: Desk, name: str, value: str) -> None:
    """Section 7, data: 400 with a message and no code."""
    assert refused(noon, **{name: value}) == f"invalid {name}: {value}"


def test_asof_takes_a_date_or_a_dash(noon: Desk) -> None:
    """OAS-D asof: YYYY-MM-DD, "-" to skip symbol mapping."""
    assert bars(noon, asof="2026-11-20")["bars"] == bars(noon, asof="-")["bars"]


def test_start_and_end_are_inclusive(noon: Desk) -> None:
    """Section 10: "Both inclusive"."""
    found = bars(noon, symbols="AAA", start="2026-11-20T14:31:00Z", end="2026-11-20T14:33:00Z")["bars"]["AAA"]
    assert [bar["t"][14:16] for bar in found] == ["31", "32", "33"]


def test_an_end_before_the_start_is_refused(noon: Desk) -> None:
    """Same rule as OAS-D: end after start; the text is [inferred]."""
    assert "before start" in refused(noon, start="2026-11-20T14:33:00Z", end="2026-11-20T14:31:00Z")


def test_times_take_dates_offsets_and_nanoseconds(noon: Desk) -> None:
    """OAS-D: RFC-3339 or YYYY-MM-DD, up to nanoseconds; alpaca-py sends +00:00."""
    for start in (
        "2026-11-20",
        "2026-11-20T09:00:00-05:00",
        "2026-11-20T14:00:00.123456789Z",
        "2026-11-20T14:00:00+00:00",
    ):
        assert len(bars(noon, start=start)["bars"]["AAA"]) == 11


def test_sort_desc_gives_the_newest_first(noon: Desk) -> None:
    """OAS-D sort."""
    times = [bar["t"] for bar in bars(noon, sort="desc")["bars"]["AAA"]]
    assert times == sorted(times, reverse=True)


def test_a_day_bar_is_stamped_with_new_yorks_midnight(noon: Desk) -> None:
    """Section 10: 04:00Z or 05:00Z; the running day's bar is already returned."""
    [bar] = bars(noon, symbols="AAA", timeframe="1Day", start="2026-11-20")["bars"]["AAA"]
    assert bar["t"] == "2026-11-20T05:00:00Z"


def test_week_and_month_bars_begin_on_monday_and_on_the_first(noon: Desk) -> None:
    """OAS-D timeframe; the stamp is New York's midnight."""
    week = bars(noon, symbols="AAA", timeframe="1Week", start="2026-11-01")["bars"]["AAA"]
    month = bars(noon, symbols="AAA", timeframe="1Month", start="2026-11-01")["bars"]["AAA"]
    assert [bar["t"] for bar in week + month] == ["2026-11-16T05:00:00Z", "2026-11-01T04:00:00Z"]


def test_a_minute_that_still_runs_is_not_given(noon: Desk) -> None:
    """A closed bar only: minute bars are sent after the minute (section 11)."""
    noon.pass_time(seconds=30)
    assert bars(noon)["bars"]["AAA"][-1]["t"] == "2026-11-20T14:39:00Z"


def test_minute_stamps_are_whole_and_tick_stamps_are_not(noon: Desk) -> None:
    """Section 10, the items' examples."""
    assert bars(noon)["bars"]["AAA"][0]["t"].endswith(":00Z")
    datetime.fromisoformat(noon.get("/v2/stocks/AAA/trades")["trades"][0]["t"])


def test_the_latest_trade_is_the_last_of_the_history(noon: Desk) -> None:
    """OAS-D: latest trade; ids identify trades."""
    history = noon.get("/v2/stocks/AAA/trades")["trades"]
    assert noon.get("/v2/stocks/AAA/trades/latest")["trade"] == history[-1]
    assert noon.get("/v2/stocks/AAA/quotes/latest")["quote"] == noon.get("/v2/stocks/AAA/quotes")["quotes"][-1]
    assert len({trade["i"] for trade in history}) == len(history)


@pytest.mark.parametrize("kind", ["bar", "quote", "trade"])
def test_latest_of_one_symbol_is_in_the_singular(noon: Desk, kind: str) -> None:
    """OAS-D: /v2/stocks/{symbol}/{kind}s/latest answers {"symbol", kind}."""
    found = noon.get(f"/v2/stocks/AAA/{kind}s/latest")
    assert set(found) == {"symbol", kind}
    assert noon.get(f"/v2/stocks/{kind}s/latest", symbols="AAA,BBB")[f"{kind}s"]["AAA"] == found[kind]


def test_snapshots_have_their_symbols_at_the_top(noon: Desk) -> None:
    """Section 10: "symbols at top level, no wrapper"; unknown ones are missing."""
    found = noon.get("/v2/stocks/snapshots", symbols="AAA,BBB,NOPE")
    assert list(found) == ["AAA", "BBB"]
    assert set(found["AAA"]) == {"latestTrade", "latestQuote", "minuteBar", "dailyBar", "prevDailyBar"}


def test_a_single_snapshot_says_its_symbol(noon: Desk) -> None:
    """OAS-D: /v2/stocks/{symbol}/snapshot."""
    found = noon.get("/v2/stocks/AAA/snapshot")
    assert found.pop("symbol") == "AAA"
    assert found == noon.get("/v2/stocks/snapshots", symbols="AAA")["AAA"]
    assert noon.call("GET", "/v2/stocks/NOPE/snapshot")[0] == 404


def test_a_snapshot_without_yesterday_says_null(noon: Desk) -> None:
    """OAS-D: parts of a snapshot may be null."""
    assert noon.get("/v2/stocks/AAA/snapshot")["prevDailyBar"] is None
    assert noon.get("/v2/stocks/AAA/snapshot")["dailyBar"]["t"] == "2026-11-20T05:00:00Z"


def test_alpaca_pys_models_read_every_item(noon: Desk) -> None:
    """alpaca-py 0.44 data models."""
    for model, kind in ((BarSet, "bars"), (QuoteSet, "quotes"), (TradeSet, "trades")):
        raw = noon.get(f"/v2/stocks/{kind}", symbols="AAA,BBB", timeframe="1Min")[kind]
        assert len(model(raw)["BBB"]) == len(raw["BBB"])
    assert Quote("AAA", noon.get("/v2/stocks/AAA/quotes/latest")["quote"]).ask_price == 100.01
    assert Trade("AAA", noon.get("/v2/stocks/AAA/trades/latest")["trade"]).price == 100.0
    assert Snapshot("AAA", noon.get("/v2/stocks/snapshots", symbols="AAA")["AAA"]).daily_bar.volume > 0


def test_a_currency_is_echoed(noon: Desk) -> None:
    """Section 10: "currency": "USD"?"""
    assert bars(noon, currency="USD")["currency"] == "USD"


def test_data_paths_want_keys(noon: Desk) -> None:
    """Section 1: 401 {"message": "unauthorized."}."""
    noon.get("/v2/clock")
    noon.secret = "WRONG"
    assert noon.call("GET", "/v2/stocks/bars", symbols="AAA", timeframe="1Min") == (401, {"message": "unauthorized."})


@pytest.mark.parametrize(
    "path", ["/v2/stocks/auctions", "/v1beta1/news", "/v1beta3/crypto/us/bars", "/v2/stocks/AAA/nope"]
)
def test_what_is_not_built_is_an_unknown_path(noon: Desk, path: str) -> None:
    """Issue: never half."""
    assert noon.call("GET", path, symbols="AAA")[0] == 404


def test_nothing_is_known_before_its_time(desk: Desk) -> None:
    """Fills and answers never look ahead: at the opening only the bar before it is known."""
    for minutes in range(3):
        now = desk.exchange.now
        for kind in ("trades", "quotes"):
            times = [one["t"] for one in desk.get(f"/v2/stocks/AAA/{kind}")[kind]]
            assert all(datetime.fromisoformat(at) <= now for at in times), minutes
        desk.pass_time(minutes=1)


def test_the_trades_of_a_bar_lie_inside_its_minute(desk: Desk) -> None:
    """Section 10: a trade's time is its own; a bar holds the trades from its start until just before the next."""
    desk.pass_time(minutes=2)
    trades = desk.get("/v2/stocks/AAA/trades", start="2026-11-20T14:30:00Z", end="2026-11-20T14:30:59.999999Z")[
        "trades"
    ]
    assert len(trades) == 4
    assert trades[-1]["t"] == "2026-11-20T14:30:59.999999Z"
    assert desk.get("/v2/stocks/AAA/trades/latest")["trade"]["t"] == "2026-11-20T14:31:59.999999Z"
