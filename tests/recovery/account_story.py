"""Whose account, whose database, who may trade: everything that is not a row of the restore policy, on one account."""

import shutil
from pathlib import Path

from tests.recovery.story import SESSION, Told, quiet_market
from tests.support.gambler import KEYS, Gambler
from tests.support.world import World


def guarded(directory: Path) -> Told:
    url = f"sqlite:///{directory / 'gambler.db'}"
    market = quiet_market(directory / "quiet", ["GOOG", "QQQ", "SPY"])
    told = Told(World(directory, url, partial="0", market=market))
    try:
        _two_and_a_halt(told)
        backup = directory / "backup.db"
        shutil.copy(directory / "gambler.db", backup)
        told.asks("went on", *SESSION, "QQQ", "--duration", "4")
        _another_database(told, directory)
        _an_old_backup(told, directory, backup)
        _an_unreadable_file(told)
        told.asks("keys", "reconcile", APCA_API_KEY_ID="PKOTHER")
        told.world.exchange.lab("POST", "account", {"account": KEYS["APCA_API_KEY_ID"], "reset": True})
        told.asks("reset", "reconcile")
        told.keeps("reset")
    finally:
        told.world.end()
    return told


def _two_and_a_halt(told: Told) -> None:
    """While the market stands still, so that the first one is there when the second one asks."""
    world = told.world
    world.exchange.clock(speed="manual")
    session = world.gambler.start(*SESSION, "SPY", "--duration", "6")
    session.says('"stream.listening"', times=2)
    told.asks("running", "run")
    told.asks("running", "status")
    told.asks("halted", "halt", "--reason", "the news")
    told.asks("halted", "status")
    told.asks("unhalted", "unhalt", "--reason", "it was nothing")
    world.exchange.clock(speed="paced")
    told.results["unhalted", "the session"] = session.ended()


def _another_database(told: Told, directory: Path) -> None:
    other = Gambler(directory / "other", f"sqlite:///{directory / 'other.db'}", told.world.exchange.url)
    told.results["another", "the other one"] = other(*SESSION, "GOOG", "--duration", "4")
    told.asks("another", "reconcile")
    told.asks("another", "status")


def _an_old_backup(told: Told, directory: Path, backup: Path) -> None:
    for end in ("", "-wal", "-shm"):
        (directory / f"gambler.db{end}").unlink(missing_ok=True)
    shutil.copy(backup, directory / "gambler.db")
    told.asks("older", "reconcile")
    told.asks("older", "status")
    told.asks("kept", "reconcile", "--accept-recovered")
    told.keeps("kept")


def _an_unreadable_file(told: Told) -> None:
    file = told.world.gambler.directory / "data" / ".default_emergency_stop"
    file.write_bytes(b"\xff\xfe half a line")
    told.asks("unreadable", "status")
    file.unlink()
