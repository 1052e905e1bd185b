"""Bars go on after the close; orders do not."""

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

from gambler_ai.domain.market import parse_time
from gambler_ai.trading.sessions import Request
from tests.simulation.house import house
from tests.support.market import OPEN, write_tape


def test_no_order_leaves_after_the_close(tmp_path: Path) -> None:
    close = OPEN + timedelta(minutes=390)
    request = Request(
        symbols=("AAA", "BBB"),
        params={"fast": "1", "slow": "2", "notional": "500"},
        duration_min=Decimal(30),
    )
    with house(tmp_path, write_tape(tmp_path / "tape", minutes=420), close - timedelta(minutes=15)) as world:
        assert world.trade(request) == 0
        assert world.clock.now() > close
        sent = [parse_time(order["submitted_at"]) for order in world.exchange.truth()["orders"]]
    assert len(sent) >= 4
    assert max(sent) < close
