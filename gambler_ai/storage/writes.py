"""Rows beside orders, fills and positions, as statements for the ledger's transactions."""

import hashlib
from collections.abc import Iterable
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Delete, Table, Update, bindparam, delete, insert, literal_column, select, union_all, update

from gambler_ai.clock import Clock
from gambler_ai.domain.blocks import Block
from gambler_ai.domain.sessions import Session
from gambler_ai.errors import BrokerRefusesUs
from gambler_ai.storage import models
from gambler_ai.storage.database import Database
from gambler_ai.storage.journal import GENESIS
from gambler_ai.storage.records import StoredAccount, find_account, find_account_by_id
from gambler_ai.storage.rows import (
    Row,
    Statement,
    canonical,
    deleting,
    inserting,
    prepared,
    session_row,
    updating,
    with_keys,
)

Pair = tuple[Statement, Row]


class Writes:
    """Statements compiled once for one account; each method returns what one table needs."""

    def __init__(self, database: Database, account_id: str) -> None:
        self._account_id = account_id
        compiled = database.is_sqlite
        self._open_session = prepared(inserting, models.trading_sessions, compiled)
        self._update_session = prepared(updating, models.trading_sessions, compiled)
        self._drop_state = prepared(deleting, models.strategy_states, compiled)
        self._put_state = prepared(inserting, models.strategy_states, compiled)
        self._snapshot = prepared(inserting, models.account_snapshots, compiled)
        self._raise_halt = prepared(inserting, models.halts, compiled)
        self._report = prepared(inserting, models.recovery_reports, compiled)
        self._lift_halt = prepared(_lifting, models.halts, compiled)
        self._looked = prepared(_looking, models.accounts, compiled)
        self._close_command = prepared(_closing, models.commands, compiled)
        self._drop_blocks = prepared(_dropping, models.blocks, compiled)
        self._put_block = prepared(inserting, models.blocks, compiled)
        self._epoch = prepared(_beginning, models.accounts, compiled)
        self._stops = _stops_query(compiled)

    def open_session(self, session: Session) -> Pair:
        return self._open_session, session_row(session)

    def update_session(self, session: Session) -> Pair:
        return self._update_session, with_keys(models.trading_sessions, session_row(session))

    def save_state(self, session_id: str, version: int, last_bar: datetime | None, seq: int, state: Any) -> list[Pair]:
        """Replace the strategy's saved state; `seq` is the journal number it belongs to."""
        written = canonical(state)
        row = {
            "account_id": self._account_id,
            "session_id": session_id,
            "version": version,
            "last_bar": last_bar,
            "seq": seq,
            "state": written,
            "state_hash": hashlib.sha256(written.encode()).hexdigest(),
        }
        return [(self._drop_state, with_keys(models.strategy_states, row)), (self._put_state, row)]

    def snapshot(self, seq: int, session_id: str | None, at: datetime, amounts: Row) -> Pair:
        """Equity, cash and buying power in USD at exchange time `at`."""
        keys = {"account_id": self._account_id, "seq": seq, "session_id": session_id, "at": at}
        return self._snapshot, {**keys, **amounts}

    def raise_halt(self, seq: int, symbol: str | None, reason: str, evidence: Any, at: datetime) -> Pair:
        return self._raise_halt, {
            "account_id": self._account_id,
            "raised_seq": seq,
            "symbol": symbol,
            "reason": reason,
            "evidence": canonical(evidence),
            "raised_at": at,
            "lifted_at": None,
            "lifted_reason": None,
        }

    def lift_halt(self, raised_seq: int, reason: str, at: datetime) -> Pair:
        return self._lift_halt, {
            "lifted_at": at,
            "lifted_reason": reason,
            "key_account_id": self._account_id,
            "key_raised_seq": raised_seq,
        }

    def looked(self, at: datetime) -> Pair:
        return self._looked, {"at": at, "key_account_id": self._account_id}

    def epoch(self, since: datetime, looked_at: datetime) -> Pair:
        """These books know everything from `since` on, as of `looked_at`."""
        return self._epoch, {"since": since, "at": looked_at, "key_account_id": self._account_id}

    def report(self, seq: int, at: datetime, report: Any) -> Pair:
        return self._report, {
            "account_id": self._account_id,
            "seq": seq,
            "at": at,
            "report": canonical(report),
        }

    def close_command(self, command_id: str, seq: int, result: Any) -> Pair:
        return self._close_command, {"seq": seq, "result": canonical(result), "key_id": command_id}

    def blocks(self, blocks: Iterable[Block], at: datetime) -> list[Pair]:
        """Replace what is stored of blocks by these."""
        account = {"account_id": self._account_id}
        rows = [
            {**account, "symbol": b.symbol, "kind": b.kind, "reason": b.reason, "way_out": b.way_out, "since": at}
            for b in blocks
        ]
        return [(self._drop_blocks, {"key_account_id": self._account_id}), *((self._put_block, row) for row in rows)]

    def stops(self, cursor: Any) -> list[tuple[str | None, str]]:
        """Inside a transaction: (symbol or None, reason) of every active halt, and of every halt or flatten that was
        asked for and is not closed yet."""
        sql, names = self._stops
        values = {"id": self._account_id, "id_2": self._account_id}
        cursor.execute(sql, [values[n] for n in names] if names is not None else values)
        return [(row[0], row[1]) for row in cursor.fetchall()]


