"""The reading commands, and what every command shares: settings, one JSON document or something for people."""

import json
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from gambler_ai.errors import StoredStateUnsafe, UsageError

if TYPE_CHECKING:
    from datetime import datetime

    from gambler_ai.config import Settings
    from gambler_ai.storage.reading import Reader

AT = click.option("--at", metavar="TIME", help="As the books were at this exchange time: 2026-11-20T15:00:00Z.")
JSON = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, nothing else.")


def settings_now(flags: "Mapping[str, str | None] | None" = None) -> "Settings":
    from gambler_ai.config import read_settings

    return read_settings(flags=flags)


class reading_books:  # noqa: N801 - used as a function in `with`
    """The database opened for reading, with the settings it came from."""

    def __enter__(self) -> "tuple[Reader, Settings]":
        from gambler_ai.storage.reading import Reader

        settings = settings_now()
        if settings.default_database:
            settings.make_data_dir()
        self._reader = Reader(settings.database_url, settings.account_label)
        return self._reader, settings

    def __exit__(self, *_error: object) -> None:
        self._reader.close()


def existing(database: Any) -> Any:
    if not database.exists:
        raise StoredStateUnsafe(f"there is no database at {database.file} yet; run `gambler init-db`")
    return database


def list_rows(name: str, as_json: bool, read: "Callable[[Reader], list[dict[str, Any]]]") -> None:
    with reading_books() as (reader, _):
        rows = read(reader)
    from gambler_ai.face import print_table

    answer_with(rows, as_json, lambda: print_table(name, rows))


def answer_with(answer: Any, as_json: bool, show: Callable[[], None]) -> None:
    if as_json:
        click.echo(json.dumps(answer, indent=2, ensure_ascii=False))
    else:
        show()


@click.command()
@JSON
def status(as_json: bool) -> None:
    """What the books say now: session, halts, orders in doubt, blocks and their way out."""
    from gambler_ai.face_status import print_status, status_of

    with reading_books() as (reader, settings):
        answer = status_of(reader, settings.data_dir, settings.account_label)
    answer_with(answer, as_json, lambda: print_status(answer))


@click.command()
@click.option("--all", "every", is_flag=True, help="Closed ones too.")
@AT
@JSON
def positions(every: bool, at: str | None, as_json: bool) -> None:
    """Open positions by symbol and owner."""
    if at is None:
        list_rows("positions", as_json, lambda reader: reader.positions(every=every))
        return
    from gambler_ai.storage.past import positions_at

    then = _moment(at)
    list_rows("positions", as_json, lambda reader: positions_at(reader, then, every=every))


@click.command()
@click.option("--open", "open_only", is_flag=True, help="Only orders that are not final.")
@AT
@JSON
def orders(open_only: bool, at: str | None, as_json: bool) -> None:
    """Every order, with our status and the broker's."""
    if at is None:
        list_rows("orders", as_json, lambda reader: reader.orders(open_only=open_only))
        return
    from gambler_ai.storage.past import orders_at

    then = _moment(at)
    list_rows("orders", as_json, lambda reader: orders_at(reader, then, open_only=open_only))


def _moment(text: str) -> "datetime":
    from gambler_ai.domain.market import parse_time

    try:
        return parse_time(text)
    except ValueError:
        raise UsageError(f"--at {text!r}: write a time with its zone, like --at 2026-11-20T15:00:00Z") from None


@click.command()
@JSON
def fills(as_json: bool) -> None:
    """Every execution, as an interval of its order."""
    from gambler_ai.face import fill_rows

    list_rows("fills", as_json, lambda reader: fill_rows(reader.fills()))


@click.command()
@JSON
def sessions(as_json: bool) -> None:
    """Every session, oldest first."""
    list_rows("sessions", as_json, lambda reader: reader.sessions())


@click.command()
@JSON
def account(as_json: bool) -> None:
    """The account this database is bound to, with its last known amounts."""
    from gambler_ai.face import account_of, print_pairs

    with reading_books() as (reader, _):
        answer = account_of(reader)
    answer_with(answer, as_json, lambda: print_pairs(answer))


@click.command()
@JSON
def report(as_json: bool) -> None:
    """What the last recovery found and did: "while you were down", once more."""
    from gambler_ai.face_report import told_again

    with reading_books() as (reader, _):
        found = reader.last_report()
    text = "nothing was recovered yet; `gambler run` begins with it"
    answer_with(found, as_json, lambda: click.echo("\n".join(told_again(found)) if found else text))


@click.group()
def journal() -> None:
    """The append-only journal: read it, check it, write it out."""


@journal.command("tail")
@click.option("-n", "count", default=20, show_default=True, type=click.IntRange(1, 100_000))
@JSON
def journal_tail(count: int, as_json: bool) -> None:
    """The last rows."""
    list_rows("journal", as_json, lambda reader: reader.journal(count))


@journal.command("verify")
@JSON
def journal_verify(as_json: bool) -> None:
    """Check the hash chain, rebuild orders, fills and positions from it, and compare. Exit 5 when anything differs."""
    from gambler_ai.face import print_verdict, progress_rows, verdict_of
    from gambler_ai.storage import schema
    from gambler_ai.storage.database import Database
    from gambler_ai.storage.records import find_account
    from gambler_ai.storage.verify import verify

    settings = settings_now()
    database = existing(Database(settings.database_url))
    schema.check(database)
    found = find_account(database, settings.account_label)
    if found is None:
        raise UsageError(f"no account is bound to the label {settings.account_label!r} in {database.shown}")
    verdict = verify(database, found, progress_rows)
    answer = verdict_of(verdict)
    answer_with(answer, as_json, lambda: print_verdict(answer))
    sys.exit(0 if verdict.ok else 5)


@journal.command("head")
@JSON
def journal_head(as_json: bool) -> None:
    """The chain's last number and hash; keep it elsewhere and a cut tail will show."""
    with reading_books() as (reader, _):
        found = reader.account()
    answer = {"seq": found["seq"] if found else 0, "hash": found["hash"] if found else None}
    answer_with(answer, as_json, lambda: click.echo(f"{answer['seq']} {answer['hash']}"))


@journal.command("export")
def journal_export() -> None:
    """Every row as a line of JSON."""
    with reading_books() as (reader, _):
        seq = 0
        while rows := reader.journal_after(seq, 1000):
            for row in rows:
                click.echo(json.dumps(row, ensure_ascii=False))
            seq = rows[-1]["seq"]


COMMANDS = (report, status, positions, orders, fills, sessions, account, journal)
