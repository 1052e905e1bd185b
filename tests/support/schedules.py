"""A schedule on the small market, and schedulers that are run until it is done."""

import signal
from typing import Any

from tests.support.gambler import QUICK, Running
from tests.support.waiting import eventually
from tests.support.world import World

WINDOW = ("--at", "open+2m", "--until", "open+14m")
IN_THE_WINDOW_S = 150


def add(world: World, name: str = "morning", *flags: str) -> Any:
    """`gambler schedule add`, on the window of the first minutes unless `flags` say otherwise."""
    window = () if "--at" in flags else WINDOW
    return world.gambler("schedule", "add", name, "--strategy", "sma_cross", *QUICK, *window, *flags)


def scheduled(world: World) -> None:
    """A schedule whose window is open now, and nobody who looks after it."""
    world.gambler.environment |= {"GAMBLER_SCHEDULE_POLL_S": "2", "GAMBLER_RESTART_WAIT_S": "0.1"}
    assert world.gambler("init-db").code == 0
    added = add(world)
    assert added.code == 0, added.err
    world.exchange.clock(advance_s=IN_THE_WINDOW_S)


def run_is_done(world: World, running: Running | None = None) -> None:
    """A scheduler that runs until no run is open any more, and is then asked to stop."""
    running = running or world.gambler.start("schedule", "run")
    running.says("schedule.begins")
    left = "SELECT status FROM schedule_runs WHERE status = 'open'"
    made = "SELECT status FROM schedule_runs"
    eventually(
        lambda: running.process.poll() is not None or bool(world.query(made) and not world.query(left)),
        60,
        "the run's end",
    )
    assert running.process.poll() is None, running.log()
    running.signal(signal.SIGTERM)
    ended = running.ended()
    assert ended.code == 0, ended.err
    eventually(lambda: world.gambler.strays() == [], 20, "the end of every session's process")
