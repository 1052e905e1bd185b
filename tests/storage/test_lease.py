"""The right to write for one account: taken by one, renewed by its holder only, free at once when that one is dead."""

import os
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta

import pytest

from gambler_ai.clock import SimulatedClock
from gambler_ai.errors import AccountHeld, BrokerRefusesUs, Fenced
from gambler_ai.storage import schema
from gambler_ai.storage.database import Database
from gambler_ai.storage.holder import GRACE, Holder, _started
from gambler_ai.storage.lease import (
    RENEW_EVERY,
    TTL,
    database_time,
    may_be_valid,
    must_wait_until,
    release,
    renew,
    take,
)
from gambler_ai.storage.records import StoredAccount
from gambler_ai.storage.writes import bind_account
from tests.builders import ACCOUNT, START
from tests.storage.rig import the_account

CLOCK = SimulatedClock(START)
ME = Holder.of_this_process()
FAR_AWAY = replace(ME, host="elsewhere")


@pytest.fixture
def account(database: Database) -> StoredAccount:
    return bind_account(database, "default", ACCOUNT, "PA1", "http://127.0.0.1:1", CLOCK)


def free_at(database: Database, account: StoredAccount, holder: Holder) -> object:
    now = database_time(database, CLOCK)
    held = replace(account, lease_holder=str(holder), lease_expires_at=now + timedelta(seconds=5))
    return must_wait_until(held, database, now)


def test_a_free_lease_is_taken_with_the_next_token(database: Database, account: StoredAccount) -> None:
    assert must_wait_until(account, database, CLOCK.wall()) is None
    assert take(database, account, ME, CLOCK) == 1
    held = the_account(database)
    assert (held.lease_holder, held.lease_token) == (str(ME), 1)
    assert held.lease_expires_at is not None
    assert abs(held.lease_expires_at - database_time(database, CLOCK) - TTL) < timedelta(seconds=5)


def test_the_slower_of_two_is_refused(database: Database, account: StoredAccount) -> None:
    take(database, account, ME, CLOCK)
    with pytest.raises(AccountHeld, match="only one process may trade an account") as raised:
        take(database, account, ME, CLOCK)
    assert raised.value.exit_code == 4
    assert the_account(database).lease_token == 1


def test_a_renewed_lease_lives_longer(database: Database, account: StoredAccount) -> None:
    token = take(database, account, ME, CLOCK)
    ends = renew(database, ACCOUNT, token, CLOCK)
    held = the_account(database)
    assert held.lease_expires_at == ends
    assert held.heartbeat_at == ends - TTL


def test_a_lease_taken_over_cannot_be_renewed(database: Database, account: StoredAccount) -> None:
    token = take(database, account, ME, CLOCK)
    take(database, the_account(database), ME, CLOCK)
    with pytest.raises(Fenced, match="token 1 was taken over") as raised:
        renew(database, ACCOUNT, token, CLOCK)
    assert raised.value.exit_code == 4


def test_a_released_lease_is_free_and_its_token_stays(database: Database, account: StoredAccount) -> None:
    token = take(database, account, FAR_AWAY, CLOCK)
    release(database, ACCOUNT, token)
    free = the_account(database)
    assert (free.lease_holder, free.lease_token) == (None, token)
    assert must_wait_until(free, database, database_time(database, CLOCK)) is None
    assert take(database, free, ME, CLOCK) == token + 1


def test_only_the_holder_can_release(database: Database, account: StoredAccount) -> None:
    take(database, account, ME, CLOCK)
    take(database, the_account(database), FAR_AWAY, CLOCK)
    release(database, ACCOUNT, 1)
    assert the_account(database).lease_holder == str(FAR_AWAY)


def test_a_living_holder_is_waited_for_until_its_time_and_a_grace_are_over(
    database: Database, account: StoredAccount
) -> None:
    held = replace(account, lease_holder=str(FAR_AWAY), lease_expires_at=START)
    assert must_wait_until(held, database, START) == START + GRACE
    assert must_wait_until(held, database, START + GRACE) is None


