"""Reading what is stored: the archive behind the book, and everything a restart needs."""

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import BindParameter, Select, bindparam, literal_column, select

from gambler_ai.domain.blocks import Block
from gambler_ai.domain.book import Book, Finished
from gambler_ai.domain.facts import FILL_BOOKED, POSITION_ADJUSTED, from_json
from gambler_ai.domain.fills import Fill
from gambler_ai.domain.grid import Entered, Left, Split, Step
from gambler_ai.domain.money import amount
from gambler_ai.domain.orders import Order
from gambler_ai.domain.positions import Position
from gambler_ai.domain.sessions import Session, SessionStatus
from gambler_ai.storage import models, rows
from gambler_ai.storage.commands import Command, CommandRows
from gambler_ai.storage.database import Database
from gambler_ai.storage.head_file import Head
from gambler_ai.storage.protected import DECIDES_WAIVER, WAIVED

AT_ONCE = 500
"""Keys of one query: databases limit how many values a statement may have."""


@dataclass(frozen=True, slots=True)
class StoredAccount:
    """The account's row: which broker account a label is bound to, who holds its lease, where its chain ends.

    `looked_at` is the exchange time of the last complete look: what happened since then is still to be found.
    """

    account_id: str
    label: str
    number: str
    endpoint: str
    bound_at: datetime
    looked_at: datetime
    lease_holder: str | None
    lease_token: int
    lease_expires_at: datetime | None
    heartbeat_at: datetime | None
    head: Head


@dataclass(frozen=True, slots=True)
class Halt:
    """A durable stop of new risk for `symbol`, or for the whole account when None."""

    raised_seq: int
    symbol: str | None
    reason: str
    raised_at: datetime
    evidence: Any

    @property
    def told(self) -> str:
        return f"{self.symbol or 'account'}: {self.reason}"


@dataclass(frozen=True, slots=True)
class StoredState:
    """What a strategy's save_state returned, the last bar it had seen, and the journal number it belongs to."""

    version: int
    last_bar: datetime | None
    seq: int
    state: Any


