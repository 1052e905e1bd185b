"""`gambler reconcile` over the table of cases, and under faults that strike once, against the exchange's record."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gambler_ai.domain.money import text
from gambler_ai.face_report import plan_lines
from gambler_ai.trading.maintenance import reconcile
from tests.recovery.cases import CASES, Case
from tests.recovery.steps import FAULTS, books_hold, do, exchange_holds
from tests.support.databases import new_database
from tests.trading.rig import Rig

STRUCK = ("R1", "R2", "R3", "R4", "R5", "R6", "R7", "R9", "R10", "R11", "R12", "R16")
FIRST = {case.row: case for case in reversed(CASES)}


@pytest.fixture(autouse=True)
def _rigs() -> Iterator[None]:
    yield
    while OPEN:
        rig = OPEN.pop()
        rig.close()
        rig.exchange.close()


OPEN: list[Rig] = []


def run(folder: Path, url: str, case: Case, fault: str = "") -> tuple[Rig, int, dict[str, Any]]:
    """The story, then one `gambler reconcile` under the case's switches."""
    rig = Rig(folder, url)
    OPEN.append(rig)
    if case.row == "R17":
        rig.close()
        rig.policy = case.policy
        rig.open()
    do(rig, case.story)
    rig.close()
    rig.policy = case.policy
    rig.weather.sent.clear()
    FAULTS[fault](rig)
    code, report = reconcile(rig.opened_anew(), dry_run=False)
    sent, rig.weather.sent = rig.weather.sent, []
    report["sent"] = sent
    rig.open()
    return rig, code, report


def check(rig: Rig, code: int, report: dict[str, Any], case: Case, *, refined: bool = False) -> None:
    """With `refined`, prices of shares that were booked from an order's average may have been made exact (R4)."""
    plan = [action["row"] for action in report["plan"]]
    if refined and plan.count("R4") > case.rows.count("R4"):
        plan.remove("R4")
    held = ", ".join(sorted(f"{symbol} {owner} {text(qty)}" for (symbol, owner), qty in rig.shares.items()))
    halts = {halt.symbol or "*" for halt in rig.state.records.active_halts()}
    assert sorted(plan) == sorted(case.rows.split()), report["plan"]
    assert (code, held, halts) == (case.code, case.shares, set(case.halts.split()))
    assert report["sent"] == case.sent.split()
    assert (books_hold(rig) == exchange_holds(rig)) is not case.differs
    assert all(action["evidence"] and action["reason"] for action in report["plan"])
    rig.prove_the_chain()


def again(rig: Rig, case: Case) -> None:
    """A second recovery sends nothing and writes nothing but its report."""
    rows = len(rig.kinds())
    rig.close()
    code, report = reconcile(rig.opened_anew(), dry_run=False)
    rig.open()
    assert (code, rig.weather.sent, report["applied"]) == (case.code, [], [])
    assert set(rig.kinds()[rows:]) <= {"recovery.report", "session.crashed"}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_case_ends_as_the_policy_says_and_a_second_recovery_does_nothing(
    tmp_path: Path, sqlite_url: str, case: Case
) -> None:
    rig, code, report = run(tmp_path, sqlite_url, case)
    check(rig, code, report, case)
    assert case.says in "\n".join(plan_lines(report))
    if case.row != "moving":
        again(rig, case)


@pytest.mark.parametrize("case", [FIRST[row] for row in STRUCK], ids=str)
@pytest.mark.parametrize("fault", [name for name in FAULTS if name])
def test_a_fault_that_strikes_once_changes_nothing_about_the_end(
    tmp_path: Path, sqlite_url: str, case: Case, fault: str
) -> None:
    rig, code, report = run(tmp_path, sqlite_url, case, fault)
    check(rig, code, report, case, refined=fault == "fills empty")


@pytest.mark.parametrize("case", [c for c in CASES if c.label or c is FIRST[c.row]], ids=str)
def test_every_row_and_every_switch_ends_the_same_on_postgresql(tmp_path: Path, postgres: str, case: Case) -> None:
    rig, code, report = run(tmp_path, new_database("postgresql", tmp_path, postgres), case)
    check(rig, code, report, case)
