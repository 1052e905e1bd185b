"""The wire between a process and the exchange, and what can happen on it."""

from collections.abc import Callable
from random import Random

from gambler_ai.broker.alpaca_rest import Reply
from gambler_ai.broker.direct import DirectGateway
from gambler_ai.simulation.world import KEYS, ProcessClock, World

LATENCY_S = (0.005, 0.05)


class Network:
    """It belongs to the world: what is under way survives the process that sent it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.chance = Random(f"{world.seed}/network")

    def carry(self, method: str, path: str, fields: dict[str, str]) -> Reply:
        self.world.pass_time(self.chance.uniform(*LATENCY_S))
        return self.arrive(method, path, fields)

    def arrive(self, method: str, path: str, fields: dict[str, str]) -> Reply:
        answer = self.world.request(method, path, fields)
        return Reply(answer.status, answer.body or "", answer.headers)


class FaultyGateway(DirectGateway):
    """The direct gateway of one process, over a network that fails; `passing` is told where a crash may come."""

    def __init__(self, world: World, network: Network, clock: ProcessClock, passing: Callable[[str], None]) -> None:
        super().__init__(world.exchange, *KEYS, clock)
        self._network = network
        self._passing = passing

    def _exchanged(self, method: str, path: str, fields: dict[str, str]) -> Reply:
        self._passing(f"{method} before")
        answer = self._network.carry(method, path, fields)
        self._passing(f"{method} after")
        return answer
