"""Reading parameters, and the pages of orders and activities they ask for (reference sections 2 and 3.5)."""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, time
from heapq import merge
from itertools import islice

from gambler_ai.paper_exchange.book import Activity, Book, Execution, Order
from gambler_ai.paper_exchange.calendar import NEW_YORK, new_york_day
from gambler_ai.paper_exchange.refusal import Refused

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
        return parse_moment(text)
    except ValueError:
        raise bad(name, text) from None


def parse_moment(text: str) -> datetime:
    """A time of a query, in UTC unless it says otherwise; a plus sign may have become a space. ValueError if none."""
    parsed = datetime.fromisoformat(text.replace(" ", "+"))
    try:
        return parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    except OverflowError as broken:
        raise ValueError(text) from broken


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
    number = counted(text)
    if not 1 <= number <= largest:
        raise bad(name, text)
    return number


def counted(text: str) -> int:
    """A whole number; 0 for what is none. One of very many digits is as good as a thousand million."""
    if not (text.isascii() and text.isdecimal()):
        return 0
    return int(text) if len(text) < 10 else 10**9


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


def activities(book: Book, account: str, query: Query, types: Collection[str]) -> list[Execution | Activity]:
    """One page of what has happened to an account. A page token is the id of the last item seen.

    `types` empty is all of them. `after` and `until` are exclusive, on the time of creation; a `date` without
    `page_size` is answered whole.
    """
    category = query.get("category") and choice(query, "category", "", ("trade_activity", "non_trade_activity"))
    if category and types:
        raise Refused(422, 40010001, "category and activity_types cannot be used together")
    trades = category != "non_trade_activity" and (not types or "FILL" in types)
    others = category != "trade_activity" and types != {"FILL"}
    fills: Sequence[Execution | Activity] = book.executions.get(account, []) if trades else []
    rest = [one for one in book.activities.get(account, []) if not types or one.type in types] if others else []
    everything = list(merge(fills, rest, key=_at)) if rest else fills
    newest_first = choice(query, "direction", "desc", ("asc", "desc")) == "desc"
    wanted = day(query, "date")
    size = whole(query, "page_size", len(everything) if wanted and everything else 100, max(100, len(everything)))
    if query.get("page_size") and size > 100:
        raise bad("page_size", query["page_size"])
    after, until = moment(query, "after"), moment(query, "until")
    first = bisect_right(everything, after, key=_at) if after else 0
    last = bisect_left(everything, until, key=_at) if until else len(everything)
    if wanted:
        first = max(first, bisect_left(everything, wanted, key=_day))
        last = min(last, bisect_right(everything, wanted, key=_day))
    token = query.get("page_token")
    if token:
        seen = book.recorded.get(token.rpartition("::")[2])
        if seen is None or seen.account != account:
            raise bad("page_token", token)
        if newest_first:
            last = min(last, bisect_left(everything, seen.at, key=_at))
        else:
            first = max(first, bisect_right(everything, seen.at, key=_at))
    order = query.get("order_id")
    places = range(last - 1, first - 1, -1) if newest_first else range(first, last)
    chosen = (everything[place] for place in places)
    return list(islice((one for one in chosen if not order or _order_of(one) == order), size))


def _at(entry: Execution | Activity) -> datetime:
    return entry.at


def _day(entry: Execution | Activity) -> date:
    return new_york_day(entry.at)


def _order_of(entry: Execution | Activity) -> str | None:
    return entry.order_id if isinstance(entry, Execution) else None


def start_of_day(at: datetime) -> datetime:
    """Midnight in New York of a moment's day, in UTC."""
    return midnight(new_york_day(at))


def midnight(day: date) -> datetime:
    """Midnight in New York, in UTC."""
    return datetime.combine(day, time(), NEW_YORK).astimezone(UTC)
