"""Fault rules: which requests and frames go wrong, and how. Pure bookkeeping; the transport does the harm."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from gambler_ai.paper_exchange.api import Answer
from gambler_ai.paper_exchange.book import Order
from gambler_ai.paper_exchange.refusal import Refused

BEFORE = frozenset({"reset_before", "hang_before", "status_before", "delay_before", "html_before"})
AFTER = frozenset(
    {
        "reset_after",
        "hang_after",
        "status_after",
        "delay_after",
        "html_after",
        "truncate_after",
        "trickle_after",
        "empty",
        "duplicate",
    }
)
INSTEAD = frozenset({"stale"})
ON_REQUESTS = BEFORE | AFTER | INSTEAD
ON_FRAMES = frozenset(
    {
        "ws_mute",
        "ws_drop",
        "ws_cut",
        "ws_delay",
        "ws_duplicate",
        "ws_swap",
        "ws_null",
        "ws_unknown",
        "ws_status",
        "ws_bare",
    }
)
ON_ORDERS = frozenset({"partial_fill", "hold_cancel", "reject"})
_ACTS = ON_REQUESTS | ON_FRAMES | ON_ORDERS
_MATCHERS = frozenset({"method", "path", "symbol", "event"})


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
    def rules(self) -> list[Rule]:
        """The rules still in force."""
        self._forget_ended()
        return list(self._rules)

    def add(self, fields: dict[str, Any]) -> Rule:
        """Read and add a rule; Refused (422) when it makes no sense."""
        act, match = fields.get("act"), fields.get("match") or {}
        if act not in _ACTS:
            raise Refused(422, None, f"unknown act {act!r}; known: {', '.join(sorted(_ACTS))}")
        if not isinstance(match, dict) or not match.keys() <= _MATCHERS:
            raise Refused(422, None, f"match takes {', '.join(sorted(_MATCHERS))}")
        try:
            re.compile(str(match.get("path", "")))
            p = Decimal(str(fields.get("p", 1)))
            times = None if fields.get("times") is None else int(fields["times"])
            seconds = None if fields.get("seconds") is None else float(fields["seconds"])
            code = None if fields.get("code") is None else int(fields["code"])
            qty = None if fields.get("qty") is None else Decimal(str(fields["qty"]))
        except (ValueError, ArithmeticError, re.error) as broken:
            raise Refused(422, None, f"malformed rule: {broken}") from broken
        if (act.startswith("delay") or act in ("ws_delay", "stale")) and seconds is None:
            raise Refused(422, None, f"{act} wants seconds")
        self._count += 1
        rule = Rule(self._count, {k: str(v) for k, v in match.items()}, act, p, times, seconds, code, qty=qty)
        if act in INSTEAD and seconds is not None:
            rule.until = self._now() + seconds
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

    def on_request(self, method: str, path: str, symbol: Callable[[], str | None]) -> Rule | None:
        """The fault of a request, if any; uses the rule up by one. What was true once is told to readers only."""
        if not self._rules:
            return None
        acts = ON_REQUESTS if method == "GET" else BEFORE | AFTER
        return self._take(acts, {"method": method, "path": path, "symbol": symbol()})

    def on_frame(self, path: str, event: str, symbol: str | None) -> Rule | None:
        """The fault of a websocket frame, if any; uses the rule up by one."""
        rule = self._take(ON_FRAMES, {"path": path, "event": event, "symbol": symbol}) if self._rules else None
        if rule and rule.act == "ws_mute":
            self._muting.append(rule)
        return rule

    def on_order(self, act: str, order: Order) -> Rule | None:
        """The fault of an order, if any; uses the rule up by one."""
        return self._take(frozenset({act}), {"symbol": order.symbol}) if self._rules else None

    def _forget_ended(self) -> None:
        now = self._now()
        self._rules = [rule for rule in self._rules if rule.until is None or now < rule.until]

    def _take(self, acts: frozenset[str], facts: dict[str, str | None]) -> Rule | None:
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


def _fits(name: str, want: str, facts: dict[str, str | None]) -> bool:
    have = facts.get(name)
    if have is None:
        return False
    return re.search(want, have) is not None if name == "path" else want.upper() == have.upper()
