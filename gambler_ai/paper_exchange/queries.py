"""Reading parameters, and the pages of orders and fills they ask for (reference sections 2 and 3.5)."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice

from gambler_ai.paper_exchange.book import Execution, Order
from gambler_ai.paper_exchange.calendar import NEW_YORK, new_york_day
from gambler_ai.paper_exchange.refusal import Refused
from gambler_ai.paper_exchange.wire import activity_id

Query = dict[str, str]
_ACTIVITY_TYPES = """
FILL TRANS MISC ACATC ACATS CFEE CGD CSD CSW DIV DIVCGL DIVCGS DIVFEE DIVFT DIVNRA DIVROC DIVTW DIVTXEX FEE INT
INTNRA INTTW JNL JNLC JNLS MA NC OPASN OPCA OPCSH OPEXC OPEXP OPTRD PTC PTR REORG SPIN SPLIT FOPT OCT MEM REO
"""
ACTIVITY_TYPES = frozenset(_ACTIVITY_TYPES.split())


def bad(name: str, value: str) -> Refused:
    """The 422 of a query parameter."""
    return Refused(422, 40010001, f"invalid {name}: {value}")


def moment(query: Query, name: str) -> datetime | None:
    """An RFC 3339 time or a date (midnight UTC); nanoseconds are cut to microseconds."""
    text = query.get(name)
    if not text:
        return None
    try:
        parsed = datetime.fromisoformat(text.replace(" ", "+"))
    except ValueError:
        raise bad(name, text) from None
    return parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def day(query: Query, name: str) -> date | None:
    """A date, or the date of a time."""
    text = query.get(name)
    if not text:
        return None
    try:
        return date.fromisoformat(text[:10])
    except ValueError:
        raise bad(name, text) from None


def whole(query: Query, name: str, default: int, largest: int) -> int:
    """A whole number from 1 to `largest`."""
    text = query.get(name)
    if not text:
        return default
    if not text.isdecimal() or not 1 <= int(text) <= largest:
        raise bad(name, text)
    return int(text)


def choice(query: Query, name: str, default: str, allowed: Iterable[str]) -> str:
    """One of some words."""
    text = query.get(name) or default
    if text not in allowed:
        raise bad(name, text)
    return text


def words(query: Query, name: str) -> list[str]:
    """A comma-separated list; empty when absent."""
    return [word.strip() for word in query.get(name, "").split(",") if word.strip()]


def flag(query: Query, name: str) -> bool:
    """A yes or no, capitalised or not."""
    return choice({name: query.get(name, "").lower()}, name, "false", ("true", "false")) == "true"


def orders(everything: list[Order], by_id: dict[str, Order], query: Query, nested: bool = False) -> list[Order]:
    """One page of an account's orders (given oldest first). `after` and `until` are exclusive, on submitted_at.

    With `nested` legs are not listed by themselves, even when the order they hang on is not in the list.
    """
    status = choice(query, "status", "open", ("open", "closed", "all"))
    limit = whole(query, "limit", 50, 500)
    newest_first = choice(query, "direction", "desc", ("asc", "desc")) == "desc"
    symbols, side = set(words(query, "symbols")), query.get("side") or None
    if side is not None:
        choice(query, "side", "", ("buy", "sell"))
    classes = words(query, "asset_class")
    after, until = moment(query, "after"), moment(query, "until")
    ids = query.get("before_order_id") or None, query.get("after_order_id") or None
    if (after or until) and any(ids):
        raise Refused(422, 40010001, "before_order_id and after_order_id cannot be used with after or until")
    first = bisect_right(everything, after, key=lambda order: order.submitted_at) if after else 0
    last = bisect_left(everything, until, key=lambda order: order.submitted_at) if until else len(everything)
    if ids[0]:
        last = min(last, _place(everything, by_id, ids[0]))
    if ids[1]:
        first = max(first, _place(everything, by_id, ids[1]) + 1)

    def chosen() -> Iterator[Order]:
        for index in range(last - 1, first - 1, -1) if newest_first else range(first, last):
            order = everything[index]
            if nested and order.is_leg:
                continue
            if status != "all" and order.is_open != (status == "open"):
                continue
            if (symbols and order.symbol not in symbols) or (side and order.side != side):
                continue
            if not classes or "us_equity" in classes:
                yield order

    return list(islice(chosen(), limit))


def _place(everything: list[Order], by_id: dict[str, Order], order_id: str) -> int:
    named = by_id.get(order_id)
    if named is None or not everything or named.account != everything[0].account:
        raise Refused(404, 40410000, f"order not found for {order_id}")
    return bisect_left(everything, named.seq, key=lambda order: order.seq)


def fills(everything: list[Execution], query: Query) -> list[Execution]:
    """One page of an account's fills (given oldest first). A page token is the id of the last item seen."""
    newest_first = choice(query, "direction", "desc", ("asc", "desc")) == "desc"
    wanted = day(query, "date")
    size = whole(query, "page_size", len(everything) if wanted and everything else 100, max(100, len(everything)))
    if query.get("page_size") and size > 100:
        raise bad("page_size", query["page_size"])
    after, until = moment(query, "after"), moment(query, "until")
    chosen = list(reversed(everything)) if newest_first else everything
    token = query.get("page_token")
    if token:
        place = next((index for index, fill in enumerate(chosen) if activity_id(fill) == token), None)
        if place is None:
            raise bad("page_token", token)
        chosen = chosen[place + 1 :]
    page = (
        fill
        for fill in chosen
        if (not wanted or new_york_day(fill.at) == wanted)
        and (after is None or fill.at > after)
        and (until is None or fill.at < until)
    )
    return list(islice(page, size))


def start_of_day(at: datetime) -> datetime:
    """Midnight in New York of a moment's day, in UTC."""
    return datetime.combine(new_york_day(at), time(), NEW_YORK).astimezone(UTC)


def days_later(at: date, days: int) -> date:
    """A date some days on."""
    return at + timedelta(days=days)
