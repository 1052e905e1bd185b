"""Run by nautilus_trader's own interpreter: seconds of one reconciliation of so many orders that were filled while
nobody looked, each with its execution and its position; a fresh engine every time, the median of the rounds.

    PYTHON nautilus_reconcile.py POSITIONS ROUNDS
"""

import asyncio
import statistics
import sys
import time
from decimal import Decimal

from nautilus_trader.accounting.factory import AccountFactory
from nautilus_trader.cache.cache import Cache
from nautilus_trader.common.component import LiveClock, MessageBus
from nautilus_trader.core.uuid import UUID4
from nautilus_trader.execution.reports import ExecutionMassStatus, FillReport, OrderStatusReport, PositionStatusReport
from nautilus_trader.live.execution_engine import LiveExecutionEngine
from nautilus_trader.model.currencies import USD
from nautilus_trader.model.enums import (
    LiquiditySide,
    OrderSide,
    OrderStatus,
    OrderType,
    PositionSide,
    TimeInForce,
)
from nautilus_trader.model.identifiers import AccountId, ClientId, TradeId, TraderId, Venue, VenueOrderId
from nautilus_trader.model.objects import Money, Price, Quantity
from nautilus_trader.portfolio.portfolio import Portfolio
from nautilus_trader.test_kit.providers import TestInstrumentProvider
from nautilus_trader.test_kit.stubs.events import TestEventStubs

ACCOUNT, VENUE = AccountId("XNAS-001"), Venue("XNAS")
TEN, PRICE = Quantity.from_int(10), Price.from_str("587.20")


def situation(size):
    instruments = [TestInstrumentProvider.equity(f"B{number:04d}", "XNAS") for number in range(size)]
    mass = ExecutionMassStatus(ClientId("XNAS"), ACCOUNT, VENUE, UUID4(), 0)
    for number, instrument in enumerate(instruments):
        venue_id, now = VenueOrderId(f"V-{number}"), time.time_ns()
        mass.add_order_reports(
            [
                OrderStatusReport(
                    ACCOUNT,
                    instrument.id,
                    venue_id,
                    OrderSide.BUY,
                    OrderType.LIMIT,
                    TimeInForce.DAY,
                    OrderStatus.FILLED,
                    TEN,
                    TEN,
                    UUID4(),
                    now,
                    now,
                    now,
                    price=PRICE,
                    avg_px=Decimal("587.20"),
                )
            ]
        )
        mass.add_fill_reports(
            [
                FillReport(
                    ACCOUNT,
                    instrument.id,
                    venue_id,
                    TradeId(f"T-{number}"),
                    OrderSide.BUY,
                    TEN,
                    PRICE,
                    Money(0, USD),
                    LiquiditySide.TAKER,
                    UUID4(),
                    now,
                    now,
                )
            ]
        )
        mass.add_position_reports(
            [PositionStatusReport(ACCOUNT, instrument.id, PositionSide.LONG, TEN, UUID4(), now, now)]
        )
    return instruments, mass


def once(size, loop):
    instruments, mass = situation(size)
    clock = LiveClock()
    cache = Cache()
    bus = MessageBus(TraderId("BENCH-001"), clock)
    Portfolio(bus, cache, clock)
    engine = LiveExecutionEngine(loop, bus, cache, clock)
    cache.add_account(AccountFactory.create(TestEventStubs.margin_account_state(ACCOUNT)))
    for instrument in instruments:
        cache.add_instrument(instrument)
    started = time.perf_counter()
    engine.reconcile_execution_mass_status(mass)
    took = time.perf_counter() - started
    assert len(cache.positions_open()) == size, f"{len(cache.positions_open())} positions"
    return took


def main():
    size, rounds = int(sys.argv[1]), int(sys.argv[2])
    loop = asyncio.new_event_loop()
    print(statistics.median(once(size, loop) for _ in range(rounds)))


main()
