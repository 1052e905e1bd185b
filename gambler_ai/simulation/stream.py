"""What can happen to the frames of the two streams on their way."""

from collections import Counter, deque
from random import Random

from gambler_ai.broker.alpaca_rest import BARS, ORDERS
from gambler_ai.broker.direct import Arrival
from gambler_ai.broker.gateway import Enqueue, StreamState
from gambler_ai.simulation.world import World

ON_FRAMES = ("stream cut", "stream silent", "frames repeated", "frames reordered", "frames late")


class Stream:
    """`disturb` begins a fault that lasts for seconds; the frames meanwhile are lost, or come twice, mixed, or late."""

    def __init__(self, world: World, fired: Counter[str]) -> None:
        self._world = world
        self._fired = fired
        self._chance = Random(f"{world.seed}/stream")
        self._until: dict[str, float] = {}
        self._held: deque[Arrival] = deque()
        self._is_cut = False

    def disturb(self, fault: str, seconds: float) -> None:
        self._until[fault] = self._world.elapsed + seconds

    def calm(self) -> None:
        self._until.clear()

    def carry(self, frames: deque[Arrival], enqueue: Enqueue) -> deque[Arrival]:
        """The frames that get through now."""
        self._tell_of_cuts(enqueue)
        if self._is_cut:
            return deque()
        if self._acts("stream silent", frames):
            frames = deque(frame for frame in frames if frame[0] == BARS)
        if self._acts("frames repeated", frames):
            frames = deque(copy for frame in frames for copy in (frame,) * self._chance.choice((1, 2, 3)))
        if self._acts("frames late", frames):
            self._held.extend(frames)
            return deque()
        frames = self._held + frames
        self._held = deque()
        if self._acts("frames reordered", frames):
            mixed = list(frames)
            self._chance.shuffle(mixed)
            frames = deque(mixed)
        return frames

    def forget(self) -> None:
        """The listener is gone, and what was on its way to it."""
        self._held.clear()

    def _tell_of_cuts(self, enqueue: Enqueue) -> None:
        cut = self._lasts("stream cut")
        if cut != self._is_cut:
            self._is_cut = cut
            self._fired["stream cut"] += cut
            for stream in (ORDERS, BARS):
                enqueue(StreamState(stream, listening=not cut, detail="the connection was cut" if cut else ""))

    def _acts(self, fault: str, frames: deque[Arrival]) -> bool:
        """Whether a fault does something: there must be an order's frame to do it to."""
        acts = self._lasts(fault) and any(frame[0] == ORDERS for frame in frames)
        self._fired[fault] += acts
        return acts

    def _lasts(self, fault: str) -> bool:
        return self._world.elapsed < self._until.get(fault, 0.0)
