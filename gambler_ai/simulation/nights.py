"""What happens between two trading days: orders of the day expire, shares are split, dividends are paid."""

from collections import Counter
from collections.abc import Callable
from random import Random

from gambler_ai.paper_exchange import lab_trading
from gambler_ai.simulation.world import World

MOST = 2
"""A session lasts for five days; some end by themselves."""
HOURS = 3
RATIOS = ("2", "3", "0.5")
PER_SHARE = "0.37"
ACTS = ("night awake", "night asleep", "split", "dividend")


class Nights:
    """The trader works through the night, or sleeps with its machine and wakes in the morning."""

    def __init__(self, world: World, fired: Counter[str], tend: Callable[[], None]) -> None:
        self._world = world
        self._tend = tend
        self._fired = fired
        self._chance = Random(f"{world.seed}/nights")
        self._passed = 0

    def one_passes(self) -> None:
        """What a company does, it does between the close and the open, hours away from both."""
        if self._passed == MOST:
            return
        self._passed += 1
        asleep = self._chance.random() < 0.5
        self._fired["night asleep" if asleep else "night awake"] += 1
        self._world.evening()
        self._hours(asleep)
        if held := sorted(self._world.exchange.venue.accounts[self._world.account_id].positions):
            self._company_acts(self._chance.choice(held))
        self._hours(asleep)

    def _hours(self, asleep: bool) -> None:
        for _ in range(HOURS):
            if not asleep:
                self._tend()
            self._world.hour_of_the_night()

    def _company_acts(self, symbol: str) -> None:
        """On shares that somebody of this account holds."""
        kind = self._chance.choice(("split", "dividend"))
        fields = {"type": kind, "symbol": symbol}
        if kind == "split":
            fields["ratio"] = self._chance.choice(RATIOS)
        else:
            fields["per_share"] = PER_SHARE
        lab_trading.corporate_action(self._world.exchange, fields)
        self._fired[kind] += 1
