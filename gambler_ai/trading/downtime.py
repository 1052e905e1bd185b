"""What happened while nobody looked, as JSON data: for the screen, for `--json`, and for the stored report."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from gambler_ai.broker.gateway import BrokerAccount
from gambler_ai.domain.book import Book
from gambler_ai.domain.facts import FILL_BOOKED
from gambler_ai.domain.fills import Fill
from gambler_ai.domain.market import iso
from gambler_ai.domain.money import ZERO, text
from gambler_ai.domain.orders import Role, parse_our_id
from gambler_ai.domain.reconciliation import Action
from gambler_ai.domain.schedules import RunStatus
from gambler_ai.storage.schedules import Schedules
from gambler_ai.trading.position_reconciler import Round, open_questions

_WHAT = {
    Role.ENTRY: "entry",
    Role.STOP: "stopped out",
    Role.TAKE_PROFIT: "target reached",
    Role.EXIT: "exit",
    Role.CLOSE: "closed",
    Role.FOREIGN: "by hand",
}


@dataclass(frozen=True, slots=True)
class Before:
    """What the books said when we came up: when they were last written, and the account's last known amounts.
    `first` = they are empty: nobody was down."""

    last_alive: datetime
    equity: Decimal | None
    cash: Decimal | None
    first: bool = False


def account_of_downtime(before: Before, last: Round, applied: Sequence[Action], book: Book) -> dict[str, Any]:
    """How long it was, which shares were traded and why, and what the account was and is worth, in USD."""
    now, account = last.sight.look.now, last.sight.account
    return {
        "first_start": before.first,
        "down_since": iso(before.last_alive),
        "up_at": iso(now),
        "seconds_down": max(0, round((now - before.last_alive).total_seconds())),
        "fills": [line for action in applied for line in _fills(action, book)],
        "matched": [action.as_json() for action in last.matched],
        "equity": _change(before.equity, account.equity),
        "cash": _change(before.cash, account.cash),
    }


def windows_missed(schedules: Schedules, before: Before) -> list[dict[str, str]]:
    """The windows of schedules in which nobody began a session, since the books were last written."""
    missed = schedules.runs(status=RunStatus.MISSED)
    return [
        {"schedule": run.slot.schedule, "trading_day": str(run.slot.day), "why": run.result or ""}
        for run in missed
        if run.slot.end > before.last_alive
    ]


def not_done(last: Round) -> list[Action]:
    """What was found and not done, with the reason why not."""
    return [replace(q.action, action=f"{q.state}: {q.action.action}", reason=q.why) for q in open_questions(last)]


def _fills(action: Action, book: Book) -> list[dict[str, str]]:
    booked = [fact for fact in action.facts if fact.kind == FILL_BOOKED and isinstance(fact.subject, Fill)]
    return [
        {
            "client_order_id": fact.client_order_id or "",
            "what": _WHAT[_role(fact.client_order_id or "", book)],
            "symbol": action.symbol,
            "side": fact.side or "",
            "qty": text(fact.filled_qty or ZERO),
            "price": text(fact.filled_price or ZERO),
        }
        for fact in booked
    ]


def _role(client_order_id: str, book: Book) -> Role:
    """The order may be new to the books, and in a dry run it stays so; then its id says what it is."""
    order, ours = book.order(client_order_id), parse_our_id(client_order_id)
    return order.role if order else ours[0] if ours else Role.FOREIGN


def _change(before: Decimal | None, now: Decimal) -> dict[str, str | None]:
    return {
        "before": None if before is None else text(before),
        "now": text(now),
        "change": None if before is None else text(now - before),
    }


def amounts_of(account: BrokerAccount) -> dict[str, str]:
    return {"equity": text(account.equity), "cash": text(account.cash), "buying_power": text(account.buying_power)}
