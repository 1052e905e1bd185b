"""What people see: tables, the status page, the while-you-were-down report. Values in, text out."""

import platform
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gambler_ai.clock import SystemClock
from gambler_ai.errors import UsageError

if TYPE_CHECKING:
    from gambler_ai.paper_exchange.server import ServeOptions
    from gambler_ai.storage.reading import Reader
    from gambler_ai.storage.verify import Verdict

Row = Mapping[str, Any]

COLUMNS = {
    "positions": ("symbol", "owner", "qty", "entry_price", "status", "opened_at", "exit_price", "exit_reason", "pnl"),
    "orders": (
        "created_at",
        "symbol",
        "side",
        "qty",
        "type",
        "status",
        "broker_status",
        "filled_qty",
        "filled_avg_price",
        "owner",
        "client_order_id",
    ),
    "fills": ("at", "symbol", "side", "qty", "price", "cum_to", "source", "inferred", "client_order_id"),
    "sessions": (
        "session_id",
        "status",
        "strategy",
        "symbols",
        "start_time",
        "end_time",
        "initial_capital",
        "final_capital",
    ),
    "journal": ("seq", "at", "kind", "symbol", "side", "quantity", "status", "client_order_id", "error"),
}
_NUMBERS = {"qty", "entry_price", "exit_price", "pnl", "filled_qty", "filled_avg_price", "price", "cum_to", "quantity"}


def progress_line(text: str) -> None:
    """One step of long work, on stderr."""
    click.echo(f"  · {text}", err=True)


def progress_rows(count: int) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r  {count:,} rows", err=True, nl=False)


def print_table(name: str, rows: Sequence[Row]) -> None:
    """Rows as a table on a terminal, as tab-separated lines elsewhere."""
    columns = COLUMNS[name]
    if not sys.stdout.isatty():
        click.echo("\t".join(columns))
        for row in rows:
            click.echo("\t".join(_cell(row[column]) for column in columns))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{len(rows)} {name}", title_justify="left", header_style="bold", expand=False)
    for column in columns:
        table.add_column(column.replace("_", " "), justify="right" if column in _NUMBERS else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_cell(row[column]) for column in columns))
    Console().print(table)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return ",".join(map(str, value))
    text = str(value)
    return text[:19] + "Z" if len(text) == 27 and text.endswith("Z") and text[10] == "T" else text


def print_pairs(pairs: Mapping[str, Any]) -> None:
    width = max((len(key) for key in pairs), default=0)
    for key, value in pairs.items():
        click.echo(f"{key.replace('_', ' '):<{width}}  {_cell(value)}")


