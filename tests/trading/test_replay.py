"""What a strategy missed is told to it once, in the order of time, and marked as replayed."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest

from gambler_ai.domain.market import Bar
from gambler_ai.domain.orders import Side, Wish
from gambler_ai.strategies.base import FilledShares, Strategy, View
from gambler_ai.trading.loop import Loop
from gambler_ai.trading.session_run import SessionRun
from gambler_ai.trading.sessions import Request
from tests.trading.driving import market_moves, minutes, take_all
from tests.trading.rig import Rig


class KilledError(BaseException):
    """As kill -9 does: nothing after it runs."""


@dataclass
class Diary(Strategy):
    """Buys one share with every bar, and writes down what it heard."""

    name = "diary"
    heard: list[tuple[str, str, bool]] = field(default_factory=list, init=False)

    def on_bar(self, bar: Bar, view: View) -> Sequence[Wish]:
        self.heard.append(("bar", bar.end.isoformat(), view.replaying))
        return [Wish(bar.symbol, Side.BUY, Decimal(1))]

    def on_fill(self, fill: FilledShares, view: View) -> None:
        self.heard.append(("fill", str(fill.signed_qty), view.replaying))

    def save_state(self) -> Any:
        return self.heard

    def load_state(self, state: Any) -> None:
        self.heard = [(kind, what, replayed) for kind, what, replayed in state]

    @property
    def shares(self) -> Decimal:
        return sum((Decimal(what) for kind, what, _ in self.heard if kind == "fill"), Decimal(0))


def diary(run: SessionRun, *, resume: bool = False) -> tuple[Loop, Diary]:
    new = Request(symbols=("AAA",), strategy=f"{__name__}:Diary", duration_min=Decimal(60))
    loop = run.begin(Request(resume="") if resume else new)
    assert isinstance(loop.host.strategy, Diary)
    return loop, loop.host.strategy


def held(rig: Rig) -> Decimal:
    return sum((Decimal(one["qty"]) for one in rig.exchange.truth(None)["positions"]), Decimal(0))


def resumed(rig: Rig, run: SessionRun) -> tuple[SessionRun, Loop, Diary]:
    run.house.close()
    again = SessionRun(rig.opened_anew().parts)
    loop, strategy = diary(again, resume=True)
    market_moves(rig, again, 1)
    take_all(again, loop)
    return again, loop, strategy


def test_a_fill_that_was_booked_and_not_told_is_told_by_the_next_start(
    rig: Rig, run: SessionRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, _ = diary(run)
    minutes(rig, run, loop, 2)
    monkeypatch.setattr(loop, "tell", lambda *_: (_ for _ in ()).throw(KilledError))
    with pytest.raises(KilledError):
        minutes(rig, run, loop, 2)
    again, _, strategy = resumed(rig, run)
    assert strategy.shares == held(rig) > 0
    replayed = [kind for kind, _, replayed in strategy.heard if replayed]
    assert replayed == ["fill", "bar"], "what was missed is not marked"
    again.close()


def test_a_fill_that_was_told_is_not_told_again(rig: Rig, run: SessionRun) -> None:
    loop, before = diary(run)
    minutes(rig, run, loop, 3)
    told = before.shares
    again, _, strategy = resumed(rig, run)
    assert strategy.shares == held(rig) > told > 0
    again.close()


def test_bars_and_fills_of_the_downtime_come_in_the_order_of_time(rig: Rig, run: SessionRun) -> None:
    loop, _ = diary(run)
    minutes(rig, run, loop, 1)
    market_moves(rig, run)
    told = len(loop.host.strategy.heard)  # type: ignore[attr-defined]
    run.house.close()
    rig.pass_time(180)
    again = SessionRun(rig.opened_anew().parts)
    loop, strategy = diary(again, resume=True)
    missed = strategy.heard[told:]
    assert all(replayed for _, _, replayed in missed)
    assert [kind for kind, _, _ in missed].count("bar") == 4
    bars = [what for kind, what, _ in missed if kind == "bar"]
    assert bars == sorted(bars)
    market_moves(rig, again)
    take_all(again, loop)
    assert not strategy.heard[-1][2]
    again.close()
