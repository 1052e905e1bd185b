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
from gambler_ai.face_status import print_status, status_of
from gambler_ai.storage import schema
from gambler_ai.storage.database import Database
from gambler_ai.storage.holder import Holder
from gambler_ai.storage.lease import TTL
from gambler_ai.storage.reading import reading
from tests.storage.rig import first_ledger, run

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
    def shown() -> str:
        with reading(f"sqlite:///{tmp_path / 'g.db'}", "default") as reader:
            print_status(status_of(reader, tmp_path, "default"))
        return capsys.readouterr().out

    return shown


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
        shown = screen()
    assert "trading   no: no process runs session" in shown
    assert f"process {child.pid} on {ME.host}, which is gone" in shown


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