def _lifting(halts: Table) -> Update:
    return (
        update(halts)
        .values(lifted_at=bindparam("lifted_at"), lifted_reason=bindparam("lifted_reason"))
        .where(halts.c.account_id == bindparam("key_account_id"))
        .where(halts.c.raised_seq == bindparam("key_raised_seq"))
    )


def _looking(accounts: Table) -> Update:
    return (
        update(accounts).values(looked_at=bindparam("at")).where(accounts.c.account_id == bindparam("key_account_id"))
    )


def _beginning(accounts: Table) -> Update:
    return (
        update(accounts)
        .values(bound_at=bindparam("since"), looked_at=bindparam("at"))
        .where(accounts.c.account_id == bindparam("key_account_id"))
    )


def _closing(commands: Table) -> Update:
    return (
        update(commands)
        .values(taken_seq=bindparam("seq"), result=bindparam("result"))
        .where(commands.c.id == bindparam("key_id"))
    )


def _dropping(blocks: Table) -> Delete:
    return delete(blocks).where(blocks.c.account_id == bindparam("key_account_id"))


@cache
def _stops_query(is_sqlite: bool) -> tuple[str, list[str] | None]:
    from sqlalchemy.dialects import postgresql, sqlite

    halted = select(models.halts.c.symbol, models.halts.c.reason).where(
        models.halts.c.account_id == bindparam("id"), models.halts.c.lifted_at.is_(None)
    )
    asked = select(models.commands.c.symbol, models.commands.c.reason).where(
        models.commands.c.account_id == bindparam("id_2"),
        models.commands.c.taken_seq.is_(None),
        models.commands.c.kind.in_([literal_column("'halt'"), literal_column("'flatten'")]),
    )
    dialect: Any = sqlite.dialect(paramstyle="qmark") if is_sqlite else postgresql.dialect(paramstyle="pyformat")  # type: ignore[no-untyped-call]
    compiled = union_all(halted, asked).compile(dialect=dialect)
    return str(compiled), list(compiled.positiontup or ()) if is_sqlite else None


def bind_account(
    database: Database, label: str, account_id: str, number: str, endpoint: str, clock: Clock
) -> StoredAccount:
    """The account's row under this label; made on first use. Raises BrokerRefusesUs when the label, or the broker
    account, already belongs to another. A crash before the commit leaves nothing."""
    known = find_account(database, label)
    if known is None and (elsewhere := find_account_by_id(database, account_id)) is not None:
        raise BrokerRefusesUs(
            f"these keys open account {number}, which this database knows as {elsewhere.label!r}, not {label!r}; "
            f"set GAMBLER_ACCOUNT_LABEL={elsewhere.label}"
        )
    if known is not None:
        if known.account_id == account_id:
            return known
        raise BrokerRefusesUs(
            f"these keys open account {number}, but {label!r} in this database is account {known.number}; nothing "
            "was changed. Were the keys changed, or was the paper account reset? Use that account's keys, or begin "
            "anew with another GAMBLER_ACCOUNT_LABEL"
        )
    with database.connect() as connection:
        connection.execute(
            insert(models.accounts).values(
                account_id=account_id,
                label=label,
                number=number,
                endpoint=endpoint,
                bound_at=clock.now(),
                looked_at=clock.now(),
                lease_token=0,
                seq=0,
                hash=GENESIS,
            )
        )
    bound = find_account(database, label)
    assert bound is not None
    return bound
