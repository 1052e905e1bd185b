"""The gateway into an exchange of this process: the same protocol as over HTTP, without HTTP, threads or real time.

For simulations and backtests. Requests are answered at once; what the streams say is collected and handed over only
by `deliver`, at step borders, so that a run is a function of its seed.
"""

import json
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote

from gambler_ai.broker import alpaca_mapping as mapping
from gambler_ai.broker.alpaca_rest import BARS, MAX_POSTS_PER_MINUTE, ORDERS, Reply, RestGateway
from gambler_ai.broker.gateway import Enqueue, OrderEvent, StreamState
from gambler_ai.clock import Clock
from gambler_ai.domain.market import Bar
from gambler_ai.domain.money import amount
from gambler_ai.errors import BrokerRefusesUs, BrokerUnreachable

if TYPE_CHECKING:
    from gambler_ai.paper_exchange.exchange import Exchange, MarketEvent
    from gambler_ai.paper_exchange.market import Bar as ExchangeBar

Message = OrderEvent | Bar | StreamState
Arrival = tuple[str, Callable[[], Message]]


class Faults(Protocol):
    """What a simulation does to requests. Raising BrokerUnreachable means that nothing left; anything else raised
    means that the answer was lost: in `before` the exchange did not act, in `after` it did. A reply returned by
    `before` is the answer of something in between, and the exchange does not act either."""

    def before(self, method: str, path: str) -> Reply | None: ...

    def after(self, method: str, path: str, answer: Reply) -> Reply: ...


class DirectGateway(RestGateway):
    """A `gateway.Gateway` into `exchange`, for the account of one key pair."""

    def __init__(
        self,
        exchange: "Exchange",
        key_id: str,
        secret_key: str,
        clock: Clock,
        *,
        fault: Faults | None = None,
        shuffle: Random | None = None,
        max_posts_per_minute: int = MAX_POSTS_PER_MINUTE,
    ) -> None:
        super().__init__(clock, max_posts_per_minute)
        self._exchange, self._key_id, self._secret_key = exchange, key_id, secret_key
        self._fault = fault
        self._shuffle = shuffle
        self._arrived: deque[Arrival] = deque()
        self._enqueue: Enqueue | None = None
        self._unlisten: list[Callable[[], None]] = []
        self._closed = False

    def _carry(self, method: str, path: str, fields: dict[str, Any]) -> Reply:
        if self._closed:
            raise BrokerUnreachable("the connection to the broker was closed")
        path = "/v2" + unquote(path)
        if self._fault is not None and (instead := self._fault.before(method, path)) is not None:
            return instead
        reply = self._exchanged(method, path, fields)
        return reply if self._fault is None else self._fault.after(method, path, reply)

    def _exchanged(self, method: str, path: str, fields: dict[str, str]) -> Reply:
        """The exchange's answer; a simulation puts its own network here."""
        query, body = ({}, json.dumps(fields)) if method == "POST" else (fields, None)
        answer = self._exchange.request(method, path, query, body, self._key_id, self._secret_key)
        return Reply(answer.status, answer.body or "", answer.headers)

    def listen(self, enqueue: Enqueue, symbols: Sequence[str]) -> None:
        """Both streams stand at once, and say so at once; what they bring waits for `deliver`."""
        self._stop_streams()
        account_id = self._exchange.account_of(self._key_id, self._secret_key)
        if account_id is None:
            raise BrokerRefusesUs("the exchange does not know this key pair")
        self._enqueue = enqueue
        self._unlisten.append(self._exchange.listen(account_id, self._hear_order))
        enqueue(StreamState(ORDERS, listening=True))
        if symbols:
            self._unlisten.append(self._exchange.listen_market(self._hear_market, frozenset(symbols)))
            enqueue(StreamState(BARS, listening=True))

    def deliver(self) -> int:
        """Hand over what arrived since the last time; how many messages it was.

        As they arrived, or, with `shuffle`, the two streams interleaved by chance; within a stream the order stays.
        """
        arrived, self._arrived = self._arrived, deque()
        messages = list(arrived if self._shuffle is None else _interleaved(arrived, self._shuffle))
        for stream, make in messages:
            self._hand_over(stream, make)
        return len(messages)

    def abort(self) -> None:
        """Nothing is ever in flight: requests are answered before they return."""

    def close(self) -> None:
        self._stop_streams()
        self._closed = True

    def _hand_over(self, stream: str, make: Callable[[], Message]) -> None:
        if self._enqueue is None:
            return
        try:
            message = make()
        except (KeyError, TypeError, ValueError) as error:
            self._enqueue(StreamState(stream, listening=False, detail=f"a frame made no sense: {error}"))
            message = StreamState(stream, listening=True)
        self._enqueue(message)

    def _hear_order(self, frame: dict[str, Any]) -> None:
        self._arrived.append((ORDERS, lambda: mapping.order_event(frame["data"])))

    def _hear_market(self, event: "MarketEvent") -> None:
        for bar in event.bars:
            self._arrived.append((BARS, partial(_bar, bar)))

    def _stop_streams(self) -> None:
        for unlisten in self._unlisten:
            unlisten()
        self._unlisten.clear()
        self._arrived.clear()
        self._enqueue = None


def _bar(seen: "ExchangeBar") -> Bar:
    """Without the detour through JSON: a backtest lives on bars."""
    return Bar(seen.symbol, seen.start, seen.open, seen.high, seen.low, seen.close, amount(seen.volume))


def _interleaved(arrived: deque[Arrival], chance: Random) -> list[Arrival]:
    streams = [deque(item for item in arrived if item[0] == name) for name in (ORDERS, BARS)]
    mixed = []
    while waiting := [stream for stream in streams if stream]:
        mixed.append(chance.choice(waiting).popleft())
    return mixed
