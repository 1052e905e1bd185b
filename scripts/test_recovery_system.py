#!/usr/bin/env python3
"""The recovery self-check: offline, on a local exchange, in a folder of its own. Exit 0 = every check passed.

    python scripts/test_recovery_system.py [--keep]

Trades, kills the trader with -9 in mid-order, trades by hand while it is down, resumes, and compares every order,
fill, position and cent with the exchange's own record. Nothing outside the folder is read or written, and no key
from the environment is used.
"""

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from gambler_ai.errors import GamblerError
from gambler_ai.operations.proof import compare
from gambler_ai.operations.rehearsal import LABEL, Rehearsal

OPENS = datetime(2026, 6, 16, 13, 30, tzinfo=UTC)
SESSION = ("--symbols", "AAPL,NVDA,SPY", "--strategy", "sma_cross", "--duration", "385")
SHORT_AVERAGES = ("--param", "fast=3", "--param", "slow=8")
EXTERNAL = "KO"
AVERAGES_AGREE = Decimal("0.00000001")
"""An average of several fills is rounded to nine places, there once, here with each fill."""

Check = tuple[str, bool, str]
"""What is promised, whether it holds, and what was seen."""


def checks(stage: Rehearsal) -> Iterator[Check]:
    """The rehearsal, check by check."""
    stage.trade(*SESSION, *SHORT_AVERAGES)
    stage.wait(lambda: len(stage.truth()["executions"]) >= 20, "the first trades")
    with stage.books() as books:
        sessions, fills = books.sessions(), books.fills()
    session = sessions[-1]
    yield "a session is stored while it runs", session["status"] == "active", session["session_id"]
    yield "orders and fills are stored as they happen", len(fills) > 0, f"{len(fills)} fills"

    with stage.next_order_hangs():
        order = stage.wait(stage.unanswered, "an order without an answer")
        stage.kill()
    with stage.books() as books:
        [killed] = [row for row in books.orders() if row["client_order_id"] == order]
    yield "kill -9 in mid-order leaves the intent behind", killed["status"] == "SENDING", f"{order} {killed['status']}"

    stage.by_hand(EXTERNAL, "buy", "25")
    sold = {
        row["position_id"]: stage.by_hand(row["symbol"], "sell", row["qty"])["client_order_id"] for row in stage.held()
    }
    stage.lab("POST", "clock", advance_s=120)
    stage.trade("--resume")
    report = stage.wait(lambda: stage.report(2), "the recovery")
    yield from after_resume(stage, str(session["session_id"]), str(order), sold)
    yield "the recovery says that all is explained", bool(report["ok"]), f"{len(report['applied'])} repairs"

    code = stage.end(within_s=120)
    yield "the resumed session trades to its end", code == 0, f"exit {code}"
    yield from reconciling(stage)
    yield from whole(stage)


def after_resume(stage: Rehearsal, session_id: str, order: str, sold: dict[str, str]) -> Iterator[Check]:
    truth = stage.truth()
    with stage.books() as books:
        sessions, orders, positions = books.sessions(), books.orders(), books.positions(every=True)
    same = [row["session_id"] for row in sessions] == [session_id]
    yield "resume goes on with the same session", same, f"{len(sessions)} sessions"
    there = [row for row in truth["orders"] if row["client_order_id"] == order]
    [ours] = [row for row in orders if row["client_order_id"] == order]
    found = len(there) == 1 and ours["broker_order_id"] == there[0]["id"]
    yield (
        "the lost answer is found, and the order exists once",
        found,
        f"{len(there)} at the exchange, {ours['status']}",
    )
    external = [row for row in positions if row["symbol"] == EXTERNAL]
    imported = [row["owner"] for row in external] == ["EXTERNAL"] and external[0]["qty"] == "25"
    yield "a position opened by hand is imported as EXTERNAL", imported, f"{len(external)} positions in {EXTERNAL}"
    for position_id, sale in sold.items():
        [closed] = [row for row in positions if row["position_id"] == position_id]
        [price] = [row["filled_avg_price"] for row in truth["orders"] if row["client_order_id"] == sale]
        real = closed["status"] == "closed" and abs(Decimal(closed["exit_price"]) - Decimal(price)) < AVERAGES_AGREE
        detail = f"{closed['symbol']} {closed['status']} at {closed['exit_price']}, sold at {price}"
        yield "a position closed by hand is closed with its real price", real, detail


def reconciling(stage: Rehearsal) -> Iterator[Check]:
    first = stage.gambler("run", "--reconcile-only", "--json")
    before = stage.truth()
    second = stage.gambler("run", "--reconcile-only", "--json")
    after = stage.truth()
    yield "--reconcile-only finds nothing left to explain", first.returncode == 0, f"exit {first.returncode}"
    changing = [row for row in after["requests"][len(before["requests"]) :] if row["method"] != "GET"]
    idle = second.returncode == 0 and not json.loads(second.stdout)["applied"] and not changing
    yield "a second one changes nothing and sends nothing", idle, f"{len(changing)} requests that change something"


def whole(stage: Rehearsal) -> Iterator[Check]:
    truth = stage.truth()
    problems = compare(truth, stage.database_url, LABEL)
    counted = f"{len(truth['orders'])} orders, {len(truth['executions'])} executions"
    yield "books and exchange are equal", not problems, "; ".join(problems) or counted
    verified = stage.gambler("journal", "verify", "--json")
    verdict = json.loads(verified.stdout or "{}")
    yield "the journal is whole", verified.returncode == 0, f"{verdict.get('rows', 0)} rows"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", action="store_true", help="keep the folder")
    keep = parser.parse_args().keep
    folder = Path(tempfile.mkdtemp(prefix="recovery-check-"))
    passed, failed = 0, 0
    try:
        with Rehearsal(folder, "synthetic:7", OPENS) as stage:
            for promise, holds, detail in checks(stage):
                passed, failed = passed + holds, failed + (not holds)
                print(f"{'pass' if holds else 'FAIL'}  {promise}  ({detail})", flush=True)
    except GamblerError as error:
        failed += 1
        print(f"FAIL  {error}")
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
    print(f"\n{passed} passed, {failed} failed" + (f"; everything is in {folder}" if keep else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
