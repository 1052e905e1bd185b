"""Whose account is this? Another one, a reset one, one that another database trades: recognised, and nothing closed."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from gambler_ai.domain.policy import Policy
from gambler_ai.errors import BrokerRefusesUs
from gambler_ai.face_status import status_of
from gambler_ai.storage.reading import reading
from gambler_ai.trading.maintenance import reconcile
from gambler_ai.trading.shutdown import EXIT_NEEDS_A_HUMAN
from tests.recovery.steps import books_hold, exchange_holds
from tests.trading.rig import PROTECTED, Rig


@pytest.fixture
def rig(tmp_path: Path, sqlite_url: str) -> Iterator[Rig]:
    one = Rig(tmp_path, sqlite_url)
    one.held()
    yield one
    one.close()
    one.exchange.close()


@contextmanager
def another_database(rig: Rig) -> Iterator[None]:
    """A second house over the same account, with books and files of its own."""
    rig.close()
    mine, folder = rig.database_url, rig.folder
    rig.folder = folder / "other"
    rig.folder.mkdir()
    rig.database_url = f"sqlite:///{rig.folder / 'other.db'}"
    rig.open()
    yield
    rig.close()
    rig.database_url, rig.folder = mine, folder


def test_a_session_of_another_database_is_named_and_halts_its_symbol_here(rig: Rig) -> None:
    with another_database(rig):
        rig.placed(key="theirs")
        rig.pass_time(60)
    code, report = reconcile(rig.opened_anew(), dry_run=False)
    rig.open()
    assert (code, [action["row"] for action in report["plan"]]) == (EXIT_NEEDS_A_HUMAN, ["R11"])
    assert "another database trades this account" in report["report"]["halts"][0]
    assert books_hold(rig) == exchange_holds(rig) == {"AAA": Decimal(20)}
    with reading(rig.database_url, "default") as reader:
        (block,) = status_of(reader, rig.folder, "default")["blocks"]
    assert (block["symbol"], "--accept-recovered" in block["way_out"]) == ("AAA", True)


@pytest.mark.parametrize("externals", ["import", "ignore", "halt"])
def test_exits_of_shares_that_only_another_database_knows_stay_at_the_broker(rig: Rig, externals: str) -> None:
    rig.placed(replace(PROTECTED, symbol="BBB", stop_loss=Decimal(45)), key="theirs")
    rig.pass_time(60)
    rig.recovery.run()
    exits = rig.live_exits()
    rig.policy = Policy(externals=externals)
    with another_database(rig):
        rig.weather.sent.clear()
        rig.recovery.run()
        for _ in range(6):
            rig.recovery.learn(rig.recovery.reconciler.round())
            rig.protection.run()
            rig.clock.sleep(3)
        assert (rig.weather.sent, rig.live_exits()) == ([], exits)
    rig.open()


def test_a_reset_paper_account_is_another_account_and_closes_nothing(rig: Rig) -> None:
    rows = rig.kinds()
    rig.close()
    rig.exchange.keyring.retire(next(iter(rig.exchange.venue.accounts.values())), False)
    with pytest.raises(BrokerRefusesUs, match="was the paper account reset"):
        reconcile(rig.opened_anew(), dry_run=False)
    with reading(rig.database_url, "default") as reader:
        assert [(row["symbol"], row["qty"]) for row in reader.positions()] == [("AAA", "10")]
        assert len(reader.journal(10_000)) == len(rows)
