"""Time without a live exit, read from records made by hand. Times are seconds after noon."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gambler_ai.operations.unprotected import Gap, Life, by_cause, gaps, summary

NOON = datetime(2026, 6, 15, 12, tzinfo=UTC)
ALWAYS = [Life(NOON, NOON + timedelta(seconds=1000))]


def at(second: float) -> str:
    return (NOON + timedelta(seconds=second)).isoformat()


def order(name: str, qty: str, start: float, end: float | None = None, **more: Any) -> dict[str, Any]:
    """A sell stop, unless said otherwise."""
    kind = {"symbol": "SPY", "side": "sell", "type": "stop", "group": None, "account": "acc"}
    ended = None if end is None else at(end)
    return {"id": name, "qty": qty, "wall_at": at(start), "ended_wall_at": ended, **kind, **more}


def fill(second: float, qty: str, side: str = "buy", name: str = "entry", symbol: str = "SPY") -> dict[str, Any]:
    row = {"account": "acc", "order_id": name, "symbol": symbol, "side": side, "qty": qty}
    return {**row, "wall_at": at(second)}


def record(executions: list[dict[str, Any]], *orders: dict[str, Any], asked: tuple[float, ...] = (0,)) -> Any:
    requests = [{"account": "acc", "wall_at": at(second)} for second in asked]
    return {"orders": list(orders), "executions": executions, "requests": requests}


def spans(found: list[Gap]) -> list[tuple[float, float, bool]]:
    """By time."""
    return sorted(((g.since - NOON).total_seconds(), (g.until - NOON).total_seconds(), g.cut_off) for g in found)


def lives(*borders: tuple[float, float]) -> list[Life]:
    return [Life(NOON + timedelta(seconds=start), NOON + timedelta(seconds=end)) for start, end in borders]


@pytest.mark.parametrize(
    ("executions", "orders", "expected"),
    [
        ([], [], []),
        ([fill(10, "5")], [order("s", "5", 11)], [(10, 11, False)]),
        ([fill(10, "5")], [], [(10, 1000, True)]),
        ([fill(10, "5")], [order("s", "4", 11)], [(10, 1000, True)]),  # one share is naked
        ([fill(10, "5")], [order("s", "4", 11), order("t", "1", 13)], [(10, 13, False)]),
        ([fill(10, "5")], [order("s", "5", 11, type="limit")], [(10, 1000, True)]),  # a target is no stop
        ([fill(10, "5")], [order("s", "5", 11, side="buy")], [(10, 1000, True)]),
        ([fill(10, "5", "sell")], [order("s", "5", 11, side="buy")], [(10, 11, False)]),  # a short's stop buys
        ([fill(10, "5")], [order("s", "5", 11, symbol="IBM")], [(10, 1000, True)]),
        ([fill(10, "5")], [order("s", "5", 9)], []),
        (
            [fill(10, "2"), fill(20, "3")],
            [order("s", "2", 11), order("t", "3", 24)],
            [(10, 11, False), (20, 24, False)],
        ),
        # the stop fires, whole and in part
        ([fill(10, "5"), fill(20, "5", "sell", "s")], [order("s", "5", 11, 20)], [(10, 11, False)]),
        ([fill(10, "5"), fill(20, "2", "sell", "s")], [order("s", "5", 11, 30)], [(10, 11, False), (30, 1000, True)]),
        # a strategy's exit: the stop is cancelled, a market order leaves
        (
            [fill(10, "5"), fill(22, "5", "sell", "x")],
            [order("s", "5", 11, 20), order("x", "5", 22, 22, type="market")],
            [(10, 11, False), (20, 22, False)],
        ),
        # a group: its target takes two shares, and the stop was made smaller by as many
        (
            [fill(10, "5"), fill(20, "2", "sell", "t")],
            [order("t", "5", 11, type="limit", group="t"), order("s", "3", 11, group="t")],
            [(10, 11, False)],
        ),
    ],
)
def test_a_gap_lasts_until_live_stops_cover_all_shares(executions: Any, orders: Any, expected: Any) -> None:
    assert spans(gaps(record(executions, *orders), ALWAYS)) == expected


def test_a_gap_begins_after_a_fill_the_end_of_an_exit_or_a_start() -> None:
    truth = record([fill(10, "5")], order("s", "5", 11, 20), order("t", "5", 53), asked=(1, 50))
    found = sorted(gaps(truth, lives((0, 30), (40, 99))), key=lambda gap: gap.since)
    assert [gap.after for gap in found] == ["fill", "end of an exit", "start"]
    assert {cause: told["count"] for cause, told in by_cause(found).items()} == {
        "fill": 1,
        "end of an exit": 0,
        "start": 1,
    }


def test_while_no_process_runs_and_before_its_first_request_nothing_counts() -> None:
    truth = record([fill(10, "5")], order("s", "5", 53), asked=(1, 42, 50))
    assert spans(gaps(truth, lives((0, 12), (40, 45), (47, 99)))) == [(10, 12, True), (42, 45, True), (50, 53, False)]


def test_a_process_that_asked_nothing_could_do_nothing() -> None:
    assert gaps(record([fill(10, "5")], asked=(1,)), lives((0, 2), (20, 90))) == []


def test_accounts_and_symbols_are_each_their_own() -> None:
    other = {**fill(10, "5"), "account": "another"}
    truth = record([other, fill(10, "5", symbol="IBM")], order("s", "5", 11), order("t", "5", 12, symbol="IBM"))
    assert [(g.symbol, g.seconds) for g in gaps(truth, ALWAYS)] == [("IBM", 2.0)]


def test_gaps_that_a_kill_cut_off_are_counted_apart() -> None:
    found = [Gap("SPY", NOON, NOON + timedelta(seconds=n), "fill", cut_off=n == 100) for n in range(1, 101)]
    told = summary(found)
    assert told == {"count": 99, "p50_s": 50.0, "p99_s": 99.0, "max_s": 99.0, "cut_off": 1, "cut_off_max_s": 100.0}
    assert summary([])["count"] == 0
