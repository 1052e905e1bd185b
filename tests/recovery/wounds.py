"""An account with something of everything to repair, built once, and what is left of it when recovery has ended."""

import contextlib
import json
import shutil
import socket
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import select

from gambler_ai import crashpoints
from gambler_ai.crashpoints import SimulatedCrash
from gambler_ai.domain.orders import Role, Side, Wish
from gambler_ai.domain.reconciliation import WAITED
from gambler_ai.storage import models
from gambler_ai.storage.database import Database
from gambler_ai.storage.holder import Holder
from gambler_ai.storage.holder import _boot_id as boot_id
from gambler_ai.storage.models import UtcTime
from gambler_ai.storage.records import find_account
from gambler_ai.storage.verify import verify
from gambler_ai.trading.house import House
from gambler_ai.trading.maintenance import reconcile
from gambler_ai.trading.session_run import SessionRun
from gambler_ai.trading.sessions import Request
from tests.recovery.steps import cancelled, hand, stranger, theirs
from tests.support.market import write_tape
from tests.trading.rig import BRACKETED, PROTECTED, RESTING, Rig

SYMBOLS = tuple(letter * 3 for letter in "ABCDEFGHIJ")
CHEAP = replace(RESTING, limit_price=Decimal(20))
ATTEMPTS = ("order_journal", "recovery_reports", "accounts", "account_snapshots")
"""Tables that say how an end was reached."""
_ORDER = ("symbol", "side", "type", "qty", "limit_price", "stop_price")
_OF_ATTEMPTS = {"seq", "raised_seq", "attempts", "broker_order_id", "execution_id", "state_hash"}


def wounded(folder: Path, database_url: str) -> Rig:
    """An entry in doubt, taken by the broker, and one that never arrived; shares bought while nobody looked; a stop
    that somebody cancelled; an exit whose answer was lost, with its leg; a strategy's exit that waits for its shares;
    a stranger's order and a stranger's shares; and shares that no order explains: more, fewer, all gone."""
    folder.mkdir(parents=True, exist_ok=True)
    tape = folder / "tape"
    write_tape(tape)
    for symbol in SYMBOLS[2:]:
        shutil.copy(tape / "AAA.csv", tape / f"{symbol}.csv")
    rig = Rig(folder, database_url)
    rig.session = replace(rig.session, symbols=SYMBOLS)
    for symbol in ("CCC", "DDD", "EEE", "FFF"):
        rig.placed(replace(PROTECTED, symbol=symbol), key=f"bar:{symbol}:0")
    rig.placed(replace(BRACKETED, symbol="GGG"), key="bar:GGG:0")
    rig.pass_time(60)
    rig.recovery.reconciler.round()
    rig.weather.posts = ["", "", "", "", "lost after"]
    rig.protection.run()
    rig.placed(replace(PROTECTED, symbol="BBB", stop_loss=Decimal(40)), key="bar:BBB:0")
    rig.weather.posts = ["lost after"]
    rig.placed(CHEAP, key="bar:AAA:0", ttl_s=-1)
    rig.weather.posts = ["lost before"]
    rig.placed(replace(CHEAP, symbol="JJJ"), key="bar:JJJ:0", ttl_s=-1)
    rig.placed(Wish("FFF", Side.SELL, Decimal(4), Role.EXIT), key="bar:FFF:1")
    hand(rig, "buy", "HHH", "4")
    cancelled(rig, "CCC")
    stranger(rig, "III")
    theirs(rig, "DDD", "6")
    theirs(rig, "EEE", "0")
    theirs(rig, "III", "3")
    account = next(iter(rig.exchange.venue.accounts.values()))
    rig.exchange.venue.changes.accounts[account.id] = account
    rig.close()
    rig.exchange.close()
    return rig


Treatment = Callable[[House], Any]


def reconciled(house: House) -> Any:
    """`gambler reconcile`: waits until every difference is confirmed."""
    return reconcile(house, dry_run=False)


def resumed(house: House) -> Any:
    """`gambler run --resume`, and a clean stop as soon as it could trade. What nothing explains is not confirmed by
    then, however long the end waits for what is in doubt: a crash would begin to count anew."""
    house.parts.rules = replace(house.parts.rules, confirm_span_s=3600)
    run = SessionRun(house.parts)
    run.house = house
    return run.end(run.begin(Request(resume="")))


