"""Opening an account's books: who are we at the broker, may we write, is what is stored whole."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gambler_ai.broker.gateway import BrokerAccount, Gateway
from gambler_ai.clock import Clock
from gambler_ai.crashpoints import crashpoint
from gambler_ai.domain.reconciliation import ACCOUNT, Action
from gambler_ai.errors import (
    AccountHeld,
    BrokerRefusesUs,
    BrokerUnreachable,
    DatabaseUnavailable,
    RateLimited,
    StoredStateUnsafe,
    UsageError,
)
from gambler_ai.logs import get_logger
from gambler_ai.storage import lease, schema
from gambler_ai.storage.database import Database
from gambler_ai.storage.head_file import HeadFile, older_copy
from gambler_ai.storage.holder import Holder
from gambler_ai.storage.journal import Ledger
from gambler_ai.storage.records import Records, StoredAccount, find_account
from gambler_ai.storage.verify import verify
from gambler_ai.storage.writes import Writes, bind_account
from gambler_ai.trading import turn
from gambler_ai.trading.downtime import Before
from gambler_ai.trading.emergency_stop import EmergencyStopFile
from gambler_ai.trading.order_desk import StopFlag
from gambler_ai.trading.recovery import Steps
from gambler_ai.trading.state_manager import StateManager

log = get_logger("opening")

PATIENCE_S = 30.0
FIRST_WAIT_S = 0.5


@dataclass(frozen=True, slots=True)
class OpenBooks:
    """An account whose lease is ours and whose chain was verified. `waited` = another process traded it before us."""

    account: StoredAccount
    token: int
    state: StateManager
    before: Before
    waited: bool = False


def open_database(database: Database, clock: Clock, stop: StopFlag, *, create: bool) -> None:
    """Reach the database (30 s of visible waiting), and check or, with `create`, make its tables."""
    waited = 0.0
    while True:
        try:
            if create:
                schema.upgrade(database)
            schema.check(database)
            return
        except DatabaseUnavailable as error:
            waited = _wait_more(clock, stop, waited, "database", error)


def meet_broker(gateway: Gateway, clock: Clock, stop: StopFlag) -> BrokerAccount:
    """The account these keys open, with 30 s of visible waiting. Raises BrokerRefusesUs for anything but a paper
    account (its number begins with PA)."""
    waited = 0.0
    while True:
        try:
            account = gateway.account()
            clock.observe(gateway.clock().now)
            break
        except (BrokerUnreachable, RateLimited) as error:
            waited = _wait_more(clock, stop, waited, "broker", error)
    if not account.number.startswith("PA"):
        raise BrokerRefusesUs(f"account {account.number} is not a paper account; this program trades paper only")
    return account


def _wait_more(clock: Clock, stop: StopFlag, waited: float, what: str, error: Exception) -> float:
    if waited >= PATIENCE_S:
        raise type(error)(
            f"{error}. Waited {PATIENCE_S:.0f} s; nothing was changed. Start it, or correct its address"
        ) from error
    if not waited:
        log.warning(f"{what}.waiting", seconds=PATIENCE_S, why=str(error))
    wait = min(FIRST_WAIT_S * (1 + waited), PATIENCE_S - waited, 5.0)
    turn.pause(clock, stop, wait)
    return waited + wait


def open_books(
    database: Database,
    gateway: Gateway | None,
    clock: Clock,
    stop: StopFlag,
    steps: Steps,
    *,
    label: str,
    endpoint: str,
    data_dir: Path,
    holder: Holder,
    may_bind: bool = True,
    anew: bool = False,
    standby: bool = False,
) -> OpenBooks:
    """Bind the account, take its lease, verify its chain, load its book. A crash anywhere leaves either nothing or a
    lease that the next start sees is held by a dead process. Without a gateway only an account that is bound already
    can be opened, and exchange time is what the journal last knew. `anew` = the database is known to be empty and is
    about to be filled. `standby` waits for the lease instead of raising
    AccountHeld."""
    at_broker = None
    if gateway is not None:
        with steps.step("meet the broker"):
            at_broker = meet_broker(gateway, clock, stop)
    waited = False
    with steps.step("take the lease"):
        if not may_bind and find_account(database, label) is None:
            raise UsageError(
                f"no account is bound to {label!r} in this database yet, so there is nothing to compare; "
                "a dry run binds none. Run it without --dry-run, or trade a session first"
            )
        while True:
            try:
                turn.refuse_if_held(database, label, clock)
                before_us = _bound(database, at_broker, label, endpoint, clock)
                token = turn.take(database, before_us, holder, clock, stop)
                break
            except AccountHeld:
                if not standby:
                    raise
            turn.stand_by(database, label, clock, stop)
            waited = True
            if gateway is not None:
                at_broker = meet_broker(gateway, clock, stop)
        account = find_account(database, label) or before_us
    with turn.unless_replaced(lambda: lease.renew(database, account.account_id, token, clock)):
        state, before = _load(database, gateway, clock, stop, steps, data_dir, account, before_us, token, anew)
    return OpenBooks(account, token, state, before, waited)


def _load(
    database: Database,
    gateway: Gateway | None,
    clock: Clock,
    stop: StopFlag,
    steps: Steps,
    data_dir: Path,
    account: StoredAccount,
    before_us: StoredAccount,
    token: int,
    anew: bool,
) -> tuple[StateManager, Before]:
    """The account's books once its lease is ours, verified; `before_us` is the account as it was before."""
    label = account.label
    records = Records(database, account.account_id)
    with steps.step("verify the journal"):
        known_head = HeadFile(data_dir, label, database.shown)
        keep = _keeping(database, account, token, clock)
        older = None if anew else _verify_tail(database, account, known_head, keep)
    with steps.step("load the books"):
        before = _before(records, account)
        if gateway is None:
            clock.observe(before.last_alive)
        book = records.load_book()
        turn.wait_out_the_sender(database, before_us, book, clock, stop)
        ledger = Ledger(database, account.account_id, clock, book, token, account.head)
    state = StateManager(
        ledger, records, Writes(database, account.account_id), clock, EmergencyStopFile.of(data_dir, label)
    )
    if older is not None:
        lease.renew(database, account.account_id, token, clock)  # or it is a successor's head that we compare with
        state.raise_halt(Action("R11", ACCOUNT, "halt account", older, {"journal ends at": account.head.seq}))
    return state, before


