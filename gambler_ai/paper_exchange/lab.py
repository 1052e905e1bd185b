"""The lab: the exchange's back door for tests. Only with a token; without it these paths do not exist.

Clock, prices, manual trades, account surgery, fault rules, and the truth (design section 7).
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from hmac import compare_digest
from inspect import isawaitable
from typing import Any

from gambler_ai.errors import UsageError
from gambler_ai.paper_exchange import activities, lab_trading, wire
from gambler_ai.paper_exchange.account import Account
from gambler_ai.paper_exchange.api import Answer
from gambler_ai.paper_exchange.driver import Driver
from gambler_ai.paper_exchange.exchange import Exchange
from gambler_ai.paper_exchange.faults import Faults
from gambler_ai.paper_exchange.market import CENT, Quote
from gambler_ai.paper_exchange.refusal import Refused, read_body
from gambler_ai.paper_exchange.shelf import Shelf
from gambler_ai.paper_exchange.tickets import read_ticket

Fields = dict[str, Any]


class Lab:
    """Answers `/_lab` paths. `token` None closes the lab."""

    def __init__(self, exchange: Exchange, driver: Driver, faults: Faults, token: str | None, shelf: Shelf) -> None:
        self._exchange = exchange
        self._shelf = shelf
        self._driver = driver
        self._faults = faults
        self._token = token
        self._routes: dict[tuple[str, str], Callable[[Fields], Any]] = {
            ("GET", "clock"): self._clock,
            ("POST", "clock"): self._move_clock,
            ("POST", "price"): self._price,
            ("POST", "orders"): self._order,
            ("POST", "account"): self._account,
            ("GET", "switches"): lambda fields: lab_trading.set_switches(exchange, {}),
            ("POST", "switches"): lambda fields: lab_trading.set_switches(exchange, fields),
            ("POST", "halt"): lambda fields: lab_trading.halt(exchange, fields),
            ("POST", "corporate-action"): lambda fields: lab_trading.corporate_action(exchange, fields),
            ("GET", "faults"): lambda fields: [rule.describe() for rule in self._faults.rules],
            ("POST", "faults"): self._add_fault,
            ("DELETE", "faults"): self._remove_faults,
            ("GET", "truth"): self._truth,
            ("GET", "limits"): lambda fields: exchange.limits.show(),
            ("POST", "limits"): self._set_limits,
            ("POST", "snapshot"): self._snapshot,
            ("POST", "restore"): self._restore,
        }

    async def answer(self, method: str, path: str, query: dict[str, str], body: bytes, token: str | None) -> Answer:
        """Act on one request; 404 without the token."""
        if not self._token or token is None or not compare_digest(token.encode(), self._token.encode()):
            return Answer(404, wire.dump({"message": "endpoint not found."}))
        route = self._routes.get((method, path.removeprefix("/_lab/")))
        if route is None:
            return Answer(404, wire.dump({"message": f"no lab route {method} {path}"}))
        try:
            told = route({**query, **(read_body(body) if body else {})})
            found = wire.dump(await told if isawaitable(told) else told)
            if method != "GET":
                self._exchange.note_lab(method, path, {**query, **(json.loads(body) if body else {})})
            return Answer(200, found)
        except Refused as refusal:
            return Answer(refusal.status, wire.dump(refusal.body))
        except (UsageError, KeyError, InvalidOperation, ValueError) as broken:
            return Answer(422, wire.dump({"message": f"{type(broken).__name__}: {broken}"}))

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
        exchange = self._exchange
        if "speed" in fields:
            self._driver.set_speed(str(fields["speed"]))
        if "advance_s" in fields:
            await self._driver.advance(exchange.now + timedelta(seconds=float(fields["advance_s"])))
        if "to" in fields:
            to = datetime.fromisoformat(str(fields["to"]))
            await self._driver.advance(to if to.tzinfo else to.replace(tzinfo=UTC))
        exchange.checkpoint()
        self._driver.moved()
        return self._clock({})

    def _price(self, fields: Fields) -> Fields:
        """`bid` and `ask` in USD; `last` defaults to their middle, rounded to a cent."""
        symbol = str(fields["symbol"])
        if symbol not in self._exchange.venue.market.symbols:
            raise Refused(422, 42210000, f'asset "{symbol}" not found')
        bid, ask = Decimal(str(fields["bid"])), Decimal(str(fields["ask"]))
        last = Decimal(str(fields["last"])) if fields.get("last") is not None else ((bid + ask) / 2).quantize(CENT)
        self._driver.catch_up()
        quote = Quote(symbol, self._exchange.now, bid, ask, last)
        self._exchange.set_quote(quote)
        return {"symbol": symbol, "at": wire.stamp(quote.at), "bid": str(bid), "ask": str(ask), "last": str(last)}

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
        """`cash` (USD) sets it, `block` and `liquidation_only` are true or false.

        `reset` true ends the account; `keys_die` with it.
        """
        exchange = self._exchange
        account = self._named_account(fields.get("account"))
        if fields.get("cash") is not None:
            change = Decimal(str(fields["cash"])) - account.cash
            activities.journal(exchange.venue, account, change, "set by the lab")
        if fields.get("block") is not None:
            account.trading_blocked = bool(fields["block"])
        if fields.get("liquidation_only") is not None:
            account.liquidation_only = bool(fields["liquidation_only"])
        if fields.get("multiplier") is not None:
            account.multiplier = int(fields["multiplier"])
        exchange.venue.changes.accounts[account.id] = account
        if fields.get("reset"):
            exchange.keyring.retire(account, bool(fields.get("keys_die")))
            self._driver.catch_up()
            self._driver.moved()
        exchange.commit()
        return {
            "account": account.id,
            "cash": wire.number(account.cash),
            "blocked": account.trading_blocked,
            "closed": account.closed,
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
        name = self._shelf.put(str(fields.get("name", "snapshot")), self._exchange)
        return {"name": name, "now": wire.stamp(self._exchange.now)}

    def _restore(self, fields: Fields) -> Fields:
        self._shelf.take(str(fields.get("name", "snapshot")), self._exchange)
        self._driver.moved()
        return self._clock({})

    def _remove_faults(self, fields: Fields) -> Fields:
        return {"removed": self._faults.remove(int(fields["id"]) if "id" in fields else None)}

    def _truth(self, fields: Fields) -> Fields:
        account = fields.get("account")
        return self._exchange.truth(self._named_account(account).id if account else None)

    def _named_account(self, name: Any) -> Account:
        """By id, by key, or the only open one."""
        accounts = list(self._exchange.venue.accounts.values())
        if name:
            named = [one for one in accounts if name == one.id] or [one for one in accounts if name == one.key]
        else:
            named = [one for one in accounts if not one.closed]
        if not named or (not name and len(named) > 1):
            raise Refused(422, None, f"account {name!r}: no such account" if name else "name an account")
        return named[-1]
