"""The exchange: one facade over time, requests, streams and what is stored.

Synchronous, single-threaded, deterministic: no threads, no real clock. Time moves by `advance_to`, ids come
from a seed. Whatever `request` answered and whatever a listener was told has been committed before.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any

from gambler_ai.errors import UsageError
from gambler_ai.paper_exchange import api, wire
from gambler_ai.paper_exchange.account import Account
from gambler_ai.paper_exchange.api import Answer
from gambler_ai.paper_exchange.calendar import nyse
from gambler_ai.paper_exchange.ids import Ids
from gambler_ai.paper_exchange.market import Bar, Market, Quote
from gambler_ai.paper_exchange.store import RequestRow, Store
from gambler_ai.paper_exchange.truth import truth
from gambler_ai.paper_exchange.venue import Changes, Venue

Frame = dict[str, Any]


class MarketEvent:
    """What the market showed at one moment: bars that became complete, and the quotes in force since."""

    __slots__ = ("at", "bars", "quotes")

    def __init__(self, at: datetime, bars: list[Bar], quotes: list[Quote]) -> None:
        self.at = at
        self.bars = bars
        self.quotes = quotes


class Exchange:
    """Open with `Exchange.open`. All datetimes are aware UTC."""

    def __init__(self, store: Store, venue: Venue, wall: Callable[[], datetime], keys: dict[str, str] | None) -> None:
        self.venue = venue
        self._store = store
        self._wall = wall
        self._keys = keys
        self._by_key: dict[str, Account] = {}
        self._dead_keys: set[str] = set()
        self._listeners: dict[str, list[Callable[[Frame], None]]] = {}
        self._market_listeners: list[tuple[Callable[[MarketEvent], None], frozenset[str] | None]] = []
        self._outbox: list[Callable[[], None]] = []
        self._requests: list[RequestRow] = []
        self._stored_now: datetime | None = None
        venue.tell = self._tell

    @classmethod
    def open(
        cls,
        state: str | Path,
        market: Market,
        start: datetime,
        wall: Callable[[], datetime],
        seed: int = 0,
        partial_fill_rate: float | Decimal = Decimal("0.1"),
        keys: dict[str, str] | None = None,
    ) -> "Exchange":
        """A new exchange, or the stored one continued: its clock, ids, accounts, orders, executions and truth.

        `state` is a file or ":memory:". `start` and `seed` count only for a new one. `wall` stamps the truth
        log. `keys` maps the only accepted keys to their secrets; without it any pair opens an account.
        Raises UsageError when the stored state belongs to another market or another process holds it.
        """
        store = Store(state)
        meta = store.meta()
        stored = meta.get("market", market.spec)
        if stored != market.spec:
            store.close()
            raise UsageError(f"{state} holds an exchange on market {stored}, not {market.spec}; use another state file")
        seed = int(meta.get("seed", seed))
        now = datetime.fromisoformat(meta["now"]) if "now" in meta else start.astimezone(UTC)
        ids = Ids(seed, json.loads(meta.get("counters", "{}")))
        exchange = cls(store, Venue(market, nyse(), ids, now, Decimal(str(partial_fill_rate))), wall, keys)
        exchange._load(meta)
        if not meta:
            store.save({"market": market.spec, "seed": str(seed)})
            exchange.checkpoint()
        return exchange

    # -- requests ----------------------------------------------------------------------------------

    def request(
        self, method: str, path: str, query: dict[str, str], body: str | bytes | None, key: str, secret: str
    ) -> Answer:
        """Act on one REST request and commit. `path` is decoded and starts with a slash. Never raises for bad input."""
        answer = self.act(method, path, query, body, key, secret)
        self.commit()
        return answer

    def act(
        self, method: str, path: str, query: dict[str, str], body: str | bytes | None, key: str, secret: str
    ) -> Answer:
        """`request` without the commit, so that a server may commit several at once; answer only after `commit`."""
        account = self._authenticate(key, secret)
        answer = api.answer(self.venue, account, method, path, query, body)
        if not key or not secret:
            answer = Answer.no_credentials()
        client_order_id = api.client_order_id_of(path, query, body)
        self.note_request(account.id if account else None, method, path, client_order_id, answer.status, acted=True)
        return answer

    def note_request(
        self, account: str | None, method: str, path: str, client_order_id: str | None, status: int | None, acted: bool
    ) -> None:
        """Put a request into the truth log; stored with the next commit."""
        at, wall_at = wire.stamp(self.now), wire.stamp(self._wall())
        self._requests.append(RequestRow(at, wall_at, account, method, path, client_order_id, status, acted))

    def account_of(self, key: str, secret: str) -> str | None:
        """The account id of a key pair, opening the account on first use; None when the pair is refused."""
        account = self._authenticate(key, secret)
        self.commit()
        return account.id if account else None

    # -- listening ---------------------------------------------------------------------------------

    def listen(self, account_id: str, callback: Callable[[Frame], None]) -> Callable[[], None]:
        """Hear an account's trade_updates frames from now on, each after its commit. Returns the unsubscriber."""
        listeners = self._listeners.setdefault(account_id, [])
        listeners.append(callback)

        def stop() -> None:
            if callback in listeners:
                listeners.remove(callback)

        return stop

    def listen_market(
        self, callback: Callable[[MarketEvent], None], symbols: frozenset[str] | None = None
    ) -> Callable[[], None]:
        """Hear every market moment, of these symbols or of all, in order. Returns the unsubscriber."""
        entry = (callback, symbols)
        self._market_listeners.append(entry)

        def stop() -> None:
            if entry in self._market_listeners:
                self._market_listeners.remove(entry)

        return stop

    # -- time --------------------------------------------------------------------------------------

    @property
    def now(self) -> datetime:
        """Exchange time."""
        return self.venue.now

    def next_event(self) -> datetime | None:
        """When something happens next: a bar, an opening, a close. None when the market has ended."""
        venue = self.venue
        market_next = venue.market.next_time(venue.now)
        if market_next is None:
            return venue.session.close if venue.session else None
        session = venue.sessions.current_or_next(venue.now)
        return min(market_next, session.open if venue.now < session.open else session.close)

    def advance_to(self, to: datetime) -> None:
        """Let everything up to `to` happen, in order, then stand at `to`. Time never runs backwards."""
        while (event := self.next_event()) is not None and event <= to:
            self._step(event)
        self.venue.now = max(self.venue.now, to)
        self._commit_if_needed()

    def _step(self, at: datetime) -> None:
        venue = self.venue
        session, before = venue.session, venue.now
        venue.now = at
        if venue.book.working or self._market_listeners:
            self._show_bars(at)
        upcoming = venue.sessions.current_or_next(before)
        if upcoming.close == at:
            venue.close_session(upcoming)
        elif upcoming.open == at and session is None:
            venue.open_session(upcoming)
        self._commit_if_needed()

    def _show_bars(self, at: datetime) -> None:
        venue = self.venue
        for callback, symbols in list(self._market_listeners):
            bars = venue.market.bars_at(at, symbols)
            if bars:
                self._show(callback, MarketEvent(at, bars, [Quote.closing(bar) for bar in bars]))
        if venue.book.working:
            moved = venue.market.bars_at(at, frozenset(venue.book.working))
            venue.quotes_moved({bar.symbol for bar in moved}, venue.session)

    def set_quote(self, quote: Quote) -> None:
        """The lab's quote: in force until the market has a newer one; orders are evaluated at once."""
        venue = self.venue
        venue.lab_quotes[quote.symbol] = quote
        for callback, symbols in list(self._market_listeners):
            if symbols is None or quote.symbol in symbols:
                self._show(callback, MarketEvent(venue.now, [], [quote]))
        venue.quotes_moved({quote.symbol}, venue.session)
        self.commit()

    # -- what is stored ----------------------------------------------------------------------------

    def truth(self, account: str | None = None) -> dict[str, Any]:
        """What really happened, for examiners (design section 7): requests, orders, executions, positions, cash."""
        self.commit()
        return truth(self.venue, self._store.requests(account), account)

    def checkpoint(self) -> None:
        """Store the clock, with anything not stored yet."""
        if self.now != self._stored_now:
            self.commit()

    def commit(self) -> None:
        """Store everything, then tell the listeners what they have to hear."""
        venue, changes = self.venue, self.venue.changes
        venue.changes, requests, self._requests = Changes(), self._requests, []
        meta = {
            "now": venue.now.isoformat(),
            "last_stamp": venue.last_stamp.isoformat(),
            "counters": json.dumps(venue.ids.counters),
            "dead_keys": json.dumps(sorted(self._dead_keys)),
            "lab_quotes": json.dumps(
                [[q.symbol, q.at.isoformat(), str(q.bid), str(q.ask), str(q.last)] for q in venue.lab_quotes.values()]
            ),
        }
        self._store.save(
            meta, changes.accounts.values(), changes.orders.values(), changes.executions, requests
        )
        self._stored_now = venue.now
        while self._outbox:
            outbox, self._outbox = self._outbox, []
            for send in outbox:
                send()

    def close(self) -> None:
        """Store and let go of the file."""
        self.commit()
        self._store.close()

    def _commit_if_needed(self) -> None:
        if self.venue.changes or self._outbox or self._requests:
            self.commit()

    def _load(self, meta: dict[str, str]) -> None:
        venue = self.venue
        for account in self._store.accounts():
            venue.accounts[account.id] = account
            if not account.closed:
                self._by_key[account.key] = account
        for order in self._store.orders():
            venue.book.add(order)
        for execution in self._store.executions():
            venue.book.executions.setdefault(execution.account, []).append(execution)
        if "last_stamp" in meta:
            venue.last_stamp = datetime.fromisoformat(meta["last_stamp"])
        self._dead_keys = set(json.loads(meta.get("dead_keys", "[]")))
        for symbol, at, bid, ask, last in json.loads(meta.get("lab_quotes", "[]")):
            moment = datetime.fromisoformat(at)
            venue.lab_quotes[symbol] = Quote(symbol, moment, Decimal(bid), Decimal(ask), Decimal(last))

    # -- accounts ----------------------------------------------------------------------------------

    def _authenticate(self, key: str, secret: str) -> Account | None:
        if not key or not secret or key in self._dead_keys:
            return None
        if self._keys is not None and self._keys.get(key) != secret:
            return None
        account = self._by_key.get(key) or self._open_account(key, secret)
        return account if account.secret_hash == _hash(secret) else None

    def _open_account(self, key: str, secret: str) -> Account:
        venue = self.venue
        generation = sum(account.key == key for account in venue.accounts.values())
        account_id = venue.ids.fixed_uuid("account", f"{key}:{generation}" if generation else key)
        number = "PA3" + account_id.replace("-", "")[:9].upper()
        account = Account(account_id, key, _hash(secret), number, venue.now)
        venue.accounts[account_id] = account
        venue.changes.accounts[account_id] = account
        self._by_key[key] = account
        return account

    def reset_account(self, account: Account, keys_die: bool) -> None:
        """A paper reset: the account ends; its key is dead, or opens a new account with a new id on next use."""
        venue = self.venue
        for order in list(venue.book.open_orders(account.id)):
            venue.cancel(order)
        account.closed = True
        venue.changes.accounts[account.id] = account
        self._by_key.pop(account.key, None)
        if keys_die:
            self._dead_keys.add(account.key)
        self.commit()

    # -- telling -----------------------------------------------------------------------------------

    def _tell(self, account: str, frame: Callable[[], Frame]) -> None:
        listeners = self._listeners.get(account)
        if listeners:
            made = frame()
            self._outbox.extend(_sender(callback, made) for callback in list(listeners))

    def _show(self, callback: Callable[[MarketEvent], None], event: MarketEvent) -> None:
        self._outbox.append(lambda: callback(event))


def _sender(callback: Callable[[Frame], None], frame: Frame) -> Callable[[], None]:
    return lambda: callback(frame)


def _hash(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()
