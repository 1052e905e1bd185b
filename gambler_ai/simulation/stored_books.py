"""The database as anybody may read it, kept up to date by reading only what the journal says has changed."""

import contextlib
import json
import sqlite3
from collections.abc import Iterable, Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from gambler_ai.domain.market import parse_time
from gambler_ai.operations import invariants
from gambler_ai.operations.invariants import Intent
from gambler_ai.simulation.strategy import NAME
from gambler_ai.storage.columns import Amount
from gambler_ai.storage.models import metadata

ZERO = Decimal(0)
_ORDER = (
    "SELECT client_order_id, role, symbol, status, attempts, session_id, owner, decision_key, qty, filled_qty, side "
    "FROM orders WHERE client_order_id = ?"
)
_STOPS = (
    "SELECT 1 FROM halts WHERE lifted_at IS NULL AND (symbol IS NULL OR symbol = ?) UNION ALL "
    "SELECT 1 FROM commands WHERE result IS NULL AND kind IN ('halt', 'flatten') AND (symbol IS NULL OR symbol = ?)"
)
_TOLD = (
    "SELECT symbol, reason, way_out FROM blocks UNION ALL "
    "SELECT coalesce(symbol, '*'), reason, 'gambler unhalt' FROM halts WHERE lifted_at IS NULL"
)


class Head(NamedTuple):
    """Where the journal ends, and the token of whoever may write."""

    seq: int
    hash: str
    token: int


