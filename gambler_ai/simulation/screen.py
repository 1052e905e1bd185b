"""`gambler simulate` on a screen: progress while it runs, then what fired, and how to see a failure again."""

from collections.abc import Iterable, Iterator

import click

from gambler_ai.simulation.many import Summary
from gambler_ai.simulation.report import Report


def with_progress(reports: Iterable[Report], total: int) -> Iterator[Report]:
    """The same reports, counted on stderr while they come."""
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("seeds", total=total)
        for report in reports:
            progress.advance(task)
            yield report


def print_summary(summary: Summary) -> None:
    verdict = "no promise was broken" if summary.ok else f"{len(summary.failed)} broke a promise"
    click.echo(f"{summary.seeds} seeds, {summary.steps} steps: {verdict}")
    for name, counts in (("happened", summary.happened), ("faults", summary.fired)):
        if counts:
            click.echo(f"  {name}: " + ", ".join(f"{kind} {count}" for kind, count in sorted(counts.items())))
    if summary.never:
        click.echo("  never: " + ", ".join(summary.never))
    for report in summary.failed:
        click.echo()
        print_failure(report)


def print_failure(report: Report) -> None:
    """Seed, step, invariant, and the command that shows it again."""
    for violation in report.violations:
        click.echo(f"seed {report.seed}, step {violation.step}: {violation.invariant} {violation.detail}")
    click.echo(f"  see it again: {report.replay}")


def print_log(report: Report) -> None:
    """A single seed is run to be looked at: every step of it."""
    for line in report.log:
        click.echo(line)
