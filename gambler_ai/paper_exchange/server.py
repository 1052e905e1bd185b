"""The exchange as a process: one event loop, one port on 127.0.0.1, everything Alpaca has behind it."""

import asyncio
import contextlib
import gc
import json
import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from secrets import token_urlsafe

import uvicorn

from gambler_ai.clock import SystemClock
from gambler_ai.errors import UsageError
from gambler_ai.paper_exchange.app import App
from gambler_ai.paper_exchange.calendar import nyse
from gambler_ai.paper_exchange.driver import Driver, read_speed
from gambler_ai.paper_exchange.exchange import Exchange
from gambler_ai.paper_exchange.faults import Faults
from gambler_ai.paper_exchange.files import write_atomically
from gambler_ai.paper_exchange.gate import Gate
from gambler_ai.paper_exchange.lab import Lab
from gambler_ai.paper_exchange.market import Market
from gambler_ai.paper_exchange.markets import open_market
from gambler_ai.paper_exchange.pacing import Pacing
from gambler_ai.paper_exchange.shelf import Shelf
from gambler_ai.paper_exchange.tape import Tape
from gambler_ai.paper_exchange.transport import KnownProtocol

_LOG = logging.getLogger(__name__)
HOST = "127.0.0.1"
_FORCE_AFTER_S = 0.4
_IDLE_LOOK_S = 5.0


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """What `exchange serve` may be told.

    `port` 0 takes a free one, announced as JSON {"port", "pid"} in `port_file` and to `ready`. `state` is a
    file or ":memory:". `start` None means the first session open a tape has, or the next one after the wall
    clock. `speed` is a factor, max, paced or manual. `idle_exit_s` ends the server after that many wall
    seconds without request or socket. `keys` maps the only accepted keys to secrets,
    `switches` and `limits` the names of `switches.Switches` and of `limits.Limits` to values.
    """

    port: int = 0
    state: str = ":memory:"
    market: str = "synthetic:7"
    start: datetime | None = None
    speed: str = "1"
    lab_token_file: Path | None = None
    seed: int = 0
    partial_fill_rate: Decimal = Decimal("0.1")
    night: str = "skip"
    idle_exit_s: float | None = None
    keys: dict[str, str] | None = None
    switches: dict[str, str] | None = None
    limits: dict[str, str] | None = None
    port_file: Path | None = None
    ready: Callable[[int], None] | None = None


def serve(options: ServeOptions) -> None:
    """Run until SIGTERM or SIGINT, then store and return; under a second even with open sockets.

    Raises UsageError for options that cannot be, a port in use, or a state of another market.
    """
    read_speed(options.speed)
    if options.port_file is not None and not options.port_file.parent.is_dir():
        raise UsageError(f"port file {options.port_file}: there is no directory {options.port_file.parent}")
    market = open_market(options.market)
    token = _token(options.lab_token_file)
    listener = _listen(options.port)
    try:
        exchange = Exchange.open(
            options.state,
            market,
            options.start or default_start(market),
            SystemClock().wall,
            options.seed,
            options.partial_fill_rate,
            options.keys,
            options.switches,
            options.limits,
        )
        if exchange.continued and options.start is not None:
            _LOG.warning("the state goes on at %s; its start is what it was", exchange.now.isoformat())
        _collect_seldom()
        try:
            asyncio.run(_run(exchange, options, listener, token))
        finally:
            exchange.close()
    finally:
        listener.close()


def _collect_seldom() -> None:
    """What an exchange remembers lives as long as it does; to look through it for garbage, again and again, was a tenth
    of an order's time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def default_start(market: Market) -> datetime:
    """A tape begins with its first session, an invented market with the next one after the wall clock."""
    if isinstance(market, Tape):
        return nyse().current_or_next(market.first()).open
    return nyse().next_after(SystemClock().wall()).open


class _Server(uvicorn.Server):
    """uvicorn without its signal handling: it would raise the signal again after a clean end."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _run(exchange: Exchange, options: ServeOptions, listener: socket.socket, token: str | None) -> None:
    pacing = Pacing()
    driver = Driver(exchange, pacing, options.speed, options.night)
    faults = Faults(lambda: exchange.venue.ids.chance("fault"))
    exchange.venue.fault = faults.on_order
    gate = Gate(exchange.limits)
    lab = Lab(exchange, driver, faults, token, Shelf(options.state))
    app = App(exchange, driver, pacing, faults, lab, gate)
    server = _Server(
        uvicorn.Config(
            app,
            http=KnownProtocol,
            ws="websockets-sansio",
            lifespan="off",
            access_log=False,
            log_level="warning",
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=1,
        )
    )

    def stop() -> None:
        app.patience.end()
        server.should_exit = True
        loop.call_later(_FORCE_AFTER_S, setattr, server, "force_exit", True)

    exchange.fail = stop
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    tasks = [
        asyncio.create_task(work)
        for work in (
            driver.run(),
            driver.keep_stored(),
            driver.keep_wall(),
            _idle_exit(app, stop, options),
            _announce(server, listener, options),
        )
    ]
    for task in tasks:
        task.add_done_callback(lambda ended: stop() if not ended.cancelled() and ended.exception() else None)
    try:
        await server.serve(sockets=[listener])
    finally:
        _withdraw(options.port_file)
    for task in tasks:
        task.cancel()
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(outcome, Exception):
            raise outcome


async def _announce(server: uvicorn.Server, listener: socket.socket, options: ServeOptions) -> None:
    while not server.started:
        await asyncio.sleep(0.005)
    port = listener.getsockname()[1]
    if options.port_file is not None:
        write_atomically(options.port_file, json.dumps({"port": port, "pid": os.getpid()}))
    if options.ready is not None:
        options.ready(port)


def _withdraw(port_file: Path | None) -> None:
    """Nobody listens there any more; another process may have announced itself meanwhile."""
    if port_file is not None and port_file.exists() and json.loads(port_file.read_text())["pid"] == os.getpid():
        port_file.unlink()


async def _idle_exit(app: App, stop: Callable[[], None], options: ServeOptions) -> None:
    if options.idle_exit_s is None:
        return
    while app.sockets or time.monotonic() - app.last_used < options.idle_exit_s:
        await asyncio.sleep(min(_IDLE_LOOK_S, options.idle_exit_s))
    stop()


def _token(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        if not path.exists():
            write_atomically(path, token_urlsafe(24))
            _LOG.warning("a lab token has been made: it is in %s", path)
        token = path.read_text().strip()
    except OSError as broken:
        raise UsageError(f"lab token file {path}: {broken.strerror}") from broken
    if not token:
        raise UsageError(f"lab token file {path} is empty")
    return token


def _listen(port: int) -> socket.socket:
    # The protocol is named so that asyncio switches Nagle's algorithm off: 40 ms per answer otherwise.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except OSError as broken:
        listener.close()
        raise UsageError(f"port {port} on {HOST} cannot be had: {broken.strerror}") from broken
    listener.setblocking(False)
    return listener
