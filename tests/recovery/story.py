"""One account in which every row of the restore policy comes about, a symbol each, and what `gambler` says of it.

A session buys, stops, is resumed and killed; then the world goes on without it: orders fill and end, somebody trades by
hand, a share splits, and the exchange's own account holds what no order explains.
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import requests

from gambler_ai.paper_exchange.account import Position
from gambler_ai.paper_exchange.store import Store
from tests.support.exchange import ExchangeProcess
from tests.support.gambler import KEYS, Result
from tests.support.market import HEADER, OPEN
from tests.support.world import World

SYMBOLS = "AAPL,AMD,AVGO,COST,DIS,GOOG,INTC,META,MSFT,NVDA,QQQ,SPY,TSLA,V"
OTHERS = ("IBM", "KO", "NFLX", "ORCL")
UNKNOWN = "g1-e-beta-" + "a" * 20
SESSION = ("run", "--init-db", "--strategy", "tests.recovery.buyer:Buyer", "--symbols")


def quiet_market(directory: Path, symbols: Sequence[str], minutes: int = 60) -> str:
    """Every price is 100 USD, for an hour."""
    directory.mkdir(parents=True)
    times = [OPEN + timedelta(minutes=minute) for minute in range(-5, minutes)]
    lines = [f"{at:%Y-%m-%dT%H:%M:%SZ},100,100,100,100,900,99.99,100.01,50,50" for at in times]
    for symbol in symbols:
        (directory / f"{symbol}.csv").write_text("\n".join([HEADER, *lines]) + "\n")
    return f"tape:{directory}"


@dataclass
class Told:
    """What commands said, by the time they were given and by their words, and what stood in the world then."""

    world: World
    results: dict[tuple[str, str], Result] = field(default_factory=dict)
    truth: dict[str, Any] = field(default_factory=dict)
    tables: dict[str, Any] = field(default_factory=dict)

    def asks(self, when: str, *words: str, **more: str | None) -> Result:
        result = self.world.gambler(*words, **more)
        self.results[when, shlex.join(["gambler", *words])] = result
        return result

    def keeps(self, when: str) -> None:
        """Remember the exchange's record and our books as they are now, whose journal is whole."""
        self.world.prove_the_chain()
        self.truth[when] = self.world.exchange.truth()
        names = ("orders", "fills", "positions", "halts", "order_journal")
        self.tables[when] = self.world.tables(*names)

    def order(self, when: str, symbol: str, kind: str = "market") -> dict[str, Any]:
        """The symbol's last order of that type at the exchange."""
        return [o for o in self.truth[when]["orders"] if (o["symbol"], o["type"]) == (symbol, kind)][-1]


def every_row(directory: Path, database_url: str) -> Told:
    market = quiet_market(directory / "quiet", [*SYMBOLS.split(","), *OTHERS])
    told = Told(World(directory, database_url, partial="0", market=market))
    try:
        _tell(told)
    finally:
        told.world.end()
    return told


def _tell(told: Told) -> None:
    world = told.world
    told.asks("traded", *SESSION, SYMBOLS, "--duration", "4")
    told.asks("agreed", "reconcile")
    told.asks("agreed", "positions")
    told.asks("agreed", "journal", "tail", "-n", "100")
    told.keeps("agreed")
    told.asks("killed", *SESSION, "NFLX", GAMBLER_TEST="1", GAMBLER_CRASH_AT="order.before_send")
    _while_nobody_looks(told)
    told.asks("killed", "status")
    told.keeps("killed")
    told.asks("planned", "reconcile", "--dry-run")
    world.exchange.fault("status_before", "GET", "/v2/positions$", code=503)
    told.asks("unread", "reconcile")
    world.exchange.heal()
    told.keeps("unread")
    told.asks("recovered", "reconcile")
    told.asks("recovered", "report")
    told.asks("recovered", "status")
    told.keeps("recovered")
    world.lose_the_database()
    told.asks("lost", "status")
    told.asks("lost", "run")
    told.asks("lost", "recover", "--from-broker")
    told.keeps("lost")


def _while_nobody_looks(told: Told) -> None:
    exchange = told.world.exchange
    holds_without_orders(exchange, AMD="0", TSLA="7", META="-10", KO="4")
    exchange.clock(speed="manual", advance_s=180)  # the signal of the order that was not sent is over
    told.keeps("before")
    exchange.price("MSFT", "89.98", "90.00")
    exchange.price("NVDA", "93.99", "94.01")
    by_hand(exchange, "DELETE", f"/v2/orders/{told.order('before', 'AAPL', 'stop')['id']}")
    by_hand(exchange, "DELETE", f"/v2/orders/{told.order('before', 'INTC', 'limit')['id']}")
    order = {"symbol": "ORCL", "qty": "5", "side": "buy", "type": "limit", "time_in_force": "day", "limit_price": "90"}
    by_hand(exchange, "POST", "/v2/orders", {**order, "client_order_id": UNKNOWN})
    exchange.order("IBM", "3", "buy", type="limit", limit_price="10")
    exchange.lab("POST", "corporate-action", {"type": "split", "symbol": "COST", "ratio": "4"})


def by_hand(exchange: ExchangeProcess, method: str, path: str, body: Any = None) -> None:
    """A request of somebody else with the account's own keys."""
    headers = dict(zip(("APCA-API-KEY-ID", "APCA-API-SECRET-KEY"), KEYS.values(), strict=True))
    answer = requests.request(method, exchange.url + path, json=body, headers=headers, timeout=10)
    assert answer.ok, answer.text


def holds_without_orders(exchange: ExchangeProcess, **shares: str) -> None:
    """From now on the exchange's only account holds so many shares, and no order says why."""
    exchange.process.kill()
    exchange.process.join()
    store = Store(exchange.state)
    (account,) = store.accounts()
    for symbol, qty in shares.items():
        account.positions.pop(symbol, None)
        if Decimal(qty):
            account.positions[symbol] = Position(Decimal(qty), Decimal(qty) * Decimal("77.5"))
    store.save(store.meta(), accounts=[account])
    store.close()
    exchange.start()
