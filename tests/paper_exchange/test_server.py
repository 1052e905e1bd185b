"""The exchange as a process, driven by unmodified alpaca-py over real sockets."""

import asyncio
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from alpaca.common.exceptions import APIError
from alpaca.data.historical import StockHistoricalDataClient
from alpaca.data.live import StockDataStream
from alpaca.data.requests import StockBarsRequest, StockLatestQuoteRequest
from alpaca.data.timeframe import TimeFrame
from alpaca.trading.client import TradingClient
from alpaca.trading.requests import GetCalendarRequest, GetOrdersRequest, LimitOrderRequest, MarketOrderRequest
from alpaca.trading.stream import TradingStream

from .rig import Server, eventually

Start = Callable[..., Server]
ORDER = {"symbol": "AAA", "qty": "1", "side": "buy", "type": "market", "time_in_force": "day"}


def client(server: Server, key: str = "KEY") -> TradingClient:
    return TradingClient(key, "SECRET", url_override=server.url)


class Listening:
    """An alpaca-py stream in a thread of its own, ended with the test."""

    def __init__(self, stream: Any) -> None:
        self.heard: list[Any] = []
        self.stream = stream
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self._run, daemon=True)

    async def hear(self, message: Any) -> None:
        self.heard.append(message)

    def _run(self) -> None:
        self.task = self.loop.create_task(self.stream._run_forever())
        self.loop.run_until_complete(asyncio.gather(self.task, return_exceptions=True))
        self.loop.run_until_complete(self.stream.close())
        self.loop.close()

    def __enter__(self) -> "Listening":
        self.thread.start()
        eventually(lambda: self.stream._running)
        time.sleep(0.15)
        return self

    def __exit__(self, *error: object) -> None:
        self.loop.call_soon_threadsafe(self.task.cancel)
        self.thread.join(10)


def trades(server: Server) -> Listening:
    listening = Listening(TradingStream("KEY", "SECRET", url_override=f"{server.ws}/stream"))
    listening.stream.subscribe_trade_updates(listening.hear)
    return listening


def bars(server: Server, *symbols: str) -> Listening:
    listening = Listening(StockDataStream("KEY", "SECRET", url_override=f"{server.ws}/v2/iex"))
    listening.stream.subscribe_bars(listening.hear, *symbols)
    return listening


def test_alpaca_py_reads_every_object(start_server: Start) -> None:
    server = start_server()
    trading = client(server)
    assert trading.get_account().cash == "100000"
    assert trading.get_clock().is_open
    assert [
        day.close.hour for day in trading.get_calendar(GetCalendarRequest(start="2026-11-27", end="2026-11-27"))
    ] == [13]
    assert {asset.symbol for asset in trading.get_all_assets()} == {"AAA", "BBB"}
    bought = trading.submit_order(MarketOrderRequest(symbol="AAA", qty=5, side="buy", time_in_force="day"))
    resting = trading.submit_order(
        LimitOrderRequest(
            symbol="AAA", qty=5, side="buy", time_in_force="gtc", limit_price=90.5, client_order_id="a b/c"
        )
    )
    assert trading.get_order_by_id(bought.id).status == "filled"
    assert trading.get_order_by_client_id("a b/c").id == resting.id
    assert trading.get_open_position("AAA").qty == "5"
    assert [one.symbol for one in trading.get_all_positions()] == ["AAA"]
    assert len(trading.get_orders(GetOrdersRequest(status="all"))) == 2
    assert trading.cancel_order_by_id(resting.id) is None
    assert trading.cancel_orders() == []
    assert trading.get("/account/activities/FILL", {})[0]["order_id"] == str(bought.id)
    with pytest.raises(APIError) as refused:
        trading.get_open_position("BBB")
    assert (refused.value.status_code, refused.value.code) == (404, 40410000)
    data = StockHistoricalDataClient("KEY", "SECRET", url_override=server.url)
    found = data.get_stock_bars(StockBarsRequest(symbol_or_symbols=["AAA", "BBB"], timeframe=TimeFrame.Minute))
    assert len(found["AAA"]) == 1
    assert data.get_stock_latest_quote(StockLatestQuoteRequest(symbol_or_symbols="AAA"))["AAA"].ask_price == 100.01


