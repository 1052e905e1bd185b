"""What `gambler status` shows is true: read from a real database, of which no process has to be alive."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from gambler_ai.clock import SystemClock
from gambler_ai.domain.blocks import block
from gambler_ai.face_status import print_status, status_of
from gambler_ai.storage import schema
from gambler_ai.storage.database import Database, parse_url
from gambler_ai.storage.head_file import Head, HeadFile
from gambler_ai.storage.holder import Holder
from gambler_ai.storage.lease import TTL
from gambler_ai.storage.reading import reading, shown
from gambler_ai.trading.emergency_stop import EmergencyStopFile
from tests.builders import ACCOUNT, START
from tests.storage.rig import first_ledger, run, the_account

ME = Holder.of_this_process()
Screen = Callable[[], str]


@pytest.fixture
def database(tmp_path: Path) -> Database:
    database = Database(f"sqlite:///{tmp_path / 'g.db'}")
    schema.upgrade(database)
    first_ledger(database)
    return database


@pytest.fixture
def screen(database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Screen:
    def read() -> str:
        with reading(f"sqlite:///{tmp_path / 'g.db'}", "default") as reader:
            print_status(status_of(reader, tmp_path, "default"))
        return capsys.readouterr().out

    return read


def held(database: Database, holder: Holder, silent_s: float = 0) -> None:
    """The account's lease, last renewed so many seconds ago."""
    at = SystemClock().wall() - timedelta(seconds=silent_s)
    run(
        database,
        "UPDATE accounts SET lease_holder = :holder, heartbeat_at = :at, lease_expires_at = :ends",
        holder=str(holder),
        at=f"{at:%Y-%m-%dT%H:%M:%S.%fZ}",
        ends=f"{at + TTL:%Y-%m-%dT%H:%M:%S.%fZ}",
    )


def test_a_process_that_renews_its_lease_trades(database: Database, screen: Screen) -> None:
    held(database, ME)
    assert "trading   yes\n" in screen()


def test_a_dead_process_that_nobody_reaped_does_not_trade(database: Database, screen: Screen) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        held(database, replace(ME, pid=child.pid))
        found = screen()
    assert "trading   no: no process runs session" in found
    assert f"process {child.pid} on {ME.host}, which is gone" in found


def test_another_process_with_the_number_of_the_dead_one_does_not_trade(database: Database, screen: Screen) -> None:
    held(database, replace(ME, started="1"))
    assert "trading   no: no process runs session" in screen()


def test_a_frozen_process_does_not_trade(database: Database, screen: Screen) -> None:
    held(database, ME, silent_s=3600)
    line = f"trading   no: process {ME.pid} has not moved for 36"
    assert line in screen()
    assert f"`kill -9 {ME.pid}`, then `gambler run --resume`\n" in screen()
    held(database, replace(ME, host="elsewhere"), silent_s=3600)
    assert f"`kill -9 {ME.pid}` on elsewhere, then `gambler run --resume`\n" in screen()


def test_a_pause_that_its_lease_covers_is_not_called_frozen(database: Database, screen: Screen) -> None:
    held(database, ME, silent_s=6)
    assert "trading   yes\n" in screen()


