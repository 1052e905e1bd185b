"""Same inputs, same books: every journal row, hash by hash."""

import sqlite3
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from gambler_ai.trading.sessions import Request
from tests.simulation.house import KEYS, house

OPEN = datetime(2013, 10, 7, 13, 30, tzinfo=UTC)
TAPE = Path(__file__).resolve().parents[3] / "shared" / "data" / "minute"


def journal_of(folder: Path, market: str, start: datetime, request: Request) -> bytes:
    folder.mkdir()
    with house(folder, market, start) as world:
        assert world.trade(request) == 0
        truth = world.exchange.truth()
        assert len(truth["executions"]) >= 20
        cash = truth["cash"][world.exchange.account_of(*KEYS)]
        signed = sum(
            Decimal(e["qty"]) * Decimal(e["price"]) * (1 if e["side"] == "buy" else -1) for e in truth["executions"]
        )
        assert Decimal(cash) == Decimal(100_000) - signed
    with sqlite3.connect(folder / "books.db") as books:
        rows = books.execute("SELECT * FROM order_journal ORDER BY seq").fetchall()
    books.close()
    return "\n".join(map(repr, rows)).encode()


@pytest.mark.shared_data
def test_a_whole_tape_day_twice_writes_the_same_journal_byte_for_byte(tmp_path: Path) -> None:
    request = Request(symbols=("SPY", "IBM", "BAC", "AIG"), duration_min=Decimal(390))
    market = f"tape:{TAPE}"
    first = journal_of(tmp_path / "first", market, OPEN, request)
    assert first == journal_of(tmp_path / "second", market, OPEN, request)


def test_a_synthetic_day_twice_writes_the_same_journal_byte_for_byte(tmp_path: Path) -> None:
    start = datetime(2026, 11, 20, 14, 30, tzinfo=UTC)
    request = Request(symbols=("SPY", "AAPL"), params={"fast": "2", "slow": "5"}, duration_min=Decimal(300))
    first = journal_of(tmp_path / "first", "synthetic:7", start, request)
    assert first == journal_of(tmp_path / "second", "synthetic:7", start, request)