def test_who_has_the_lock_file_of_the_last_holder_has_the_proof(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    account = bind_account(_made(database), "default", ACCOUNT, "PA1", "http://127.0.0.1:1", CLOCK)
    locked = replace(account, lease_holder=str(replace(FAR_AWAY, locked=True)), lease_expires_at=START)
    without = replace(locked, lease_holder=str(FAR_AWAY))
    assert must_wait_until(locked, database, START) == START + GRACE
    assert database.lock_for_life()
    assert must_wait_until(locked, database, START) is None
    assert must_wait_until(without, database, START) == START + GRACE, "it took over from a frozen holder of the file"
    database.close()


def _made(database: Database) -> Database:
    schema.upgrade(database)
    return database


def test_who_takes_a_lease_with_the_lock_file_says_so(sqlite_url: str) -> None:
    database = _made(Database(sqlite_url))
    database.lock_for_life()
    take(database, bind_account(database, "default", ACCOUNT, "PA1", "http://127.0.0.1:1", CLOCK), ME, CLOCK)
    assert Holder.parse(str(the_account(database).lease_holder)).locked
    database.close()


def test_a_lease_from_before_the_clock_was_set_back_is_waited_for_as_long_as_its_holder_may_take_to_renew_it(
    database: Database, account: StoredAccount
) -> None:
    hours_ahead = replace(account, lease_holder=str(FAR_AWAY), lease_expires_at=START + timedelta(hours=6))
    assert must_wait_until(hours_ahead, database, START) == START + RENEW_EVERY + GRACE
    assert not may_be_valid(hours_ahead, START)
    assert may_be_valid(replace(hours_ahead, lease_expires_at=START + TTL), START)


def test_a_lease_renewed_meanwhile_is_not_taken(database: Database, account: StoredAccount) -> None:
    take(database, account, ME, CLOCK)
    seen = the_account(database)
    renew(database, ACCOUNT, 1, SimulatedClock(START + timedelta(seconds=1)))
    with pytest.raises(AccountHeld):
        take(database, seen, FAR_AWAY, CLOCK)


def test_the_slower_of_two_hears_who_was_quicker(database: Database, account: StoredAccount) -> None:
    take(database, account, replace(ME, pid=4711), CLOCK)
    with pytest.raises(AccountHeld, match="process 4711"):
        take(database, account, ME, CLOCK)


def test_a_dead_holder_is_replaced_at_once(database: Database, account: StoredAccount) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=-1) as process:
        other = Holder(ME.host, ME.boot_id, process.pid, _started(process.pid) or "", "n")
        assert not other.is_dead()
        assert free_at(database, account, other) is not None
        process.kill()
        process.wait(20)
    assert other.is_dead()
    assert free_at(database, account, other) is None


def test_a_zombie_is_dead() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    assert replace(ME, pid=child).is_dead()
    os.waitpid(child, 0)


def test_the_own_process_lives() -> None:
    assert not ME.is_dead()
    assert ME.pid == os.getpid()


def test_a_reused_process_number_does_not_keep_the_dead_alive() -> None:
    assert replace(ME, started="1").is_dead()


@pytest.mark.parametrize("unsure", [{"host": "elsewhere"}, {"boot_id": "another boot"}, {"boot_id": ""}])
def test_nobody_is_called_dead_without_proof(unsure: dict[str, str]) -> None:
    assert not replace(ME, pid=2**22 + 1, started="1", **unsure).is_dead()  # type: ignore[arg-type]


def test_a_holder_survives_its_text() -> None:
    assert Holder.parse(str(ME)) == ME
    assert ME.shown == f"process {os.getpid()} on {ME.host}"


def test_a_label_keeps_its_account(database: Database, account: StoredAccount) -> None:
    again = bind_account(database, "default", ACCOUNT, "PA1", "http://127.0.0.1:2", CLOCK)
    assert again == account
    with pytest.raises(BrokerRefusesUs, match="another GAMBLER_ACCOUNT_LABEL") as raised:
        bind_account(database, "default", "account-2", "PA2", "http://127.0.0.1:1", CLOCK)
    assert raised.value.exit_code == 6


def test_an_account_keeps_its_label(database: Database, account: StoredAccount) -> None:
    with pytest.raises(BrokerRefusesUs, match="set GAMBLER_ACCOUNT_LABEL=default"):
        bind_account(database, "second", ACCOUNT, "PA1", "http://127.0.0.1:1", CLOCK)
    assert bind_account(database, "second", "account-2", "PA2", "http://127.0.0.1:1", CLOCK).label == "second"
