"""The lab: the exchange's back door for tests. Only with a token; without it these paths do not exist.

Clock, prices, manual trades, account surgery, fault rules, and the truth (design section 7). Each path names the
fields it takes and their kinds; nothing else is let in.
"""

import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from hmac import compare_digest
from inspect import isawaitable
from typing import Any, NamedTuple

from gambler_ai.errors import UsageError
from gambler_ai.paper_exchange import activities, lab_trading, wire
from gambler_ai.paper_exchange.account import Account
from gambler_ai.paper_exchange.api import Answer
from gambler_ai.paper_exchange.driver import SPEED, Driver
from gambler_ai.paper_exchange.exchange import Exchange
from gambler_ai.paper_exchange.faults import Faults
from gambler_ai.paper_exchange.fields import (
    ANYTHING,
    FLAG,
    MOMENT,
    TEXT,
    Kind,
    among,
    listed,
    number,
    read_fields,
    seconds,
    whole,
)
from gambler_ai.paper_exchange.market import CENT, Quote
from gambler_ai.paper_exchange.refusal import Refused, read_body
from gambler_ai.paper_exchange.shelf import Shelf
from gambler_ai.paper_exchange.tickets import FIELDS as ORDER_FIELDS
from gambler_ai.paper_exchange.tickets import read_ticket

Fields = dict[str, Any]
_PRICE = number(0, 10**7, above=True)
_CLOCK = {"speed": SPEED, "advance_s": seconds(0, 10**10), "to": MOMENT}
_ACCOUNT = {
    "account": TEXT,
    "cash": number(0, 10**12),
    "block": FLAG,
    "liquidation_only": FLAG,
    "multiplier": among(1, 2, 4),
    "reset": FLAG,
    "keys_die": FLAG,
}


class Route(NamedTuple):
    """What a path does, and with which fields; None leaves the reading of them to whoever acts."""

    act: Callable[[Fields], Any]
    known: Mapping[str, Kind] | None = None


