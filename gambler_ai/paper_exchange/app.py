"""The server's one ASGI application: REST to the exchange, sockets to the streams, `/_lab` to the lab.

Requests that arrive together share one commit; no answer leaves before its commit.
"""

import asyncio
import json
import re
import time
from base64 import b64decode
from collections.abc import MutableMapping
from secrets import token_hex
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from starlette.responses import Response
from starlette.websockets import WebSocket

from gambler_ai.errors import DatabaseUnavailable
from gambler_ai.paper_exchange import transport, wire
from gambler_ai.paper_exchange.acts import BEFORE
from gambler_ai.paper_exchange.api import Answer, client_order_id_of
from gambler_ai.paper_exchange.data_stream import MarketData
from gambler_ai.paper_exchange.driver import Driver
from gambler_ai.paper_exchange.exchange import Exchange
from gambler_ai.paper_exchange.faults import Faults, Rule
from gambler_ai.paper_exchange.gate import DATA, Gate, recent_sip
from gambler_ai.paper_exchange.lab import Lab
from gambler_ai.paper_exchange.pacing import Pacing
from gambler_ai.paper_exchange.refusal import Refused, read_body
from gambler_ai.paper_exchange.streams import TradeUpdates
from gambler_ai.paper_exchange.transport import Receive, Scope, Send
from gambler_ai.paper_exchange.work import Work, finished

_PAGE = (
    "<html><head><title>{0}</title></head><body><center><h1>{0}</h1></center><hr><center>nginx</center></body></html>"
)
_HTML = {"content-type": "text/html"}
_NO_SIP = Answer(403, wire.dump({"message": "subscription does not permit querying recent SIP data"}))
_BROKEN = Answer(500, wire.dump({"code": 50010000, "message": "internal server error occurred"}))
_TRADE_PATHS = ("/stream", "/stream/")
_NAMED = (b"apca-api-key-id", b"apca-api-secret-key", b"x-lab-token", b"authorization")
_IN_PATH = re.compile(r"/v2/(?:positions|assets|stocks)/([^/]+)")
_DATA_PATHS = ("/v2/iex", "/v2/sip", "/v2/test")


class Request(NamedTuple):
    """One HTTP request, read to its end."""

    method: str
    path: str
    query: dict[str, str]
    body: bytes
    key: str
    secret: str
    lab_token: str | None

    @property
    def symbols(self) -> list[str]:
        """The symbols it is about, for fault rules: of its body, its query or its path."""
        if self.body:
            try:
                named = [read_body(self.body).get("symbol")]
            except Refused:
                return []
        else:
            in_path = _IN_PATH.match(self.path)
            named = [*self.query.get("symbols", "").split(","), in_path[1] if in_path else None]
        return [one for one in named if isinstance(one, str) and one]


