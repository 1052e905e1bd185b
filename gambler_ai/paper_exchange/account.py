"""Cash, positions and what may be bought: the arithmetic of one account, exact in Decimal."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from gambler_ai.paper_exchange.book import ZERO
from gambler_ai.paper_exchange.configurations import DEFAULTS

START_CASH = Decimal(100_000)
MAINTENANCE = Decimal("0.30")
INITIAL = Decimal("0.50")


@dataclass(slots=True)
class Position:
    """Shares of one symbol, negative when short, and the signed money that was paid for them in USD.

    `overnight` are those of them held since the last close; `day_cost` counts these at that close's price.
    """

    qty: Decimal = ZERO
    cost: Decimal = ZERO
    overnight: Decimal = ZERO
    day_cost: Decimal = ZERO

    @property
    def average(self) -> Decimal:
        """Average entry price per share in USD."""
        return self.cost / self.qty

    def apply(self, signed_qty: Decimal, price: Decimal) -> None:
        """Book a fill: adding moves the average, reducing keeps it, crossing zero starts anew."""
        after = self.qty + signed_qty
        if self.qty * signed_qty >= 0:
            self.cost += signed_qty * price
            self.day_cost += signed_qty * price
        elif after * self.qty > 0:
            self.cost = self.cost * after / self.qty
            self.day_cost = self.day_cost * after / self.qty
            self.overnight = min(self.overnight, after, key=abs)
        else:
            self.cost = self.day_cost = after * price
            self.overnight = ZERO
        self.qty = after

    def carry_over(self, price: Decimal) -> None:
        """The close of a day: all of it is held over night, from this price on."""
        self.overnight, self.day_cost = self.qty, self.qty * price


@dataclass(slots=True)
class Account:
    """One paper account. `multiplier` 1, 2 or 4 as Alpaca counts buying power; 2 for a new one."""

    id: str
    key: str
    secret_hash: str
    number: str
    created_at: datetime
    cash: Decimal = ZERO
    last_equity: Decimal = START_CASH
    last_maintenance: Decimal = ZERO
    multiplier: int = 2
    trading_blocked: bool = False
    closed: bool = False
    liquidation_only: bool = False
    positions: dict[str, Position] = field(default_factory=dict)
    configurations: dict[str, Any] = field(default_factory=lambda: dict(DEFAULTS))

    @property
    def margin(self) -> int:
        """The multiplier in force: the account's, unless its owner wants less."""
        return min(self.multiplier, int(self.configurations["max_margin_multiplier"]))

    def book_fill(self, symbol: str, signed_qty: Decimal, price: Decimal) -> Decimal:
        """Exchange money for shares; returns the position's quantity afterwards. Zero positions vanish."""
        self.cash -= signed_qty * price
        position = self.positions.setdefault(symbol, Position())
        position.apply(signed_qty, price)
        if position.qty == 0:
            del self.positions[symbol]
        return position.qty

    def qty(self, symbol: str) -> Decimal:
        """Signed shares held."""
        position = self.positions.get(symbol)
        return position.qty if position else ZERO


class Balances(NamedTuple):
    """An account valued at one moment; all USD. Equations as in Alpaca's account object."""

    cash: Decimal
    long_value: Decimal
    short_value: Decimal
    equity: Decimal
    initial_margin: Decimal
    maintenance_margin: Decimal
    reserved: Decimal
    buying_power: Decimal
    regt_buying_power: Decimal
    non_marginable: Decimal


def balances(account: Account, mark: Callable[[str], Decimal], reserved: Decimal) -> Balances:
    """Value an account. `mark` prices a symbol; `reserved` is what its working orders hold back, in USD."""
    values = [position.qty * mark(symbol) for symbol, position in account.positions.items()]
    long_value = sum((value for value in values if value > 0), ZERO)
    short_value = sum((value for value in values if value < 0), ZERO)
    gross = long_value - short_value
    equity = account.cash + long_value + short_value
    regt = max(ZERO, max(ZERO, equity - gross * INITIAL) * 2 - reserved)
    cash_only = max(ZERO, account.cash + min(ZERO, short_value) * 2 - reserved)
    if account.margin == 1:
        power = cash_only
    elif account.margin == 4:
        today = sum((abs(held.qty - held.overnight) * mark(one) for one, held in account.positions.items()), ZERO)
        power = max(ZERO, max(ZERO, account.last_equity - account.last_maintenance) * 4 - today - reserved)
    else:
        power = regt
    return Balances(
        account.cash,
        long_value,
        short_value,
        equity,
        gross * INITIAL,
        gross * MAINTENANCE,
        reserved,
        power,
        regt,
        cash_only,
    )
