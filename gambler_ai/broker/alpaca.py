"""The gateway to Alpaca, or to anything that speaks its protocol, through alpaca-py.

alpaca-py 0.44 repeats POSTs by itself on 429 and 504, has no time limit, takes a redirect for success and parses
amounts as floats (all measured). Here its clients build URL, headers and query; `_one_request` is ours.
"""

from collections.abc import Sequence
from typing import Any, cast

from alpaca.common.rest import RESTClient
from alpaca.data.historical.stock import StockHistoricalDataClient
from alpaca.trading.client import TradingClient
from requests import ConnectionError as NoConnection
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random

from gambler_ai.broker.alpaca_http import Limits, Wire, require
from gambler_ai.broker.alpaca_rest import MAX_POSTS_PER_MINUTE, Reply, RestGateway
from gambler_ai.broker.alpaca_stream import BarStream, OrderStream, StreamThread
from gambler_ai.broker.endpoint import Endpoints, check_key
from gambler_ai.broker.gateway import Enqueue
from gambler_ai.clock import Clock
from gambler_ai.errors import BrokerRefusesUs

READ_ATTEMPTS = 3


class _Limited(RESTClient):
    """What every client of ours does instead of the library's own request: one try, within limits, raw text back."""

    wire: Wire

    def _one_request(self, method: str, url: str, opts: dict[str, Any], retry: int) -> Any:
        return self.wire.ask(self._session, method, url, opts)


class _TradingClient(_Limited, TradingClient):
    pass


class _DataClient(_Limited, StockHistoricalDataClient):
    pass


class AlpacaGateway(RestGateway):
    """A `gateway.Gateway` over HTTP and websockets. Opens no connection before it is asked something.

    Raises at construction: BrokerRefusesUs for missing or live keys; Stop when a library no longer has what our limits
    hang on. Nothing it raises or logs holds a key.
    """

    def __init__(
        self,
        endpoints: Endpoints,
        key_id: str,
        secret_key: str,
        clock: Clock,
        *,
        limits: Limits | None = None,
        max_posts_per_minute: int = MAX_POSTS_PER_MINUTE,
    ) -> None:
        super().__init__(clock, max_posts_per_minute)
        check_key(endpoints, key_id)
        if not secret_key:
            raise BrokerRefusesUs("there is no API secret: set APCA_API_SECRET_KEY")
        require(RESTClient, "_one_request", "_request", "get", "post", "delete")
        self._endpoints, self._key_id, self._secret_key = endpoints, key_id, secret_key
        trading = _TradingClient(key_id, secret_key, paper=True, raw_data=True, url_override=endpoints.trading)
        data = _DataClient(key_id, secret_key, raw_data=True, url_override=endpoints.data)
        self._clients: tuple[_Limited, _Limited] = (trading, data)
        for client in self._clients:
            require(client, "_session", "_retry", "_retry_wait", "_retry_codes", "_base_url")
        self._wire = Wire(limits or Limits())
        for client in self._clients:
            client.wire = self._wire
            client._retry, client._retry_wait, client._retry_codes = 0, 0, []
            self._wire.equip(client._session)
        self._read_again = Retrying(
            stop=stop_after_attempt(READ_ATTEMPTS),
            wait=wait_random(0.02, 0.2),
            retry=retry_if_exception(_connection_failed),
            sleep=clock.sleep,
            reraise=True,
        )
        self._streams: list[StreamThread] = []

    def _carry(self, method: str, path: str, fields: dict[str, Any]) -> Reply:
        trading, data = self._clients
        client = data if path.startswith("/stocks/") else trading
        self._wire.set_off()
        if method == "POST":
            return cast(Reply, client.post(path, fields))
        if method == "DELETE":
            return cast(Reply, client.delete(path))
        return cast(Reply, self._read_again(client.get, path, fields))

    def listen(self, enqueue: Enqueue, symbols: Sequence[str]) -> None:
        """Returns at once; StreamState(listening=True) tells when each stream stands, and again after each gap."""
        self._stop_streams()
        keys = (self._key_id, self._secret_key)
        self._streams = [StreamThread(OrderStream(self._endpoints.stream, *keys, enqueue))]
        if symbols:
            self._streams.append(StreamThread(BarStream(self._endpoints.data_stream, *keys, enqueue, symbols)))
        for stream in self._streams:
            stream.start()

    def abort(self) -> None:
        self._wire.abort()

    def close(self) -> None:
        self._stop_streams()
        self._wire.close()
        for client in self._clients:
            client._session.close()

    def _stop_streams(self) -> None:
        for stream in self._streams:
            stream.ask_to_stop()
        for stream in self._streams:
            stream.stop()
        self._streams = []


def _connection_failed(error: BaseException) -> bool:
    """A read is worth repeating when its connection failed, and not when we ended it ourselves."""
    return isinstance(error.__cause__, NoConnection)
