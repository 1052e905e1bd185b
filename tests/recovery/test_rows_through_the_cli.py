"""Every row of the restore policy through the real command, against a real exchange process, on both databases.

Each row is a symbol in one account's story; how it ended is compared with the exchange's own record, and the screen
with the one that the recovery guide shows.
"""

import shlex
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest

from gambler_ai.domain.money import text
from tests.recovery.account_story import guarded
from tests.recovery.screens import check, shown_in_the_guide
from tests.recovery.story import SESSION, UNKNOWN, Told, every_row
from tests.support.databases import KINDS, new_database

pytestmark = pytest.mark.timeout(600)  # the first test waits until the stories are told, however busy the machine
THERE = {"FILLED": "filled", "CANCELED": "canceled", "WORKING": "new"}
ENDS = {"recovered": "unread", "agreed": "agreed", "lost": "recovered"}
"""The world as it was before the command that recovered it."""


@dataclass(frozen=True)
class Row:
    """How a symbol ends: `shares` in the books by owner, `theirs` at the exchange where that differs, `orders` their
    statuses in the books, `sent` what recovery asked the broker to change."""

    row: str
    symbol: str
    shares: str = ""
    orders: str = ""
    sent: str = ""
    theirs: str | None = None
    halted: bool = False
    closed: str = ""
    when: str = "recovered"

    def __str__(self) -> str:
        return self.row


ROWS = [
    Row("R1", "DIS"),
    Row("R2", "SPY", "buyer 10", "FILLED WORKING"),
    Row("R3", "AAPL", "buyer 10", "CANCELED FILLED WORKING", sent="POST"),
    Row("R4", "MSFT", "buyer 10", "FILLED"),
    Row("R5", "NVDA", "", "FILLED FILLED", closed="stop at 95"),
    Row("R6", "AMD", "", "CANCELED FILLED", sent="DELETE", closed="orphaned"),
    Row("R7", "TSLA", "buyer 10", "FILLED", theirs="7", halted=True),
    Row("R8", "META", "buyer 10", "FILLED", theirs="-10", halted=True),
    Row("R9", "GOOG", "buyer 10", "FILLED", when="lost"),
    Row("R10", "KO", "EXTERNAL 4"),
    Row("R11", "ORCL", "", "WORKING", halted=True),
    Row("R12", "IBM", "", "WORKING"),
    Row("R13", "INTC", "", "CANCELED"),
    Row("R14", "NFLX", "", "ABSENT"),
    Row("R16", "COST", "buyer 40", "CANCELED FILLED WORKING", sent="POST"),
    Row("R17", "AVGO", "", "REJECTED"),
]


@pytest.fixture(scope="module")
def stories(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Told]]:
    """All of them are told side by side: most of their time is waiting for processes to start."""
    root = tmp_path_factory.mktemp("stories")
    with ThreadPoolExecutor(3) as pool:
        told = {kind: pool.submit(every_row, root / kind, new_database(kind, root / kind, postgres)) for kind in KINDS}
        told["account"] = pool.submit(guarded, root / "account")
        yield lambda kind: told[kind].result()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("row", ROWS, ids=str)
def test_a_row_ends_as_the_exchange_says(stories: Callable[[str], Told], kind: str, row: Row) -> None:
    told = stories(kind)
    truth, tables = told.truth[row.when], told.tables[row.when]
    mine = [order for order in tables["orders"] if order["symbol"] == row.symbol]
    there = [order for order in truth["orders"] if order["symbol"] == row.symbol]
    held = next((p["qty"] for p in truth["positions"] if p["symbol"] == row.symbol), "0")
    assert in_the_books(tables, row.symbol) == row.shares
    assert Decimal(held) == Decimal(row.theirs if row.theirs is not None else row.shares.rpartition(" ")[2] or "0")
    assert sorted(order["status"] for order in mine) == row.orders.split()
    assert sorted(order["status"] for order in there) == sorted(THERE[s] for s in row.orders.split() if s in THERE)
    assert fills_of(tables, mine) == executions_of(truth, there)
    assert [h["symbol"] for h in tables["halts"] if h["symbol"] == row.symbol] == [row.symbol] * row.halted
    assert sent_for(told, ENDS[row.when], row.when, row.symbol) == row.sent
    closed = [p for p in tables["positions"] if (p["symbol"], p["status"]) == (row.symbol, "closed")]
    assert [p["exit_reason"] for p in closed] == [row.closed] * bool(row.closed)
    assert all((p["exit_price"] is None) == (p["pnl"] is None) == (row.row == "R6") for p in closed)


