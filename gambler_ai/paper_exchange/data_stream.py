"""`/v2/iex`, `/v2/sip`, `/v2/test`: bars, quotes and trades as they become visible (reference section 11).

JSON in text frames, or msgpack in binary ones when the client's Content-Type says so; in msgpack times
are the timestamp extension type. All news of one market moment for a client goes out in one frame.
"""

import asyncio
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import msgpack
from starlette.websockets import WebSocket

from gambler_ai.paper_exchange import ticks, wire
from gambler_ai.paper_exchange.acts import ITEM_EVENTS
from gambler_ai.paper_exchange.audience import MarketEvent, Status
from gambler_ai.paper_exchange.exchange import Exchange
from gambler_ai.paper_exchange.faults import Faults
from gambler_ai.paper_exchange.gate import Gate
from gambler_ai.paper_exchange.market import Bar
from gambler_ai.paper_exchange.pacing import Pacing
from gambler_ai.paper_exchange.sockets import Channel, Piece
from gambler_ai.paper_exchange.streams import read
from gambler_ai.paper_exchange.ticks import Trade
from gambler_ai.paper_exchange.timeframes import day_so_far

_SERVED = ("trades", "quotes", "bars", "updatedBars", "dailyBars", "statuses", "lulds")
_ELSEWHERE = ("orderbooks", "news")
_EVERY = "*"
_ERRORS = {
    400: "invalid syntax",
    401: "not authenticated",
    402: "auth failed",
    403: "already authenticated",
    404: "auth timeout",
    405: "symbol limit exceeded",
    406: "connection limit exceeded",
    407: "slow client",
    409: "insufficient subscription",
    410: "invalid subscribe action for this feed",
    411: "insufficient scope",
}
_SLOW = [{"T": "error", "code": 407, "msg": _ERRORS[407]}]


