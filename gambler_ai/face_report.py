"""What a recovery found and did, for people: its plan, "while you were down", what a lost database came back from."""

from collections.abc import Mapping, Sequence, Set
from textwrap import fill
from typing import Any

import click

from gambler_ai.domain.orders import status_from_broker
from gambler_ai.face import cell

Row = Mapping[str, Any]

_LEFT = ("confirming", "halted", "asked", "ignored")
_WIDTH = 110


def while_you_were_down(report: Row) -> None:
    """The report of a recovery, on stderr."""
    click.echo("\n".join(report_lines(report)), err=True)


def told_again(report: Row) -> Sequence[str]:
    """A stored report once more, of whichever kind."""
    return report_lines(report) if "down_since" in report["report"] else rebuilt_lines(report)


def report_lines(report: Row) -> list[str]:
    """The report of a recovery: what happened while nobody looked, and what was done about it."""
    what = report["report"]
    span = f"{cell(what['down_since'])} .. {cell(what['up_at'])}, {_span(what['seconds_down'])}"
    first = "first start on this account" if what["first_start"] else f"while you were down: {span}"
    news = _news(report) or ["  nothing happened that the books did not know"]
    return [first, *news, *(_amount(name, what[name]) for name in ("equity", "cash")), *_effort(report)]


def _news(report: Row) -> list[str]:
    what = report["report"]
    lines = [
        f"  fill      {fill['side']} {fill['qty']} {fill['symbol']} @ {fill['price']} ({fill['what']})"
        for fill in what["fills"]
    ]
    lines += [
        f"  {action['row']:<9} {action['symbol']}: {action['action']}: {action['reason']}"
        for action in _worth_telling(report["applied"])
        if action["action"] != "book fills"
    ]
    lines += [f"  settled   {text}" for text in what["settled"]]
    lines += [f"  in doubt  {text}" for text in what["still_in_doubt"]]
    lines += [f"  blocked   {symbol}: {why}" for symbol, why in what["blocked"].items()]
    lines += [f"  halted    {halt}" for halt in what["halts"] if halt.partition(":")[0] not in what["blocked"]]
    if what.get("signals_missed"):
        lines.append(f"  missed    {what['signals_missed']} signals were too old to trade")
    lines += [
        f"  missed    {window['schedule']} on {window['trading_day']}: {window['why']}"
        for window in what.get("windows_missed", ())
    ]
    return lines


def _amount(name: str, change: Row) -> str:
    since = f" ({change['change']} since the last checkpoint)" if change["change"] else ""
    return f"  {name:<9} {change['now']} USD{since}"


def _effort(report: Row) -> list[str]:
    """How long it took, step by step, and what it sent."""
    seconds = sum(step[1] for step in report["steps"])
    requests = _count(report["requests"], "request")
    steps = ", ".join(f"{name} {took:.2f}" for name, took in report["steps"])
    shown = fill(f"  seconds   {steps}", _WIDTH, subsequent_indent=" " * 12)
    return [f"  recovered in {seconds:.2f} s, {requests} to change orders", *shown.splitlines()]


def _span(seconds: int) -> str:
    """A length of time in its two largest units."""
    parts: list[str] = []
    for name, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, seconds = divmod(seconds, size)
        if count or parts:
            parts.append(f"{count} {name}")
    return " ".join(parts[:2]) or "0 s"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def plan_lines(report: Row, *, dry_run: bool = False) -> list[str]:
    """The reconciliation plan."""
    what, lines = report["report"], []
    actions = _worth_telling(report["plan"])
    if not actions and not what["halts"] and report["ok"]:
        lines.append("books and broker agree; nothing to do")
    for action in actions:
        done = "left" if action["action"].partition(":")[0] in _LEFT else "would" if dry_run else "did"
        lines.append(f"{action['row']:<4} {action['symbol']:<6} {done}: {action['action']}")
        lines += [f"       {action['reason']}", _wrapped(f"evidence: {_told(action['evidence'], ', ')}")]
    lines += _halts(what)
    lines += [f"settled {settled}" for settled in what["settled"]]
    return lines + [f"left in doubt: {order_id}" for order_id in what["still_in_doubt"]]


def _worth_telling(actions: Sequence[Row]) -> list[Row]:
    """Without open orders that the broker only calls by another name now, and halts that were just raised once more."""
    raised = {(one["row"], one["symbol"]) for one in actions if one["action"] == "halt symbol"}
    return [one for one in actions if not _is_open_still(one) and not _is_raised_again(one, raised)]


def _is_open_still(action: Row) -> bool:
    told = action["evidence"]
    return bool(action["row"] == "R13" and told["our_status"] == status_from_broker(told["broker_status"]))


def _is_raised_again(action: Row, raised: Set[tuple[str, str]]) -> bool:
    return (action["row"], action["symbol"]) in raised and str(action["action"]).startswith("halted:")


def _halts(what: Row) -> list[str]:
    return [f"halted {halt}; `gambler status` says what to do" for halt in what["halts"]]


def _told(value: Any, between: str = " ") -> str:
    """Numbers and ids in one line, whatever holds them."""
    if isinstance(value, Mapping):
        return between.join(f"{name} {_told(one)}" for name, one in value.items() if one is not None)
    return "; ".join(map(_told, value)) if isinstance(value, list | tuple) else str(value)


def _wrapped(text: str) -> str:
    """On as many lines as it takes, with ids in one piece."""
    indent = " " * 7
    return fill(text, _WIDTH, initial_indent=indent, subsequent_indent=indent * 2, break_on_hyphens=False)


def rebuilt_lines(report: Row, *, dry_run: bool = False) -> list[str]:
    """What a lost database was rebuilt from, position by position."""
    what = report["report"]
    done = "would be rebuilt" if dry_run else "rebuilt"
    lines = [
        f"{done} from the broker's history, {what['from']} to {what['to']}",
        f"{what['orders']} orders, {what['fills']} fills, sessions: {', '.join(what['sessions']) or 'none'}",
    ]
    for action in report["plan"]:
        shown = action["evidence"]
        numbers = ", ".join(f"{k} {v}" for k, v in shown.items() if isinstance(v, str) and k != "ours")
        lines.append(f"{action['row']:<4} {action['symbol']:<6} {action['action']}: {action['reason']}")
        lines.append(f"       {numbers}")
        lines += [f"       level {one['level']}: {one['shares']} at {one['price']}" for one in shown.get("levels", ())]
    lines += _halts(what)
    if not dry_run and report["ok"]:
        lines.append("books and broker agree; `gambler run` goes on from here, with a new session")
    return lines
