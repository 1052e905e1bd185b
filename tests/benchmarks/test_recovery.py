"""The benchmarks of recovery measure what they say, at sizes that cost nothing; never how fast."""

from pathlib import Path

import pytest

from benchmarks import calls, history, persist, reconcile, recover
from benchmarks.account import Account
from benchmarks.timing import Result, in_turns, p95


def test_a_recovery_books_what_happened_and_leaves_the_dead_process_s_books_alone(tmp_path: Path) -> None:
    account = Account(tmp_path / "account", positions=3, orders=6, filled=2, in_doubt=1, rows=80)
    first, second = account.recover(account.copy()), account.recover(account.copy())
    assert first.applied == second.applied == 2
    assert first.asked == second.asked
    assert first.recovery_s > 0 < first.opening_s


def test_the_fewest_requests_are_two_looks_and_a_look_up_of_each_doubt(tmp_path: Path) -> None:
    account = Account(tmp_path / "account", positions=2, orders=5, in_doubt=3)
    assert account.least() == 3 + 2 * len(["account", "positions", "open", "recent", "fills", "open again"])


def test_recover_prints_both_figures_and_the_budget(tmp_path: Path) -> None:
    line = str(recover.measure(tmp_path, size=10, rounds=1))
    assert all(word in line for word in ("recover", "ours", "anchor", "ratio", "bar 2.00", "goal 1.30"))
    positions, full = recover.budget(tmp_path, positions=2, orders=20, in_doubt=2, rows=100, times=2)
    assert 0 < positions < full
    assert "held" in recover.told("x", 0.9, 1.0)
    assert "MISSED" in recover.told("x", 1.1, 1.0)


def test_calls_prints_every_kind_of_request(tmp_path: Path) -> None:
    result = calls.measure(tmp_path, positions=2, orders=9, in_doubt=2)
    assert result.ours_s >= result.anchor_s == 14
    assert "2 GET orders:by_client_order_id" in str(result)


def test_history_compares_journals_of_the_lengths_it_names(tmp_path: Path) -> None:
    assert "history" in str(history.measure(tmp_path, long=400, short=200, rounds=1))


@pytest.mark.parametrize("name", ["reconcile", "persist"])
def test_an_anchor_that_is_not_of_this_run_says_so(name: str, tmp_path: Path) -> None:
    result = reconcile.measure(20, rounds=1) if name == "reconcile" else persist.measure(tmp_path, rounds=1, each=2)
    assert result.ours_s > 0
    assert "measured beside" in str(result)


def test_the_first_turn_of_works_that_measure_themselves_is_not_counted() -> None:
    values = iter(range(6))
    assert in_turns({"a": lambda: float(next(values)), "b": lambda: float(next(values))}, rounds=2) == {
        "a": [2.0, 5.0],
        "b": [3.0, 4.0],
    }


def test_the_95th_percentile_is_a_value_that_was_measured() -> None:
    assert p95([float(n) for n in range(1, 21)]) == 19
    assert p95([3.0, 1.0]) == 3


def test_figures_of_another_unit_are_not_shown_as_seconds() -> None:
    assert "74 requests" in str(Result("x", 74, 72, 1.0, 1.0, "requests"))