def in_the_books(tables: dict[str, Any], symbol: str) -> str:
    held = [p for p in tables["positions"] if (p["symbol"], p["status"]) == (symbol, "open")]
    return ", ".join(f"{p['owner']} {text(Decimal(p['quantity']))}" for p in held)


def fills_of(tables: dict[str, Any], orders: list[dict[str, Any]]) -> Counter[tuple[Decimal, Decimal]]:
    names = {order["client_order_id"] for order in orders}
    mine = [fill for fill in tables["fills"] if fill["client_order_id"] in names]
    return Counter((Decimal(f["cum_to"]) - Decimal(f["cum_from"]), Decimal(f["price"])) for f in mine)


def executions_of(truth: dict[str, Any], orders: list[dict[str, Any]]) -> Counter[tuple[Decimal, Decimal]]:
    names = {order["id"] for order in orders}
    return Counter((Decimal(e["qty"]), Decimal(e["price"])) for e in truth["executions"] if e["order_id"] in names)


def sent_for(told: Told, before: str, after: str, symbol: str) -> str:
    """Methods of the requests between two moments that could change an order of the symbol."""
    orders = {key: o["symbol"] for o in told.truth[after]["orders"] for key in (o["id"], o["client_order_id"])}
    since = told.truth[after]["requests"][len(told.truth[before]["requests"]) :]
    named = [(one["method"], one["client_order_id"] or one["path"].rpartition("/")[2]) for one in since]
    return " ".join(method for method, name in named if method != "GET" and orders.get(name) == symbol)


@pytest.mark.parametrize("kind", KINDS)
def test_each_command_ends_with_its_code(stories: Callable[[str], Told], kind: str) -> None:
    """3 because of R7, R8 and R11; a row that a person need not settle ends with 0."""
    codes = {command: result.code for command, result in stories(kind).results.items() if result.code}
    assert codes == {
        ("killed", shlex.join(["gambler", *SESSION, "NFLX"])): 137,
        ("planned", "gambler reconcile --dry-run"): 3,
        ("unread", "gambler reconcile"): 1,
        ("recovered", "gambler reconcile"): 3,
        ("lost", "gambler status"): 5,
        ("lost", "gambler run"): 5,
        ("lost", "gambler recover --from-broker"): 3,
    }


@pytest.mark.parametrize("kind", KINDS)
def test_the_screen_says_each_thing_once(stories: Callable[[str], Told], kind: str) -> None:
    screen = stories(kind).results["recovered", "gambler reconcile"].out
    began = Counter(line.partition(":")[0] for line in screen.splitlines() if line.startswith("R"))
    named = {row: count for row, count in began.items() if row.split()[0] in ("R7", "R8", "R11", "R13")}
    symbols = {"R7": ["TSLA"], "R8": ["META"], "R11": ["ORCL"], "R13": ["INTC", "AAPL", "COST", "AMD"]}
    assert named == {f"{row:<4} {symbol:<6} did": 1 for row, some in symbols.items() for symbol in some}


@pytest.mark.parametrize("kind", KINDS)
def test_recovery_sends_what_the_rows_need_and_nothing_else(stories: Callable[[str], Told], kind: str) -> None:
    told = stories(kind)
    methods = [r["method"] for r in told.truth["recovered"]["requests"][len(told.truth["unread"]["requests"]) :]]
    needed = [method for row in ROWS if row.when == "recovered" for method in row.sent.split()]
    assert sorted(method for method in methods if method != "GET") == sorted(needed)
    assert told.results["recovered", "gambler report"].out.count(f"{len(needed)} requests to change orders") == 1


