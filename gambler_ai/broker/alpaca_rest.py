"""Alpaca's REST protocol, whatever carries it: what to ask, how to page, and what each kind of answer means.

`RestGateway` is the half of a gateway that both implementations share; `alpaca` carries requests over HTTP, `direct`
into an exchange of this process. A carrier raises BrokerUnreachable when certainly nothing left; whatever else it
raises means that the request may have arrived.
"""

import json
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Generic, NoReturn, TypeVar
from urllib.parse import quote
from uuid import UUID

from gambler_ai.broker import alpaca_mapping as mapping
from gambler_ai.broker.gateway import (
    Accepted,
    BrokerAccount,
    BrokerPosition,
    FillActivity,
    MarketClock,
    Refused,
)
from gambler_ai.clock import Clock
from gambler_ai.domain.corporate import ShareChange
from gambler_ai.domain.market import MINUTE, Bar, TradingDay, iso
from gambler_ai.domain.orders import GROUPS, BrokerOrder, Order, Role
from gambler_ai.errors import BrokerRefusesUs, BrokerUnreachable, HumanNeeded, OutcomeUnknown, RateLimited, Stop

T = TypeVar("T")

ORDERS = "trade_updates"  # the names of the two streams
BARS = "bars"

ORDERS_PAGE = 500  # the most Alpaca gives; its default is 50
ACTIVITIES_PAGE = 100
CORPORATE = "SPLIT,NC,SPIN,REORG,MA,JNLS,ACATS"  # ActivityType of the trading API: those that move shares
BARS_PAGE = 10_000
MOST_HELD = 10_000
RATE_WINDOW_S = 60.0
MAX_POSTS_PER_MINUTE = 100
KEPT_FOR_EXITS = 5
"""One in so many of a minute's orders leaves only as an exit."""

