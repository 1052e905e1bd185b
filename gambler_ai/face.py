"""What people see: tables, the status page, the while-you-were-down report. Values in, text out."""

import json
import sys
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gambler_ai.errors import UsageError

if TYPE_CHECKING:
    from gambler_ai.paper_exchange.server import ServeOptions
    from gambler_ai.storage.reading import Reader
    from gambler_ai.storage.verify import Verdict

Row = Mapping[str, Any]

COLUMNS = {
    "positions": (
        "symbol",
        "owner",
        "qty",
        "entry_price",
        "protection",
        "status",
        "opened_at",
        "exit_price",
        "exit_reason",
        "pnl",
    ),
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
            click.echo("\t".join(cell(row[column]) for column in columns))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{len(rows)} {name}", title_justify="left", header_style="bold", expand=False)
    for column in columns:
        table.add_column(column.replace("_", " "), justify="right" if column in _NUMBERS else "left", overflow="fold")
    for row in rows:
        table.add_row(*(cell(row[column]) for column in columns))
    Console().print(table)


def cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return ",".join(map(str, value))
    if isinstance(value, dict):
        return _protection(value)
    text = str(value)
    return text[:19] + "Z" if len(text) == 27 and text.endswith("Z") and text[10] == "T" else text


def _protection(row: Row) -> str:
    """What protects a position, and for how many shares nothing does."""
    missing = [f"{row['missing']} WITHOUT"] if row["missing"] != "0" else []
    return ", ".join([*row["has"], *missing]) or ("none wanted" if not row["wanted"] else "")


def print_pairs(pairs: Mapping[str, Any]) -> None:
    width = max((len(key) for key in pairs), default=0)
    for key, value in pairs.items():
        click.echo(f"{key.replace('_', ' '):<{width}}  {cell(value)}")


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


def ask_a_person(action: Any) -> bool:
    """Whether a person at the terminal says yes; without a terminal nobody does."""
    if not sys.stdin.isatty():
        return False
    evidence = ", ".join(f"{name} {value}" for name, value in action.evidence.items())
    return click.confirm(f"{action.row} {action.symbol}: {action.reason} ({evidence}). {action.action}?", err=True)


def print_command(kind: str, symbol: str | None, answer: Row) -> None:
    """How a command of a person ended."""
    where = symbol or "the account"
    if "why" in answer:
        click.echo(answer["why"])
    elif kind == "halt":
        lift = f"`gambler unhalt {f'{symbol} ' if symbol else ''}--reason ...`"
        click.echo(f"halted {where}: no new risk leaves; {lift} lifts it")
    elif kind == "unhalt":
        _print_lifted(answer)
    else:
        _print_ended(where, answer)


def _print_lifted(answer: Row) -> None:
    for halt in answer["lifted"]:
        click.echo(f"lifted {halt['symbol'] or 'account'}: {halt['reason']}")
    for halt in answer["kept"]:
        click.echo(f"KEPT {halt['symbol'] or 'account'}: books and broker still differ: {halt['reason']}")
    if not answer["lifted"] and not answer["kept"]:
        click.echo("no such halt is active")


def _print_ended(where: str, answer: Row) -> None:
    for order_id in answer["cancelled"]:
        click.echo(f"cancelled  {order_id}")
    for order_id in answer.get("kept", ()):
        click.echo(f"kept       {order_id}: it protects a position; `gambler flatten` ends both")
    for order_id in answer.get("closing", ()):
        click.echo(f"closing    {order_id}: the broker has it, and fills it when the market is open")
    for order_id in answer["left"]:
        click.echo(f"LEFT OPEN  {order_id}: the broker has not ended it yet")
    for symbol, qty in answer.get("open", {}).items():
        click.echo(f"STILL OPEN {symbol}: {qty} shares")
    if answer["ok"]:
        click.echo(f"done: {where} has no {'shares' if 'open' in answer else 'open orders'} left")


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
    from gambler_ai.paper_exchange.fields import MOMENT, read_fields
    from gambler_ai.paper_exchange.server import ServeOptions

    at = read_fields("exchange serve", {"--start": flags["start"] or None}, {"--start": MOMENT}).get("--start")
    try:
        rate = Decimal(flags["partial_fill_rate"])
    except ArithmeticError:
        rate = Decimal(-1)
    if not 0 <= rate <= 1:
        raise UsageError(f"--partial-fill-rate {flags['partial_fill_rate']!r}: write a number from 0 to 1")
    named = {kind: dict(one.partition("=")[::2] for one in flags[kind]) for kind in ("switches", "limits")}
    keys = _listed_keys(flags["keys"]) if flags["keys"] else None
    read = {"ready": _listening, "start": at, "partial_fill_rate": rate, "keys": keys, **named}
    return ServeOptions(**{**flags, **read})


def _listed_keys(file: Path) -> dict[str, str]:
    """The only keys an exchange accepts, with their secrets."""
    try:
        keys = json.loads(file.read_text())
    except (OSError, ValueError) as broken:
        raise UsageError(f"--keys-file {file}: cannot be read ({broken})") from broken
    if not isinstance(keys, dict) or not all(isinstance(one, str) and one for pair in keys.items() for one in pair):
        raise UsageError(f'--keys-file {file}: write {{"KEY": "SECRET"}}, as many as you like')
    return keys
