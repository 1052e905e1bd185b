"""How the tour speaks: acts, short lines, tables and a chart on a terminal; the same as plain lines elsewhere."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gambler_ai.operations.equity import NEW_YORK, Point, chart

if TYPE_CHECKING:
    from gambler_ai.operations.rehearsal import Rehearsal

Row = Mapping[str, Any]
_NAME = 10
_LOOK_EVERY_S = 0.12
_BREATH_S = 0.7
_WIDEST = 100


class Narrator:
    """NO_COLOR and terminals without colour are rich's business. Between acts a terminal's reader may breathe."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False, soft_wrap=True)
        self._fancy = self._console.is_terminal

    def title(self, name: str, lead: str) -> None:
        self._print(Text.assemble((name, "bold"), "\n", (lead, "dim")))

    def act(self, number: int, name: str, lead: str) -> None:
        self._breathe()
        self._print("")
        self._print(Text.assemble((f"{number}  ", "bold cyan"), (name, "bold"), "  ", (lead, "dim")))

    def line(self, name: str, text: str) -> None:
        self._print(Text.assemble("   ", (f"{name:<{_NAME}}", "cyan"), text))

    def block(self, lines: Sequence[str]) -> None:
        """A report of several lines, set off from the narration."""
        bar = "┃" if self._fancy else "|"
        for line in lines:
            self._print(Text.assemble("   ", (f"{bar} ", "yellow"), line))

    def promise(self, holds: bool, text: str, detail: str) -> None:
        sign = ("✓", "x") if self._fancy else ("ok", "FAILED")
        shown = (sign[0], "bold green") if holds else (sign[1], "bold red")
        self._print(Text.assemble("   ", shown, " ", (f"{text:<20}", "bold"), (detail, "dim" if holds else "red")))

    def failed(self, text: str) -> None:
        self._print(Text.assemble("   ", ("failed  ", "bold red"), text))

    def end(self, ok: bool) -> None:
        self._print("")
        if not ok:
            self._print(Text("A promise was broken; what failed stands above.", "bold red"))
            return
        self._print(
            Text.assemble(("0 duplicate orders, 0 lost fills.", "bold green"), "  Your turn: ", ("gambler run", "bold"))
        )

    @contextmanager
    def watching(self, stage: "Rehearsal") -> Iterator[Callable[[], dict[str, Any]]]:
        """Gives a function that reads the exchange's record, at a calm pace, and shows on a terminal how it goes."""
        if not self._fancy:
            yield lambda: _calmly(stage)
            return
        with self._console.status("") as status:

            def look() -> dict[str, Any]:
                truth = _calmly(stage)
                at = datetime.fromisoformat(truth["now"]).astimezone(NEW_YORK)
                text = f"{at:%H:%M} New York   {len(truth['orders'])} orders   {len(truth['executions'])} fills"
                status.update(Text(text, "dim"))
                return truth

            yield look

    def positions(self, positions: Sequence[Row], fills: Sequence[Row]) -> None:
        """One line for each symbol and owner: what was traded, earned and is still held."""
        table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
        for name in ("symbol", "owner"):
            table.add_column(name)
        for name in ("fills", "round trips", "earned USD", "holds", "at"):
            table.add_column(name, justify="right")
        for symbol, owner in sorted({(row["symbol"], row["owner"]) for row in positions}):
            mine = [row for row in positions if (row["symbol"], row["owner"]) == (symbol, owner)]
            earned = sum((Decimal(row["pnl"]) for row in mine if row["pnl"] is not None), Decimal(0))
            held = [row for row in mine if row["status"] != "closed"]
            table.add_row(
                symbol,
                owner,
                str(sum(fill["symbol"] == symbol for fill in fills)),
                str(len(mine) - len(held)),
                Text(f"{earned:+,.2f}", "green" if earned >= 0 else "red"),
                held[0]["qty"] if held else "-",
                f"{Decimal(held[0]['entry_price']):,.2f}" if held else "",
            )
        self._print("")
        self._console.print(_indented(table), soft_wrap=False)

    def chart(self, curve: Sequence[Point], marks: Mapping[str, datetime]) -> None:
        """The equity curve, with the kill and the resume below it."""
        signs = dict(zip(("✗", "▲") if self._fancy else ("x", "^"), marks.values(), strict=False))
        width = max(30, min(self._console.width, _WIDEST) - 18)
        lines = chart(curve, signs, width=width, height=10, plain=not self._fancy)
        names = ", ".join(f"{sign} {name}" for sign, name in zip(signs, marks, strict=False))
        self._print("")
        self._print(Text.assemble("   ", ("equity in USD, New York time", "bold"), ("    " + names, "dim")))
        for number, line in enumerate(lines):
            is_curve = number < len(lines) - 3
            text = Text("   " + line, "dim")
            if is_curve:
                text.stylize("cyan not dim", 15)
            elif number == len(lines) - 2:
                text.stylize("yellow bold not dim")
            self._print(text)
        self._print("")

    def _print(self, what: Text | str) -> None:
        self._console.print(what)

    def _breathe(self) -> None:
        if self._fancy:
            time.sleep(_BREATH_S)


def _calmly(stage: "Rehearsal") -> dict[str, Any]:
    time.sleep(_LOOK_EVERY_S)
    return stage.truth()


def _indented(table: Table) -> Any:
    from rich.padding import Padding

    return Padding(table, (0, 0, 0, 3))
