"""Runs in an environment of its own: alpaca-trade-api 3.2.0, unmodified, against the exchange at argv[1].

Writes one JSON object of what it saw; the test looks at it. It moves the exchange's clock through the lab.
"""

import asyncio
import json
import os
import sys
import urllib.request

from alpaca_trade_api.rest import REST, APIError, TimeFrame
from alpaca_trade_api.stream import Stream

URL, TOKEN = sys.argv[1], sys.argv[2]
os.environ["APCA_API_DATA_URL"] = URL
api = REST("KEY", "SECRET", base_url=URL)
seen = {}


def lab(path, body):
    headers = {"X-Lab-Token": TOKEN, "Content-Type": "application/json"}
    request = urllib.request.Request(f"{URL}/_lab/{path}", json.dumps(body).encode(), headers)
    urllib.request.urlopen(request, timeout=10).read()


def rest():
    seen["cash"] = api.get_account().cash
    seen["open"] = api.get_clock().is_open
    seen["close"] = str(api.get_calendar("2026-11-27", "2026-11-27")[0].close)
    seen["assets"] = sorted(one.symbol for one in api.list_assets())
    bought = api.submit_order("AAA", qty=5, side="buy", type="market", time_in_force="day", client_order_id="mine")
    resting = api.submit_order("AAA", qty=1, side="buy", type="limit", time_in_force="gtc", limit_price=90)
    seen["bought"] = api.get_order(bought.id).status
    seen["by_client_id"] = api.get_order_by_client_order_id("mine").id == bought.id
    seen["orders"] = len(api.list_orders(status="all"))
    seen["position"] = api.get_position("AAA").qty
    seen["positions"] = [one.symbol for one in api.list_positions()]
    api.cancel_order(resting.id)
    seen["cancelled"] = api.get_order(resting.id).status
    seen["activities"] = [one.qty for one in api.get_activities("FILL")]
    try:
        api.submit_order("AAA", qty=1, side="buy", type="market", time_in_force="day", client_order_id="mine")
    except APIError as refused:
        seen["refused"] = [refused.status_code, refused.code]
    seen["bars"] = len(api.get_bars("AAA", TimeFrame.Minute, "2026-11-20", "2026-11-20T14:35:00Z").df)
    seen["trades"] = len(api.get_trades("AAA", "2026-11-20", "2026-11-20T14:35:00Z"))
    seen["quotes"] = len(api.get_quotes("AAA", "2026-11-20", "2026-11-20T14:35:00Z"))
    seen["latest_quote"] = api.get_latest_quote("AAA").ap
    seen["latest_trade"] = api.get_latest_trade("AAA").p
    seen["snapshot"] = api.get_snapshot("AAA").latest_quote.bp
    seen["snapshots"] = sorted(api.get_snapshots(["AAA", "BBB"]))


async def streams():
    stream = Stream("KEY", "SECRET", base_url=URL, data_stream_url=URL, data_feed="iex")
    events, bars, quotes, trades = [], [], [], []

    async def on_event(update):
        events.append(update.event)

    async def on_bar(bar):
        bars.append(bar.symbol)

    async def on_quote(quote):
        quotes.append(quote.ask_price)

    async def on_trade(trade):
        trades.append(trade.price)

    stream.subscribe_trade_updates(on_event)
    stream.subscribe_bars(on_bar, "AAA", "BBB")
    stream.subscribe_quotes(on_quote, "AAA")
    stream.subscribe_trades(on_trade, "AAA")
    running = asyncio.create_task(stream._run_forever())
    for _ in range(100):
        await asyncio.sleep(0.1)
        if stream._trading_ws._running and stream._data_ws._running:
            break
    await asyncio.sleep(0.3)
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(
        None, lambda: api.submit_order("AAA", qty=1, side="buy", type="market", time_in_force="day")
    )
    await loop.run_in_executor(None, lab, "clock", {"advance_s": 60})
    for _ in range(100):
        await asyncio.sleep(0.05)
        if len(events) >= 2 and len(bars) >= 2 and quotes and trades:
            break
    seen.update(events=events, stream_bars=bars, stream_quotes=quotes, stream_trades=trades)
    running.cancel()


lab("clock", {"advance_s": 300})
rest()
asyncio.run(streams())
sys.stdout.write(json.dumps(seen))