KINDS = ["confirming", "broker", "database", "stream trade_updates", "unprotected"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_block_that_a_process_ends_names_who_to_start_when_there_is_none(
    database: Database, screen: Screen, kind: str
) -> None:
    known = block("SPY", kind, "as told")
    run(
        database,
        "INSERT INTO blocks (account_id, symbol, kind, reason, way_out, since) VALUES (:a, 'SPY', :k, 'told', :w, :t)",
        a=ACCOUNT, k=kind, w=known.way_out, t="2026-11-20T14:30:00.000000Z",
    )  # fmt: skip
    held(database, ME)
    assert f"way out: {known.way_out}\n" in screen()
    held(database, replace(ME, started="1"))
    assert "way out: no process is at it: `gambler run --resume`, or `gambler reconcile`, " in screen()
    run(database, "UPDATE trading_sessions SET status = 'stopped'")
    found = screen()
    assert "way out: no process is at it: `gambler reconcile` " in found
    assert "--resume" not in found.partition("blocked")[2]
    assert "nothing to do" not in found


def test_a_halt_of_the_account_is_one_line_although_it_is_written_twice(
    database: Database, screen: Screen, tmp_path: Path
) -> None:
    held(database, ME)
    run(
        database,
        "INSERT INTO halts (account_id, raised_seq, reason, evidence, raised_at) VALUES (:a, 1, 'the news', '{}', :t)",
        a=ACCOUNT, t="2026-11-20T14:30:00.000000Z",
    )  # fmt: skip
    stop = EmergencyStopFile.of(tmp_path, "default")
    stop.write(ACCOUNT, "the news", START, {})
    assert screen().count("blocked   account") == 1
    stop.remove()
    stop.write(ACCOUNT, "something else", START, {})
    assert screen().count("blocked   account") == 2


def test_amounts_say_of_when_they_are(database: Database, screen: Screen) -> None:
    run(
        database,
        "INSERT INTO account_snapshots (account_id, seq, at, equity, cash, buying_power) VALUES (:a, 1, :t, 7, 5, 5)",
        a=ACCOUNT, t="2026-11-20T14:30:00.000000Z",
    )  # fmt: skip
    assert "equity    7 USD, cash 5 USD at the last checkpoint, 2026-11-20T14:30:00Z\n" in screen()


@pytest.fixture
def head_file(database: Database, tmp_path: Path) -> HeadFile:
    return HeadFile(tmp_path, "default", database.shown)


def test_an_older_copy_of_the_database_is_called_one(database: Database, screen: Screen, head_file: HeadFile) -> None:
    head_file.write(ACCOUNT, the_account(database).head)
    assert "blocks    none" in screen()
    run(database, "UPDATE trading_sessions SET status = 'stopped'", "UPDATE accounts SET lease_holder = NULL")
    head_file.write(ACCOUNT, Head(31, "ab" * 32))
    found = screen()
    assert "trading   no: rows of the books are lost" in found
    assert "blocked   account: the journal ends at row 1, but row 31 was known: the database is an older copy" in found
    assert "halts the account (R11)" in found
    assert "`gambler run` starts" not in found


def test_an_emptied_database_is_called_one(tmp_path: Path, screen: Screen, head_file: HeadFile) -> None:
    head_file.write(ACCOUNT, Head(31, "ab" * 32))
    (tmp_path / "g.db").unlink()
    schema.upgrade(Database(f"sqlite:///{tmp_path / 'g.db'}"))
    found = screen()
    assert "the database is empty, but journal row 31 of this account was known" in found
    assert "`gambler recover --from-broker`" in found
    assert "`gambler run`" not in found
    head_file.expect(ACCOUNT)
    assert "blocked   account: books are being rebuilt" in screen()
    head_file.path.unlink()
    assert "no account is bound yet; `gambler run` binds it\n" in screen()


def test_the_head_of_another_database_or_account_says_nothing(
    tmp_path: Path, screen: Screen, head_file: HeadFile
) -> None:
    head_file.write("another account", Head(31, "ab" * 32))
    assert "blocks    none" in screen()
    HeadFile(tmp_path, "default", "sqlite+pysqlite:////elsewhere.db").write(ACCOUNT, Head(31, "ab" * 32))
    assert "blocks    none" in screen()


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:////var/lib/a b/g.db",
        "sqlite:///g.db",
        "postgres://host/books",
        "postgresql://me@host:5432/books?sslmode=require",
        "postgresql+psycopg2://me:secret@host/books",
    ],
)
def test_a_reader_names_a_database_as_its_writer_does(url: str) -> None:
    assert shown(url) == parse_url(url).render_as_string(hide_password=True)