class Records:
    """All reads of one account. Every call is one short read of its own; nothing is cached."""

    def __init__(self, database: Database, account_id: str) -> None:
        self._database = database
        self.account_id = account_id

    def _all(self, query: Select[Any], **values: str | list[str]) -> list[Any]:
        with self._database.connect() as connection:
            return list(connection.execute(query, values).mappings())

    def _by_key(self, query: Select[Any], key: str) -> list[Any]:
        return self._all(query, account=self.account_id, key=key)

    def order(self, client_order_id: str) -> Order | None:
        found = self._by_key(_ORDER, client_order_id)
        return rows.order_from(found[0]) if found else None

    def order_by_broker_id(self, broker_order_id: str) -> Order | None:
        found = self._by_key(_ORDER_BY_BROKER_ID, broker_order_id)
        return rows.order_from(found[0]) if found else None

    def fills(self, client_order_id: str) -> list[Fill]:
        found = self._by_key(_FILLS, client_order_id)
        return sorted((rows.fill_from(row) for row in found), key=lambda fill: fill.cum_from)

    def finished(self, client_order_ids: Collection[str], broker_order_ids: Collection[str]) -> list[Finished]:
        """These orders, known by either id, each once and with its fills."""
        orders = [rows.order_from(row) for row in self._among(_ORDERS, client_order_ids)]
        others = set(broker_order_ids) - {order.broker_order_id for order in orders}
        orders += [rows.order_from(row) for row in self._among(_ORDERS_BY_BROKER_ID, others)]
        fills = self._fills_of(orders)
        return [(order, fills[order.client_order_id]) for order in orders]

    def _fills_of(self, orders: Sequence[Order]) -> dict[str, list[Fill]]:
        """The fills of each order, lowest shares first."""
        fills: dict[str, list[Fill]] = {order.client_order_id: [] for order in orders}
        filled = [order.client_order_id for order in orders if order.filled_qty]
        for fill in sorted((rows.fill_from(row) for row in self._among(_FILLS_OF, filled)), key=lambda f: f.cum_from):
            fills[fill.client_order_id].append(fill)
        return fills

    def _among(self, query: Select[Any], keys: Collection[str]) -> list[Any]:
        ordered = sorted(keys)
        parts = (ordered[first : first + AT_ONCE] for first in range(0, len(ordered), AT_ONCE))
        return [row for part in parts for row in self._all(query, account=self.account_id, keys=part)]

    def position(self, position_id: str) -> Position | None:
        found = self._by_key(_POSITION, position_id)
        return rows.position_from(found[0]) if found else None

    def steps_of(self, position: Position) -> list[Step]:
        """What made this position what it is, in the order of time: from its fills, and splits from the journal."""
        steps: list[Step] = []
        entered: list[Fill] = []
        fills, journal = models.fills, models.order_journal
        since = _of(fills, self.account_id).where(fills.c.at >= position.entry_time)
        for row in self._all(since.where(fills.c.allocations.like(f'%"{position.position_id}"%'))):
            fill = rows.fill_from(row)
            for part in fill.allocations:
                if part.position_id == position.position_id and part.opens:
                    entered.append(replace(fill, allocations=(part,)))
                elif part.position_id == position.position_id:
                    steps.append(Left(part.qty, fill.at))
        first = self._firsts({fill.client_order_id for fill in entered})
        steps += [Entered(first[f.client_order_id], f.allocations[0].qty, f.price, f.at) for f in entered]
        changes = _of(journal, self.account_id).where(
            literal_column(f"kind = '{POSITION_ADJUSTED}'"), journal.c.symbol == position.symbol
        )
        for row in self._all(changes.where(journal.c.at >= position.entry_time)):
            ratio = json.loads(row["payload"])["adjustment"].get("ratio")
            if ratio is not None:
                steps.append(Split(amount(ratio), row["at"]))
        return sorted(steps, key=lambda step: step.at)

    def _firsts(self, client_order_ids: Collection[str]) -> dict[str, str]:
        """The order at the beginning of each one's chain of replaced ones; one read for each link of the longest."""
        parents: dict[str, str | None] = {}
        asked = set(client_order_ids)
        while asked:
            found = self._among(_ORDERS, asked)
            parents |= dict.fromkeys(asked) | {row["client_order_id"]: row["parent_id"] for row in found}
            asked = {name for name in parents.values() if name is not None and name not in parents}
        firsts = {}
        for name in client_order_ids:
            first = name
            while (parent := parents[first]) is not None:
                first = parent
            firsts[name] = first
        return firsts

    def load_book(self) -> Book:
        """Orders that need attention with their fills, and open positions; independent of the history's length."""
        attention = _of(models.orders, self.account_id).where(
            literal_column(
                "(status IN ('PLANNED', 'SENDING', 'IN_DOUBT', 'WORKING') OR filled_qty <> broker_filled_qty)"
            )
        )
        orders = [rows.order_from(row) for row in self._all(attention.order_by(models.orders.c.created_at))]
        fills = [fill for of_one in self._fills_of(orders).values() for fill in of_one]
        open_ones = _of(models.positions, self.account_id).where(models.positions.c.status != "closed")
        positions = [rows.position_from(row) for row in self._all(open_ones)]
        positions.sort(key=lambda p: int(p.position_id.rpartition("-")[2]))
        book = Book(self)
        book.load(orders, fills, positions)
        return book

    def fills_after(self, seq: int) -> list[tuple[int, Fill]]:
        """The fills booked after a journal row, in the order they were booked, with their numbers."""
        table = models.order_journal
        query = _of(table, self.account_id).where(table.c.seq > seq, literal_column(f"kind = '{FILL_BOOKED}'"))
        found = self._all(query.order_by(table.c.seq))
        return [(row["seq"], Fill(**from_json(Fill, json.loads(row["payload"])["fill"]))) for row in found]

    def last_written_at(self) -> datetime | None:
        """Exchange time of the last journal row that a living session or a person caused: a start that got no further
        than noting a crash lets nobody be alive."""
        table = models.order_journal
        mine = (table.c.account_id == self.account_id) & (table.c.kind != f"session.{SessionStatus.CRASHED}")
        found = self._all(select(table.c.at).where(mine).order_by(table.c.seq.desc()).limit(1))
        at: datetime | None = found[0]["at"] if found else None
        return at

    def first_journal_kind(self) -> str | None:
        """How these books began."""
        table = models.order_journal
        found = self._all(select(table.c.kind).where(table.c.account_id == self.account_id, table.c.seq == 1))
        kind: str | None = found[0]["kind"] if found else None
        return kind

    def protection_is_waived(self) -> bool:
        """Whether the last session, when it last began or went on, was asked to place no exits."""
        table = models.order_journal
        mine = (table.c.account_id == self.account_id) & table.c.kind.in_(DECIDES_WAIVER)
        found = self._all(select(table.c.kind).where(mine).order_by(table.c.seq.desc()).limit(1))
        return bool(found) and found[0]["kind"] == WAIVED

    def has_report(self) -> bool:
        """Whether a recovery of these books was ever finished."""
        return bool(
            self._all(
                select(models.recovery_reports.c.seq)
                .where(models.recovery_reports.c.account_id == self.account_id)
                .limit(1)
            )
        )

    def last_snapshot(self) -> Any:
        """The newest account snapshot's row, or None."""
        table = models.account_snapshots
        found = self._all(_of(table, self.account_id).order_by(table.c.seq.desc()).limit(1))
        return found[0] if found else None

    def sessions(self, *statuses: SessionStatus) -> list[Session]:
        """Sessions, newest first; of these statuses, or all."""
        query = _of(models.trading_sessions, self.account_id)
        if statuses:
            query = query.where(models.trading_sessions.c.status.in_([s.value for s in statuses]))
        found = self._all(query.order_by(models.trading_sessions.c.start_time.desc()))
        return [rows.session_from(row) for row in found]

    def session(self, session_id: str) -> Session | None:
        found = self._all(
            _of(models.trading_sessions, self.account_id).where(models.trading_sessions.c.session_id == session_id)
        )
        return rows.session_from(found[0]) if found else None

    def strategy_state(self, session_id: str) -> StoredState | None:
        table = models.strategy_states
        found = self._all(_of(table, self.account_id).where(table.c.session_id == session_id))
        if not found:
            return None
        row = found[0]
        if hashlib.sha256(row["state"].encode()).hexdigest() != row["state_hash"]:
            return None  # damaged: rebuilt from bars
        return StoredState(row["version"], row["last_bar"], row["seq"], json.loads(row["state"]))

    def blocks(self) -> list[Block]:
        """What was last told of blocks that no other table shows."""
        found = self._all(_of(models.blocks, self.account_id).order_by(models.blocks.c.symbol, models.blocks.c.kind))
        return [Block(row["symbol"], row["kind"], row["reason"], row["way_out"]) for row in found]

    def has_guessed(self, since: datetime) -> bool:
        """Whether shares traded since then stand at a price that only their order's average tells."""
        table = models.fills
        guesses = select(table.c.at).where(
            table.c.account_id == self.account_id, table.c.at > since, table.c.inferred.is_(True)
        )
        return bool(self._all(guesses.limit(1)))

    def is_adjusted_by(self, activity_id: str) -> bool:
        """Whether an adjustment of the books refers to this activity."""
        table = models.order_journal
        adjustments = select(table.c.payload).where(
            table.c.account_id == self.account_id, table.c.kind == "position.adjusted"
        )
        return any(activity_id in row["payload"] for row in self._all(adjustments))

    def commands(self) -> list[Command]:
        """What people have asked for and is not closed, oldest first."""
        return CommandRows(self._database).open(self.account_id)

    def active_halts(self) -> list[Halt]:
        return [
            Halt(row["raised_seq"], row["symbol"], row["reason"], row["raised_at"], json.loads(row["evidence"]))
            for row in self._all(_HALTS, account=self.account_id)
        ]


