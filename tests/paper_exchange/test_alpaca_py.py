"""alpaca-py, unmodified: its four clients against a real exchange process."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from alpaca.data.historical import StockHistoricalDataClient
from alpaca.data.live import StockDataStream
from alpaca.data.requests import (
    StockBarsRequest,
    StockLatestBarRequest,
    StockLatestQuoteRequest,
    StockLatestTradeRequest,
    StockQuotesRequest,
    StockSnapshotRequest,
    StockTradesRequest,
)
from alpaca.data.timeframe import TimeFrame, TimeFrameUnit

from .rig import Server, eventually
from .test_server import ORDER, Listening, trades

Start = Callable[..., Server]
SYMBOLS = ["AAA", "BBB", "NOPE"]
SINCE = datetime(2026, 11, 20, tzinfo=UTC)


def history(server: Server) -> StockHistoricalDataClient:
    server.lab("POST", "clock", {"advance_s": 600})
    return StockHistoricalDataClient("KEY", "SECRET", url_override=server.url)


def test_history_of_every_kind_is_read(start_server: Start) -> None:
    data = history(start_server())
    bars = data.get_stock_bars(StockBarsRequest(symbol_or_symbols=SYMBOLS, timeframe=TimeFrame.Minute, start=SINCE))
    quotes = data.get_stock_quotes(StockQuotesRequest(symbol_or_symbols=SYMBOLS, start=SINCE))
    ticks = data.get_stock_trades(StockTradesRequest(symbol_or_symbols=SYMBOLS, start=SINCE))
    assert [len(found["AAA"]) for found in (bars, quotes, ticks)] == [11, 11, 44]
    assert set(bars.data) == set(quotes.data) == set(ticks.data) == {"AAA", "BBB"}


def test_pages_are_put_together_by_the_client(start_server: Start) -> None:
    data = history(start_server())
    asked = StockBarsRequest(symbol_or_symbols=["AAA", "BBB"], timeframe=TimeFrame.Minute, start=SINCE, limit=15)
    assert {symbol: len(bars) for symbol, bars in data.get_stock_bars(asked).data.items()} == {"AAA": 11, "BBB": 4}


def test_every_timeframe_of_the_client_is_served(start_server: Start) -> None:
    data = history(start_server())
    for frame in (
        TimeFrame(5, TimeFrameUnit.Minute),
        TimeFrame.Hour,
        TimeFrame.Day,
        TimeFrame.Week,
        TimeFrame(3, TimeFrameUnit.Month),
    ):
        asked = StockBarsRequest(symbol_or_symbols="AAA", timeframe=frame, start=datetime(2026, 10, 1, tzinfo=UTC))
        found = data.get_stock_bars(asked).data
        assert len(found.get("AAA", [])) == (
            0 if frame.unit_value == TimeFrameUnit.Hour else 3 if frame.amount_value == 5 else 1
        )


def test_the_latest_of_everything_is_read(start_server: Start) -> None:
    data = history(start_server())
    assert data.get_stock_latest_bar(StockLatestBarRequest(symbol_or_symbols=SYMBOLS))["AAA"].close == 100
    assert data.get_stock_latest_quote(StockLatestQuoteRequest(symbol_or_symbols=SYMBOLS))["BBB"].ask_price == 50.02
    assert data.get_stock_latest_trade(StockLatestTradeRequest(symbol_or_symbols=SYMBOLS))["AAA"].price == 100
    shots = data.get_stock_snapshot(StockSnapshotRequest(symbol_or_symbols=SYMBOLS))
    assert set(shots) == {"AAA", "BBB"}
    assert shots["AAA"].daily_bar.volume == 5000
    assert shots["AAA"].previous_daily_bar is None


def test_the_data_stream_brings_every_kind(start_server: Start) -> None:
    server = start_server()
    listening = Listening(StockDataStream("KEY", "SECRET", url_override=f"{server.ws}/v2/iex"))
    stream: Any = listening.stream
    for subscribe in (
        stream.subscribe_bars,
        stream.subscribe_quotes,
        stream.subscribe_trades,
        stream.subscribe_daily_bars,
    ):
        subscribe(listening.hear, "AAA")
    stream.subscribe_updated_bars(listening.hear, "*")
    stream.subscribe_trading_statuses(listening.hear, "*")
    with listening:
        server.lab("POST", "clock", {"advance_s": 60})
        eventually(lambda: len(listening.heard) == 7)
    assert [type(one).__name__ for one in listening.heard] == ["Trade"] * 4 + ["Quote", "Bar", "Bar"]


def test_a_thousand_symbols_are_subscribed_to_in_fragments(start_server: Start) -> None:
    server = start_server()
    listening = Listening(StockDataStream("KEY", "SECRET", url_override=f"{server.ws}/v2/iex"))
    listening.stream.subscribe_bars(listening.hear, "AAA", *(f"SYMBOL{number}" for number in range(8000)))
    with listening:
        server.lab("POST", "clock", {"advance_s": 60})
        eventually(lambda: len(listening.heard) == 1)


def test_the_trading_stream_comes_back_after_a_cut(start_server: Start) -> None:
    server = start_server()
    with trades(server) as orders:
        server.lab("POST", "faults", {"match": {"event": "new"}, "act": "ws_cut", "times": 1})
        server.call("POST", "/v2/orders", ORDER)

        def heard_again() -> bool:
            server.call("POST", "/v2/orders", ORDER)
            return bool(orders.heard)

        assert eventually(heard_again, 20)