class Patient(Rig):
    """A copy of the wounded account, over books that nobody has opened."""

    def __init__(self, origin: Rig, folder: Path, database_url: str) -> None:
        shutil.copytree(origin.folder, folder)
        with contextlib.closing(sqlite3.connect(folder / "exchange.db")) as stored, stored:
            stored.execute("UPDATE meta SET value = ? WHERE name = 'market'", (f"tape:{folder / 'tape'}",))
        super().__init__(folder, database_url)
        self.reader = Database(database_url).engine.connect()

    def open(self) -> None:
        """Recovery does that."""

    def opened_anew(self) -> House:
        """By a process that is proven dead as soon as anybody asks."""
        house = super().opened_anew()
        house.parts.holder = Holder(socket.gethostname(), boot_id(), 1, "long ago", "0")
        return house

    def treated(self, treat: Treatment, watch: Callable[[str], None] | None = None) -> Any:
        """What the treatment gives; None when it was killed where `watch` says."""
        house = self.opened_anew()
        close, house.close = house.close, lambda: None  # type: ignore[method-assign]
        crashpoints.arm(watch)
        try:
            done = treat(house)
        except SimulatedCrash:
            crashpoints.arm(None)
            house.parts.gateway.close()
            if house.opened:
                house.books.state.close()
            house.parts.database.close()  # the lock file is free; the lease still says who had it
            return None
        crashpoints.arm(None)
        close()
        return done

    def leave(self) -> None:
        self.reader.close()
        self.reader.engine.dispose()
        self.exchange.close()
        shutil.rmtree(self.folder)

    def all_rows(self) -> dict[str, list[dict[str, Any]]]:
        """Every table, as others see it now."""
        return {
            name: [dict(row) for row in self.reader.execute(select(table)).mappings()]
            for name, table in models.metadata.tables.items()
        }

    def stored(self) -> str:
        """What a crash would leave at this moment."""
        truth = self.exchange.truth(None)
        return json.dumps([self.all_rows(), truth["orders"], truth["executions"], truth["positions"]], default=str)

    def prove_the_books(self) -> None:
        """The journal is unbroken, and the tables follow from it."""
        with contextlib.closing(Database(self.database_url)) as database:
            account = find_account(database, "default")
            assert account is not None
            assert verify(database, account).ok

    def end(self) -> dict[str, Counter[str]]:
        """Tables and the exchange's record, without what only tells of times, numbers and attempts."""
        tables = self.all_rows()
        names = {row["client_order_id"]: _shown(row, "role", *_ORDER) for row in tables["orders"]}
        names |= {row["position_id"]: f"position {row['symbol']} {row['owner']}" for row in tables["positions"]}
        ends = {
            name: Counter(json.dumps(_lasting(models.metadata.tables[name], row, names)) for row in rows)
            for name, rows in tables.items()
            if name not in ATTEMPTS
        }
        truth = self.exchange.truth(None)
        orders = {row["id"]: _shown(row, *_ORDER, "status", "filled_qty", "order_class") for row in truth["orders"]}
        ends["orders at the exchange"] = Counter(orders.values())
        ends["executions"] = Counter(orders[e["order_id"]] + _shown(e, "qty", "price") for e in truth["executions"])
        ends["held"] = Counter(_shown(row, "symbol", "qty") for row in truth["positions"])
        posts = [row for row in truth["requests"] if row["method"] == "POST" and row["client_order_id"]]
        taken = Counter(row["client_order_id"] for row in posts if row["status"] == 200)
        assert set(taken.values()) <= {1}, "one id was taken twice"
        return ends


def _shown(row: dict[str, Any], *names: str) -> str:
    return " ".join(str(row[name]) for name in names)


def _lasting(table: Any, row: dict[str, Any], names: dict[str, str]) -> dict[str, str]:
    lasting = [c.name for c in table.columns if not isinstance(c.type, UtcTime) and c.name not in _OF_ATTEMPTS]
    return {name: _without_numbers(name, row[name], names) for name in lasting}


def _without_numbers(column: str, value: Any, names: dict[str, str]) -> str:
    """Ids hang on the journal's numbers, which a crash may shift: what they name stands for them."""
    if column in ("evidence", "state"):
        told = json.loads(value)
        return str({key: told[key] for key in told if key not in (WAITED, "told")})
    text = str(value)
    for name, shown in names.items():
        text = text.replace(name, shown)
    return text


def stages(seen: Iterable[tuple[str, str]]) -> list[tuple[str, int]]:
    """Of the points that were passed, with what was stored then, those at which something new was stored: the point,
    and the number of its passing. A crash loses everything else, so equal stores have one future."""
    count: Counter[str] = Counter()
    known: set[str] = set()
    found = []
    for point, stored in seen:
        count[point] += 1
        if stored not in known:
            found.append((point, count[point]))
        known.add(stored)
    return found
