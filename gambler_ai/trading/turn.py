"""Whose turn it is to trade an account: refused while somebody else holds it, or waited for."""

import contextlib
from collections.abc import Callable, Iterator
from datetime import datetime

from gambler_ai.clock import Clock
from gambler_ai.crashpoints import crashpoint
from gambler_ai.domain.book import Book
from gambler_ai.domain.orders import OrderStatus
from gambler_ai.errors import AccountHeld, DatabaseUnavailable, Fenced
from gambler_ai.logs import get_logger
from gambler_ai.storage import lease
from gambler_ai.storage.database import Database
from gambler_ai.storage.holder import Holder
from gambler_ai.storage.records import StoredAccount, find_account
from gambler_ai.trading.order_desk import DeskRules, StopFlag
from gambler_ai.trading.patience import nap

log = get_logger("turn")

LOOK_EVERY_S = 0.5
_USED = "another process uses this database; only one may trade with it. Stop that one first"


class StoppedEarly(Exception):
    """A signal came before anything was traded; nothing needs to be undone."""


def refuse_if_held(database: Database, label: str, clock: Clock) -> None:
    """Raises AccountHeld when the account cannot be had now.

    Without the lock file of a SQLite database only a lease whose time is over can be had: its holder is frozen, and
    keeps the file.
    """
    account = find_account(database, label)
    if not database.lock_for_life() and (account is None or account.lease_holder is None):
        raise AccountHeld(_USED)
    if account is not None:
        _when_free(account, database, clock)


def _when_free(account: StoredAccount, database: Database, clock: Clock) -> datetime | None:
    """When its grace is over, None = at once. Raises AccountHeld before its time is over."""
    now = lease.database_time(database, clock)
    free_at = lease.must_wait_until(account, database, now)
    if free_at is not None and lease.may_be_valid(account, now):
        raise AccountHeld(lease.held_message(account))
    return free_at


def stand_by(database: Database, label: str, clock: Clock, stop: StopFlag) -> None:
    """Wait, however long, until the account can be had. A database that does not answer meanwhile is waited for too."""
    told = ""
    while True:
        try:
            refuse_if_held(database, label, clock)
            return
        except (AccountHeld, DatabaseUnavailable) as error:
            why = str(error)
        if why != told:
            log.info("standby.waiting", why=why)
            told = why
        pause(clock, stop, LOOK_EVERY_S)


def take(database: Database, account: StoredAccount, holder: Holder, clock: Clock, stop: StopFlag) -> int:
    """Take a lease that can be had, at once or when its grace is over; returns the token. AccountHeld when somebody
    was quicker."""
    free_at = _when_free(account, database, clock)
    if free_at is not None:
        pause(clock, stop, (free_at - lease.database_time(database, clock)).total_seconds())
    crashpoint("lease.before_take")
    token = lease.take(database, account, holder, clock)
    crashpoint("lease.after_take")
    return token


@contextlib.contextmanager
def unless_replaced(renew: Callable[[], object]) -> Iterator[None]:
    """What a process stumbles over that slept through its own replacement is its successor's work, whatever it looks
    like: `renew` raises Fenced then, and that takes the place of any other error."""
    try:
        yield
    except Fenced:
        raise
    except Exception:
        with contextlib.suppress(DatabaseUnavailable):
            renew()
        raise


def wait_out_the_sender(database: Database, account: StoredAccount, book: Book, clock: Clock, stop: StopFlag) -> None:
    """A holder that was not proven dead may be frozen between its commit and its request: its send deadline passes
    before we look for what it may have sent. `account` is as it was before we took its lease."""
    holder = account.lease_holder
    if holder is None or lease.is_gone(holder, database):
        return
    if any(order.status is OrderStatus.SENDING for order in book.orders.values()):
        pause(clock, stop, DeskRules().send_deadline_s)


def pause(clock: Clock, stop: StopFlag, seconds: float) -> None:
    """Sleep; raises StoppedEarly when a signal comes."""
    nap(clock, stop, seconds)
    if seconds > 0 and stop.is_set():
        raise StoppedEarly
