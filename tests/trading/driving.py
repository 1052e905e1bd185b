"""Sessions driven by hand, message by message, and two strategies that show what reaches them."""

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from gambler_ai.broker.direct import DirectGateway
from gambler_ai.domain.market import Bar
from gambler_ai.domain.orders import Side, Wish
from gambler_ai.errors import DatabaseUnavailable
from gambler_ai.storage.database import Database
from gambler_ai.strategies.base import FilledShares, Strategy, View
from gambler_ai.trading.loop import Loop
from gambler_ai.trading.session_run import SessionRun
from gambler_ai.trading.sessions import Request
from gambler_ai.trading.state_manager import StateManager
from tests.storage.rig import interrupted
from tests.trading.rig import Rig

FAST = {"fast": "1", "slow": "2", "notional": "2000"}


@dataclass
class Eager(Strategy):
    """Wants one more share with every bar, and remembers what it was shown and told."""

    name = "eager"
    bars: list[datetime] = field(default_factory=list, init=False)
    fills: list[FilledShares] = field(default_factory=list, init=False)

    def on_bar(self, bar: Bar, view: View) -> Sequence[Wish]:
        self.bars.append(bar.start)
        return [Wish(bar.symbol, Side.BUY, Decimal(1))]

    def on_fill(self, fill: FilledShares, view: View) -> None:
        self.fills.append(fill)


def begun(run: SessionRun, minutes: float = 60) -> Loop:
    return run.begin(Request(symbols=("AAA",), params=FAST, duration_min=Decimal(minutes)))


def eager(run: SessionRun, minutes: float = 60) -> tuple[Loop, Eager]:
    wanted = Request(symbols=("AAA",), strategy="tests.trading.driving:Eager", duration_min=Decimal(minutes))
    loop = run.begin(wanted)
    strategy = loop.host.strategy
    assert isinstance(strategy, Eager)
    return loop, strategy


def market_moves(rig: Rig, run: SessionRun, seconds: float = 60) -> None:
    """What the exchange says of this time is in the inbox afterwards."""
    gateway = run.parts.gateway
    assert isinstance(gateway, DirectGateway)
    rig.pass_time(seconds)
    gateway.deliver()


def awake(loop: Loop) -> None:
    """As if it had ticked all the while: nobody stood still, only the test's time jumped."""
    loop._awake_at = loop.clock.monotonic()


def take_all(run: SessionRun, loop: Loop, *, deaf: bool = False) -> None:
    """The loop takes what is in its inbox; frames of the order stream are lost when `deaf`."""
    awake(loop)
    while not run.parts.inbox.is_empty:
        message = run.parts.inbox.take(0.0)
        if not deaf or type(message).__name__ != "OrderEvent":
            loop.step(message)


def minutes(rig: Rig, run: SessionRun, loop: Loop, count: int, *, deaf: bool = False) -> None:
    for _ in range(count):
        market_moves(rig, run)
        take_all(run, loop, deaf=deaf)


@contextlib.contextmanager
def database_lost_at_commit(state: StateManager, which: int = 1) -> Iterator[None]:
    """This COMMIT is done, but its answer is lost, and the database does not answer until the block ends."""
    commits = 0

    def strike(sql: str) -> None:
        nonlocal commits
        commits += sql == "COMMIT"
        if sql == "COMMIT" and commits == which:
            patch.setattr(Database, "connect", gone)
            patch.setattr(state._ledger, "_cursor", gone)
            raise sqlite3.OperationalError("the connection was cut")

    def gone(*_: Any) -> Any:
        raise DatabaseUnavailable("the database restarts")

    real = state._ledger._cursor
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(state._ledger, "_cursor", lambda: interrupted(real(), lambda _sql: None, strike))
        yield
        assert commits >= which