def test_both_streams_speak_to_alpaca_py(start_server: Start) -> None:
    server = start_server()
    with trades(server) as orders, bars(server, "AAA", "BBB") as market:
        server.call("POST", "/v2/orders", ORDER)
        server.lab("POST", "clock", {"advance_s": 120})
        eventually(lambda: len(orders.heard) == 2 and len(market.heard) == 4)
    assert [update.event for update in orders.heard] == ["new", "fill"]
    assert orders.heard[1].position_qty == 1.0
    assert [bar.symbol for bar in market.heard] == ["AAA", "BBB"] * 2
    assert market.heard[0].timestamp.isoformat() == "2026-11-20T14:30:00+00:00"


def test_a_minute_is_one_frame_in_json_too(start_server: Start) -> None:
    from websockets.sync.client import connect

    server = start_server()
    with connect(f"{server.ws}/v2/iex") as socket:
        assert socket.recv() == '[{"T":"success","msg":"connected"}]'
        socket.send('{"action":"subscribe","bars":["*"]}')
        assert '"code":401' in socket.recv()
        socket.send('{"action":"auth","key":"KEY","secret":""}')
        assert '"code":402' in socket.recv()
        socket.send('{"action":"auth","key":"KEY","secret":"SECRET"}')
        assert socket.recv() == '[{"T":"success","msg":"authenticated"}]'
        socket.send("nonsense")
        assert '"code":400' in socket.recv()
        socket.send('{"action":"subscribe","bars":["*"],"quotes":["BBB"]}')
        assert '"bars":["*"]' in socket.recv()
        server.lab("POST", "clock", {"advance_s": 60})
        frame = socket.recv()
        assert frame.count('"T":"b"') == 2
        assert frame.count('"T":"q"') == 1
    with connect(f"{server.ws}/stream/") as socket:
        socket.send('{"action":"listen","data":{"streams":["trade_updates"]}}')
        assert socket.recv() == b'{"stream":"authorization","data":{"status":"unauthorized","action":"listen"}}'
        socket.send('{"action":"auth","key":"KEY","secret":"SECRET"}')
        assert b'"status":"authorized"' in socket.recv()
        socket.send('{"action":"listen","data":{"streams":["trade_updates","nope"]}}')
        assert socket.recv() == b'{"stream":"listening","data":{"streams":["trade_updates"]}}'


def test_the_lab_needs_its_token(start_server: Start) -> None:
    server = start_server()
    for token in ({}, {"X-Lab-Token": "guess"}):
        assert requests.get(f"{server.url}/_lab/truth", headers=token, timeout=5).status_code == 404


def test_the_lab_moves_prices_trades_and_accounts(start_server: Start) -> None:
    server = start_server()
    account = server.call("GET", "/v2/account").json()["id"]
    server.lab("POST", "price", {"symbol": "AAA", "bid": 42, "ask": "42.5"})
    order = server.lab("POST", "orders", {"symbol": "AAA", "side": "buy", "qty": 2})
    assert (order["status"], order["filled_avg_price"], order["source"]) == ("filled", "42.5", "dashboard")
    assert server.lab("POST", "account", {"cash": "5", "block": True})["cash"] == "5"
    assert server.call("POST", "/v2/orders", ORDER).status_code == 403
    server.lab("POST", "account", {"reset": True})
    fresh = server.call("GET", "/v2/account").json()
    assert fresh["cash"] == "100000"
    assert fresh["id"] != account
    assert server.lab("POST", "clock", {"to": "2026-11-20T15:00:00Z"})["now"] == "2026-11-20T15:00:00.000000Z"
    truth = server.lab("GET", f"truth?account={account}")
    assert [fill["qty"] for fill in truth["executions"]] == ["2"]
    assert truth["positions"] == [{"account": account, "symbol": "AAA", "qty": "2"}]


@pytest.mark.parametrize("act", ["reset_before", "hang_before", "status_before", "html_before"])
def test_a_fault_before_means_the_exchange_did_nothing(start_server: Start, act: str) -> None:
    server = start_server()
    server.lab(
        "POST", "faults", {"match": {"method": "POST", "path": "^/v2/orders$"}, "act": act, "times": 1, "seconds": 0.3}
    )
    assert not went_well(server, "lost")
    assert server.call("GET", "/v2/orders:by_client_order_id?client_order_id=lost").status_code == 404
    row = server.lab("GET", "truth")["requests"][0]
    assert (row["client_order_id"], row["acted"]) == ("lost", False)
    assert went_well(server, "lost")