@pytest.mark.parametrize("kind", KINDS)
def test_r15_nothing_is_concluded_and_nothing_sent_while_a_list_cannot_be_read(
    stories: Callable[[str], Told], kind: str
) -> None:
    told = stories(kind)
    before, after = told.tables["killed"], told.tables["unread"]
    assert {name: rows for name, rows in after.items() if name != "order_journal"} == {
        name: rows for name, rows in before.items() if name != "order_journal"
    }
    assert {row["kind"] for row in after["order_journal"]} - {row["kind"] for row in before["order_journal"]} <= {
        "session.crashed"
    }
    requests = told.truth["unread"]["requests"][len(told.truth["killed"]["requests"]) :]
    assert {request["method"] for request in requests} == {"GET"}
    assert told.results["unread", "gambler reconcile"].err.count('"row": "R15"') == 4


@pytest.mark.parametrize("kind", KINDS)
def test_the_order_that_was_never_sent_and_the_one_nobody_here_made(stories: Callable[[str], Told], kind: str) -> None:
    """R14 is not at the exchange, R11 keeps the id it came with, R17 was answered 403 and the session went on."""
    told = stories(kind)
    truth, orders = told.truth["recovered"], told.tables["recovered"]["orders"]
    absent, refused = (
        next(o["client_order_id"] for o in orders if o["symbol"] == symbol) for symbol in ("NFLX", "AVGO")
    )
    assert not [r for r in truth["requests"] if r["client_order_id"] == absent and r["method"] == "POST"]
    assert [r["status"] for r in truth["requests"] if r["client_order_id"] == refused] == [403]
    assert [o["client_order_id"] for o in orders if o["symbol"] == "ORCL"] == [UNKNOWN]


def test_each_trouble_with_an_account_ends_with_its_code(stories: Callable[[str], Told]) -> None:
    codes = {when: result.code for (when, _), result in stories("account").results.items() if result.code}
    assert codes == {"running": 4, "another": 3, "older": 3, "keys": 6, "reset": 6}


def test_an_old_backup_learns_what_it_missed_and_a_reset_account_closes_nothing(
    stories: Callable[[str], Told],
) -> None:
    told = stories("account")
    for when in ("kept", "reset"):
        held = {p["symbol"]: in_the_books(told.tables[when], p["symbol"]) for p in told.tables[when]["positions"]}
        assert held == dict.fromkeys(("SPY", "QQQ", "GOOG"), "buyer 10")
    there = {p["symbol"]: Decimal(p["qty"]) for p in told.truth["kept"]["positions"]}
    assert there == {symbol: Decimal(10) for symbol in ("SPY", "QQQ", "GOOG")}
    assert told.results["kept", "gambler reconcile --accept-recovered"].code == 0


GUIDE = shown_in_the_guide()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", [name for name in GUIDE if name[1:].isdigit()])
def test_the_guide_shows_the_screen_of_a_row(stories: Callable[[str], Told], kind: str, name: str) -> None:
    told = stories(kind)
    for shown in GUIDE[name]:
        check(shown, told.results[shown.when, shown.command])


@pytest.mark.parametrize("name", [name for name in GUIDE if not name[1:].isdigit()])
def test_the_guide_shows_the_screen_of_a_case(stories: Callable[[str], Told], name: str) -> None:
    for shown in GUIDE[name]:
        told = next(s for s in map(stories, ("account", "sqlite")) if (shown.when, shown.command) in s.results)
        check(shown, told.results[shown.when, shown.command])


def test_every_row_and_every_trouble_with_an_account_has_its_screen_in_the_guide() -> None:
    rows = {f"R{number}" for number in range(1, 18)}
    others = {"running", "twin", "halt", "killed", "lost-database", "other-account", "reset-account", "old-backup"}
    assert rows | others | {"another-database", "unreadable-stop-file", "dry-run", "report"} == set(GUIDE)
