"""Fault rules: which requests and frames go wrong, and how. Pure bookkeeping; the transport does the harm."""

import re
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from gambler_ai.paper_exchange.acts import AFTER, BEFORE, INSTEAD, ON_REQUESTS, read_rule
from gambler_ai.paper_exchange.api import Answer
from gambler_ai.paper_exchange.book import Order

Past = Callable[[str, str, dict[str, str], bytes, str, str], Answer]


@dataclass(slots=True)
class Rule:
    """One rule. `times` counts down, None is for ever; `seconds` are wall time; `p` is the chance of each match.

    A stale rule answers from the `past` until it ends by itself.
    `qty` is how many shares one partial fill has. `lifted` ends what it still does to a socket.
    """

    id: int
    match: dict[str, str]
    act: str
    p: Decimal
    times: int | None
    seconds: float | None
    code: int | None
    until: float | None = None
    past: Past | None = None
    qty: Decimal | None = None
    lifted: bool = False

    def describe(self) -> dict[str, Any]:
        """As the lab shows it."""
        shown = {"id": self.id, "match": self.match, "act": self.act, "p": float(self.p), "times": self.times}
        qty = None if self.qty is None else str(self.qty)
        return {**shown, "seconds": self.seconds, "code": self.code, "qty": qty}


class Faults:
    """The rules in force, oldest first; the first that matches acts. They end with the process."""

    def __init__(self, chance: Callable[[], Decimal], now: Callable[[], float] = time.monotonic) -> None:
        self._chance = chance
        self._now = now
        self._rules: list[Rule] = []
        self._muting: list[Rule] = []
        self._count = 0

    @property
    def in_force(self) -> bool:
        """Whether there is any rule."""
        return bool(self._rules)

    @property
    def rules(self) -> list[Rule]:
        """The rules still in force."""
        self._forget_ended()
        return list(self._rules)

    def add(self, fields: dict[str, Any]) -> Rule:
        """Read and add a rule; UsageError when it makes no sense."""
        read = {"times": None, "seconds": None, "code": None, "qty": None, "p": Decimal(1), **read_rule(fields)}
        self._count += 1
        rule = Rule(self._count, **read)
        if rule.act in INSTEAD and rule.seconds is not None:
            rule.until = self._now() + rule.seconds
        self._rules.append(rule)
        return rule

    def remove(self, rule_id: int | None) -> int:
        """Remove one rule, or all; returns how many went."""
        for rule in (*self._rules, *self._muting):
            rule.lifted = rule.lifted or rule_id in (None, rule.id)
        kept = [rule for rule in self._rules if not rule.lifted]
        gone, self._rules = len(self._rules) - len(kept), kept
        self._muting = [rule for rule in self._muting if not rule.lifted]
        return gone

    def on_request(self, method: str, path: str, symbols: Callable[[], Collection[str]]) -> Rule | None:
        """The fault of a request, if any; uses the rule up by one. What was true once is told to readers only."""
        if not self._rules:
            return None
        acts = ON_REQUESTS if method == "GET" else (*BEFORE, *AFTER)
        return self._take(acts, {"method": [method], "path": [path], "symbol": symbols()})

    def on_frame(self, acts: Collection[str], path: str, event: str, symbol: str | None) -> Rule | None:
        """The fault of an item of a websocket, if any; uses the rule up by one."""
        if not self._rules:
            return None
        rule = self._take(acts, {"path": [path], "event": [event], "symbol": [symbol] if symbol else []})
        if rule and rule.act == "ws_mute":
            self._muting.append(rule)
        return rule

    def on_order(self, act: str, order: Order) -> Rule | None:
        """The fault of an order, if any; uses the rule up by one."""
        return self._take((act,), {"symbol": [order.symbol]}) if self._rules else None

    def _forget_ended(self) -> None:
        now = self._now()
        self._rules = [rule for rule in self._rules if rule.until is None or now < rule.until]

    def _take(self, acts: Collection[str], facts: dict[str, Collection[str]]) -> Rule | None:
        self._forget_ended()
        for rule in self._rules:
            if rule.act in acts and all(_fits(name, want, facts) for name, want in rule.match.items()):
                if rule.p < 1 and self._chance() >= rule.p:
                    continue
                if rule.times is not None:
                    rule.times -= 1
                    if rule.times <= 0:
                        self._rules.remove(rule)
                return rule
        return None


def _fits(name: str, want: str, facts: dict[str, Collection[str]]) -> bool:
    have = facts.get(name, ())
    if name == "path":
        return any(re.search(want, one) for one in have)
    return any(want.upper() == one.upper() for one in have)
