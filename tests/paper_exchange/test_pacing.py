"""The paced clock: whom the market waits for, and how it runs while nobody is followed."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

import pytest

from gambler_ai.paper_exchange import driver as driving
from gambler_ai.paper_exchange.app import App, Request
from gambler_ai.paper_exchange.driver import Driver
from gambler_ai.paper_exchange.exchange import Exchange
from gambler_ai.paper_exchange.faults import Faults
from gambler_ai.paper_exchange.gate import Gate
from gambler_ai.paper_exchange.pacing import Pacing

from .rig import Desk


@dataclass
class Paced:
    """A paced exchange in process, with a wall clock moved by hand."""

    exchange: Exchange
    pacing: Pacing
    driver: Driver
    seconds: float = 0.0

    def monotonic(self) -> float:
        return self.seconds


@pytest.fixture
def paced(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Paced:
    pacing = Pacing()
    world = Paced(desk.exchange, pacing, Driver(desk.exchange, pacing, "paced", "skip"))
    monkeypatch.setattr(driving, "time", world)
    world.driver.moved()
    return world


def test_a_market_left_by_its_trader_goes_on_at_wall_speed(paced: Paced) -> None:
    paced.pacing.subscribed("A")
    for _ in range(20):
        paced.driver._step()
    paced.pacing.unsubscribed("A")
    left = paced.exchange.now
    paced.seconds += 300
    paced.driver.catch_up()
    assert paced.exchange.now - left == timedelta(seconds=300)


def test_what_the_market_waited_is_not_made_up_for(paced: Paced) -> None:
    paced.pacing.subscribed("A")
    paced.driver._step()
    paced.seconds += 1800
    paced.pacing.unsubscribed("A")
    left = paced.exchange.now
    paced.driver.catch_up()
    assert paced.exchange.now == left


def test_an_account_that_was_reset_is_not_waited_for(paced: Paced, desk: Desk) -> None:
    account = desk.exchange.keyring.account("KEY", "SECRET")
    assert account is not None
    paced.pacing.subscribed(account.id)
    paced.pacing.sent(account.id)
    assert not paced.pacing.ready()
    desk.exchange.keyring.retire(account, keys_die=False)
    paced.driver.moved()
    paced.pacing.sent(account.id)
    paced.pacing.disconnected(account.id)
    assert paced.pacing.ready(), "its socket may still hear bars and close later"
    assert not paced.pacing.begun


def test_a_clock_asked_before_a_bar_does_not_pay_for_it(paced: Paced) -> None:
    exchange = paced.exchange
    app = App(exchange, paced.driver, paced.pacing, Faults(lambda: Decimal(0)), None, Gate(exchange.limits))  # type: ignore[arg-type]
    account = exchange.account_of("KEY", "SECRET") or ""
    paced.pacing.subscribed(account)
    exchange.listen_market(lambda event: paced.pacing.sent(account))

    async def ask() -> None:
        await app._act(Request("GET", "/v2/clock", {}, b"", "KEY", "SECRET", None))

    async def early_then_late() -> None:
        early = asyncio.create_task(ask())
        await asyncio.sleep(0)
        paced.driver._step()
        await early
        assert not paced.pacing.ready()
        await ask()
        assert paced.pacing.ready()

    asyncio.run(early_then_late())


def test_a_long_advance_lets_others_work_between_its_steps(paced: Paced) -> None:
    async def watch() -> None:
        paced.exchange.listen_market(lambda event: None)
        moving = asyncio.create_task(paced.driver.advance(paced.exchange.now + timedelta(minutes=10)))
        seen = set()
        while not moving.done():
            seen.add(paced.exchange.now)
            await asyncio.sleep(0)
        assert len(seen) >= 10

    asyncio.run(watch())
