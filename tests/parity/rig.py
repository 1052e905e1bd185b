"""Unmodified alpaca-py on an exchange of this process: its HTTP session carries requests straight into it."""

from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from alpaca.trading.client import TradingClient
from requests import PreparedRequest, Response
from requests.adapters import BaseAdapter

from ..paper_exchange.rig import Desk


class IntoExchange(BaseAdapter):
    """Answers HTTP requests with `Exchange.request`."""

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self._exchange = desk.exchange

    def send(self, request: PreparedRequest, *args: Any, **kwargs: Any) -> Response:
        parts = urlsplit(request.url or "")
        key, secret = (request.headers.get(f"APCA-API-{name}", "") for name in ("KEY-ID", "SECRET-KEY"))
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        found = self._exchange.request(
            request.method or "", unquote(parts.path), query, request.body, str(key), str(secret)
        )
        answer = Response()
        answer.status_code, answer.url, answer.request = found.status, request.url or "", request
        answer.headers.update(found.headers)
        answer._content = (found.body or "").encode()
        return answer

    def close(self) -> None:
        """Nothing is open."""


def alpaca(desk: Desk, raw: bool = False) -> TradingClient:
    """alpaca-py's trading client for the desk's account."""
    client = TradingClient(desk.key, desk.secret, url_override="http://exchange", raw_data=raw)
    client._session.mount("http://exchange", IntoExchange(desk))
    return client
