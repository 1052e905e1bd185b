"""The wire between a process and the exchange, and everything that can happen on it.

A fault is armed for the next request it fits. A request that raises here has no answer; whether it arrived, only the
exchange knows.
"""

from collections import Counter
from collections.abc import Callable
from random import Random

from gambler_ai.broker.alpaca_rest import Reply
from gambler_ai.broker.direct import DirectGateway
from gambler_ai.errors import BrokerUnreachable
from gambler_ai.paper_exchange.exchange import Exchange
from gambler_ai.simulation.stream import Stream
from gambler_ai.simulation.world import KEYS, ProcessClock, World

LATENCY_S = (0.005, 0.05)
TIMEOUT_S = 10.0
LATEST_S = 60.0
"""A request that was held up arrives within so many seconds, long after its sender has given up."""
LONGEST_LAG_S = 10.0
"""Endpoints were seen to lag by so much; the confirmation span of the program must outlast it."""

ON_CHANGES = (
    "request unreachable",
    "request lost",
    "request late",
    "request repeated",
    "request repeated later",
    "answer lost",
    "answer 5xx, not arrived",
    "answer 504, arrived",
    "answer truncated",
    "answer html",
    "answer 429, not arrived",
    "answer 429, arrived",
)
ON_READS = ("read lost", "read 5xx", "read truncated", "read 429", "read empty")
HTML = Reply(200, "<html>proxy</html>", {})