class Lab:
    """Answers `/_lab` paths. `token` None closes the lab."""

    def __init__(self, exchange: Exchange, driver: Driver, faults: Faults, token: str | None, shelf: Shelf) -> None:
        self._exchange = exchange
        self._shelf = shelf
        self._driver = driver
        self._faults = faults
        self._token = token
        known = listed(exchange.venue.market.symbols)
        prices = {"symbol": known.must(), "bid": number(0, 10**7).must(), "ask": _PRICE.must(), "last": _PRICE}
        order = {"account": TEXT, **dict.fromkeys(ORDER_FIELDS, ANYTHING)}
        self._routes: dict[tuple[str, str], Route] = {
            ("GET", "clock"): Route(self._clock, {}),
            ("POST", "clock"): Route(self._move_clock, _CLOCK),
            ("POST", "price"): Route(self._price, prices),
            ("POST", "orders"): Route(self._order, order),
            ("POST", "account"): Route(self._account, _ACCOUNT),
            ("GET", "switches"): Route(lambda fields: exchange.venue.switches.show(), {}),
            ("POST", "switches"): Route(partial(lab_trading.set_switches, exchange)),
            ("POST", "halt"): Route(partial(lab_trading.halt, exchange)),
            ("POST", "corporate-action"): Route(partial(lab_trading.corporate_action, exchange)),
            ("GET", "faults"): Route(lambda fields: [rule.describe() for rule in self._faults.rules], {}),
            ("POST", "faults"): Route(self._add_fault),
            ("DELETE", "faults"): Route(self._remove_faults, {"id": whole(1, 10**9)}),
            ("GET", "truth"): Route(self._truth, {"account": TEXT}),
            ("GET", "limits"): Route(lambda fields: exchange.limits.show(), {}),
            ("POST", "limits"): Route(self._set_limits),
            ("POST", "snapshot"): Route(self._snapshot, {"name": TEXT}),
            ("POST", "restore"): Route(self._restore, {"name": TEXT}),
        }

    async def answer(self, method: str, path: str, query: dict[str, str], body: bytes, token: str | None) -> Answer:
        """Act on one request; 404 without the token."""
        if not self._token or token is None or not compare_digest(token.encode(), self._token.encode()):
            return Answer(404, wire.dump({"message": "endpoint not found."}))
        name = path.removeprefix("/_lab/")
        route = self._routes.get((method, name))
        if route is None:
            there = ", ".join(f"{verb} {known}" for verb, known in self._routes)
            return Answer(404, wire.dump({"message": f"no lab route {method} {name}; there are {there}"}))
        try:
            given = {**query, **(read_body(body) if body else {})}
            fields = given if route.known is None else read_fields(f"{method} {name}", given, route.known)
            told = route.act(dict(fields))
            found = wire.dump(await told if isawaitable(told) else told)
            if method != "GET":
                self._exchange.note_lab(method, path, {**query, **(json.loads(body) if body else {})})
            return Answer(200, found)
        except Refused as refusal:
            return Answer(refusal.status, wire.dump(refusal.body))
        except UsageError as broken:
            return Answer(422, wire.dump({"message": str(broken)}))

    def _clock(self, fields: Fields) -> Fields:
        self._driver.catch_up()
        exchange = self._exchange
        upcoming = exchange.next_event()
        return {
            "now": wire.stamp(exchange.now),
            "speed": self._driver.speed,
            "is_open": exchange.venue.session is not None,
            "next_event": wire.maybe_stamp(upcoming),
        }

    async def _move_clock(self, fields: Fields) -> Fields:
        """Not past the calendar's end; nothing moves when any of it is refused."""
        if not fields:
            raise UsageError(f"POST clock: want one of {', '.join(_CLOCK)}")
        self._driver.catch_up()
        exchange = self._exchange
        goals = [fields["to"]] if "to" in fields else []
        if "advance_s" in fields:
            goals.append(exchange.now + timedelta(seconds=fields["advance_s"]))
        for goal in goals:
            exchange.venue.sessions.check(goal)
            if goal < exchange.now:
                raise UsageError(f"POST clock: time does not run back, and it is {wire.stamp(exchange.now)} already")
        if "speed" in fields:
            self._driver.set_speed(fields["speed"])
        for goal in goals:
            await self._driver.advance(goal)
        exchange.checkpoint()
        self._driver.moved()
        return self._clock({})

    def _price(self, fields: Fields) -> Fields:
        """`bid` (0 is none) and `ask` in USD; `last` defaults to their middle, rounded to a cent."""
        bid, ask = fields["bid"], fields["ask"]
        if bid > ask:
            raise UsageError(f"POST price: bid {bid} is above ask {ask}")
        middle = (bid + ask) / 2
        last = fields.get("last") or middle.quantize(CENT if middle >= 1 else CENT * CENT)
        self._driver.catch_up()
        quote = Quote(fields["symbol"], self._exchange.now, bid, ask, last)
        self._exchange.set_quote(quote)
        return {"symbol": quote.symbol, "at": wire.stamp(quote.at), "bid": str(bid), "ask": str(ask), "last": str(last)}

    def _order(self, fields: Fields) -> Fields:
        """A manual trade, as if made in Alpaca's dashboard. Market and day unless said."""
        account = self._named_account(fields.pop("account", None))
        self._driver.catch_up()
        answer = self._exchange.venue.submit(
            account, read_ticket({"type": "market", "time_in_force": "day", **fields}), "dashboard"
        )
        self._exchange.commit()
        return wire.order(self._exchange.venue.book.by_id[answer["id"]])

    def _account(self, fields: Fields) -> Fields:
        """`cash` (USD) sets it, `reset` ends the account; `keys_die` with it. `next` is its key's account then."""
        exchange = self._exchange
        account = self._named_account(fields.pop("account", None))
        if not fields or ("keys_die" in fields and not fields.get("reset")):
            raise UsageError(f"POST account: want one of {', '.join(_ACCOUNT)}; keys_die only beside reset")
        if "cash" in fields:
            activities.journal(exchange.venue, account, fields["cash"] - account.cash, "set by the lab")
        account.trading_blocked = fields.get("block", account.trading_blocked)
        account.liquidation_only = fields.get("liquidation_only", account.liquidation_only)
        account.multiplier = fields.get("multiplier", account.multiplier)
        exchange.venue.changes.accounts[account.id] = account
        if fields.get("reset"):
            exchange.keyring.retire(account, fields.get("keys_die", False))
            self._driver.catch_up()
            self._driver.moved()
        exchange.commit()
        return {
            "account": account.id,
            "cash": wire.number(account.cash),
            "blocked": account.trading_blocked,
            "liquidation_only": account.liquidation_only,
            "multiplier": account.multiplier,
            "closed": account.closed,
            "next": exchange.keyring.next_id(account.key) if account.closed else None,
        }

    def _add_fault(self, fields: Fields) -> Fields:
        rule = self._faults.add(fields)
        if rule.act == "stale":
            self._driver.catch_up()
            rule.past = self._exchange.twin().request
        return rule.describe()

    def _set_limits(self, fields: Fields) -> Fields:
        self._exchange.set_limits(fields)
        return self._exchange.limits.show()

    def _snapshot(self, fields: Fields) -> Fields:
        self._driver.catch_up()
        name = self._shelf.put(fields.get("name", "snapshot"), self._exchange)
        return {"name": name, "now": wire.stamp(self._exchange.now)}

    def _restore(self, fields: Fields) -> Fields:
        self._shelf.take(fields.get("name", "snapshot"), self._exchange)
        self._driver.moved()
        return self._clock({})

    def _remove_faults(self, fields: Fields) -> Fields:
        return {"removed": self._faults.remove(fields.get("id"))}

    def _truth(self, fields: Fields) -> Fields:
        account = fields.get("account")
        return self._exchange.truth(self._named_account(account).id if account else None)

    def _named_account(self, name: str | None) -> Account:
        """By id, by key, or the only open one."""
        accounts = list(self._exchange.venue.accounts.values())
        if name:
            named = [one for one in accounts if name == one.id] or [one for one in accounts if name == one.key]
        else:
            named = [one for one in accounts if not one.closed]
        if not named or (not name and len(named) > 1):
            there = ", ".join(f"{one.key} ({one.id})" for one in accounts if not one.closed) or "none yet"
            wrong = f"no account {name!r}" if name else "account is missing; want the id or key of one"
            raise UsageError(f"{wrong}; there are {there}")
        return named[-1]
