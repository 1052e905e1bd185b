"""Benchmarks compare like with like."""

import sqlite3
import sys
from pathlib import Path

import pytest

from benchmarks import peers
from benchmarks.commit import Desk, on_sqlite, recorded
from benchmarks.timing import Result, interleaved


def test_works_take_turns_and_the_first_turn_is_not_counted() -> None:
    calls: list[str] = []
    median = interleaved({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, rounds=2)
    assert calls == ["b", "a", "a", "b", "b", "a"]
    assert set(median) == {"a", "b"}


@pytest.mark.parametrize(("ours", "verdict"), [(1.4, "goal met"), (1.9, "bar met"), (2.1, "BAR MISSED")])
def test_a_result_says_whether_its_bar_was_held(ours: float, verdict: str) -> None:
    result = Result("x", ours, 1.0, bar=2.0, goal=1.5)
    assert verdict in str(result)
    assert result.holds is (ours <= 2.0)


def test_the_anchor_writes_the_same_rows_in_as_many_transactions(tmp_path: Path) -> None:
    result = on_sqlite(tmp_path, rounds=1, each=3)
    assert result.ours_s > 0 < result.anchor_s
    counts = []
    for name in ("ours", "bare"):
        with sqlite3.connect(tmp_path / f"{name}.db") as database:
            counts.append(
                [database.execute(f"SELECT count(*) FROM {table}").fetchone() for table in ("orders", "order_journal")]
            )
        database.close()
    assert counts[0] == counts[1] == [(6,), (13,)]


def test_an_order_is_two_synced_transactions_with_a_halt_check(tmp_path: Path) -> None:
    [statements] = recorded(f"sqlite:///{tmp_path / 'r.db'}", tmp_path, 1)
    verbs = [sql.split()[0] for sql, _ in statements]
    assert verbs.count("BEGIN") == verbs.count("COMMIT") == 2
    assert verbs.count("SELECT") == 1
    desk = Desk(f"sqlite:///{tmp_path / 'd.db'}", tmp_path)
    with desk.database.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
    desk.close()


def test_a_rival_is_measured_by_its_own_interpreter_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "ENVIRONMENTS", tmp_path)
    monkeypatch.setattr(peers, "HERE", tmp_path)
    assert peers.seconds("freqtrade", "said.py", 1) is None
    peers.python_of("freqtrade").parent.mkdir(parents=True)
    peers.python_of("freqtrade").symlink_to(sys.executable)
    (tmp_path / "said.py").write_text("import sys; print('loading'); print(float(sys.argv[1]) / 4)")
    assert peers.seconds("freqtrade", "said.py", 1) == (
        0.25,
        f"anchor: freqtrade {peers.PINNED['freqtrade']}, in this run",
    )