class Network:
    """It belongs to the world: what is under way survives the process that sent it."""

    def __init__(self, world: World, fired: Counter[str]) -> None:
        self.world = world
        self.stream = Stream(world, fired)
        self._fired = fired
        self._chance = Random(f"{world.seed}/network")
        self._change: list[str] = []
        self._reads: dict[str, str] = {}
        self._stale: dict[str, tuple[float, Exchange]] = {}

    # --- what the schedule does ---------------------------------------------------------------------------------

    def spoil_change(self, fault: str) -> None:
        """The next request that changes something."""
        self._change.append(fault)

    def spoil_read(self, endpoint: str, fault: str) -> None:
        """The next read of this endpoint."""
        self._reads[endpoint] = fault

    def make_stale(self, endpoint: str, seconds: float) -> None:
        """For so long this endpoint answers as it would have now."""
        self._stale[endpoint] = (self.world.elapsed + seconds, self.world.exchange.twin())

    def calm(self) -> None:
        """From now on nothing fails; what was held up still arrives."""
        self._change.clear()
        self._reads.clear()
        for _, twin in self._stale.values():
            twin.close()
        self._stale.clear()
        self.stream.calm()

    # --- requests -----------------------------------------------------------------------------------------------

    def carry(self, method: str, path: str, fields: dict[str, str]) -> Reply:
        self.world.pass_time(self._chance.uniform(*LATENCY_S))
        if method == "GET":
            return self._read(path, fields)
        if not self._change:
            return self._arrive(method, path, fields)
        return self._spoilt_change(self._change.pop(0), method, path, fields)

    def _arrive(self, method: str, path: str, fields: dict[str, str], at: Exchange | None = None) -> Reply:
        answer = self.world.request(method, path, fields, at)
        return Reply(answer.status, answer.body or "", answer.headers)

    def _spoilt_change(self, fault: str, method: str, path: str, fields: dict[str, str]) -> Reply:
        self._fired[fault] += 1

        def arrive() -> Reply:
            return self._arrive(method, path, fields)

        def arrive_later(seconds: float) -> None:
            self.world.later(seconds, lambda: (arrive(), None)[1])

        match fault:
            case "request unreachable":
                raise BrokerUnreachable("no route to the exchange")
            case "request lost":
                self._no_answer()
            case "request late":
                arrive_later(self._chance.uniform(0.5, LATEST_S))
                self._no_answer()
            case "request repeated":
                arrive()
                return arrive()
            case "request repeated later":
                arrive_later(self._chance.uniform(0.5, LATEST_S))
                return arrive()
            case "answer lost":
                arrive()
                self._no_answer()
            case "answer 5xx, not arrived":
                return Reply(503, '{"message": "service unavailable"}', {})
            case "answer 504, arrived":
                arrive()
                return Reply(504, "", {})
            case "answer truncated":
                whole = arrive()
                return Reply(whole.status, whole.body[: len(whole.body) // 2], whole.headers)
            case "answer html":
                arrive()
                return HTML
            case "answer 429, not arrived":
                return _too_many()
            case "answer 429, arrived":
                arrive()
                return _too_many()
        raise ValueError(f"there is no fault {fault!r}")

    def _read(self, path: str, fields: dict[str, str]) -> Reply:
        endpoint = endpoint_of(path)
        fault = self._reads.pop(endpoint, None)
        if fault is None:
            return self._arrive("GET", path, fields, self._twin(endpoint))
        self._fired[spoilt(fault, endpoint)] += 1
        match fault:
            case "read lost":
                self._no_answer()
            case "read 5xx":
                return Reply(500, '{"message": "internal server error"}', {})
            case "read truncated":
                whole = self._arrive("GET", path, fields)
                return Reply(whole.status, whole.body[: len(whole.body) // 2], whole.headers)
            case "read 429":
                return _too_many()
            case "read empty":
                return _nothing(endpoint)
        raise ValueError(f"there is no fault {fault!r}")

    def _twin(self, endpoint: str) -> Exchange | None:
        found = self._stale.get(endpoint)
        if found is None:
            return None
        until, twin = found
        if self.world.elapsed < until:
            self._fired[stale(endpoint)] += 1
            return twin
        del self._stale[endpoint]
        twin.close()
        return None

    def _no_answer(self) -> None:
        self.world.pass_time(TIMEOUT_S)
        raise TimeoutError("the exchange did not answer in time")


ENDPOINTS = ("orders", "order", "positions", "position", "account", "activities")
"""Those whose answers speak of the account."""
READ = (*ENDPOINTS, "market")
"""The clock and bars are "market"."""


def spoilt(fault: str, endpoint: str) -> str:
    """The name under which a spoilt read is counted."""
    return f"{fault}, {endpoint}"


def stale(endpoint: str) -> str:
    return f"stale {endpoint}"


def endpoint_of(path: str) -> str:
    """The endpoint of a path that begins with /v2; "market" for what does not speak of the account."""
    match path.removeprefix("/v2").split("/")[1:]:
        case ["orders"]:
            return "orders"
        case ["orders:by_client_order_id"] | ["orders", _]:
            return "order"
        case ["positions"]:
            return "positions"
        case ["positions", _]:
            return "position"
        case ["account"]:
            return "account"
        case ["account", "activities", *_]:
            return "activities"
    return "market"


def _too_many() -> Reply:
    return Reply(429, '{"message": "too many requests"}', {"Retry-After": "2"})


def _nothing(endpoint: str) -> Reply:
    """An answer that is well-formed and says that there is nothing."""
    if endpoint in ("order", "position"):
        return Reply(404, '{"code": 40410000, "message": "not found"}', {})
    return Reply(200, "[]" if endpoint in ("orders", "positions", "activities") else "{}", {})


class FaultyGateway(DirectGateway):
    """The direct gateway of one process, over a network that fails; `passing` is told where a crash may come, `leaving`
    of every order on its way out, `stayed` of one of which no byte left."""

    def __init__(
        self,
        world: World,
        network: Network,
        clock: ProcessClock,
        passing: Callable[[str], None],
        leaving: Callable[[str], None],
        stayed: Callable[[str], None],
    ) -> None:
        super().__init__(world.exchange, *KEYS, clock)
        self._network = network
        self._passing = passing
        self._leaving = leaving
        self._stayed = stayed

    def _exchanged(self, method: str, path: str, fields: dict[str, str]) -> Reply:
        self._passing(f"{method} before")
        if method == "POST":
            self._leaving(fields["client_order_id"])
        try:
            answer = self._network.carry(method, path, fields)
        except BrokerUnreachable:
            if method == "POST":
                self._stayed(fields["client_order_id"])
            raise
        self._passing(f"{method} after")
        return answer

    def vanish(self) -> None:
        self._network.stream.forget()
        self.close()

    def deliver(self) -> int:
        if self._enqueue is not None:
            self._arrived = self._network.stream.carry(self._arrived, self._enqueue)
        return super().deliver()