def _bound(
    database: Database, at_broker: BrokerAccount | None, label: str, endpoint: str, clock: Clock
) -> StoredAccount:
    if at_broker is None:
        known = find_account(database, label)
        if known is None:
            raise UsageError(f"no account is bound to {label!r} in this database yet; trade a session first")
        return known
    crashpoint("account.before_bind")
    account = bind_account(database, label, at_broker.account_id, at_broker.number, endpoint, clock)
    crashpoint("account.after_bind")
    return account


def _keeping(database: Database, account: StoredAccount, token: int, clock: Clock) -> Callable[[int], None]:
    """Renews the lease now and then, while a long journal is verified."""
    renewed = clock.monotonic()

    def keep(_rows: int) -> None:
        nonlocal renewed
        if clock.monotonic() - renewed >= lease.RENEW_EVERY.total_seconds():
            lease.renew(database, account.account_id, token, clock)
            renewed = clock.monotonic()

    return keep


def _verify_tail(database: Database, account: StoredAccount, file: HeadFile, keep: Callable[[int], None]) -> str | None:
    """Verify what came after the known head; returns why the database seems to be an older copy of itself, or None.
    Raises StoredStateUnsafe for a broken chain."""
    older = None
    since = file.read(account.account_id)
    if since is not None and account.head.seq == 0 < since.seq:
        raise StoredStateUnsafe(
            f"the database {file.database} is empty, but journal row {since.seq} of this account was known: it was "
            "lost, or another was put in its place. `gambler recover --from-broker` rebuilds it from the broker's "
            f"history; to begin anew on purpose, remove {file.path}"
        )
    if since is not None and not since.hash:
        since = None
    if since is not None and since.seq > account.head.seq:
        older = older_copy(account.head.seq, since.seq)
        since = None
    verdict = verify(database, account, keep, since=since, rebuild=False)
    if verdict.first_bad_seq is not None:
        raise StoredStateUnsafe(
            f"the journal of account {account.label} is broken at row {verdict.first_bad_seq}: rows were changed or "
            "removed, or it is a copy from before the books were rebuilt. Nothing was sent. `gambler journal verify` "
            "tells more. Restore a backup; without one, move the database away and run `gambler recover --from-broker`"
        )
    file.write(account.account_id, verdict.head)
    return older


def _before(records: Records, account: StoredAccount) -> Before:
    last = records.last_written_at()
    snapshot = records.last_snapshot()
    return Before(
        last_alive=last or account.bound_at,
        equity=snapshot["equity"] if snapshot else None,
        cash=snapshot["cash"] if snapshot else None,
        first=account.head.seq == 0,
    )
