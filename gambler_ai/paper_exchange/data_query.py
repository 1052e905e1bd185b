"""The parameters of market data requests, and the pages they ask for (reference section 10)."""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from gambler_ai.paper_exchange.queries import Query, counted, parse_moment, start_of_day, words
from gambler_ai.paper_exchange.refusal import Refused

_LARGEST_PAGE = 10_000
_SYMBOL = re.compile(r"[A-Z0-9][A-Z0-9./]*")
HISTORY_FEEDS = ("iex", "sip", "boats", "otc")
LATEST_FEEDS = (*HISTORY_FEEDS, "delayed_sip", "overnight")
_FIRST, _TICK = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)
_ADJUSTMENTS = ("raw", "split", "dividend", "spin-off", "all")


def bad_data(message: str) -> Refused:
    """The 400 of a market data parameter: a message and no code."""
    return Refused(400, None, message)


def symbols(query: Query) -> list[str]:
    """The symbols asked for, sorted, each once."""
    named = sorted(set(words(query, "symbols")))
    if not named:
        raise bad_data("symbols is required")
    return [checked_symbol(symbol) for symbol in named]


def checked_symbol(symbol: str) -> str:
    """A symbol that may exist; 400 for one that cannot."""
    if not _SYMBOL.fullmatch(symbol):
        raise bad_data(f"invalid symbol: {symbol}")
    return symbol


def check_feed(query: Query, feeds: Iterable[str]) -> None:
    """400 for a feed nobody knows. All of them show the one market there is."""
    feed = query.get("feed")
    if feed and feed not in feeds:
        raise bad_data(f"invalid feed: {feed}")


class Stretch(NamedTuple):
    """From `start` to `end`, both inclusive, of what is known at `at`; oldest first unless said."""

    start: datetime
    end: datetime
    at: datetime
    newest_first: bool = False


@dataclass(frozen=True, slots=True)
class Span:
    """A request for history, read and checked: from `start` to `end`, both inclusive."""

    start: datetime
    end: datetime
    limit: int
    at: datetime
    newest_first: bool
    at_symbol: str
    seen: datetime | None

    @classmethod
    def read(cls, query: Query, now: datetime) -> "Span":
        """Start defaults to the beginning of the current day, end to now. 400 for what cannot be."""
        check_feed(query, HISTORY_FEEDS)
        _check_adjustment(query)
        start, end = _moment(query, "start") or start_of_day(now), _moment(query, "end") or now
        if query.get("end") and end < start:
            raise bad_data("end should not be before start")
        sort = query.get("sort") or "asc"
        if sort not in ("asc", "desc"):
            raise bad_data(f"invalid sort: {sort}")
        return cls(
            max(start, _FIRST), min(end, now), _limit(query), now, sort == "desc", *_read_token(query.get("page_token"))
        )

    def of(self, symbol: str) -> Stretch:
        """What has still to be given of a symbol."""
        start, end = self.start, self.end
        if symbol == self.at_symbol and self.seen is not None:
            if self.newest_first:
                end = min(end, self.seen - _TICK)
            else:
                start = max(start, self.seen + _TICK)
        return Stretch(start, end, self.at, self.newest_first)


def page_token(symbol: str, at: datetime) -> str:
    """Names the last item given."""
    return urlsafe_b64encode(f"{symbol}|{at.isoformat()}".encode()).decode()


def _read_token(token: str | None) -> tuple[str, datetime | None]:
    if not token:
        return "", None
    try:
        symbol, _, at = urlsafe_b64decode(token.encode()).decode().partition("|")
        return symbol, datetime.fromisoformat(at).astimezone(UTC)
    except (ValueError, OverflowError):
        raise bad_data("invalid page_token") from None


def _moment(query: Query, name: str) -> datetime | None:
    text = query.get(name)
    if not text:
        return None
    try:
        return parse_moment(text)
    except ValueError:
        raise bad_data(f"invalid {name}: {text}") from None


def _limit(query: Query) -> int:
    text = query.get("limit") or "1000"
    number = counted(text)
    if number < 1:
        raise bad_data(f"invalid limit: {text}")
    if number > _LARGEST_PAGE:
        raise bad_data("invalid limit: larger than the allowed maximum of 10000")
    return number


def _check_adjustment(query: Query) -> None:
    for word in _unknown(words(query, "adjustment"), _ADJUSTMENTS):
        raise bad_data(f"invalid adjustment: {word}")
    asof = query.get("asof")
    if asof and asof != "-":
        try:
            date.fromisoformat(asof)
        except ValueError:
            raise bad_data(f"invalid asof: {asof}") from None


def _unknown(given: Iterable[str], known: Iterable[str]) -> Iterator[str]:
    return (word for word in given if word not in known)
