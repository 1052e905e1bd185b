"""The only place where real parts meet: settings in, a run out. Read it as the parts list of the machine."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random, SystemRandom
from typing import TYPE_CHECKING, Any

from gambler_ai.clock import Clock, ExchangeClock
from gambler_ai.config import Settings
from gambler_ai.errors import UsageError
from gambler_ai.trading.house import Parts, Rules
from gambler_ai.trading.messages import Inbox, StopAsked
from gambler_ai.trading.shutdown import Shutdown

if TYPE_CHECKING:
    from gambler_ai.broker.endpoint import Endpoints
    from gambler_ai.broker.gateway import Gateway
    from gambler_ai.operations.scheduler import Scheduler
    from gambler_ai.storage.database import Database
    from gambler_ai.storage.holder import Holder

PAPER_URL = "https://paper-api.alpaca.markets"
REHEARSAL_PACE = 10
"""A local exchange may go at many times the speed of the wall: the scheduler looks so much more often."""
LOCAL_KEY = ("PKLOCALGAMBLER000001", "local-exchange-only-no-secret")
"""The key pair of keyless runs; it opens an account on a local exchange and nothing anywhere else."""


@dataclass(frozen=True, slots=True)
class Outside:
    """What a run meets that is not of its own making: database, broker, time, chance, and who it is itself."""

    database: "Database"
    gateway: "Gateway"
    endpoint: str
    clock: Clock
    inbox: Inbox
    chance: Random
    holder: "Holder"
    lease_thread: bool = True


def build(
    settings: Settings,
    shutdown: Shutdown,
    announce: Callable[[str], None] = lambda _text: None,
    show_report: Callable[[dict[str, Any]], None] = lambda _report: None,
    *,
    accept_recovered: bool = False,
    outside: Outside | None = None,
) -> Parts:
    """Everything a run needs. A simulation brings its own `outside`; else it is the real one, with the local exchange
    when there are no keys and no address."""
    settings.make_data_dir()
    outside = outside or _real(settings, announce)
    inbox = outside.inbox
    shutdown.on_stop = lambda: inbox.put(StopAsked("asked to stop"))
    shutdown.abort_request = outside.gateway.abort
    return Parts(
        database=outside.database,
        gateway=outside.gateway,
        clock=outside.clock,
        shutdown=shutdown,
        inbox=inbox,
        label=settings.account_label,
        endpoint=outside.endpoint,
        data_dir=settings.data_dir,
        rules=Rules(
            settle_s=settings.settle_s,
            confirm_span_s=settings.confirm_span_s,
            confirm_rounds=settings.confirm_rounds,
            look_every_s=settings.look_every_s,
            signal_ttl_s=settings.signal_ttl_s,
            policy=replace(settings.policy, accept_recovered=accept_recovered),
        ),
        default_symbols=settings.symbols,
        chance=outside.chance,
        holder=outside.holder,
        create_tables=settings.default_database,
        lease_thread=outside.lease_thread,
        announce=announce,
        show_report=show_report,
    )


def _real(settings: Settings, announce: Callable[[str], None]) -> Outside:
    """Starts, or finds, the local exchange when it is the one to trade on."""
    from gambler_ai.broker.alpaca import AlpacaGateway
    from gambler_ai.storage.database import Database
    from gambler_ai.storage.holder import Holder

    database = Database(settings.database_url)
    endpoints, key_id, secret_key = broker_address(settings, announce)
    clock = ExchangeClock()
    gateway = AlpacaGateway(endpoints, key_id, secret_key, clock)
    return Outside(database, gateway, endpoints.trading, clock, Inbox(), SystemRandom(), Holder.of_this_process())


def broker_address(settings: Settings, announce: Callable[[str], None]) -> "tuple[Endpoints, str, str]":
    """Checked addresses and the keys to use there. Raises BrokerRefusesUs for anything but paper or loopback."""
    from gambler_ai.broker.endpoint import check_endpoint

    if settings.key_id and settings.secret_key:
        endpoints = check_endpoint(settings.base_url or PAPER_URL, settings.data_url, settings.stream_url)
        return endpoints, settings.key_id, settings.secret_key
    if settings.base_url:
        endpoints = check_endpoint(settings.base_url, settings.data_url, settings.stream_url)
        if not endpoints.is_local:
            raise UsageError(f"{settings.base_url} needs keys: set APCA_API_KEY_ID and APCA_API_SECRET_KEY")
        return endpoints, *LOCAL_KEY
    from gambler_ai.paper_exchange.local import ensure_running

    endpoint = ensure_running(settings.data_dir)
    state = "started" if endpoint.started else "found"
    announce(f"no keys are set: {state} the local exchange at {endpoint.base_url} (`gambler exchange stop` ends it)")
    return check_endpoint(endpoint.base_url), *LOCAL_KEY


def build_scheduler(
    settings: Settings, shutdown: Shutdown, announce: Callable[[str], None] = lambda _text: None
) -> "tuple[Scheduler, float]":
    """The scheduler of the label's account, which is bound to the database if it is not yet, and the seconds between
    its looks. Waits 30 s for database and broker."""
    from gambler_ai.broker.endpoint import check_endpoint
    from gambler_ai.operations.scheduler import Scheduler, SchedulerParts
    from gambler_ai.operations.session_process import SessionProcess
    from gambler_ai.storage.writes import bind_account
    from gambler_ai.trading.opening import meet_broker, open_database

    parts = build(settings, shutdown, announce)
    open_database(parts.database, parts.clock, shutdown, create=parts.create_tables)
    at_broker = meet_broker(parts.gateway, parts.clock, shutdown)
    account = bind_account(
        parts.database, parts.label, at_broker.account_id, at_broker.number, parts.endpoint, parts.clock
    )
    scheduler_parts = SchedulerParts(
        database=parts.database,
        gateway=parts.gateway,
        clock=parts.clock,
        stop=shutdown,
        label=parts.label,
        data_dir=parts.data_dir,
        holder=parts.holder,
        chance=parts.chance,
        spawn=lambda run: SessionProcess(run, parts.data_dir),
        restart_wait_s=settings.restart_wait_s,
    )
    rehearsing = check_endpoint(parts.endpoint).is_local
    every_s = settings.schedule_poll_s / (REHEARSAL_PACE if rehearsing else 1)
    return Scheduler(scheduler_parts, account.account_id), max(every_s, 0.05)
