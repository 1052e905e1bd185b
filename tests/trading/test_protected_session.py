"""Whole sessions with stops and targets, checked against the exchange's own orders after every message."""

from decimal import Decimal

import pytest

from gambler_ai.trading.session_run import SessionRun
from gambler_ai.trading.sessions import Request
from tests.trading.driving import FAST, market_moves
from tests.trading.rig import Rig


def never_more_exits_than_shares(rig: Rig) -> None:
    """I10, on what the exchange has: a group's members share their shares."""
    held = {p["symbol"]: Decimal(p["qty"]) for p in rig.exchange.truth(None)["positions"]}
    assert all(qty >= 0 for qty in held.values())
    leaving = sum(Decimal(qty) for _, qty, _, status in rig.live_exits() if status != "held")
    assert leaving <= held.get("AAA", Decimal(0))


@pytest.mark.parametrize("params", [{"stop_pct": "9"}, {"target_pct": "9"}, {"stop_pct": "1", "target_pct": "1"}])
@pytest.mark.parametrize("partial", ["0", "0.5"])
def test_each_position_has_its_exits_and_never_too_many(
    rig: Rig, run: SessionRun, params: dict[str, str], partial: str
) -> None:
    rig.exchange.venue.partial_fill_rate = Decimal(partial)
    loop = run.begin(Request(symbols=("AAA",), params={**FAST, **params}, duration_min=Decimal(60)))
    protected = 0
    for _ in range(55):
        market_moves(rig, run)
        while not run.parts.inbox.is_empty:
            loop.step(run.parts.inbox.take(0.0))
            never_more_exits_than_shares(rig)
        entries = [o for o in rig.at_exchange() if o["side"] == "buy" and o["status"] not in ("filled", "canceled")]
        if loop.state.book.open_positions() and not entries:
            assert loop.protection.decision().exposed == {}
            protected += 1
    assert protected > 5
    assert run.end(loop) == 0
    held = sum(Decimal(p["qty"]) for p in rig.exchange.truth(None)["positions"])
    assert sum(Decimal(qty) for _, qty, _, status in rig.live_exits() if status != "held") == held
