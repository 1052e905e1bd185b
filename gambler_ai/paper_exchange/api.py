"""Alpaca's REST paths: method, path, query and body in; status and body out. No sockets, no storage.

Used by the server and, in process, by whoever holds the exchange. What is not built answers as an unknown
path does, never half.
"""

import re
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, NamedTuple
from urllib.parse import unquote

from gambler_ai.paper_exchange import closing, configurations, data_api, queries, wire
from gambler_ai.paper_exchange.account import Account
from gambler_ai.paper_exchange.assets import asset
from gambler_ai.paper_exchange.book import Order
from gambler_ai.paper_exchange.drift import drifted
from gambler_ai.paper_exchange.queries import Query
from gambler_ai.paper_exchange.refusal import Refused, read_body
from gambler_ai.paper_exchange.replacing import change_order
from gambler_ai.paper_exchange.tickets import read_ticket
from gambler_ai.paper_exchange.venue import Venue
from gambler_ai.paper_exchange.work import Work

_WEEKEND = timedelta(days=7)
_JSON = {"content-type": "application/json; charset=UTF-8"}
_UNAUTHORIZED_PAGE = (
    "<html>\r\n<head><title>401 Authorization Required</title></head>\r\n<body>\r\n"
    "<center><h1>401 Authorization Required</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
)


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer; `body` is None for 204."""

    status: int
    body: str | None
    headers: dict[str, str] = field(default_factory=lambda: dict(_JSON))

    @classmethod
    def no_credentials(cls) -> "Answer":
        """What the gateway says when the key headers are missing: a page, not JSON."""
        return cls(401, _UNAUTHORIZED_PAGE, {"content-type": "text/html"})


class Call(NamedTuple):
    """One authenticated request on its way to a handler; `args` are the variable parts of its path."""

    venue: Venue
    account: Account
    query: Query
    body: str | bytes | None
    args: tuple[str, ...]


def answering(
    venue: Venue, account: Account | None, method: str, path: str, query: Query, body: str | bytes | None
) -> Work[Answer]:
    """Route and act. An unknown path is 404, a refusal has Alpaca's status and code. Only reading takes steps."""
    if account is None:
        return Answer(401, wire.dump({"message": "unauthorized."}))
    for verb, pattern, handler in _ROUTES:
        match = pattern.fullmatch(path) if verb == method else None
        if match:
            try:
                status, result = handler(Call(venue, account, query, body, match.groups()))
                if isinstance(result, Generator):
                    result = yield from result
            except Refused as refusal:
                return Answer(refusal.status, wire.dump(refusal.body))
            return Answer(status, None if status == 204 else wire.dump(result))
    return Answer(404, wire.dump({"message": "endpoint not found."}))


def client_order_id_of(path: str, query: Query, body: str | bytes | None) -> str | None:
    """The client order id a request names, for the truth log."""
    if path.startswith("/v2/orders") and body:
        try:
            named = read_body(body).get("client_order_id")
        except Refused:
            return None
        return named if isinstance(named, str) else None
    return query.get("client_order_id") if path == "/v2/orders:by_client_order_id" else None


Result = tuple[int, Any]


def _account(call: Call) -> Result:
    venue = call.venue
    day = venue.sessions.last_closed(venue.now).day
    legacy = venue.switches.legacy_pdt_fields
    return 200, wire.account(call.account, venue.balances(call.account), day.isoformat(), legacy)


def _configurations(call: Call) -> Result:
    return 200, call.account.configurations


def _configure(call: Call) -> Result:
    call.account.configurations = configurations.patched(call.account.configurations, read_body(call.body))
    call.venue.changes.accounts[call.account.id] = call.account
    return 200, call.account.configurations


def _clock(call: Call) -> Result:
    return 200, wire.clock(call.venue.now, call.venue.sessions)


def _calendar(call: Call) -> Result:
    sessions = call.venue.sessions
    first = queries.day(call.query, "start") or date(1970, 1, 1)
    last = queries.day(call.query, "end") or date(2029, 12, 31)
    kind = queries.choice(call.query, "date_type", "TRADING", ("TRADING", "SETTLEMENT"))
    known = sessions.between(first if kind == "TRADING" else first - _WEEKEND, last)
    found = [wire.calendar_day(one, sessions.next_after(one.open)) for one in known if one.open < sessions.last]
    if kind == "TRADING":
        return 200, found
    return 200, [one for one in found if first.isoformat() <= one["settlement_date"] <= last.isoformat()]


def _assets(call: Call) -> Result:
    if (call.query.get("asset_class") or "us_equity") != "us_equity":
        return 200, []
    found = [wire.asset_object(asset(symbol), call.venue.switches) for symbol in call.venue.market.symbols]
    queries.choice(call.query, "status", "all", ("active", "inactive", "all"))
    asked = {name: call.query.get(name) for name in ("status", "exchange")}
    having = set(queries.words(call.query, "attributes"))
    fitting = [one for one in found if all(value in (None, "", "all", one[name]) for name, value in asked.items())]
    return 200, [one for one in fitting if having <= set(one["attributes"])]


def _asset(call: Call) -> Result:
    return 200, wire.asset_object(asset(_symbol(call, "asset not found for")), call.venue.switches)


def _symbol(call: Call, refusal: str) -> str:
    name = unquote(call.args[0])
    for symbol in call.venue.market.symbols:
        if name in (symbol, asset(symbol).id):
            return symbol
    raise Refused(404, 40410000, f"{refusal} {name}")


def _submit(call: Call) -> Result:
    return 200, call.venue.submit(call.account, read_ticket(read_body(call.body)))