@pytest.mark.parametrize("act", ["reset_after", "hang_after", "status_after", "html_after", "truncate_after", "empty"])
def test_a_fault_after_means_it_happened_all_the_same(start_server: Start, act: str) -> None:
    server = start_server()
    server.lab("POST", "faults", {"match": {"method": "POST", "symbol": "AAA"}, "act": act, "times": 1, "seconds": 0.3})
    assert not went_well(server, "kept")
    assert server.call("GET", "/v2/orders:by_client_order_id?client_order_id=kept").json()["status"] == "filled"
    row = server.lab("GET", "truth")["requests"][0]
    assert (row["status"], row["acted"]) == (200, True)
    assert server.lab("GET", "faults") == []


def test_a_doubled_request_shows_the_second_answer(start_server: Start) -> None:
    server = start_server()
    server.lab("POST", "faults", {"match": {"method": "POST"}, "act": "duplicate", "times": 1})
    answer = server.call("POST", "/v2/orders", {**ORDER, "client_order_id": "twice"})
    assert (answer.status_code, answer.json()["code"]) == (422, 40010001)
    assert len(server.lab("GET", "truth")["orders"]) == 1


def went_well(server: Server, client_order_id: str) -> bool:
    try:
        answer = server.call("POST", "/v2/orders", {**ORDER, "client_order_id": client_order_id})
        return answer.status_code == 200 and "id" in answer.json()
    except (requests.RequestException, ValueError):
        return False


def test_late_and_trickled_answers_are_whole(start_server: Start) -> None:
    server = start_server()
    for act, seconds in (("delay_before", 0.3), ("delay_after", 0.3), ("trickle_after", 0.002)):
        server.lab("POST", "faults", {"match": {"path": "/v2/clock"}, "act": act, "times": 1, "seconds": seconds})
        began = time.monotonic()
        assert server.call("GET", "/v2/clock").json()["is_open"] is True
        assert time.monotonic() - began > 0.25
    server.lab("POST", "faults", {"match": {}, "act": "hang_before", "seconds": 30})
    with pytest.raises(requests.Timeout):
        server.call("GET", "/v2/clock", timeout=0.2)
    assert server.lab("DELETE", "faults") == {"removed": 1}
    assert server.call("GET", "/v2/clock").ok


def test_frames_can_be_dropped_muted_and_cut(start_server: Start) -> None:
    from websockets.exceptions import ConnectionClosed
    from websockets.sync.client import connect

    server = start_server()

    def listen(socket: Any) -> None:
        socket.send('{"action":"auth","key":"KEY","secret":"SECRET"}')
        socket.send('{"action":"listen","data":{"streams":["trade_updates"]}}')
        socket.recv(), socket.recv()

    with connect(f"{server.ws}/stream") as socket:
        listen(socket)
        server.lab("POST", "faults", {"match": {"event": "fill"}, "act": "ws_drop", "times": 1})
        server.call("POST", "/v2/orders", ORDER)
        server.call("POST", "/v2/orders", ORDER)
        events = [socket.recv(timeout=5) for _ in range(3)]
        assert [b'"event":"fill"' in event for event in events] == [False, False, True]
        server.lab("POST", "faults", {"match": {"event": "new"}, "act": "ws_mute", "times": 1, "seconds": 0.3})
        server.call("POST", "/v2/orders", ORDER)
        with pytest.raises(TimeoutError):
            socket.recv(timeout=0.2)
        time.sleep(0.2)
        server.call("POST", "/v2/orders", ORDER)
        assert b'"event":"new"' in socket.recv(timeout=5)
        socket.recv(timeout=5)
        for act, expected in (
            ("ws_duplicate", ["new", "new", "fill"]),
            ("ws_swap", ["fill", "new"]),
            ("ws_null", [None, "fill"]),
            ("ws_unknown", ["unheard_of", "fill"]),
        ):
            server.lab("POST", "faults", {"match": {"event": "new"}, "act": act, "times": 1})
            server.call("POST", "/v2/orders", ORDER)
            data = [json.loads(socket.recv(timeout=5))["data"] for _ in expected]
            assert [one and one["event"] for one in data] == expected
        server.lab("POST", "faults", {"match": {"path": "/stream"}, "act": "ws_cut", "times": 1})
        server.call("POST", "/v2/orders", ORDER)
        with pytest.raises(ConnectionClosed):
            list(iter(lambda: socket.recv(timeout=5), None))


