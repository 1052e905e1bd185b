"""The tour behind `gambler demo`: trade, be killed with -9 in mid-order, come back, and prove that nothing is lost."""

import json
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gambler_ai.errors import GamblerError

if TYPE_CHECKING:
    from gambler_ai.operations.narrator import Narrator
    from gambler_ai.operations.rehearsal import Rehearsal

SYMBOLS = ("AAPL", "NVDA", "SPY", "TSLA")
MARKET, OPENS = "synthetic:7", datetime(2026, 6, 15, 13, 30, tzinfo=UTC)
TRADE = ("--symbols", ",".join(SYMBOLS), "--strategy", "sma_cross", "--duration", "385")
SHORT_AVERAGES = ("--param", "fast=3", "--param", "slow=8", "--param", "notional=20000")
FILLS_BEFORE_THE_KILL = 40
BY_HAND = ("KO", "25")
MINUTES_DOWN = 10
START_CASH = Decimal(100_000)

Row = Mapping[str, Any]


@dataclass
class Tour:
    """What happened on the way, for the proof and the report. Times are exchange time."""

    killed_at: datetime | None = None
    back_at: datetime | None = None
    by_hand: set[str] = field(default_factory=set)
    report: Row = field(default_factory=dict)


def tour(output: Path, *, keep: bool) -> int:
    """Run the tour and write `output/report.html`; 0 only if every promise holds. Whatever it started is ended."""
    from gambler_ai.operations.narrator import Narrator
    from gambler_ai.operations.rehearsal import Rehearsal

    say = Narrator()
    try:
        output.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="run-", dir=output))
    except OSError as error:
        say.failed(f"{output} cannot be written: {error.strerror}")
        return 1
    try:
        say.title("gambler: a tour", "Trade, die in mid-order, come back, lose nothing. No keys, no network, no money.")
        with _ending_on_signals(), Rehearsal(folder, MARKET, OPENS) as stage:
            story = Tour()
            _trade(stage, say)
            _kill(stage, say, story)
            _meanwhile(stage, say, story)
            _resume(stage, say, story)
            truth = stage.truth()
            bars = stage.bars(SYMBOLS, f"{OPENS:%Y-%m-%dT%H:%M:%SZ}", truth["now"])
            (folder / "truth.json").write_text(json.dumps(truth))
            code = conclude(stage, truth, bars, story, output / "report.html", say)
        if keep:
            say.line("kept", f"database and exchange in {folder}")
        return code
    except GamblerError as error:
        say.failed(str(error))
        return 1
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


# --- the acts ---------------------------------------------------------------------------------------------------


def _trade(stage: "Rehearsal", say: "Narrator") -> None:
    say.act(1, "A trading day", "A strategy with two short averages trades four symbols on a local exchange.")
    say.line("exchange", f"Alpaca's API on {stage.address}, an invented market, partial fills on")
    pid = stage.trade(*TRADE, *SHORT_AVERAGES)
    say.line("trader", f"gambler run --symbols {','.join(SYMBOLS)}  (process {pid})")
    with say.watching(stage) as seen:
        stage.wait(lambda: _has_traded(seen()), "the first trades")
    say.line("so far", _so_far(stage.truth()))


def _kill(stage: "Rehearsal", say: "Narrator", story: Tour) -> None:
    with stage.next_order_hangs():
        say.act(2, "kill -9, in mid-order", "The exchange takes the next order, and its answer never arrives.")
        order = stage.wait(stage.unanswered, "an order without an answer")
        pid = stage.kill()
    story.killed_at = datetime.fromisoformat(stage.lab("GET", "clock")["now"])
    with stage.books() as books:
        status = next((row["status"] for row in books.orders() if row["client_order_id"] == order), "unknown")
    there = next(row for row in stage.truth()["orders"] if row["client_order_id"] == order)
    say.line("killed", f"process {pid} at {_clock(story.killed_at)}, with SIGKILL: no handler, no goodbye")
    say.line("books", f"{there['side']} {there['qty']} {there['symbol']}: {status}, decided and sent, outcome unknown")
    say.line("exchange", f"the same order: {there['status']}, {there['filled_qty']} shares at {_average(there)}")


def _meanwhile(stage: "Rehearsal", say: "Narrator", story: Tour) -> None:
    say.act(3, "While nobody looks", "The market goes on, and somebody trades this account by hand.")
    symbol, qty = BY_HAND
    story.by_hand.add(stage.by_hand(symbol, "buy", qty)["client_order_id"])
    say.line("by hand", f"bought {qty} {symbol}, which the strategy has never heard of")
    held = stage.held()
    if held:
        sold = held[-1]
        story.by_hand.add(stage.by_hand(sold["symbol"], "sell", sold["qty"])["client_order_id"])
        say.line("by hand", f"sold all {sold['qty']} {sold['symbol']} of the strategy's own position")
    stage.lab("POST", "clock", advance_s=MINUTES_DOWN * 60)
    say.line("market", f"{MINUTES_DOWN} minutes pass")


