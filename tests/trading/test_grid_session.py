"""The grid in the whole house: levels are what the books' fills say, after a crash as well."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from gambler_ai.domain.grid import Level, total
from gambler_ai.trading.loop import Loop
from gambler_ai.trading.session_run import SessionRun
from gambler_ai.trading.sessions import Request
from tests.trading.driving import minutes
from tests.trading.rig import Rig

PARAMS = {"notional": "1000", "step_pct": "0.5", "target_pct": "50"}
"""AAA falls from 103 to 100 by one dollar a minute: three steps; the target is out of reach."""


@pytest.fixture
def rig(tmp_path: Path, sqlite_url: str) -> Iterator[Rig]:
    rig = Rig(tmp_path, sqlite_url)
    rig.close()
    rig.pass_time(240)  # to the top of the wave
    yield rig
    rig.close()


def begun(run: SessionRun, *, resume: bool = False) -> Loop:
    if resume:
        return run.begin(Request(resume=""))
    return run.begin(Request(symbols=("AAA",), strategy="grid", params=PARAMS, duration_min=Decimal(60)))


def held(loop: Loop) -> list[Level]:
    return list(loop.host._view.levels("AAA"))


def at_exchange(rig: Rig) -> list[tuple[str, str]]:
    """Every entry that was executed, oldest first."""
    return [(o["side"], o["filled_qty"]) for o in rig.at_exchange() if "-e-" in o["client_order_id"]]


def test_its_levels_are_its_entries_and_the_target_covers_them_all(rig: Rig) -> None:
    run = SessionRun(rig.opened_anew().parts)
    loop = begun(run)
    minutes(rig, run, loop, 8)
    levels = held(loop)
    assert [str(one.qty) for one in levels] == [qty for _, qty in at_exchange(rig)]
    assert [one.qty for one in levels] == [levels[0].qty * 2**n for n in range(len(levels))]
    assert len(levels) >= 3
    (target,) = [o for o in rig.at_exchange() if o["status"] == "new"]
    assert (target["type"], Decimal(target["qty"])) == ("limit", total(levels))
    run.close()


def test_killed_between_two_levels_it_goes_on_with_the_next_one(rig: Rig) -> None:
    first = SessionRun(rig.opened_anew().parts)
    loop = begun(first)
    while len(held(loop)) < 2:
        minutes(rig, first, loop, 1)
    before = held(loop)
    first.close()
    second = SessionRun(rig.opened_anew().parts)
    loop = begun(second, resume=True)
    minutes(rig, second, loop, 6)
    after = held(loop)
    assert after[:2] == before
    assert after[2].qty == 2 * before[1].qty
    assert [str(one.qty) for one in after] == [qty for _, qty in at_exchange(rig)]
    second.close()