_KEYS_REFUSED = (401, 403)
_REFUSALS_WITH_CODE = (400, 403, 404, 409, 422)


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete HTTP answer."""

    status: int
    body: str
    headers: Mapping[str, str]


class AnswerLost(Exception):
    """The request may have arrived, and there is no answer that tells."""


class Unchanged(Generic[T]):
    """Lists show the same things again and again: one that has not changed in any field is the one it was."""

    def __init__(self, convert: Callable[[Any], T]) -> None:
        self._convert = convert
        self._shown: dict[str, tuple[Any, T]] = {}

    def __call__(self, raw: Any) -> T:
        before = self._shown.get(raw["id"])
        if before is not None and before[0] == raw:
            return before[1]
        if len(self._shown) >= MOST_HELD:
            self._shown.clear()
        seen = self._convert(raw)
        self._shown[raw["id"]] = raw, seen
        return seen


class PostLimit:
    """Counts orders on their way out, and knows nothing else: the last barrier against a loop gone wild.

    (Knight Capital 2012: 212 orders became four million because nothing compared orders out with orders in.)
    Entries end before exits do: whatever ran wild, the shares it bought still get their stops. Minutes are the
    exchange's, so that a rehearsal at sixty times the speed is judged like the real day.
    """

    def __init__(self, seconds: Callable[[], float], per_minute: int, per_intent: int = 5) -> None:
        self._seconds = seconds
        self._per_minute = per_minute
        self._per_intent = per_intent
        self._times: deque[float] = deque()
        self._attempts: Counter[str] = Counter()

    def take(self, order: Order) -> None:
        """Count one POST about to leave; raises HumanNeeded instead when it would be one too many."""
        now = self._seconds()
        while self._times and self._times[0] <= now - RATE_WINDOW_S:
            self._times.popleft()
        kept = self._per_minute // KEPT_FOR_EXITS if order.role is Role.ENTRY else 0
        if len(self._times) >= self._per_minute - kept:
            raise HumanNeeded(
                f"{self._per_minute - kept} orders left within one minute; no more are sent"
                + (", but exits. " if kept else ". ")
                + "Look for a loop in the strategy before lifting the halt"
            )
        if self._attempts[order.client_order_id] >= self._per_intent:
            raise HumanNeeded(
                f"order {order.client_order_id} was sent {self._per_intent} times; it is not sent again. "
                "Look it up at the broker before lifting the halt"
            )
        self._times.append(now)
        self._attempts[order.client_order_id] += 1

    def give_back(self, order: Order) -> None:
        """The POST that was counted last did not leave after all."""
        self._times.pop()
        self._attempts[order.client_order_id] -= 1


class RestGateway(ABC):
    """The requests of `gateway.Gateway`; how each can end is written there."""

    def __init__(self, clock: Clock, max_posts_per_minute: int) -> None:
        self._clock = clock
        self.answered: Callable[[], None] = lambda: None
        self._posts = PostLimit(lambda: clock.now().timestamp(), max_posts_per_minute)
        self._order = Unchanged(mapping.broker_order)
        self._fill = Unchanged(mapping.fill_activity)

    @abstractmethod
    def _carry(self, method: str, path: str, fields: dict[str, Any]) -> Reply:
        """One request. `path` begins behind /v2; `fields` are the body of a POST, else the query."""

    # Changing the broker's state

    def submit(self, order: Order) -> Accepted | Refused:
        fields = mapping.order_fields(order)
        self._posts.take(order)

        def understood(reply: Reply) -> Accepted | Refused:
            if reply.status != 200:
                return _refusal(reply)
            seen = mapping.broker_order(decoded(reply.body))
            if seen.client_order_id != order.client_order_id:
                raise ValueError(f"the answer is about another order, {seen.client_order_id}")
            return Accepted(seen)

        try:
            return self._change("POST", "/orders", fields, f"order {order.client_order_id}", understood)
        except BrokerUnreachable:
            self._posts.give_back(order)
            raise

    def cancel(self, broker_order_id: str) -> Accepted | Refused | None:
        def understood(reply: Reply) -> Accepted | Refused | None:
            if reply.status == 204:
                return None
            if reply.status != 200:
                return _refusal(reply)
            return Accepted(mapping.broker_order(decoded(reply.body)))

        path = _order_path(broker_order_id)
        return self._change("DELETE", path, {}, f"cancel of {broker_order_id}", understood)

    def _change(self, method: str, path: str, fields: dict[str, Any], what: str, understood: Callable[[Reply], T]) -> T:
        try:
            reply = self._carry(method, path, fields)
            if reply.status == 429:
                raise self._rate_limited(reply)
            return understood(reply)
        except (BrokerUnreachable, RateLimited, Stop):
            raise
        except Exception as cause:  # it may have left: whatever broke, our code too, only a look-up decides
            raise OutcomeUnknown(f"the outcome of {what} is unknown, look it up: {_reason(cause)}") from cause

    # Reading

    def order_by_client_id(self, client_order_id: str) -> BrokerOrder | None:
        def the_one(raw: Any) -> BrokerOrder:
            seen = mapping.broker_order(raw)
            if seen.client_order_id != client_order_id:
                raise ValueError(f"the answer is about another order, {seen.client_order_id}")
            return seen

        found = self._look_up("/orders:by_client_order_id", {"client_order_id": client_order_id}, the_one)
        if found is not None and found.order_class in GROUPS and not found.legs:
            return self.order_by_id(found.broker_order_id)  # only this one is documented to show legs
        return found

    def order_by_id(self, broker_order_id: str) -> BrokerOrder | None:
        return self._look_up(_order_path(broker_order_id), {"nested": "true"}, mapping.broker_order)

    def open_orders(self) -> list[BrokerOrder]:
        return self._orders({"status": "open"})

    def orders_since(self, after: datetime) -> list[BrokerOrder]:
        return self._orders({"status": "all", "after": iso(after)})

    def orders_of(self, symbol: str) -> list[BrokerOrder]:
        return self._orders({"status": "all", "symbols": symbol})

    def _orders(self, query: dict[str, str]) -> list[BrokerOrder]:
        fixed = {"limit": str(ORDERS_PAGE), "direction": "asc", "nested": "false", **query}
        fixed.pop("after", None)

        def following(last: BrokerOrder) -> dict[str, str]:
            return {**fixed, "after_order_id": last.broker_order_id}  # not allowed together with `after`

        pages = self._pages("/orders", {**fixed, **query}, self._order, ORDERS_PAGE, following)
        return [order for order in pages if order.symbol]

    def fills_since(self, after: datetime) -> list[FillActivity]:
        query = {"after": iso(after), "direction": "asc", "page_size": str(ACTIVITIES_PAGE)}

        def following(last: FillActivity) -> dict[str, str]:
            return {**query, "page_token": last.activity_id}

        return list(self._pages("/account/activities/FILL", query, self._fill, ACTIVITIES_PAGE, following))

    def share_changes_since(self, after: datetime) -> list[ShareChange]:
        query = {
            "after": iso(after),
            "direction": "asc",
            "page_size": str(ACTIVITIES_PAGE),
            "activity_types": CORPORATE,
        }

        def following(last: ShareChange) -> dict[str, str]:
            return {**query, "page_token": last.activity_id}

        return list(self._pages("/account/activities", query, mapping.share_change, ACTIVITIES_PAGE, following))

    def positions(self) -> list[BrokerPosition]:
        return self._read("/positions", {}, lambda raw: _each(raw, mapping.broker_position))

    def position(self, symbol: str) -> BrokerPosition | None:
        return self._look_up(f"/positions/{quote(symbol, safe='')}", {}, mapping.broker_position)

    def account(self) -> BrokerAccount:
        return self._read("/account", {}, mapping.broker_account)

    def clock(self) -> MarketClock:
        return self._read("/clock", {}, mapping.market_clock)

    def calendar(self, start: date, end: date) -> list[TradingDay]:
        query = {"start": start.isoformat(), "end": end.isoformat()}
        return self._read("/calendar", query, lambda raw: _each(raw, mapping.trading_day))

    def tradable(self, symbol: str) -> bool | None:
        return self._look_up(f"/assets/{quote(symbol, safe='')}", {}, mapping.tradable_asset)

    def bars(self, symbols: Sequence[str], start: datetime, end: datetime) -> list[Bar]:
        found: list[Bar] = []
        query = {
            "symbols": ",".join(symbols),
            "timeframe": "1Min",
            "start": iso(start),
            "end": iso(end - MINUTE),  # both ends inclusive, on the left edge of a bar
            "feed": "iex",  # the default, sip, is refused for recent minutes without a subscription
            "adjustment": "raw",
            "sort": "asc",
            "limit": str(BARS_PAGE),
        }
        tokens: set[str] = set()
        while symbols:
            page, token = self._read("/stocks/bars", query, _bars_page)
            found += page
            if token is None:
                break
            if token in tokens:
                raise BrokerUnreachable("the bars do not end: the broker gives the same page token again")
            tokens.add(token)
            query["page_token"] = token
        complete = [bar for bar in found if bar.start >= start and bar.end <= end]
        return sorted(complete, key=lambda bar: (bar.start, bar.symbol))

    def _pages(
        self,
        path: str,
        query: dict[str, str],
        convert: Callable[[Any], T],
        size: int,
        following: Callable[[T], dict[str, str]],
    ) -> Iterator[T]:
        asked = [query]
        while True:
            page = self._read(path, query, lambda raw: _each(raw, convert))
            yield from page
            if len(page) < size:
                return
            query = following(page[-1])
            if query in asked:
                raise BrokerUnreachable(f"GET {path} does not end: the broker gives the same page again")
            asked.append(query)

    def _look_up(self, path: str, query: dict[str, str], convert: Callable[[Any], T]) -> T | None:
        def understood(reply: Reply) -> T | None:
            if reply.status == 404 and isinstance(decoded(reply.body), dict):
                return None
            return convert(_found(reply))

        return self._get(path, query, understood)

    def _read(self, path: str, query: dict[str, str], convert: Callable[[Any], T]) -> T:
        return self._get(path, query, lambda reply: convert(_found(reply)))

    def _get(self, path: str, query: dict[str, str], understood: Callable[[Reply], T]) -> T:
        try:
            reply = self._carry("GET", path, query)
            self.answered()
            if reply.status in _KEYS_REFUSED:
                raise BrokerRefusesUs(f"GET {path} was answered {reply.status}: check APCA_API_KEY_ID and its secret")
            if reply.status == 429:
                raise self._rate_limited(reply)
            return understood(reply)
        except (BrokerUnreachable, RateLimited, Stop):
            raise
        except Exception as cause:  # a read changes nothing: whatever broke, there just is no answer
            raise BrokerUnreachable(f"GET {path} has no usable answer: {_reason(cause)}") from cause

    def _rate_limited(self, reply: Reply) -> RateLimited:
        return RateLimited("the broker asks us to wait (429)", self._retry_after(reply.headers))

    def _retry_after(self, headers: Mapping[str, str]) -> float | None:
        """Alpaca documents X-RateLimit-Reset (epoch seconds), which a 429 may lack; Retry-After is not documented."""
        lower = {name.lower(): value.strip() for name, value in headers.items()}
        after, reset = lower.get("retry-after", ""), lower.get("x-ratelimit-reset", "")
        if after.isdecimal():
            return float(after)
        if reset.isdecimal():
            return min(max(float(reset) - self._clock.wall().timestamp(), 0.0), RATE_WINDOW_S)
        return None


def decoded(body: str) -> Any:
    """JSON with exact numbers: no float, no NaN. Raises ValueError."""
    return json.loads(body, parse_float=Decimal, parse_constant=_no_number)


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is not a number")


def _found(reply: Reply) -> Any:
    if reply.status != 200:
        raise AnswerLost(f"status {reply.status}")
    return decoded(reply.body)


def _reason(cause: Exception) -> str:
    return f"{type(cause).__name__}: {cause}" if not isinstance(cause, AnswerLost) else str(cause)


def _refusal(reply: Reply) -> Refused:
    """An explicit 4xx of the broker itself; raises AnswerLost for everything that does not prove a refusal."""
    try:
        body = decoded(reply.body)
    except ValueError:
        body = None
    code = _code(body.get("code")) if isinstance(body, dict) else None
    conclusive = code is not None and reply.status in _REFUSALS_WITH_CODE
    if not isinstance(body, dict) or not (conclusive or reply.status in _KEYS_REFUSED):
        raise AnswerLost(f"status {reply.status} is no answer of the broker")
    return Refused(reply.status, code or 0, str(body.get("message", "")))


def _code(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _order_path(broker_order_id: str) -> str:
    """Raises ValueError for anything but a uuid: DELETE /orders/ without one would cancel every order."""
    return f"/orders/{UUID(broker_order_id)}"


def _each(raw: Any, convert: Callable[[Any], T]) -> list[T]:
    if not isinstance(raw, list):
        raise ValueError(f"a list was asked for, a {type(raw).__name__} came")
    return [convert(item) for item in raw]


def _bars_page(raw: Any) -> tuple[list[Bar], str | None]:
    by_symbol = raw["bars"] or {}
    page = [mapping.bar(symbol, item) for symbol, items in by_symbol.items() for item in items or ()]
    return page, raw["next_page_token"] or None