def _of(table: Any, account_id: str) -> Select[Any]:
    return select(table).where(table.c.account_id == account_id)


def _among(table: Any, column: str) -> Select[Any]:
    keys: BindParameter[Any] = bindparam("keys", expanding=True)
    return select(table).where(table.c.account_id == bindparam("account"), table.c[column].in_(keys))


def _by(table: Any, column: str) -> Select[Any]:
    """What the book asks again and again, made once: making a query costs more than the read."""
    return select(table).where(table.c.account_id == bindparam("account"), table.c[column] == bindparam("key"))


_HALTS = (
    select(models.halts)
    .where(models.halts.c.account_id == bindparam("account"), models.halts.c.lifted_at.is_(None))
    .order_by(models.halts.c.raised_seq)
)
_ORDER = _by(models.orders, "client_order_id")
_ORDER_BY_BROKER_ID = _by(models.orders, "broker_order_id")
_ORDERS = _among(models.orders, "client_order_id")
_ORDERS_BY_BROKER_ID = _among(models.orders, "broker_order_id")
_FILLS = _by(models.fills, "client_order_id")
_FILLS_OF = _among(models.fills, "client_order_id")
_POSITION = _by(models.positions, "position_id")


def find_account(database: Database, label: str) -> StoredAccount | None:
    """The account bound to this label."""
    return _account_where(database, models.accounts.c.label == label)


def find_account_by_id(database: Database, account_id: str) -> StoredAccount | None:
    return _account_where(database, models.accounts.c.account_id == account_id)


def _account_where(database: Database, condition: Any) -> StoredAccount | None:
    with database.connect() as connection:
        row = connection.execute(select(models.accounts).where(condition)).mappings().first()
    if row is None:
        return None
    values = {name: row[name] for name in StoredAccount.__slots__ if name != "head"}
    return StoredAccount(**values, head=Head(row["seq"], row["hash"]))