def _resume(stage: "Rehearsal", say: "Narrator", story: Tour) -> None:
    from gambler_ai.face_report import report_lines

    say.act(4, "gambler run --resume", "It asks the exchange what really happened before it does anything else.")
    stage.trade("--resume")
    story.report = stage.wait(lambda: stage.report(2), "the recovery")
    story.back_at = datetime.fromisoformat(story.report["report"]["up_at"])
    say.block(report_lines(story.report))
    with say.watching(stage) as seen:
        while stage.ended() is None:
            seen()
    if stage.ended() != 0:
        raise GamblerError(f"the resumed session ended with {stage.ended()}, not 0; see {stage.log}")
    say.line("traded on", f"{_so_far(stage.truth())}; stopped clean, exit 0")


def conclude(
    stage: "Rehearsal", truth: Row, bars: Mapping[str, Sequence[Row]], story: Tour, page: Path, say: "Narrator"
) -> int:
    """Compare the books with the exchange, show the result, write the page; the tour's exit code."""
    from gambler_ai.operations.equity import equity_curve
    from gambler_ai.operations.proof import compare
    from gambler_ai.operations.report import Story, write

    problems = compare(truth, stage.database_url, "default")
    journal = json.loads(stage.gambler("journal", "verify", "--json").stdout or "{}")
    promises = promises_of(problems, truth, journal)
    with stage.books() as books:
        fills, positions = books.fills(), books.positions(every=True)
        entered = {row["position_id"]: row["entered_quantity"] for row in books.query("SELECT * FROM positions")}
    positions = [{**row, "entered": entered[row["position_id"]]} for row in positions]
    curve = equity_curve(fills, bars, START_CASH)
    say.act(5, "The proof", "The exchange's own record against our database, share by share.")
    for holds, text, detail in promises:
        say.promise(holds, text, detail)
    for problem in problems:
        say.failed(problem)
    say.positions(positions, fills)
    marks = [(name, at) for name, at in (("killed", story.killed_at), ("resumed", story.back_at)) if at]
    say.chart(curve, dict(marks))
    write(
        page,
        Story(
            title="A session that was killed in mid-order",
            lead="sma_cross on four symbols of an invented market, which trends more kindly than a real one. The "
            "trader was ended with kill -9 while an order's answer was on its way, somebody traded by hand, and "
            "`gambler run --resume` put everything right.",
            curve=curve,
            marks=marks,
            promises=promises,
            while_down=_down_lines(story),
            bars=bars,
            fills=fills,
            by_hand=frozenset(story.by_hand),
            positions=positions,
        ),
    )
    say.line("report", str(page.resolve()))
    ok = all(holds for holds, _, _ in promises)
    say.end(ok)
    return 0 if ok else 1


def promises_of(problems: Sequence[str], truth: Row, journal: Row) -> list[tuple[bool, str, str]]:
    """Each promise: whether it holds, its words, and its figures or the first thing that broke it."""
    doubled = [text for text in problems if text.startswith("duplicate")]
    lost = [text for text in problems if text.startswith(("lost fill", "fill"))]
    uneven = [text for text in problems if text.startswith(("position", "cash"))]
    others = [text for text in problems if text not in {*doubled, *lost, *uneven}]
    broken = [] if journal.get("ok") else list(journal.get("differences") or ["its chain is broken"])
    sent = sum(row["method"] == "POST" and row["path"] == "/v2/orders" for row in truth["requests"])
    executions, orders = len(truth["executions"]), len(truth["orders"])
    kept = [
        (doubled, f"{len(doubled)} duplicate orders", f"{sent} requests sent, {orders} orders at the exchange"),
        (lost, f"{len(lost)} lost fills", f"{executions} executions, each booked exactly once"),
        (uneven, "positions and cash", "equal, share by share and cent by cent"),
        (others, "every order", "has its true status, and was written down before it was sent"),
        (broken, "the journal", f"{journal.get('rows', 0)} rows, unbroken; all tables follow from it"),
    ]
    return [(not wrong, text, wrong[0] if wrong else figures) for wrong, text, figures in kept]


# --- what is looked at on the way -------------------------------------------------------------------------------


@contextmanager
def _ending_on_signals() -> Iterator[None]:
    """Both signals end the tour through every `finally`."""
    # both by name: a shell starts background jobs with SIGINT ignored, and Python then leaves it so
    asked = (signal.SIGTERM, signal.SIGINT)
    previous = {number: signal.signal(number, lambda number, _frame: sys.exit(128 + number)) for number in asked}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _has_traded(truth: Row) -> bool:
    """Enough to look at, and something held that a person may sell."""
    return len(truth["executions"]) >= FILLS_BEFORE_THE_KILL and len(truth["positions"]) >= 2


def _so_far(truth: Row) -> str:
    at = _clock(datetime.fromisoformat(truth["now"]))
    return f"{at}, {len(truth['orders'])} orders, {len(truth['executions'])} fills"


def _down_lines(story: Tour) -> list[str]:
    from gambler_ai.face_report import report_lines

    return report_lines(story.report) if story.report else []


def _average(order: Row) -> str:
    return f"{Decimal(order['filled_avg_price']):.2f}" if order["filled_avg_price"] else "-"


def _clock(at: datetime) -> str:
    from gambler_ai.operations.equity import NEW_YORK

    return f"{at.astimezone(NEW_YORK):%H:%M} New York"
