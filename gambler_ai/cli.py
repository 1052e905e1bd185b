"""Every command and flag; no logic. Heavy imports stand inside the commands: `--help` must feel instant."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from gambler_ai import cli_account, cli_reading, cli_schedule
from gambler_ai.cli_account import ended, params_of, parts_of, policy_options, reconciled, switches_of
from gambler_ai.cli_reading import JSON, answer_with, settings_now
from gambler_ai.errors import GamblerError, UsageError


class Gambler(click.Group):
    """Turns our errors into one clear line and their exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except GamblerError as error:
            from gambler_ai.logs import masked

            click.echo(f"gambler: {masked(str(error))}", err=True)
            ctx.exit(error.exit_code)
        except BrokenPipeError:  # the reader of our output has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(0)
        except Exception as error:
            import traceback

            from gambler_ai.logs import masked

            if isinstance(error, click.exceptions.ClickException | click.exceptions.Exit | click.exceptions.Abort):
                raise
            served = ctx.invoked_subcommand == "exchange"
            again = "`gambler exchange serve` with the same --state" if served else "`gambler run --resume`"
            click.echo(masked(traceback.format_exc()), err=True)
            click.echo(
                f"gambler: this should not happen: {type(error).__name__}: {masked(str(error))}. What is stored is "
                f"whole, and {again} goes on from it; please report the lines above",
                err=True,
            )
            ctx.exit(1)


def main() -> None:
    cli(prog_name="gambler")


@click.group(cls=Gambler, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="gambler-ai", prog_name="gambler")
def cli() -> None:
    """Paper trading for Alpaca that never loses its state.

    Start with `gambler demo`, then `gambler run`. Without keys everything runs on a local exchange.
    """
    from gambler_ai.crashpoints import arm_from_environment

    arm_from_environment()


for command in (*cli_reading.COMMANDS, *cli_account.COMMANDS, *cli_schedule.COMMANDS):
    cli.add_command(command)


@cli.command()
@click.option("--output", type=click.Path(path_type=Path), default=Path("demo-output"), show_default=True)
@click.option("--keep", is_flag=True, help="Keep the demo's database and exchange state.")
def demo(output: Path, keep: bool) -> None:
    """A one-minute tour: trade, be killed with -9 in mid-order, resume, look at what happened."""
    from gambler_ai.demo import tour

    sys.exit(tour(output, keep=keep))


@cli.command("init-db")
@JSON
def init_db(as_json: bool) -> None:
    """Create or upgrade the database; a SQLite file is backed up and checked before an upgrade."""
    from gambler_ai.storage import schema
    from gambler_ai.storage.database import Database

    settings = settings_now()
    if settings.default_database:
        settings.make_data_dir()
    database = Database(settings.database_url)
    before, backup = schema.upgrade(database)
    database.close()
    answer = {
        "database": database.shown,
        "version_before": before,
        "version": schema.CURRENT,
        "backup": str(backup) if backup else None,
    }
    done = "created" if before is None else "is up to date" if before == schema.CURRENT else f"upgraded from {before}"
    answer_with(answer, as_json, lambda: click.echo(f"{database.shown}: schema {schema.CURRENT} {done}"))