def fill_rows(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Fills with their own quantity, in the documented field order."""
    result = []
    for row in rows:
        qty = Decimal(row["cum_to"]) - Decimal(row["cum_from"])
        result.append(
            {
                "client_order_id": row["client_order_id"],
                "broker_order_id": row["broker_order_id"],
                "symbol": row["symbol"],
                "side": row["side"],
                "qty": _text(qty),
                "price": row["price"],
                "cum_from": row["cum_from"],
                "cum_to": row["cum_to"],
                "at": row["at"],
                "source": row["source"],
                "inferred": bool(row["inferred"]),
                "execution_id": row["execution_id"],
            }
        )
    return result


def _text(value: Decimal) -> str:
    from gambler_ai.domain.money import text

    return text(value)


def account_of(reader: "Reader") -> dict[str, Any]:
    found = reader.account()
    if found is None:
        raise UsageError("no account is bound to this label yet; the first `gambler run` binds it")
    names = ("account_id", "label", "number", "endpoint", "bound_at", "equity", "cash", "buying_power", "at")
    return {name: found[name] for name in names}


def status_of(reader: "Reader", data_dir: Path, label: str) -> dict[str, Any]:
    """{account, session, halts, in_doubt, blocks, ages}; every block says its reason and its way out."""
    account = reader.account()
    sessions = reader.sessions()
    open_orders = reader.orders(open_only=True)
    unresolved = [order for order in open_orders if order["status"] in ("SENDING", "IN_DOUBT")]
    halts = reader.halts()
    return {
        "account": account_of(reader) if account else None,
        "session": sessions[-1] if sessions else None,
        "halts": halts,
        "in_doubt": unresolved,
        "blocks": _blocks(halts, unresolved, open_orders, data_dir / f".{label}_emergency_stop"),
        "open_positions": len(reader.positions()),
        "open_orders": len(open_orders),
        "ages": {
            "held_by": account["lease_holder"] if account else None,
            "heartbeat_at": account["heartbeat_at"] if account else None,
            "heartbeat_age_s": _age(account["heartbeat_at"]) if account else None,
            "last_fill_at": reader.last_fill_at(),
            "snapshot_at": account["at"] if account else None,
        },
    }


def _blocks(
    halts: Sequence[Row], unresolved: Sequence[Row], open_orders: Sequence[Row], stop_file: Path
) -> list[dict[str, str]]:
    blocks = [
        {
            "symbol": halt["symbol"] or "*",
            "reason": halt["reason"],
            "way_out": "close the symbol at the broker, or find out why both sides differ, then "
            f"`gambler unhalt {halt['symbol'] or ''} --reason ...`".replace("  ", " "),
        }
        for halt in halts
    ]
    blocks += [
        {
            "symbol": order["symbol"],
            "reason": f"an open order is not ours: {order['client_order_id']}",
            "way_out": "cancel it at the broker, or wait until it is final",
        }
        for order in open_orders
        if order["session_id"] is None
    ]
    blocks += [
        {
            "symbol": order["symbol"],
            "reason": f"order {order['client_order_id']} is in doubt",
            "way_out": "a running session or `gambler reconcile` looks it up; nothing to do but wait for the broker",
        }
        for order in unresolved
    ]
    if stop_file.exists():
        way_out = f"find out why it was written, then remove {stop_file}"
        blocks.append({"symbol": "*", "reason": f"the emergency-stop file {stop_file} exists", "way_out": way_out})
    return blocks


def _age(at: str | None) -> float | None:
    if at is None:
        return None
    return round((SystemClock().wall() - datetime.fromisoformat(at)).total_seconds(), 1)


def print_status(status: Row) -> None:
    account, session, ages = status["account"], status["session"], status["ages"]
    if account is None:
        click.echo("no account is bound yet; `gambler run` binds it")
        return
    click.echo(f"account   {account['number']} ({account['label']}) at {account['endpoint']}")
    if account["equity"] is not None:
        click.echo(f"equity    {account['equity']} USD, cash {account['cash']} USD ({_cell(account['at'])})")
    if session is not None:
        symbols = ",".join(session["symbols"])
        click.echo(f"session   {session['session_id']} {session['status']}: {session['strategy']} on {symbols}")
    holder = (ages["held_by"] or "").split("|")
    held = _held_by(holder[0], holder[2]) if len(holder) == 5 else "not held by any process"
    click.echo(f"lease     {held}; heartbeat {ages['heartbeat_age_s']} s ago")
    click.echo(f"books     {status['open_positions']} open positions, {status['open_orders']} open orders")
    for block in status["blocks"]:
        click.secho(f"blocked   {block['symbol']}: {block['reason']}", fg="yellow")
        click.echo(f"          way out: {block['way_out']}")
    if not status["blocks"]:
        click.echo("blocks    none")


def _held_by(host: str, pid: str) -> str:
    gone = Path("/proc").is_dir() and host == platform.node() and not Path("/proc", pid).exists()
    return f"held by process {pid} on {host}" + (", which is gone: the next start takes over" if gone else "")


def while_you_were_down(report: Row) -> None:
    """The report of a recovery, on stderr."""
    click.echo("\n".join(report_lines(report)), err=True)


def report_lines(report: Row) -> list[str]:
    """The report of a recovery: what happened while nobody looked, and what was done about it."""
    what = report["report"]
    lines = [f"while you were down: {_cell(what['down_since'])} .. {_cell(what['up_at'])}"]
    for fill in what["fills"]:
        lines.append(f"  fill      {fill['side']} {fill['qty']} {fill['symbol']} @ {fill['price']}")
    for action in report["applied"]:
        if action["action"] != "book fills":
            lines.append(f"  {action['row']:<9} {action['symbol']}: {action['action']}: {action['reason']}")
    lines += [f"  settled   {text}" for text in what["settled"]]
    lines += [f"  in doubt  {text}" for text in what["still_in_doubt"]]
    lines += [f"  blocked   {symbol}: {why}" for symbol, why in what["blocked"].items()]
    if what.get("signals_missed"):
        lines.append(f"  missed    {what['signals_missed']} signals were too old to trade")
    change = what["equity"]["change"]
    lines.append(
        f"  equity    {what['equity']['now']} USD" + (f" ({change} since the last checkpoint)" if change else "")
    )
    seconds = sum(step[1] for step in report["steps"])
    lines.append(f"  recovered in {seconds:.2f} s, {_count(report['requests'], 'request')} to change orders")
    if len(lines) == 3:
        lines.insert(1, "  nothing happened that the books did not know")
    return lines


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def ask_a_person(action: Any) -> bool:
    """Whether a person at the terminal says yes; without a terminal nobody does."""
    if not sys.stdin.isatty():
        return False
    evidence = ", ".join(f"{name} {value}" for name, value in action.evidence.items())
    return click.confirm(f"{action.row} {action.symbol}: {action.reason} ({evidence}). {action.action}?", err=True)


_OPEN = ("confirming", "halted", "asked", "ignored")


def plan_table(report: Row, *, dry_run: bool) -> None:
    """The reconciliation plan for people."""
    halts = report["report"]["halts"]
    if not report["plan"] and not halts and report["ok"]:
        click.echo("books and broker agree; nothing to do")
    for action in report["plan"]:
        done = "left" if action["action"].partition(":")[0] in _OPEN else "would" if dry_run else "did"
        click.echo(f"{action['row']:<4} {action['symbol']:<6} {done}: {action['action']}\n       {action['reason']}")
        evidence = ", ".join(f"{k} {v}" for k, v in action["evidence"].items() if v is not None)
        click.echo(f"       evidence: {evidence}")
    for reason in halts:
        click.echo(f"halted: {reason}; `gambler status` says what to do")
    for order_id in report["report"]["still_in_doubt"]:
        click.echo(f"left in doubt: {order_id}")


def print_lifted(answer: Row) -> None:
    for halt in answer["lifted"]:
        click.echo(f"lifted {halt['symbol'] or 'account'}: {halt['reason']}")
    for halt in answer["kept"]:
        click.echo(f"KEPT {halt['symbol'] or 'account'}: books and broker still differ: {halt['reason']}")
    if not answer["lifted"] and not answer["kept"]:
        click.echo("no such halt is active")


def verdict_of(verdict: "Verdict") -> dict[str, Any]:
    return {
        "ok": verdict.ok,
        "rows": verdict.rows,
        "head_seq": verdict.head.seq,
        "head_hash": verdict.head.hash,
        "first_bad_seq": verdict.first_bad_seq,
        "rebuilt_equal": not verdict.differences if verdict.first_bad_seq is None else False,
        "differences": list(verdict.differences),
    }


def print_verdict(verdict: Row) -> None:
    if verdict["ok"]:
        click.echo(f"ok: {verdict['rows']} rows, unbroken; orders, fills and positions follow from them exactly")
        click.echo(f"head {verdict['head_seq']} {verdict['head_hash']}")
        return
    if verdict["first_bad_seq"] is not None:
        click.echo(f"BROKEN at row {verdict['first_bad_seq']}: rows were changed, removed or inserted", err=True)
    for difference in verdict["differences"]:
        click.echo(f"DIFFERS {difference}", err=True)


def _listening(port: int) -> None:
    click.echo(f"the exchange listens on http://127.0.0.1:{port}; Ctrl-C ends it", err=True)


def serve_options(flags: Mapping[str, Any]) -> "ServeOptions":
    """The flags of `exchange serve`, checked."""
    from gambler_ai.paper_exchange.server import ServeOptions

    start = flags["start"]
    try:
        at = datetime.fromisoformat(start).astimezone(UTC) if start else None
    except ValueError:
        raise UsageError(f"--start {start!r}: write a time like 2013-10-07T13:30:00Z") from None
    try:
        rate = Decimal(flags["partial_fill_rate"])
    except ArithmeticError:
        rate = Decimal(-1)
    if not 0 <= rate <= 1:
        raise UsageError(f"--partial-fill-rate {flags['partial_fill_rate']!r}: write a number from 0 to 1")
    named = {kind: dict(one.partition("=")[::2] for one in flags[kind]) for kind in ("switches", "limits")}
    return ServeOptions(**{**flags, "ready": _listening, "start": at, "partial_fill_rate": rate, **named})