class MarketData:
    """The conversation on one data socket."""

    def __init__(self, socket: WebSocket, exchange: Exchange, faults: Faults, pacing: Pacing, gate: Gate) -> None:
        self._socket = socket
        self._exchange = exchange
        self._gate = gate
        self._pacing = pacing
        self._packed = "msgpack" in socket.headers.get("content-type", "")
        self._channel = Channel(socket, faults, self._encode, _SLOW, batched=True)
        self._account: str | None = None
        self._wanted: dict[str, set[str]] = {kind: set() for kind in _SERVED}
        self._stop: Callable[[], None] | None = None
        self._paced = False

    async def run(self) -> None:
        """Until the client is gone."""
        await self._socket.accept()
        self._control({"T": "success", "msg": "connected"})
        patience = asyncio.get_running_loop().call_later(self._gate.limits.data_auth_seconds, self._too_late)
        try:
            await self._channel.serve(self._hear)
        finally:
            patience.cancel()
            if self._stop:
                self._stop()
            if self._account:
                self._gate.data.give_back(self._account)
                if self._paced:
                    self._pacing.disconnected(self._account)

    def _too_late(self) -> None:
        if self._account is None:
            self._error(404)
            self._channel.finish()

    def _hear(self, raw: str | bytes) -> None:
        message = read(raw, self._packed)
        action = message.get("action")
        if action == "auth":
            self._authenticate(str(message.get("key") or ""), str(message.get("secret") or ""))
        elif action not in ("subscribe", "unsubscribe"):
            self._error(400)
        elif self._account is None:
            self._error(401)
        elif any(message.get(kind) for kind in _ELSEWHERE):
            self._error(410)
        else:
            self._subscribe(message, action == "subscribe")

    def _authenticate(self, key: str, secret: str) -> None:
        if self._account is not None:
            self._error(403)
            return
        account = self._exchange.account_of(key, secret)
        if account is None:
            self._error(402)
        elif not self._gate.limits.data_scope:
            self._error(411)
        elif self._gate.data.full(account, self._gate.limits.data_connections):
            self._error(406)
        elif self._socket.url.path.endswith("/sip") and not self._gate.limits.sip:
            self._error(409)
        else:
            self._account = account
            self._gate.data.take(account)
            self._control({"T": "success", "msg": "authenticated"})

    def _subscribe(self, message: dict[str, Any], more: bool) -> None:
        named = {kind: message[kind] for kind in _SERVED if isinstance(message.get(kind), list)}
        if not any(named.values()):
            self._error(400)
            return
        wanted = dict(self._wanted)
        for kind, symbols in named.items():
            change = {str(symbol) for symbol in symbols}
            wanted[kind] = wanted[kind] | change if more else wanted[kind] - change
        most = self._gate.limits.data_symbols
        if most and len(wanted["trades"] | wanted["quotes"]) > most:
            self._error(405)
            return
        self._wanted = wanted
        told = {kind: sorted(symbols) for kind, symbols in wanted.items()}
        self._control({"T": "subscription", **told, "corrections": told["trades"], "cancelErrors": told["trades"]})
        if self._stop:
            self._stop()
            self._stop = None
        symbols = frozenset().union(*(self._wanted[kind] for kind in _SERVED))
        if symbols:
            self._stop = self._exchange.listen_market(self._send, None if _EVERY in symbols else symbols)
        self._pace(bool(self._wanted["bars"]))

    def _pace(self, paced: bool) -> None:
        if self._account is None or paced == self._paced:
            return
        self._paced = paced
        if paced:
            self._pacing.subscribed(self._account)
        else:
            self._pacing.unsubscribed(self._account)

    def _send(self, event: MarketEvent) -> None:
        bars = [bar for bar in event.bars if self._wants("bars", bar.symbol)]
        items = [self._item("t", one.symbol, wire.bar_trade(one), one.at) for one in self._trades(event)]
        items += [
            self._item("q", one.symbol, wire.quote(one), one.at)
            for one in event.quotes
            if self._wants("quotes", one.symbol)
        ]
        items += [self._bar("b", bar) for bar in bars] + self._other_bars(event) + self._statuses(event.status)
        if not items:
            return
        self._channel.publish(Piece(ITEM_EVENTS[item["T"]], item["S"], item) for item in items)
        if bars and self._account:
            self._pacing.sent(self._account)

    def _trades(self, event: MarketEvent) -> Iterator[Trade]:
        """Those inside the bars; the last price alone of a quote without one."""
        barred = {bar.symbol: bar for bar in event.bars}
        for quote in event.quotes:
            if self._wants("trades", quote.symbol):
                bar = barred.get(quote.symbol)
                yield from ticks.trades(bar) if bar else [Trade(quote.symbol, quote.at, quote.last, 100)]

    def _statuses(self, told: Status | None) -> list[dict[str, Any]]:
        if told is None:
            return []
        items = []
        if self._wants("statuses", told.symbol):
            items.append(self._item("s", told.symbol, wire.status(told), told.at))
        if told.band and self._wants("lulds", told.symbol):
            items.append(self._item("l", told.symbol, wire.luld(told, told.band), told.at))
        return items

    def _other_bars(self, event: MarketEvent) -> list[dict[str, Any]]:
        venue = self._exchange.venue
        items = []
        for bar in event.bars:
            if self._gate.limits.updated_bars and self._wants("updatedBars", bar.symbol):
                late = venue.market.latest(bar.symbol, bar.start)
                items += [self._bar("u", late)] if late else []
            if self._wants("dailyBars", bar.symbol):
                day = day_so_far(venue, bar.symbol, event.at)
                items += [self._bar("d", day)] if day else []
        return items

    def _bar(self, kind: str, bar: Bar) -> dict[str, Any]:
        return self._item(kind, bar.symbol, wire.bar(bar), bar.start)

    def _item(self, kind: str, symbol: str, fields: dict[str, Any], at: datetime) -> dict[str, Any]:
        item = {"T": kind, "S": symbol, **fields}
        if self._packed:
            item["t"] = at
        return item

    def _wants(self, kind: str, symbol: str) -> bool:
        wanted = self._wanted[kind]
        return symbol in wanted or _EVERY in wanted

    def _error(self, code: int) -> None:
        self._control({"T": "error", "code": code, "msg": _ERRORS[code]})

    def _control(self, message: dict[str, Any]) -> None:
        self._channel.put([message])

    def _encode(self, items: Any) -> str | bytes:
        return msgpack.packb(items, datetime=True) if self._packed else wire.dump(items)