class App:
    """ASGI entry. `last_used` is monotonic seconds; with `sockets` it tells idleness."""

    def __init__(
        self, exchange: Exchange, driver: Driver, pacing: Pacing, faults: Faults, lab: Lab, gate: Gate
    ) -> None:
        self._exchange = exchange
        self._gate = gate
        self._driver = driver
        self._pacing = pacing
        self._faults = faults
        self._lab = lab
        self._commit: asyncio.Future[None] | None = None
        self._arrived = 0
        self.patience = transport.Patience()
        self.last_used = time.monotonic()
        self.sockets = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.last_used = time.monotonic()
        if scope["type"] == "http":
            try:
                await self._http(scope, receive, send)
            except DatabaseUnavailable:  # nothing was answered; the process is ending
                await _reply(send, _BROKEN)
        elif scope["type"] == "websocket":
            self.sockets += 1
            try:
                await self._websocket(WebSocket(scope, receive, send))
            finally:
                transport.forget(scope)
                self.sockets -= 1
                self.last_used = time.monotonic()

    async def _websocket(self, socket: WebSocket) -> None:
        path = socket.scope["path"]
        if path in _TRADE_PATHS:
            await TradeUpdates(socket, self._exchange, self._faults, self._gate).run()
        elif path in _DATA_PATHS:
            await MarketData(socket, self._exchange, self._faults, self._pacing, self._gate).run()
        else:
            await socket.send_denial_response(Response("not found", 404))

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = await _read(scope, receive)
        if request is None:
            return
        if request.path.startswith("/_lab/"):
            answer = await self._lab.answer(
                request.method, request.path, request.query, request.body, request.lab_token
            )
            await _reply(send, answer)
            return
        passes, headers = self._gate.rates.take(request.key, request.path)
        if headers:
            send = _with_headers(send, headers)
        if not passes:
            self._note(request, 429)
            await _reply(send, _error_page(429))
            return
        if not self._gate.limits.sip and recent_sip(request.path, request.query, self._exchange.now):
            self._note(request, 403)
            await _reply(send, _NO_SIP)
            return
        rule = self._faults.on_request(request.method, request.path, lambda: request.symbols)
        if rule is None:
            await _reply(send, await self._act(request))
        elif rule.act == "stale":
            await _reply(send, self._past(rule, request))
        elif rule.act in BEFORE:
            await self._spoil_before(rule, request, scope, receive, send)
        else:
            answer = await self._act(request)
            if rule.act == "duplicate":
                answer = await self._act(request)
            await self._spoil_after(rule, answer, scope, receive, send)

    async def _act(self, request: Request) -> Answer:
        self._driver.catch_up()
        seen = self._pacing.sent_so_far
        work = self._exchange.acting(*request[:-1])
        answer = await _in_turns(work) if request.path.startswith(DATA) else finished(work)
        self._arrived += 1
        if self._commit is None:
            loop = asyncio.get_running_loop()
            self._commit = loop.create_future()
            loop.call_soon(self._gather, self._commit, self._arrived)
        await self._commit
        if request.path == "/v2/clock" and answer.status == 200:
            account = self._exchange.account_of(request.key, request.secret)
            if account:
                self._pacing.asked_clock(account, seen)
        return answer

    def _gather(self, waiting: asyncio.Future[None], arrived: int) -> None:
        """Commit as soon as a turn of the loop has brought no further request."""
        loop = asyncio.get_running_loop()
        if self._arrived == arrived:
            loop.call_soon(self._commit_all, waiting)
        else:
            loop.call_soon(self._gather, waiting, self._arrived)

    def _commit_all(self, waiting: asyncio.Future[None]) -> None:
        self._commit = None
        try:
            self._exchange.commit()
        except DatabaseUnavailable as broken:
            waiting.set_exception(broken)
        else:
            waiting.set_result(None)

    def _past(self, rule: Rule, request: Request) -> Answer:
        """What the exchange would have answered when the rule was made."""
        if rule.past is None:
            return _error_page(503)
        answer = rule.past(request.method, request.path, request.query, request.body, request.key, request.secret)
        self._note(request, answer.status)
        return answer

    def _note(self, request: Request, status: int | None) -> None:
        """Log a request the exchange does not act on."""
        account = self._exchange.account_of(request.key, request.secret)
        client_order_id = client_order_id_of(request.path, request.query, request.body)
        self._exchange.note_request(account, request.method, request.path, client_order_id, status, acted=False)
        self._exchange.commit()

    async def _spoil_before(self, rule: Rule, request: Request, scope: Scope, receive: Receive, send: Send) -> None:
        """The exchange does not act on the request (but a delayed one is acted on later)."""
        if rule.act == "delay_before":
            await self.patience.sleep(rule.seconds or 0)
            await _reply(send, await self._act(request))
            return
        status = {"status_before": rule.code or 503, "html_before": 200}.get(rule.act)
        self._note(request, status)
        if rule.act == "hang_before":
            await self.patience.hang(receive, rule.seconds)
        if status is None:
            await transport.reset_and_end(scope, receive)
        else:
            await _reply(send, _error_page(status))

    async def _spoil_after(self, rule: Rule, answer: Answer, scope: Scope, receive: Receive, send: Send) -> None:
        """The exchange has acted; the answer is late, wrong, cut or lost."""
        if rule.act in ("reset_after", "hang_after"):
            if rule.act == "hang_after":
                await self.patience.hang(receive, rule.seconds)
            await transport.reset_and_end(scope, receive)
        elif rule.act == "delay_after":
            await self.patience.sleep(rule.seconds or 0)
            await _reply(send, answer)
        elif rule.act in ("status_after", "html_after"):
            await _reply(send, _error_page(rule.code or 504 if rule.act == "status_after" else 200))
        elif rule.act == "duplicate":
            await _reply(send, answer)
        elif rule.act == "empty":
            await _reply(send, Answer(answer.status, _emptied(answer.body or ""), answer.headers))
        elif rule.act == "truncate_after":
            body = (answer.body or "").encode()
            await _begin(send, answer, len(body))
            await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
            transport.hang_up(scope)
            await transport.gone(receive, 1)
        elif rule.act == "trickle_after":
            body = (answer.body or "").encode()
            await _begin(send, answer, len(body))
            for index in range(len(body)):
                await send({"type": "http.response.body", "body": body[index : index + 1], "more_body": True})
                await self.patience.sleep(rule.seconds if rule.seconds is not None else 0.1)
            await send({"type": "http.response.body", "body": b""})


