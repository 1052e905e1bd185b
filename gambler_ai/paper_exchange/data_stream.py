"""`/v2/iex`, `/v2/sip`, `/v2/test`: bars, quotes and trades as they become visible (reference section 11).

JSON in text frames, or msgpack in binary ones when the client's Content-Type says so; in msgpack times
are the timestamp extension type. All news of one market moment for a client goes out in one frame.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgpack
from starlette.websockets import WebSocket

from gambler_ai.paper_exchange import wire
from gambler_ai.paper_exchange.audience import MarketEvent
from gambler_ai.paper_exchange.exchange import Exchange
from gambler_ai.paper_exchange.faults import Faults
from gambler_ai.paper_exchange.pacing import Pacing
from gambler_ai.paper_exchange.sockets import Channel
from gambler_ai.paper_exchange.streams import read

_SERVED = ("trades", "quotes", "bars")
_ANSWERED = (*_SERVED, "updatedBars", "dailyBars", "statuses", "lulds")
_EVERY = "*"


class MarketData:
    """The conversation on one data socket."""

    def __init__(self, socket: WebSocket, exchange: Exchange, faults: Faults, pacing: Pacing) -> None:
        self._socket = socket
        self._exchange = exchange
        self._pacing = pacing
        self._packed = "msgpack" in socket.headers.get("content-type", "")
        self._channel = Channel(socket, faults, self._encode)
        self._account: str | None = None
        self._wanted: dict[str, set[str]] = {kind: set() for kind in _ANSWERED}
        self._stop: Callable[[], None] | None = None
        self._paced = False

    async def run(self) -> None:
        """Until the client is gone."""
        await self._socket.accept()
        self._control({"T": "success", "msg": "connected"})
        try:
            await self._channel.serve(self._hear)
        finally:
            if self._stop:
                self._stop()
            if self._paced and self._account:
                self._pacing.disconnected(self._account)

    def _hear(self, raw: str | bytes) -> None:
        message = read(raw, self._packed)
        action = message.get("action")
        if action == "auth":
            self._authenticate(str(message.get("key") or ""), str(message.get("secret") or ""))
        elif action not in ("subscribe", "unsubscribe"):
            self._error(400, "invalid syntax")
        elif self._account is None:
            self._error(401, "not authenticated")
        else:
            self._subscribe(message, action == "subscribe")

    def _authenticate(self, key: str, secret: str) -> None:
        if self._account is not None:
            self._error(403, "already authenticated")
            return
        self._account = self._exchange.account_of(key, secret)
        if self._account is None:
            self._error(402, "auth failed")
        else:
            self._control({"T": "success", "msg": "authenticated"})

    def _subscribe(self, message: dict[str, Any], more: bool) -> None:
        named = {kind: message[kind] for kind in _ANSWERED if isinstance(message.get(kind), list)}
        if not any(named.values()):
            self._error(400, "invalid syntax")
            return
        for kind, symbols in named.items():
            change = {str(symbol) for symbol in symbols}
            self._wanted[kind] = self._wanted[kind] | change if more else self._wanted[kind] - change
        self._control({"T": "subscription", **{kind: sorted(symbols) for kind, symbols in self._wanted.items()}})
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
        quotes = [quote for quote in event.quotes if self._wants("quotes", quote.symbol)]
        trades = [quote for quote in event.quotes if self._wants("trades", quote.symbol)]
        if not (bars or quotes or trades):
            return
        kind = "bar" if bars else "quote" if quotes else "trade"
        symbol = (bars or quotes or trades)[0].symbol

        items = [self._item("t", one.symbol, wire.trade(one), one.at) for one in trades]
        items += [self._item("q", one.symbol, wire.quote(one), one.at) for one in quotes]
        items += [self._item("b", one.symbol, wire.bar(one), one.start) for one in bars]
        self._channel.publish(kind, symbol, items)
        if bars and self._account:
            self._pacing.sent(self._account)

    def _item(self, kind: str, symbol: str, fields: dict[str, Any], at: datetime) -> dict[str, Any]:
        item = {"T": kind, "S": symbol, **fields}
        if self._packed:
            item["t"] = at
        return item

    def _wants(self, kind: str, symbol: str) -> bool:
        wanted = self._wanted[kind]
        return symbol in wanted or _EVERY in wanted

    def _error(self, code: int, message: str) -> None:
        self._control({"T": "error", "code": code, "msg": message})

    def _control(self, message: dict[str, Any]) -> None:
        self._channel.put([message])

    def _encode(self, items: Any) -> str | bytes:
        return msgpack.packb(items, datetime=True) if self._packed else wire.dump(items)