class StoredBooks:
    """`intents` by client order id; `filled` and `held` are signed shares by symbol; `broken` is what is wrong with the
    journal itself; `adjusted_by` are the ids of activities by which positions were adjusted,
    `halted_by` rows of the policy and what they said."""

    def __init__(self, file: Path) -> None:
        self._database = sqlite3.connect(file, isolation_level=None)
        self._head = Head(0, "0" * 64, 0)
        self._signed: dict[str, Decimal] = {}
        self._sessions: dict[str, str | None] = {}
        self._steps: list[str] = []
        self.intents: dict[str, Intent] = {}
        self.rejected_at: dict[str, datetime] = {}
        self.filled: dict[str, Decimal] = {}
        self.held: dict[str, Decimal] = {}
        self.unproven: list[str] = []
        self.adjusted_by: list[str] = []
        self.halted_by: list[tuple[str, str]] = []
        self.broken: list[str] = []

    def close(self) -> None:
        self._database.close()

    def head(self) -> Head:
        row = self._database.execute("SELECT seq, hash, lease_token FROM accounts").fetchone()
        return Head(*row) if row else self._head

    def has_sessions(self) -> bool:
        """Of our strategy: what was rebuilt for an owner can only be read."""
        query = "SELECT 1 FROM trading_sessions WHERE strategy = ?"
        return self._database.execute(query, (NAME,)).fetchone() is not None

    def copy_to(self, file: Path) -> None:
        with contextlib.closing(sqlite3.connect(file)) as copy:
            self._database.backup(copy)

    def is_stopped(self, symbol: str) -> bool:
        """By a halt, or by a halt or flatten that somebody asked for."""
        return self._database.execute(_STOPS, (symbol, symbol)).fetchone() is not None

    def is_halted(self) -> bool:
        return self._database.execute("SELECT 1 FROM halts WHERE lifted_at IS NULL").fetchone() is not None

    def commands(self) -> dict[str, tuple[str, str | None]]:
        """By id: kind, and the result when it is closed."""
        rows = self._database.execute("SELECT id, kind, result FROM commands ORDER BY requested_at")
        return {row[0]: (row[1], row[2]) for row in rows}

    def refresh(self) -> list[str]:
        """Read what was written since; the client order ids of the orders it was about."""
        rows = self._database.execute(
            "SELECT seq, prev_hash, hash, kind, client_order_id, session_id, symbol, status, wall_at "
            "FROM order_journal WHERE seq > ? ORDER BY seq",
            (self._head.seq,),
        ).fetchall()
        changed: dict[str, None] = {}
        for seq, prev, own, kind, name, session, symbol, status, wall_at in rows:
            if seq != self._head.seq + 1 or prev != self._head.hash:
                self.broken.append(f"row {seq} does not follow row {self._head.seq}")
            self._head = Head(seq, own, 0)
            if kind.startswith(("order.", "fill.")):
                changed[name] = None
            if status == "REJECTED":
                self.rejected_at[name] = parse_time(wall_at)
            if kind.startswith("session.") and session:
                self._session_steps(session, kind.removeprefix("session."))
            if kind == "halt.raised":
                self._halted_by(seq)
            if kind == "position.adjusted":
                self.adjusted_by += self._evidence(seq)
            if kind == "position.orphaned":
                self.unproven.append(f"{kind} of {symbol} in row {seq}: nothing ever vanishes here")
        if (stored := self.head().seq) < self._head.seq:
            self.broken.append(f"the journal ends at row {stored}, and row {self._head.seq} was read before")
        if rows:
            self._read_orders(changed)
            self._read_positions()
        return list(changed)

    def sessions_stepped(self) -> list[str]:
        """Steps that no session may take, since this was asked the last time."""
        steps, self._steps = self._steps, []
        return steps

    def _session_steps(self, session: str, word: str) -> None:
        if word == "recovered":  # it was over when the books were rebuilt
            self._sessions[session] = "stopped"
            return
        after = "active" if word == "opened" else word
        self._steps += invariants.sessions_step_as_allowed(session, self._sessions.get(session), after)
        self._sessions[session] = after

    def _payload(self, seq: int) -> Any:
        (payload,) = self._database.execute("SELECT payload FROM order_journal WHERE seq = ?", (seq,)).fetchone()
        return json.loads(payload)

    def _evidence(self, seq: int) -> list[str]:
        told: list[str] = self._payload(seq)["evidence"]["activities"]
        return told

    def _halted_by(self, seq: int) -> None:
        told = self._payload(seq)
        said = f"halt of {told['symbol'] or 'the account'} in row {seq}: {told['reason']}"
        self.halted_by.append((told["evidence"]["row"], said))

    def _read_orders(self, names: Iterable[str]) -> None:
        for name in names:
            row = self._database.execute(_ORDER, (name,)).fetchone()
            _, role, symbol, status, attempts, session, owner, key, qty, filled, side = row
            query = "SELECT cum_from, cum_to FROM fills WHERE client_order_id = ?"
            intervals = [(Decimal(a), Decimal(b)) for a, b in self._database.execute(query, (name,))]
            decision = (session or "", owner, role, symbol, key) if key else ()
            self.intents[name] = Intent(
                name,
                role,
                symbol,
                status,
                attempts,
                decision,
                None if qty is None else Decimal(qty),
                Decimal(filled),
                intervals,
            )
            covered = sum((b - a for a, b in intervals), ZERO)
            signed = covered if side == "buy" else -covered
            self.filled[symbol] = self.filled.get(symbol, ZERO) + signed - self._signed.get(name, ZERO)
            self._signed[name] = signed

    def _read_positions(self) -> None:
        self.held = _summed(self._database.execute("SELECT symbol, quantity FROM positions WHERE status <> 'closed'"))

    @property
    def imported(self) -> dict[str, Decimal]:
        """What was there before these books began."""
        return _summed(
            self._database.execute("SELECT symbol, quantity FROM order_journal WHERE kind = 'position.imported'")
        )

    def wants_protection(self) -> dict[str, Decimal]:
        """Unsigned shares of our strategies that asked for an exit."""
        return _summed(
            self._database.execute(
                "SELECT symbol, ltrim(quantity, '-') FROM positions WHERE status <> 'closed' AND owner <> 'EXTERNAL' "
                "AND (stop_loss IS NOT NULL OR take_profit IS NOT NULL)"
            )
        )

    def amounts(self) -> Iterator[tuple[str, object]]:
        """Every amount that is stored anywhere, as the database has it."""
        for table in metadata.sorted_tables:
            for column in table.columns:
                if isinstance(column.type, Amount):
                    query = f"SELECT DISTINCT {column.name} FROM {table.name} WHERE {column.name} IS NOT NULL"
                    yield from ((f"{table.name}.{column.name}", row[0]) for row in self._database.execute(query))

    def told_blocks(self) -> dict[str, list[tuple[str, str]]]:
        """By symbol or "*", what anybody can read: reasons and ways out. A halt's way out is to lift it."""
        told: dict[str, list[tuple[str, str]]] = {}
        for symbol, reason, way_out in self._database.execute(_TOLD):
            told.setdefault(symbol, []).append((reason, way_out))
        return told

    def results(self) -> Iterator[tuple[str, Decimal, Decimal, Decimal]]:
        """By symbol: what positions earned, what the fills have cost, what of that the shares still held have cost."""
        fills = self._database.execute(
            "SELECT o.symbol, o.side, f.cum_from, f.cum_to, f.price FROM fills f JOIN orders o USING (client_order_id)"
        )
        paid: dict[str, Decimal] = {}
        for symbol, side, start, end, price in fills:
            value = (Decimal(end) - Decimal(start)) * Decimal(price)
            paid[symbol] = paid.get(symbol, ZERO) + (value if side == "buy" else -value)
        earned: dict[str, Decimal] = {}
        held: dict[str, Decimal] = {}
        rows = self._database.execute("SELECT symbol, pnl, quantity, entry_price FROM positions")
        for symbol, pnl, quantity, entry in rows:
            earned[symbol] = earned.get(symbol, ZERO) + Decimal(pnl or 0)
            held[symbol] = held.get(symbol, ZERO) + Decimal(quantity) * Decimal(entry)
        before = self.imported
        for symbol in sorted(set(paid) - set(before)):
            yield symbol, earned.get(symbol, ZERO), paid[symbol], held.get(symbol, ZERO)


def _summed(rows: Iterable[tuple[str, str]]) -> dict[str, Decimal]:
    sums: dict[str, Decimal] = {}
    for name, qty in rows:
        sums[name] = sums.get(name, ZERO) + Decimal(qty)
    return sums