async def _in_turns(work: Work[Answer]) -> Answer:
    """Do some work, and let others in between its steps."""
    while True:
        try:
            next(work)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]
        await asyncio.sleep(0)


async def _read(scope: Scope, receive: Receive) -> Request | None:
    """The whole request; None when its sender went away in the middle of it: then it never happened."""
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    headers = dict(scope["headers"])
    key, secret, token, login = (headers.get(name, b"").decode("latin-1") for name in _NAMED)
    if not key and login.startswith("Basic "):
        key, secret = _basic(login[6:])
    elif not key and login.startswith("Bearer "):
        key = secret = login[7:]
    asked = scope["query_string"]
    query = dict(parse_qsl(asked.decode("latin-1"), keep_blank_values=True)) if asked else {}
    return Request(scope["method"], scope["path"], query, body, key, secret, token or None)


def _basic(credentials: str) -> tuple[str, str]:
    try:
        key, _, secret = b64decode(credentials).decode().partition(":")
    except ValueError:
        return "", ""
    return key, secret


async def _reply(send: Send, answer: Answer) -> None:
    body = (answer.body or "").encode()
    await _begin(send, answer, None if answer.status == 204 else len(body))
    await send({"type": "http.response.body", "body": body})


def _with_headers(send: Send, headers: dict[str, str]) -> Send:
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]

    async def sending(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], *raw]}
        await send(message)

    return sending


def _emptied(body: str) -> str:
    """The same answer without its items; nothing at all where there are none."""
    if body.startswith("["):
        return "[]"
    told = json.loads(body) if body else None
    if not isinstance(told, dict) or "next_page_token" not in told:
        return ""
    return wire.dump({name: type(value)() if isinstance(value, dict | list) else None for name, value in told.items()})


async def _begin(send: Send, answer: Answer, length: int | None) -> None:
    headers = [(name.encode(), value.encode()) for name, value in answer.headers.items()]
    if length is not None:
        headers.append((b"content-length", str(length).encode()))
    headers.append((b"x-request-id", token_hex(16).encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})


def _error_page(status: int) -> Answer:
    """What stands in for the answer: Alpaca's JSON for 4xx but 408, a gateway's page for the rest."""
    if status == 429:
        return Answer(429, wire.dump({"code": 42910000, "message": "rate limit exceeded"}))
    if status == 401:
        return Answer(401, wire.dump({"message": "unauthorized."}))
    if 400 <= status < 500:
        return Answer(status, wire.dump({"code": status * 100_000, "message": "fault injected by the lab"}))
    return Answer(status, _PAGE.format(f"{status} Gateway"), dict(_HTML))
