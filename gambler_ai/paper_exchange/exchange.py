"""The exchange: one facade over time, requests, streams and what is stored.

Synchronous, single-threaded, deterministic: no threads, no real clock. Time moves by `advance_to`, ids come
from a seed. Whatever `request` answered and whatever a listener was told has been committed before.
"""

import json
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from gambler_ai.errors import DatabaseUnavailable, UsageError
from gambler_ai.paper_exchange import api, wire
from gambler_ai.paper_exchange.api import Answer
from gambler_ai.paper_exchange.audience import Audience, Frame, MarketEvent, Status
from gambler_ai.paper_exchange.calendar import nyse
from gambler_ai.paper_exchange.ids import Ids
from gambler_ai.paper_exchange.keyring import Keyring
from gambler_ai.paper_exchange.limits import Limits
from gambler_ai.paper_exchange.market import Market, Quote
from gambler_ai.paper_exchange.store import LabRow, RequestRow, Store
from gambler_ai.paper_exchange.switches import Switches
from gambler_ai.paper_exchange.truth import truth
from gambler_ai.paper_exchange.venue import Changes, Venue
from gambler_ai.paper_exchange.work import Work, finished

__all__ = ["Answer", "Exchange", "Frame", "MarketEvent"]


class Exchange:
    """Open with `Exchange.open`. All datetimes are aware UTC. `venue` and `keyring` are for the lab."""

    def __init__(self, store: Store, venue: Venue, keyring: Keyring, wall: Callable[[], datetime]) -> None:
        self.venue = venue
        self.keyring = keyring
        self._store = store
        self._wall = venue.wall = wall
        self._audience = Audience()
        self._requests: list[RequestRow] = []
        self.limits = Limits()
        self._stored_now: datetime | None = None
        self._stored_switches: Switches | None = None
        self.continued = False
        self._stored_rows = self._seen_rows = 0
        self.broken: DatabaseUnavailable | None = None
        self.fail: Callable[[], None] = lambda: None
        venue.tell = self._audience.tell

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
        switches: dict[str, Any] | None = None,
        limits: dict[str, Any] | None = None,
    ) -> "Exchange":
        """A new exchange, or the stored one continued: its clock, ids, accounts, orders, executions and truth.

        `state` is a file or ":memory:". `start` and `seed` count only for a new one. `wall` stamps the truth
        log. `keys` maps the only accepted keys to their secrets; without it any pair opens an account.
        `switches` and `limits` are set on top of the stored ones (see `switches.Switches` and `limits.Limits`).
        Raises UsageError when the stored state belongs to another market or another process holds it.
        """
        store = Store(state)
        meta = store.meta()
        if meta and meta["market"] != market.spec:
            store.close()
            raise UsageError(f"{state} belongs to market {meta['market']}, not {market.spec}; use another state file")
        meta = meta or {"market": market.spec, "seed": str(seed)}
        return cls._continued(store, meta, market, start, wall, partial_fill_rate, keys, switches, limits)

    @classmethod
    def _continued(
        cls,
        store: Store,
        meta: dict[str, str],
        market: Market,
        start: datetime,
        wall: Callable[[], datetime],
        partial_fill_rate: float | Decimal,
        keys: dict[str, str] | None,
        switches: dict[str, Any] | None = None,
        limits: dict[str, Any] | None = None,
    ) -> "Exchange":
        stored = json.loads(meta.get("moment", "{}"))
        now = datetime.fromisoformat(stored["now"]) if stored else start.astimezone(UTC)
        nyse().check(now)
        ids = Ids(int(meta["seed"]), stored.get("counters"))
        venue = Venue(market, nyse(), ids, now, Decimal(str(partial_fill_rate)))
        _load(venue, store, stored)
        venue.switches.set({**json.loads(meta.get("switches", "{}")), **(switches or {})})
        exchange = cls(store, venue, Keyring(venue, keys, set(stored.get("dead_keys", []))), wall)
        exchange.continued = bool(stored)
        if not stored:
            store.save(meta)
        exchange.commit()
        exchange.set_limits({**json.loads(meta.get("limits", "{}")), **(limits or {})})
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
        return finished(self.acting(method, path, query, body, key, secret))

    def acting(
        self, method: str, path: str, query: dict[str, str], body: str | bytes | None, key: str, secret: str
    ) -> Work[Answer]:
        """`act` in steps: a long history pauses after each day it has looked at; nothing else does."""
        self._settle_wall()
        account = self.keyring.account(key, secret)
        answer = yield from api.answering(self.venue, account, method, path, query, body)
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
        account = self.keyring.account(key, secret)
        self._commit_if_needed()
        return account.id if account else None

    # -- listening ---------------------------------------------------------------------------------

    def listen(self, account_id: str, callback: Callable[[Frame], None]) -> Callable[[], None]:
        """Hear an account's trade_updates frames from now on, each after its commit. Returns the unsubscriber."""
        return self._audience.listen(account_id, callback)

    def listen_market(
        self, callback: Callable[[MarketEvent], None], symbols: frozenset[str] | None = None
    ) -> Callable[[], None]:
        """Hear every market moment, of these symbols or of all, in order. Returns the unsubscriber."""
        return self._audience.watch(callback, symbols)

    # -- time --------------------------------------------------------------------------------------

    @property
    def now(self) -> datetime:
        """Exchange time."""
        return self.venue.now

    def next_event(self) -> datetime | None:
        """When something happens next: a bar, an opening, a close, a decision. None after market and calendar.

        After the last bar and the close of its day the clock may go on, through empty days; nobody has to wait there.
        """
        over = self.venue.session is None and self.venue.market.next_time(self.now) is None
        return self.venue.next_due() if over else self._next(bars=True)

    def next_awaited(self) -> datetime | None:
        """`next_event` without the bars that nobody watches and no order waits for."""
        return self._next(bars=self._audience.watched or bool(self.venue.book.working))

    def _next(self, bars: bool) -> datetime | None:
        venue = self.venue
        due = venue.next_due()
        session = venue.sessions.current_or_next(venue.now)
        moments = [session.open if venue.now < session.open else session.close]
        moments += [due] if due else []
        bar = venue.market.next_time(venue.now) if bars else None
        moments += [bar] if bar else []
        return min((at for at in moments if at <= venue.sessions.last), default=None)

    def advance_to(self, to: datetime) -> None:
        """Let everything up to `to` happen, in order, then stand at `to`, or at the calendar's end.

        Time never runs backwards.
        """
        self._settle_wall()
        to = min(to, self.venue.sessions.last)
        while (event := self.next_awaited()) is not None and event <= to:
            self._step(event)
        self.venue.now = max(self.venue.now, to)
        self._commit_if_needed()

    def _step(self, at: datetime) -> None:
        """At one moment the bars come first, then the close or the opening: the last bar of a day still fills."""
        venue = self.venue
        upcoming = venue.sessions.current_or_next(venue.now)
        venue.now = at
        if self._audience.watched:
            self._audience.show_bars(venue.market, at)
        if venue.book.working and (venue.session or venue.book.timed):
            venue.bars_moved(venue.market.bars_at(at, frozenset(venue.book.working)))
        if venue.book.timed:
            venue.settle_due()
        if upcoming.close == at:
            venue.close_session(upcoming)
        elif upcoming.open == at:
            venue.open_session(upcoming)
        self._commit_if_needed()

    def settle_wall(self) -> None:
        """Decide and tell what is due by the wall's clock."""
        self._settle_wall()
        self._commit_if_needed()

    def _settle_wall(self) -> None:
        if self.venue.book.held_up:
            self.venue.settle_wall()

    def set_quote(self, quote: Quote) -> None:
        """The lab's quote: in force until the market has a newer one; orders are evaluated at once."""
        venue = self.venue
        venue.lab_quotes[quote.symbol] = quote
        self._audience.show_quote(quote)
        venue.quotes_moved({quote.symbol})
        self.commit()

    def show_status(self, status: Status) -> None:
        """A halt or its end is told; after an end the orders that rested are evaluated."""
        self._audience.show_status(status)
        self.venue.quotes_moved({status.symbol})
        self.commit()

    # -- what is stored ----------------------------------------------------------------------------

    def truth(self, account: str | None = None) -> dict[str, Any]:
        """What really happened, for examiners (design section 7): requests, orders, executions, positions, cash."""
        self.commit()
        return truth(self.venue, self._store.requests(account), self._store.lab(), account)

    def note_lab(self, method: str, path: str, fields: dict[str, Any]) -> None:
        """Put what the lab has done into the truth, and store it."""
        at, wall_at = wire.stamp(self.now), wire.stamp(self._wall())
        self._store.note_lab(LabRow(at, wall_at, method, path, fields))

    def set_limits(self, wanted: dict[str, Any]) -> None:
        """Set limits by name and store them. UsageError for an unknown name or a wrong value."""
        self.limits.set(wanted)
        self._store.save({"limits": json.dumps(self.limits.show())})

    def checkpoint(self) -> None:
        """Store the clock, if it has moved."""
        if self.now != self._stored_now:
            self.commit()

    def tidy(self) -> None:
        """Called once a second: after one without requests, the write-ahead log is folded into the state file."""
        self.checkpoint()
        if self._stored_rows and self._stored_rows == self._seen_rows:
            self._store.fold()
            self._stored_rows = 0
        self._seen_rows = self._stored_rows

    def commit(self) -> None:
        """Store everything in one transaction, then tell the listeners what they have to hear.

        DatabaseUnavailable when it cannot be stored, from then on always: memory is ahead of the disk, and whoever
        is told more would be told what a restart takes back. `fail` is called once, to end the process.
        """
        if self.broken is not None:
            raise self.broken
        venue = self.venue
        moment = {
            "now": venue.now.isoformat(),
            "last_stamp": venue.last_stamp.isoformat(),
            "counters": venue.ids.counters,
            "splits": [[symbol, at.isoformat(), str(ratio)] for symbol, at, ratio in venue.market.made],
            "dead_keys": sorted(self.keyring.dead),
            "lab_quotes": [
                [quote.symbol, quote.at.isoformat(), str(quote.bid), str(quote.ask), str(quote.last)]
                for quote in venue.lab_quotes.values()
            ],
        }
        changes, meta = venue.changes, {"moment": json.dumps(moment)}
        if venue.switches != self._stored_switches:
            meta["switches"] = json.dumps(venue.switches.show())
        try:
            self._store.save(
                meta,
                changes.accounts.values(),
                changes.orders.values(),
                changes.executions,
                self._requests,
                changes.activities,
            )
        except (sqlite3.Error, OSError, ValueError, TypeError) as broken:
            self.broken = DatabaseUnavailable(
                f"the exchange could not store its state ({type(broken).__name__}: {broken}) and ends; all that it "
                "answered before is stored: make room or mend the disk, and start it again on the same state"
            )
            self.fail()
            raise self.broken from broken
        self._stored_rows += len(self._requests)
        if "switches" in meta:
            self._stored_switches = replace(venue.switches)
        venue.changes, self._requests, self._stored_now = Changes(), [], venue.now
        self._audience.flush()

    def twin(self) -> "Exchange":
        """This exchange as it stands, in memory, on the same market: what a stale answer is read from."""
        store = Store(":memory:")
        self.copy_to(store)
        venue = self.venue
        return Exchange._continued(
            store,
            store.meta(),
            venue.market.plain,
            venue.now,
            self._wall,
            venue.partial_fill_rate,
            self.keyring.allowed,
        )

    def copy_to(self, store: Store) -> None:
        """Store everything, and the same in another store."""
        self.commit()
        self._store.copy_to(store)

    def restore(self, store: Store) -> None:
        """Become what was copied. Listeners stay; times and ids go on from there. UsageError for another market."""
        if store.meta().get("market") != self.venue.market.spec:
            raise UsageError("this snapshot is of another market")
        store.copy_to(self._store)
        old, meta = self.venue, self._store.meta()
        restored = Exchange._continued(
            self._store, meta, old.market.plain, old.now, self._wall, old.partial_fill_rate, self.keyring.allowed
        )
        self.venue, self.keyring = restored.venue, restored.keyring
        self.limits.set(restored.limits.show())
        self.venue.tell, self.venue.fault = self._audience.tell, old.fault
        self._requests = []
        self.commit()

    def close(self) -> None:
        """Store and let go of the file."""
        try:
            self.commit()
        finally:
            self._store.close()

    def _commit_if_needed(self) -> None:
        if self.venue.changes or self._audience.waiting:
            self.commit()


def _load(venue: Venue, store: Store, stored: dict[str, Any]) -> None:
    venue.accounts.update((account.id, account) for account in store.accounts())
    for order in store.orders():
        venue.book.add(order)
        venue.book.index(order)
    for execution in store.executions():
        venue.book.record(execution)
    for activity in store.activities():
        venue.book.record(activity)
    if stored:
        venue.last_stamp = datetime.fromisoformat(stored["last_stamp"])
    for symbol, at, ratio in stored.get("splits", []):
        venue.market.split(symbol, datetime.fromisoformat(at), Decimal(ratio))
    for symbol, at, bid, ask, last in stored.get("lab_quotes", []):
        moment = datetime.fromisoformat(at)
        venue.lab_quotes[symbol] = Quote(symbol, moment, Decimal(bid), Decimal(ask), Decimal(last))