def _run_options(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(
        [
            click.option("--symbols", metavar="A,B", help="Symbols to trade; default from the settings (SPY)."),
            click.option("--strategy", metavar="NAME", help="Built-in name or package.module:Class. [sma_cross]"),
            click.option("--param", "params", multiple=True, metavar="K=V", help="A parameter of the strategy."),
            click.option("--duration", metavar="MIN", help="Minutes of exchange time; default until the close."),
            click.option(
                "--resume",
                is_flag=False,
                flag_value="",
                default=None,
                metavar="[SESSION]",
                help="Go on with a session: the named one, else the latest crashed or unfinished one.",
            ),
            click.option("--until", metavar="ISO", help="Exchange time at which the session ends."),
            click.option("--session", metavar="ID", help="Begin a session under this id, or go on with it."),
            click.option("--standby", is_flag=True, help="Wait while another process trades; go on when it ends."),
            click.option("--reconcile-only", is_flag=True, help="Recover the books, print the plan, trade nothing."),
            click.option("--init-db", "create", is_flag=True, help="Create or upgrade the tables first."),
        ]
    ):
        command = option(command)
    return command


@cli.command()
@_run_options
@click.option("--dry-run", is_flag=True, help="With --reconcile-only: change nothing.")
@policy_options
@JSON
def run(
    symbols: str | None,
    strategy: str | None,
    params: tuple[str, ...],
    duration: str | None,
    resume: str | None,
    until: str | None,
    session: str | None,
    standby: bool,
    reconcile_only: bool,
    create: bool,
    dry_run: bool,
    as_json: bool,
    **policy: Any,
) -> None:
    """Trade a session: recover first, then run the strategy until its time is over.

    Safe to kill at any moment: `gambler run --resume` finds out what really happened and goes on.
    """
    from gambler_ai.trading.shutdown import Shutdown

    shutdown = Shutdown()
    shutdown.install()
    from gambler_ai.config import parse_symbols
    from gambler_ai.trading.sessions import Request

    request = Request(
        symbols=parse_symbols(symbols) if symbols is not None else None,
        strategy=strategy,
        params=params_of(params) if params else None,
        duration_min=_minutes(duration),
        resume=resume,
        standby=standby,
        session=session,
        until=_moment(until),
    )
    switches = switches_of(policy)
    if dry_run and not reconcile_only:
        raise UsageError("--dry-run goes with --reconcile-only")
    request.check()
    if reconcile_only:
        reconciled(shutdown, create, dry_run, as_json, switches)
        return
    from gambler_ai.face import progress_line
    from gambler_ai.face_report import while_you_were_down
    from gambler_ai.trading.session_run import SessionRun

    parts = parts_of(shutdown, create, switches, progress_line, while_you_were_down)
    sys.exit(ended(shutdown, SessionRun(parts).run(request)))


@cli.group()
def exchange() -> None:
    """The local, Alpaca-compatible exchange."""


@exchange.command("serve")
@click.option("--port", default=8765, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option("--state", default=":memory:", metavar="FILE", help="SQLite file that survives restarts. [memory]")
@click.option("--market", default="synthetic:7", show_default=True, metavar="KIND", help="synthetic:SEED or tape:DIR.")
@click.option("--start", metavar="ISO", help="First exchange time of a new state; default the next session's open.")
@click.option("--speed", default="1", show_default=True, metavar="X", help="A factor, or max, paced, manual.")
@click.option("--seed", default=0, show_default=True, help="Of ids and partial fills.")
@click.option("--partial-fill-rate", default="0.1", show_default=True, help="How often a fill is partial, 0 to 1.")
@click.option("--switch", "switches", multiple=True, metavar="NAME=VALUE", help="See docs/local-exchange.md.")
@click.option("--limit", "limits", multiple=True, metavar="NAME=VALUE", help="See docs/local-exchange.md.")
@click.option("--night", type=click.Choice(["skip", "run"]), default="skip", show_default=True)
@click.option("--idle-exit", "idle_exit_s", type=float, metavar="S", help="End after so many idle seconds.")
@click.option(
    "--lab-token-file",
    type=click.Path(path_type=Path),
    help="Opens the lab to holders of its token; made if missing.",
)
@click.option("--keys-file", "keys", type=click.Path(path_type=Path), help='Accept these keys only: {"KEY": "SECRET"}.')
@click.option("--port-file", type=click.Path(path_type=Path), help="Write {port, pid} there once it listens.")
def exchange_serve(**flags: Any) -> None:
    """Run the exchange on 127.0.0.1 until SIGTERM."""
    from gambler_ai.face import serve_options
    from gambler_ai.paper_exchange.server import serve

    serve(serve_options(flags))


@exchange.command("stop")
def exchange_stop() -> None:
    """End the local exchange of the data directory."""
    from gambler_ai.paper_exchange.local import stop

    place = settings_now().data_dir
    nothing = f"no local exchange of {place} runs; one of `exchange serve` ends with Ctrl-C, or SIGTERM to its pid"
    click.echo("stopped" if stop(place) else nothing)


@exchange.command("status")
@JSON
def exchange_status(as_json: bool) -> None:
    """Whether the local exchange of the data directory runs, and where."""
    from gambler_ai.face import print_pairs
    from gambler_ai.paper_exchange.local import status as look

    place = settings_now().data_dir
    answer = {**look(place), "data_dir": str(place)}
    answer_with(answer, as_json, lambda: print_pairs(answer))


@cli.command()
@click.option("--seeds", type=click.IntRange(1), metavar="N", help="How many seeds. [100, or 1 with --seed]")
@click.option("--seed", type=click.IntRange(0), metavar="S", help="The first seed; alone, this one with its log.")
@click.option("--steps", type=click.IntRange(1), default=200, show_default=True, metavar="M", help="Of each seed.")
@JSON
def simulate(seeds: int | None, seed: int | None, steps: int, as_json: bool) -> None:
    """Run the whole application under invented disasters, and check every promise after every step."""
    from gambler_ai.simulation import many, screen

    first, count = seed or 0, seeds or (100 if seed is None else 1)
    summary = many.Summary()
    for report in screen.with_progress(many.run_many(range(first, first + count), steps), count):
        summary.add(report)
        if seed is not None and seeds is None and not as_json:
            screen.print_log(report)
    answer_with(summary.as_json(), as_json, lambda: screen.print_summary(summary))
    sys.exit(0 if summary.ok else 1)


@cli.command("crash-points")
@JSON
def crash_points(as_json: bool) -> None:
    """Named points where a test may end the process (GAMBLER_TEST=1 GAMBLER_CRASH_AT=point[:n])."""
    from gambler_ai.crashpoints import POINTS

    answer = [{"point": name, "meaning": meaning} for name, meaning in POINTS.items()]
    answer_with(answer, as_json, lambda: click.echo("\n".join(f"{name:<26}  {text}" for name, text in POINTS.items())))


def _minutes(text: str | None) -> Any:
    if text is None:
        return None
    from gambler_ai.domain.money import amount

    try:
        return amount(text)
    except ValueError:
        raise UsageError(f"--duration {text!r}: write minutes, like --duration 120") from None


def _moment(text: str | None) -> Any:
    if text is None:
        return None
    from gambler_ai.domain.market import parse_time

    try:
        return parse_time(text)
    except ValueError:
        raise UsageError(f"--until {text!r}: write a time with its zone, like 2026-06-15T19:50:00Z") from None
