"""Another hand on the same account: a person who trades, cancels and stops things without telling us."""

from collections import Counter
from random import Random

from gambler_ai.errors import GamblerError
from gambler_ai.paper_exchange.book import Order
from gambler_ai.paper_exchange.refusal import Refused
from gambler_ai.paper_exchange.tickets import read_ticket
from gambler_ai.simulation.world import World
from gambler_ai.trading.emergency_stop import EmergencyStopFile

OWN_SYMBOL = "IBM"
SHARED_SYMBOL = "AAPL"
"""Traded by us too, in seeds whose nature is to be meddled with."""
ACTS = (
    "hand trades its own",
    "hand trades ours too",
    "hand rests",
    "hand cancels its own",
    "hand cancels ours",
    "hand halts",
)


class Hand:
    """What it wants and the exchange refuses does not happen, and does not count."""

    def __init__(self, world: World, label: str, fired: Counter[str]) -> None:
        self._world = world
        self._fired = fired
        self._chance = Random(f"{world.seed}/hand")
        self._stop_file = EmergencyStopFile.of(world.folder, label)

    @property
    def halts(self) -> bool:
        return self._stop_file.reason() is not None

    def trades(self) -> None:
        """A market order, or one that rests far from the market."""
        shared = self._world.nature.is_meddled_with and self._chance.random() < 0.5
        symbol = SHARED_SYMBOL if shared else OWN_SYMBOL
        side = self._chance.choice(("buy", "sell"))
        fields = {"symbol": symbol, "side": side, "qty": str(self._chance.randint(1, 20)), "time_in_force": "day"}
        rests = self._chance.random() < 0.3
        if rests:
            fields |= {"type": "limit", "limit_price": "1" if side == "buy" else "9999"}
        else:
            fields |= {"type": "market"}
        exchange = self._world.exchange
        account = exchange.venue.accounts[self._world.account_id]
        try:
            exchange.venue.submit(account, read_ticket(fields), "dashboard")
        except Refused:
            return
        exchange.commit()
        self._fired["hand rests" if rests else f"hand trades {'ours too' if shared else 'its own'}"] += 1

    def cancels(self) -> None:
        """Any open order, ours too."""
        orders = self._open_orders()
        if orders:
            order = self._chance.choice(orders)
            self._cancel(order)
            self._fired["hand cancels ours" if order.client_order_id.startswith("g1-") else "hand cancels its own"] += 1

    def stops_us(self) -> None:
        if not self.halts:
            self._stop_file.write(self._world.account_id, "a person said so", self._world.exchange.now, {})
            self._fired["hand halts"] += 1

    def lets_us_go_on(self) -> None:
        self._stop_file.remove()

    def goes_away(self) -> None:
        self.lets_us_go_on()
        for order in self._open_orders():
            if not order.client_order_id.startswith("g1-"):
                self._cancel(order)

    def _open_orders(self) -> list[Order]:
        alive = self._world.exchange.venue.book.alive(self._world.account_id)
        return sorted(alive, key=lambda order: order.seq)

    def _cancel(self, order: Order) -> None:
        try:
            self._world.exchange.venue.cancel(order)
        except (Refused, GamblerError):
            return
        self._world.exchange.commit()
