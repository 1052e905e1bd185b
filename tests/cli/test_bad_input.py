"""Bad input: the documented exit code, one clear message that says what, where and what next, and nothing lost."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.gambler import Gambler, Result
from tests.support.world import World

TRADE = ("run", "--symbols", "AAA,BBB")
ALL_TABLES = (
    "trading_sessions",
    "orders",
    "fills",
    "positions",
    "order_journal",
    "halts",
    "strategy_states",
    "account_snapshots",
)


AS_A_PLAIN_USER = ("setpriv", "--bounding-set", "-dac_override") if os.geteuid() == 0 else ()
"""Root without its privilege to write where the permissions forbid it."""


def refused(ended: Result, code: int, *words: str) -> None:
    """It ended with this code and one message that holds all these words."""
    assert ended.code == code, ended.err
    assert "Traceback" not in ended.err
    assert ended.out == ""
    for word in words:
        assert word in ended.message, ended.err


def unused_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture
def gambler(tmp_path: Path) -> Iterator[Gambler]:
    """Without an exchange: what is refused here is refused before anybody is asked."""
    one = Gambler(tmp_path / "trader", f"sqlite:///{tmp_path / 'gambler.db'}", f"http://127.0.0.1:{unused_port()}")
    yield one
    one.end()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """An account with a session that was killed with shares in hand; every test must leave it as it was."""
    directory = tmp_path_factory.mktemp("world")
    one = World(directory, f"sqlite:///{directory / 'gambler.db'}", partial="0")
    crashed = one.gambler.trade("--duration", "30", GAMBLER_TEST="1", GAMBLER_CRASH_AT="fill.after_commit").ended()
    assert crashed.code == 137, crashed.err
    yield one
    one.end()


@pytest.fixture
def untouched(world: World) -> Iterator[World]:
    """What is stored is the same before and after, but that a session without a process is now called crashed."""
    before, posts = world.tables(*ALL_TABLES[1:4]), len(world.exchange.posts())
    yield world
    assert world.tables(*ALL_TABLES[1:4]) == before
    assert len(world.exchange.posts()) == posts
    assert [session["status"] for session in world.sessions()] in (["active"], ["crashed"])


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--symbols", "AAA,,BBB"), ("'AAA,,BBB'", "empty part", "SPY,AAPL")),
        (("--symbols", ""), ("empty part",)),
        (("--symbols", "AA A;B"), ("'AA A;B'", "not a symbol", "SPY,AAPL")),
        (("--symbols", "AAA,AAA"), ("AAA", "twice")),
        (("--strategy", "get_rich"), ("'get_rich'", "built in: ", "sma_cross", "package.module:Class")),
        (("--strategy", "no.such:Thing"), ("'no.such:Thing'", "cannot be imported")),
        (("--param", "fast"), ("'fast'", "--param fast=5")),
        (("--param", "speed=9"), ("no parameter speed", "fast")),
        (("--param", "fast=many"), ("fast", "many")),
        (("--param", "fast=9", "--param", "slow=3"), ("fast=9 and slow=3",)),
        (("--duration", "0"), ("--duration 0", "more than 0")),
        (("--duration", "-5"), ("--duration -5", "more than 0")),
        (("--duration", "999999999"), ("--duration 999999999", "31 days")),
        (("--duration", "soon"), ("'soon'", "minutes", "--duration 120")),
        (("--duration", "nan"), ("nan", "minutes")),
        (("--duration", "Infinity"), ("Infinity", "minutes")),
        (("--dry-run",), ("--dry-run", "--reconcile-only")),
    ],
)
def test_wrong_flags_are_refused_before_anything_is_touched(
    gambler: Gambler, tmp_path: Path, flags: tuple[str, ...], words: tuple[str, ...]
) -> None:
    refused(gambler("run", "--init-db", *flags), 2, *words)
    assert not (tmp_path / "gambler.db").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("symbols = [", ("gambler.toml",)),
        ('symbol = "SPY"', ("gambler.toml", "unknown settings symbol", "symbols")),
        ('settle_s = "a while"', ("GAMBLER_SETTLE_S", "a while", "seconds")),
        ('account_label = "a/b"', ("GAMBLER_ACCOUNT_LABEL", "a/b", "letters")),
        ('secret_key = "sesame"', ("gambler.toml", "unknown settings secret_key")),
    ],
)
def test_a_wrong_settings_file_is_named_with_its_mistake(
    gambler: Gambler, content: str, words: tuple[str, ...]
) -> None:
    gambler.directory.mkdir()
    (gambler.directory / "gambler.toml").write_text(content)
    less = dict.fromkeys(("GAMBLER_SETTLE_S", "APCA_API_KEY_ID", "APCA_API_SECRET_KEY"))
    refused(gambler("run", **less), 2, *words)


def test_all_problems_of_the_settings_are_told_together(gambler: Gambler) -> None:
    wrong = {"GAMBLER_SETTLE_S": "-1", "GAMBLER_CONFIRM_ROUNDS": "0", "GAMBLER_LOG_LEVEL": "loud"}
    refused(gambler("run", **wrong), 2, *wrong)


@pytest.mark.parametrize("other", [("--protect-external", "5"), ("--unprotected", "flatten")])
def test_switches_that_contradict_each_other_are_refused(gambler: Gambler, other: tuple[str, str]) -> None:
    refused(gambler(*TRADE, "--no-protect", *other), 2, "no_protect contradicts", "keep one")


def test_two_different_keys_are_never_chosen_between(gambler: Gambler) -> None:
    ended = gambler("run", ALPACA_API_KEY="PKOTHERONE")
    refused(ended, 2, "APCA_API_KEY_ID", "ALPACA_API_KEY", "differ", "keep one")
    assert "PKOTHERONE" not in ended.err


def test_a_missing_directory_of_the_database_is_not_invented(gambler: Gambler, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'nowhere' / 'gambler.db'}"
    refused(gambler(*TRADE, "--init-db", GAMBLER_DATABASE_URL=url), 2, str(tmp_path / "nowhere"), "create it")
    assert not (tmp_path / "nowhere").exists()


def test_a_directory_that_cannot_be_written_is_named(gambler: Gambler, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    gambler.prefix = AS_A_PLAIN_USER
    ended = gambler(*TRADE, "--init-db", GAMBLER_DATABASE_URL=f"sqlite:///{closed / 'gambler.db'}")
    refused(ended, 2, str(closed), "not writable")


def test_a_data_directory_that_cannot_be_made_is_named(gambler: Gambler, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")
    ended = gambler(*TRADE, "--init-db", GAMBLER_DATA_DIR=str(tmp_path / "file" / "data"))
    refused(ended, 2, str(tmp_path / "file"), "GAMBLER_DATA_DIR")


def test_a_data_directory_that_cannot_be_written_is_named(gambler: Gambler, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    gambler.prefix = AS_A_PLAIN_USER
    refused(gambler(*TRADE, "--init-db", GAMBLER_DATA_DIR=str(closed)), 2, str(closed), "GAMBLER_DATA_DIR")


def test_a_text_file_is_not_taken_for_a_database_and_stays_as_it_is(gambler: Gambler, tmp_path: Path) -> None:
    (tmp_path / "gambler.db").write_text("my diary, do not touch")
    refused(gambler(*TRADE, "--init-db"), 5, str(tmp_path / "gambler.db"), "not a SQLite database", "untouched")
    assert (tmp_path / "gambler.db").read_text() == "my diary, do not touch"


def test_a_database_without_tables_names_the_command_that_makes_them(gambler: Gambler) -> None:
    refused(gambler(*TRADE), 5, "no tables yet", "gambler init-db")


def test_a_database_of_another_kind_is_a_usage_error(gambler: Gambler) -> None:
    refused(gambler(*TRADE, GAMBLER_DATABASE_URL="mysql://root@localhost/x"), 2, "mysql", "sqlite or postgresql")
    refused(gambler(*TRADE, GAMBLER_DATABASE_URL="gambler.db"), 2, "GAMBLER_DATABASE_URL", "sqlite:///")


def test_a_database_of_a_newer_program_is_left_alone(gambler: Gambler, database_url: str) -> None:
    assert gambler("init-db", GAMBLER_DATABASE_URL=database_url).code == 0
    from gambler_ai.storage.database import Database

    database = Database(database_url)
    with database.connect() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    for command in (TRADE, (*TRADE, "--init-db"), ("init-db",)):
        refused(gambler(*command, GAMBLER_DATABASE_URL=database_url), 5, "9999", "newer gambler")
    with database.connect() as connection:
        assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() == "9999"
        assert connection.exec_driver_sql("SELECT count(*) FROM accounts").scalar() == 0
    database.close()


def test_a_database_or_an_exchange_that_is_down_is_waited_for_visibly_then_told(gambler: Gambler) -> None:
    assert gambler("init-db").code == 0
    nobody = f"postgresql://trader:hunter22@127.0.0.1:{unused_port()}/gambler"
    waiting = {"database": gambler.start(*TRADE, GAMBLER_DATABASE_URL=nobody), "broker": gambler.start(*TRADE)}
    for what, running in waiting.items():
        running.says(f"{what}.waiting", seconds=20)
        ended = running.ended(60)
        refused(ended, 1, "127.0.0.1")
        assert "hunter22" not in ended.err


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("https://api.alpaca.markets", ("APCA_API_BASE_URL", "api.alpaca.markets", "live trading is not possible")),
        ("https://paper-api.alpaca.markets.evil.org", ("APCA_API_BASE_URL", "evil.org")),
        ("http://192.0.2.7:8000", ("APCA_API_BASE_URL", "192.0.2.7")),
    ],
)
def test_only_paper_and_this_machine_are_ever_called(gambler: Gambler, url: str, words: tuple[str, ...]) -> None:
    assert gambler("init-db").code == 0
    refused(gambler(*TRADE, APCA_API_BASE_URL=url), 6, *words)


def test_a_wrong_secret_is_told_apart_from_a_broker_that_is_down(untouched: World) -> None:
    ended = untouched.gambler(*TRADE, APCA_API_SECRET_KEY="not-the-secret")
    refused(ended, 6, "401", "APCA_API_KEY_ID and its secret")
    assert "not-the-secret" not in ended.err


def test_keys_of_another_account_do_not_touch_this_ones_books(untouched: World) -> None:
    ended = untouched.gambler(*TRADE, APCA_API_KEY_ID="PKOTHER", APCA_API_SECRET_KEY="other-secret")
    refused(ended, 6, "'default'", "GAMBLER_ACCOUNT_LABEL")


def test_an_account_keeps_its_label(untouched: World) -> None:
    refused(untouched.gambler(*TRADE, GAMBLER_ACCOUNT_LABEL="second"), 6, "'default'", "'second'")


def test_an_unknown_symbol_is_named(untouched: World) -> None:
    refused(untouched.gambler("run", "--symbols", "AAA,QQQQQ"), 2, "QQQQQ", "--symbols")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--symbols", "AAA"), ("symbols are AAA,BBB, not AAA",)),
        (("--param", "notional=9"), ("parameters are", "notional=2000")),
    ],
)
def test_a_session_is_not_resumed_as_another(untouched: World, flags: tuple[str, ...], words: tuple[str, ...]) -> None:
    refused(untouched.gambler("run", "--resume", *flags), 2, *words, "cannot be resumed with other settings")


def test_an_unknown_session_is_not_resumed(untouched: World) -> None:
    refused(untouched.gambler("run", "--resume", "s-none"), 2, "no session s-none", "gambler sessions")


def test_nothing_to_resume_is_said_and_nothing_is_begun(tmp_path: Path) -> None:
    world = World(tmp_path, f"sqlite:///{tmp_path / 'gambler.db'}")
    try:
        refused(world.gambler("run", "--resume", "--init-db"), 2, "nothing to resume", "without --resume")
        assert not world.sessions()
        assert not world.exchange.posts()
    finally:
        world.end()


def test_a_session_that_another_process_trades_is_not_resumed(tmp_path: Path, database_url: str) -> None:
    world = World(tmp_path, database_url, speed="manual")
    try:
        first = world.gambler.trade("--duration", "30")
        first.says("stream.listening", times=2)
        second = world.gambler("run", "--resume")
        refused(second, 4, f"process {first.process.pid}", "only one process", "gambler status")
        assert first.process.poll() is None
        assert [session["status"] for session in world.sessions()] == ["active"]
    finally:
        world.end()
