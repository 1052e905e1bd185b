"""What people see of schedules. Values in, text out."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

Row = Mapping[str, Any]

_COLUMNS = ("schedule", "state", "strategy", "symbols", "window", "next here", "next at the exchange", "last")


def print_added(row: Row) -> None:
    """What was stored, what is doubtful about it, and when it begins."""
    click.echo(f"{row['name']}: {row['strategy']} on {','.join(row['symbols'])}, {_window(row)}")
    _print_next(row)
    _print_warnings(row)
    click.echo("`gambler schedule run` makes it happen")


def print_schedules(rows: Sequence[Row], scheduler: Row) -> None:
    """A table on a terminal, tab-separated lines elsewhere; then who schedules, and every warning."""
    cells = [_cells(row) for row in rows]
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table

        table = Table(title=f"{len(rows)} schedules", title_justify="left", header_style="bold", expand=False)
        for column in _COLUMNS:
            table.add_column(column, overflow="fold")
        for line in cells:
            table.add_row(*line)
        Console().print(table)
    else:
        click.echo("\t".join(_COLUMNS))
        for line in cells:
            click.echo("\t".join(line))
    for row in rows:
        _print_warnings(row)
    _print_scheduler(scheduler)


def print_schedule(row: Row) -> None:
    """One schedule with its runs, newest last."""
    params = " ".join(f"{name}={value}" for name, value in row["params"].items())
    click.echo(f"{row['name']}{' (paused)' if row['paused'] else ''}: {row['strategy']} {params}".rstrip())
    click.echo(f"  symbols   {','.join(row['symbols'])}")
    click.echo(f"  window    {_window(row)}; missed while down: {row['if_late']}; restarts a day: {row['restarts']}")
    _print_next(row)
    for run in row["runs"]:
        click.echo(f"  {run['trading_day']}  {run['status']:<8}{run['session_id']}  {run['result'] or ''}")
    _print_warnings(row)
    _print_scheduler(row["scheduler"])


def _cells(row: Row) -> tuple[str, ...]:
    coming, last = row["next_runs"][:1], row["last_run"]
    return (
        row["name"],
        "paused" if row["paused"] else "on",
        row["strategy"],
        ",".join(row["symbols"]),
        _window(row),
        coming[0]["start_local"] if coming else "",
        coming[0]["start_exchange"] if coming else "",
        f"{last['trading_day']} {last['status']}: {last['result'] or ''}" if last else "",
    )


def _window(row: Row) -> str:
    return f"{row['at']} to {row['until']}, {row['days']}"


def _print_next(row: Row) -> None:
    for slot in row["next_runs"]:
        click.echo(f"  next      {slot['start_exchange']} at the exchange, {slot['start_local']} here")


def _print_warnings(row: Row) -> None:
    for warning in row["warnings"]:
        click.echo(f"warning: {row['name']}: {warning}", err=True)


def _print_scheduler(scheduler: Row) -> None:
    if scheduler["alive"]:
        click.echo(f"scheduled by {scheduler['holder']}, heard of {scheduler['heartbeat_at']}")
    else:
        click.echo("nobody runs `gambler schedule run` for this account now")