def test_kill_9_loses_nothing(start_server: Start, tmp_path: Path) -> None:
    state = str(tmp_path / "exchange.db")
    server = start_server(state=state)
    stop = threading.Event()
    answered: list[str] = []

    def trade() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            name = f"order-{number}"
            try:
                if server.call("POST", "/v2/orders", {**ORDER, "client_order_id": name}).status_code == 200:
                    answered.append(name)
            except requests.RequestException:
                return

    trader = threading.Thread(target=trade)
    trader.start()
    eventually(lambda: len(answered) > 20)
    server.kill()
    stop.set()
    trader.join(5)
    again = start_server(state=state)
    truth = again.lab("GET", "truth")
    known = {order["client_order_id"]: order for order in truth["orders"]}
    assert set(answered) <= known.keys()
    assert len(known) - len(answered) <= 1, "at most the one whose answer was on its way"
    assert truth["positions"][0]["qty"] == str(len(known))
    assert again.call("POST", "/v2/orders", {**ORDER, "client_order_id": answered[0]}).status_code == 422


def test_sigterm_ends_it_at_once_even_with_open_sockets(start_server: Start, tmp_path: Path) -> None:
    from websockets.sync.client import connect

    server = start_server(state=str(tmp_path / "exchange.db"))
    server.lab("POST", "faults", {"match": {"path": "/v2/account"}, "act": "hang_before"})
    hanging = threading.Thread(target=lambda: went_well_get(server))
    hanging.start()
    with connect(f"{server.ws}/stream"), connect(f"{server.ws}/v2/iex"):
        time.sleep(0.2)
        began = time.monotonic()
        assert server.terminate() == 0
        assert time.monotonic() - began < 1.5, "well under a second on a quiet machine"
    hanging.join(5)


def went_well_get(server: Server) -> bool:
    try:
        return server.call("GET", "/v2/account").ok
    except requests.RequestException:
        return False


def test_a_paced_market_waits_for_its_trader_and_for_its_return(start_server: Start) -> None:
    from websockets.sync.client import connect

    server = start_server(speed="paced")

    def subscribe(socket: Any) -> None:
        socket.send('{"action":"auth","key":"KEY","secret":"SECRET"}')
        socket.send('{"action":"subscribe","bars":["AAA"]}')
        for _ in range(3):
            socket.recv(timeout=5)

    with connect(f"{server.ws}/v2/iex") as socket:
        subscribe(socket)
        for minute in range(30, 35):
            assert f"2026-11-20T14:{minute}:00Z" in socket.recv(timeout=5)
            with pytest.raises(TimeoutError):
                socket.recv(timeout=0.05)
            server.call("GET", "/v2/clock")
        assert "14:35:00Z" in socket.recv(timeout=5)
    time.sleep(0.2)
    server.call("GET", "/v2/clock")
    time.sleep(0.2)
    assert server.lab("GET", "clock")["now"].startswith("2026-11-20T14:36:00"), "it holds while its trader is away"
    with connect(f"{server.ws}/v2/iex") as socket:
        subscribe(socket)
        assert "14:36:00Z" in socket.recv(timeout=5)


def test_speed_x_runs_between_bars_and_jumps_over_closed_hours(start_server: Start) -> None:
    server = start_server("--start", "2026-11-20T20:59:30+00:00", market="synthetic:7", speed="100")
    first = server.lab("GET", "clock")["now"]
    time.sleep(0.1)
    assert server.lab("GET", "clock")["now"] > first
    eventually(lambda: server.lab("GET", "clock")["now"].startswith("2026-11-23T14:3"))
    assert server.lab("POST", "clock", {"speed": "manual"})["speed"] == "manual"


def test_a_night_can_be_run_through_at_speed_x(start_server: Start) -> None:
    flags = ("--start", "2026-11-20T20:59:50+00:00", "--night", "run")
    server = start_server(*flags, market="synthetic:7", speed="100")
    eventually(lambda: server.lab("GET", "clock")["is_open"] is False)
    time.sleep(0.3)
    clock = server.lab("GET", "clock")
    assert clock["is_open"] is False
    assert clock["now"].startswith("2026-11-20T2"), "closed hours pass, and are not jumped over"


def test_max_ends_with_the_tape_and_still_answers(start_server: Start) -> None:
    server = start_server()
    server.lab("POST", "clock", {"speed": "max"})
    ended = eventually(lambda: (clock := server.lab("GET", "clock"))["next_event"] is None and clock)
    assert ended["now"].startswith("2026-11-20T21:00:00")
    assert server.call("GET", "/v2/clock").json()["is_open"] is False


def test_an_idle_server_goes_home(start_server: Start) -> None:
    server = start_server("--idle-exit", "0.5")
    assert server.process.wait(5) == 0
