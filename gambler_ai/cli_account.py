"""Commands that work on an account without a strategy, and the switches of recovery."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from gambler_ai.cli_reading import JSON, answer_with, settings_now
from gambler_ai.errors import GamblerError, UsageError

if TYPE_CHECKING:
    from gambler_ai.config import Settings

_POLICY = (
    click.option("--orphans", metavar="WHAT", help="Shares only the books have: close, halt or ask. [close]"),
    click.option("--mismatch", metavar="WHAT", help="Quantities nobody explains: halt, adopt or stop-all. [halt]"),
    click.option(
        "--externals",
        metavar="WHAT",
        help="Shares only the broker has: import, claim=STRATEGY, ignore or halt. [import]",
    ),
    click.option("--foreign", metavar="WHAT", help="Open orders of others: respect, cancel or ignore. [respect]"),
    click.option("--qty-tolerance", metavar="SHARES", help="Book a difference up to this, at most 0.001. [0]"),
    click.option("--no-protect", is_flag=True, help="Place no stops or targets; written to the journal as a waiver."),
    click.option(
        "--protect-external",
        "protect_external_pct",
        metavar="PCT",
        help="A stop so far from shares of no strategy. [0]",
    ),
    click.option("--unprotected", metavar="WHAT", help="Shares that get no exit for a minute: hold or flatten. [hold]"),
    click.option("--strict", is_flag=True, help="One unexplained mismatch halts the whole account."),
    click.option("--fail-fast", is_flag=True, help="A halt ends the session with 3 at once."),
    click.option("--accept-recovered", is_flag=True, help="Lift the halt for orders of ours the books did not know."),
)


def policy_options(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_POLICY):
        command = option(command)
    return command


@dataclass(frozen=True, slots=True)
class Switches:
    """Flags that override settings, as text, and the one that is never a setting."""

    settings: Mapping[str, str | None]
    accept_recovered: bool = False


def switches_of(policy: Mapping[str, Any]) -> Switches:
    told = {name: ("yes" if value else None) if isinstance(value, bool) else value for name, value in policy.items()}
    return Switches(told, told.pop("accept_recovered") is not None)


def parts_of(
    shutdown: Any,
    create: bool,
    switches: Switches,
    announce: Any,
    show_report: Any = lambda _report: None,
) -> Any:
    """What a run is made of. Raises UsageError for a setting or flag that is wrong."""
    from gambler_ai.wiring import build

    settings = settings_now(switches.settings)
    begin_log(settings)
    parts = build(settings, shutdown, announce, show_report, accept_recovered=switches.accept_recovered)
    parts.create_tables = parts.create_tables or create
    return parts


def begin_log(settings: "Settings") -> None:
    """To stderr, and to the file of the settings."""
    from gambler_ai.logs import configure

    settings.make_data_dir()
    configure(settings.log_level, settings.log_file)


def ended(shutdown: Any, code: int) -> int:
    from gambler_ai.trading.shutdown import EXIT_DIRTY

    return EXIT_DIRTY if shutdown.aborted else code


@click.command()
@click.option("--dry-run", is_flag=True, help="Change nothing, neither here nor at the broker.")
@click.option("--init-db", "create", is_flag=True, help="Create or upgrade the tables first.")
@policy_options
@JSON
def reconcile(dry_run: bool, create: bool, as_json: bool, **policy: Any) -> None:
    """Compare books and broker, repair what evidence explains, and print the plan with its reasons."""
    reconciled(installed(), create, dry_run, as_json, switches_of(policy))


def reconciled(shutdown: Any, create: bool, dry_run: bool, as_json: bool, switches: Switches) -> None:
    """`gambler reconcile`, and `gambler run --reconcile-only`; ends the process with its exit code."""
    from gambler_ai.face_report import plan_lines

    code, report = _maintain(shutdown, create, switches, lambda room, house: room.reconcile(house, dry_run=dry_run))
    answer_with(report, as_json, lambda: click.echo("\n".join(plan_lines(report, dry_run=dry_run))))
    sys.exit(ended(shutdown, code))


def params_of(texts: tuple[str, ...]) -> dict[str, str]:
    """What `--param` was given, by name."""
    result = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UsageError(f"--param {text!r}: write name=value, like --param fast=5")
        result[name.strip()] = value.strip()
    return result


SYMBOL = click.argument("symbol", required=False)


@click.command()
@SYMBOL
@click.option("--reason", required=True, help="Why; shown by `gambler status` until it is lifted.")
@JSON
def halt(symbol: str | None, reason: str, as_json: bool) -> None:
    """Stop new risk at once, in SYMBOL or everywhere; exits, cancels and protection go on. Survives restarts."""
    _command("halt", symbol, reason, as_json)


@click.command()
@SYMBOL
@click.option("--reason", required=True, help="Why it may be lifted; written to the journal.")
@JSON
def unhalt(symbol: str | None, reason: str, as_json: bool) -> None:
    """Lift a halt, of SYMBOL or all, after looking again; what still differs stays halted (exit 3)."""
    _command("unhalt", symbol, reason, as_json)


@click.command()
@SYMBOL
@click.option("--reason", default="asked for", help="Written to the journal.")
@JSON
def flatten(symbol: str | None, reason: str, as_json: bool) -> None:
    """Close SYMBOL, or everything: cancel its orders, then sell or cover all shares, EXTERNAL ones too."""
    _command("flatten", symbol, reason, as_json)


@click.command()
@SYMBOL
@click.option("--reason", default="asked for", help="Written to the journal.")
@JSON
def cancel(symbol: str | None, reason: str, as_json: bool) -> None:
    """Cancel the open orders of SYMBOL, or all, but those that protect a position."""
    _command("cancel", symbol, reason, as_json)


def _must_be_known(symbol: str, settings: "Settings") -> None:
    """A mistyped symbol must not look like an emergency that was dealt with. Without a database that can be read, or
    with nothing in it yet, every symbol may be right."""
    import difflib

    from gambler_ai.storage.reading import reading

    try:
        with reading(settings.database_url, settings.account_label) as reader:
            known = reader.symbols()
    except GamblerError:
        return
    if known and symbol not in known:
        meant = difflib.get_close_matches(symbol, known, 1)
        hint = f" Did you mean {meant[0]}?" if meant else ""
        raise UsageError(f"nothing was done: no session, order or position of this account has {symbol}.{hint}")


def _command(kind: str, symbol: str | None, reason: str, as_json: bool) -> None:
    """Let whoever holds the account carry it out, or do it here; ends the process with its exit code."""
    from gambler_ai.config import parse_symbols
    from gambler_ai.face import print_command, progress_line
    from gambler_ai.trading.asking import ask

    shutdown = installed()
    name = parse_symbols(symbol)[0] if symbol else None
    settings = settings_now()
    begin_log(settings)
    if name is not None:
        _must_be_known(name, settings)
    code, answer = ask(
        kind,
        name,
        reason,
        settings.database_url,
        settings.data_dir,
        settings.account_label,
        shutdown,
        lambda: parts_of(shutdown, False, Switches({}), progress_line),
    )
    answer_with(answer, as_json, lambda: print_command(kind, name, answer))
    sys.exit(ended(shutdown, code))


@click.command()
@click.option("--from-broker", is_flag=True, help="From the broker's orders, executions and positions; must be said.")
@click.option("--dry-run", is_flag=True, help="Read and show; make and change nothing.")
@JSON
def recover(from_broker: bool, dry_run: bool, as_json: bool) -> None:
    """Rebuild a lost database: sessions, owners, fills, positions with levels and protection. Sends no order."""
    from gambler_ai.face_report import rebuilt_lines
    from gambler_ai.trading import rebuilding

    if not from_broker:
        raise UsageError("write `gambler recover --from-broker`; it rebuilds a database that was lost")
    shutdown = installed()
    code, report = _maintain(
        shutdown, False, Switches({}), lambda _room, house: rebuilding.recover(house, dry_run=dry_run)
    )
    answer_with(report, as_json, lambda: click.echo("\n".join(rebuilt_lines(report, dry_run=dry_run))))
    sys.exit(ended(shutdown, code))


def installed() -> Any:
    from gambler_ai.trading.shutdown import Shutdown

    shutdown = Shutdown()
    shutdown.install()
    return shutdown


def _maintain(
    shutdown: Any, create: bool, switches: Switches, work: Callable[[Any, Any], tuple[int, Any]]
) -> tuple[int, Any]:
    """Maintenance in an opened house; a signal before anything was done ends it cleanly."""
    from gambler_ai.face import ask_a_person, progress_line
    from gambler_ai.trading import maintenance
    from gambler_ai.trading.house import House
    from gambler_ai.trading.turn import StoppedEarly

    parts = parts_of(shutdown, create, switches, progress_line)
    parts.ask = ask_a_person
    try:
        return work(maintenance, House(parts))
    except StoppedEarly:
        sys.exit(0)


COMMANDS = (reconcile, halt, unhalt, flatten, cancel, recover)