def _orders(call: Call) -> Result:
    book = call.venue.book
    everything = book.by_account.get(call.account.id, [])
    nested = queries.flag(call.query, "nested")
    found = queries.orders(everything, book.by_id, call.query, nested)
    return 200, [wire.order(order, book.legs(order) if nested else None) for order in found]


def _order(call: Call) -> Result:
    return 200, _shown(call, _named_order(call))


def _shown(call: Call, order: Order) -> dict[str, Any]:
    return wire.order(order, call.venue.book.legs(order) if queries.flag(call.query, "nested") else None)


def _replace(call: Call) -> Result:
    return 200, change_order(call.venue, call.account, _named_order(call), read_body(call.body))


def _named_order(call: Call) -> Order:
    name = call.args[0]
    plain = name.replace("-", "").lower()
    parts = (plain[:8], plain[8:12], plain[12:16], plain[16:20], plain[20:])
    order = call.venue.book.by_id.get("-".join(parts))
    if order is None or order.account != call.account.id:
        raise Refused(404, 40410000, f"order not found for {name}")
    return order


def _order_by_client_id(call: Call) -> Result:
    name = call.query.get("client_order_id", "")
    order = call.venue.book.by_client_id.get((call.account.id, name))
    if order is None:
        raise Refused(404, 40410000, f"order not found for {name}")
    return 200, _shown(call, order)


def _cancel(call: Call) -> Result:
    call.venue.cancel(_named_order(call))
    return 204, None


def _cancel_all(call: Call) -> Result:
    return 207, closing.cancel_all(call.venue, call.account)


def _positions(call: Call) -> Result:
    return 200, [_position_object(call, symbol) for symbol in sorted(call.account.positions)]


def _position(call: Call) -> Result:
    symbol = _symbol(call, "symbol not found:")
    if symbol not in call.account.positions:
        raise Refused(404, 40410000, "position does not exist")
    return 200, _position_object(call, symbol)


def _close_position(call: Call) -> Result:
    return 200, closing.close_position(call.venue, call.account, _symbol(call, "symbol not found:"), call.query)


def _close_all(call: Call) -> Result:
    return 207, closing.close_all(call.venue, call.account, queries.flag(call.query, "cancel_orders"))


def _position_object(call: Call, symbol: str) -> dict[str, Any]:
    venue = call.venue
    price = venue.mark(symbol)
    before = venue.market.close_before(symbol, venue.sessions.last_closed(venue.now).close, venue.now)
    held = venue.held(call.account, symbol)
    return wire.position(symbol, call.account.positions[symbol], price, before or price, held)


def _activities(call: Call) -> Result:
    types = [call.args[0]] if call.args else queries.words(call.query, "activity_types")
    for one in types:
        if one not in queries.ACTIVITY_TYPES:
            raise queries.bad("activity_type", one)
    found = queries.activities(call.venue.book, call.account.id, call.query, set(types))
    return 200, [wire.activity(one, call.venue.switches) for one in found]


def _data(handler: Callable[[Venue, Query, tuple[str, ...]], Any]) -> Callable[[Call], Result]:
    return lambda call: (200, handler(call.venue, call.query, call.args))


def _drifting(handler: Callable[[Call], Result]) -> Callable[[Call], Result]:
    def handle(call: Call) -> Result:
        status, result = handler(call)
        return status, drifted(result, call.venue.switches)

    return handle


def _routes(
    *table: tuple[str, str, Callable[[Call], Result]],
) -> list[tuple[str, re.Pattern[str], Callable[[Call], Result]]]:
    return [(method, re.compile(pattern), handler) for method, pattern, handler in table]


_ROUTES = _routes(
    ("GET", r"/v2/clock", _clock),
    ("POST", r"/v2/orders", _drifting(_submit)),
    ("GET", r"/v2/orders", _drifting(_orders)),
    ("GET", r"/v2/orders:by_client_order_id", _drifting(_order_by_client_id)),
    ("GET", r"/v2/orders/([^/]+)", _drifting(_order)),
    ("DELETE", r"/v2/orders", _cancel_all),
    ("DELETE", r"/v2/orders/([^/]+)", _cancel),
    ("PATCH", r"/v2/orders/([^/]+)", _drifting(_replace)),
    ("GET", r"/v2/account", _drifting(_account)),
    ("GET", r"/v2/account/configurations", _configurations),
    ("PATCH", r"/v2/account/configurations", _configure),
    ("DELETE", r"/v2/positions", _close_all),
    ("DELETE", r"/v2/positions/(.+)", _drifting(_close_position)),
    ("GET", r"/v2/positions", _drifting(_positions)),
    ("GET", r"/v2/positions/(.+)", _drifting(_position)),
    ("GET", r"/v2/account/activities", _activities),
    ("GET", r"/v2/account/activities/([^/]+)", _activities),
    ("GET", r"/v2/calendar", _calendar),
    ("GET", r"/v2/assets", _assets),
    ("GET", r"/v2/assets/(.+)", _asset),
    ("GET", r"/v2/stocks/(bars|quotes|trades)", _data(data_api.history)),
    ("GET", r"/v2/stocks/snapshots", _data(data_api.snapshots)),
    ("GET", r"/v2/stocks/(bars|quotes|trades)/latest", _data(data_api.latest)),
    ("GET", r"/v2/stocks/([^/]+)/snapshot", _data(data_api.symbol_snapshot)),
    ("GET", r"/v2/stocks/([^/]+)/(bars|quotes|trades)", _data(data_api.symbol_history)),
    ("GET", r"/v2/stocks/([^/]+)/(bars|quotes|trades)/latest", _data(data_api.symbol_latest)),
)
