"""The exchange's benchmark loads it honestly: every order is taken, every bar is heard."""

from pathlib import Path

import pytest

from benchmarks.exchange import SHARED_TAPE, Rates, bars_per_second, orders_per_second


def test_both_servers_answer_every_order(tmp_path: Path) -> None:
    rates = orders_per_second(tmp_path, rounds=1, each=200)
    assert rates.ours > 0 < rates.anchor


@pytest.mark.shared_data
def test_a_whole_tape_day_at_full_speed_reaches_a_client_in_order(tmp_path: Path) -> None:
    bars, seconds = bars_per_second(tmp_path, SHARED_TAPE)
    assert bars > 1500
    assert seconds < 60


@pytest.mark.parametrize(("ours", "verdict"), [(70.0, "goal met"), (40.0, "bar met"), (20.0, "BAR MISSED")])
def test_a_rate_is_good_when_it_is_high(ours: float, verdict: str) -> None:
    assert verdict in str(Rates(ours, 100.0))
