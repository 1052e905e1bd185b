"""The one writer of an account's books: sessions, facts, strategy state, halts, checkpoints.

Every method is one transaction; after it returns the change is durable, after it raises nothing of it is.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from gambler_ai.broker.gateway import BrokerAccount
from gambler_ai.clock import Clock
from gambler_ai.crashpoints import crashpoint
from gambler_ai.domain.blocks import Block
from gambler_ai.domain.book import Book
from gambler_ai.domain.facts import Fact, note, to_json
from gambler_ai.domain.fills import Fill
from gambler_ai.domain.reconciliation import ACCOUNT, Action
from gambler_ai.domain.sessions import Session, SessionStatus, may_step
from gambler_ai.errors import Fenced, HumanNeeded
from gambler_ai.storage.commands import Command
from gambler_ai.storage.head_file import Head
from gambler_ai.storage.journal import Ledger
from gambler_ai.storage.records import Halt, Records
from gambler_ai.storage.writes import Pair, Writes
from gambler_ai.trading.emergency_stop import EmergencyStopFile

StrategyState = tuple[str, int, datetime | None, Any]
"""Session id, version, the last bar seen, and what save_state returned."""


class Halted(HumanNeeded):
    """Inside the send transaction a halt was found: nothing was written, nothing may be sent."""


class StateManager:
    """See the module's text."""

    def __init__(
        self, ledger: Ledger, records: Records, writes: Writes, clock: Clock, stop_file: EmergencyStopFile
    ) -> None:
        self._ledger = ledger
        self._writes = writes
        self._clock = clock
        self.stop_file = stop_file
        self.records = records
        self._strategy: Callable[[], StrategyState] | None = None
        self._told: tuple[Block, ...] | None = None

    @property
    def account_id(self) -> str:
        return self._ledger.account_id

    @property
    def book(self) -> Book:
        return self._ledger.book

    @property
    def head(self) -> Head:
        return self._ledger.head

    def open_session(self, session: Session) -> None:
        crashpoint("session.before_open")
        fact = note("session.opened", to_json(session), session_id=session.session_id)
        self._ledger.commit([fact], lambda _seq: [self._writes.open_session(session)])
        crashpoint("session.after_open")

    def begin_epoch(
        self,
        facts: Sequence[Fact],
        sessions: Sequence[Session],
        account: BrokerAccount,
        *,
        since: datetime,
        looked_at: datetime,
    ) -> None:
        """The first transaction of books that were lost: all of them at once."""
        self._ledger.commit(
            facts,
            lambda seq: [
                *(self._writes.open_session(one) for one in sessions),
                self._writes.snapshot(seq, None, looked_at, _amounts(account)),
                self._writes.epoch(since, looked_at),
            ],
        )

    def step_session(self, session: Session, to: SessionStatus, **changes: Any) -> Session:
        """Take the session one allowed step; returns the new one."""
        if not may_step(session.status, to):
            raise HumanNeeded(f"session {session.session_id} cannot go from {session.status} to {to}")
        after = replace(session, status=to, **changes)
        fact = note(f"session.{to.value}", to_json(after), session_id=session.session_id)
        self._ledger.commit([fact], lambda _seq: [self._writes.update_session(after)])
        return after

    def keep_strategy(self, state: Callable[[], StrategyState]) -> None:
        """From now on store this strategy's state with orders, fills and checkpoints."""
        self._strategy = state

    def _strategy_rows(self, seq: int) -> Sequence[Pair]:
        if self._strategy is None:
            return ()
        session_id, version, last_bar, state = self._strategy()
        return self._writes.save_state(session_id, version, last_bar, seq, state)

    def record(self, facts: Sequence[Fact], *, with_strategy: bool = False) -> None:
        """Write facts and the rows they change; with the strategy's state as of now when asked."""
        self._ledger.commit(facts, self._strategy_rows if with_strategy else None)

    def record_intent(self, fact: Fact, *, raises_risk: bool, with_strategy: bool) -> None:
        """Write an order's intent as SENDING. Raises Halted, with nothing written, when new risk is stopped for its
        symbol: by a halt, by a halt command nobody took yet, or by the emergency-stop file."""
        guard = self._refuse_when_stopped(fact.symbol) if raises_risk else None
        self._ledger.commit([fact], self._strategy_rows if with_strategy else None, guard)

    def _refuse_when_stopped(self, symbol: str | None) -> Callable[[Any], None]:
        def guard(cursor: Any) -> None:
            reason = self.stop_file.reason()
            if reason is not None:
                raise Halted(f"the emergency-stop file says: {reason}")
            for scope, why in self._writes.stops(cursor):
                if scope is None or scope == symbol:
                    raise Halted(f"halted: {why}")

        return guard

    def raise_halt(self, action: Action) -> None:
        """A durable stop of new risk for the action's symbol, or for the whole account; for the account the
        emergency-stop file is written first, so that it holds with the database down. Raised once per reason. The
        action's facts are written in the same transaction."""
        symbol = None if action.symbol == ACCOUNT else action.symbol
        evidence = {"row": action.row, **action.evidence}
        wrote = symbol is None and self.stop_file.write(self.account_id, action.reason, self._clock.now(), evidence)
        try:
            self._raise_halt(action, symbol, evidence)
        except Fenced:
            if wrote:
                self.stop_file.remove()  # whoever took the account over decides what stops it
            raise

    def _raise_halt(self, action: Action, symbol: str | None, evidence: Mapping[str, Any]) -> None:
        if self.is_halted(action):
            if action.facts:
                self.record(action.facts)
            return
        payload = {"symbol": symbol, "reason": action.reason, "evidence": evidence}
        self._ledger.commit(
            [note("halt.raised", payload, symbol=symbol), *action.facts],
            lambda seq: [self._writes.raise_halt(seq, symbol, action.reason, evidence, self._clock.now())],
        )

    def apply(self, action: Action, *, with_strategy: bool = False) -> None:
        """What the action says of the books, in one transaction: its facts, and its halt when it has one."""
        if action.halts:
            self.raise_halt(action)
        elif action.facts:
            self.record(action.facts, with_strategy=with_strategy)

    def is_halted(self, action: Action) -> bool:
        """Whether this very halt is in force."""
        symbol = None if action.symbol == ACCOUNT else action.symbol
        return any((h.symbol, h.reason) == (symbol, action.reason) for h in self.records.active_halts())

    def looked(self, at: datetime) -> None:
        """A look at the broker was complete and everything it proved is booked: what is still to be found is later."""
        self._ledger.commit([], lambda _seq: [self._writes.looked(at)])

    def close(self) -> None:
        """Give the held connection back. Nothing may be written afterwards."""
        self._ledger.drop_connection()

    def settle_lost_commit(self) -> Sequence[Fact]:
        """See Ledger; to be called before the book is read for a decision."""
        return self._ledger.settle_lost_commit()

    def take_fills(self) -> list[tuple[int, Fill]]:
        """See Ledger."""
        return self._ledger.take_fills()

    def lift_halt(self, halt: Halt, reason: str) -> None:
        """With the emergency-stop file that was written for this very halt, last: a crash leaves the file, which stops
        too."""
        payload = {"raised_seq": halt.raised_seq, "reason": reason}
        self._ledger.commit(
            [note("halt.lifted", payload, symbol=halt.symbol)],
            lambda _seq: [self._writes.lift_halt(halt.raised_seq, reason, self._clock.now())],
        )
        if halt.symbol is None and self.stop_file.reason() == halt.reason:
            self.stop_file.remove()

    def close_command(self, command: Command, result: Mapping[str, Any]) -> None:
        """What a person asked for is done, or cannot be done; whoever asked reads the result."""
        payload = {"id": command.id, "kind": command.kind, "reason": command.reason, "result": dict(result)}
        self._ledger.commit(
            [note("command.done", payload, symbol=command.symbol)],
            lambda seq: [self._writes.close_command(command.id, seq, result)],
        )

    def tell_blocks(self, blocks: Sequence[Block]) -> None:
        """Let other processes know of blocks that no other table shows; written only when they changed."""
        if self._told is None:
            self._told = tuple(self.records.blocks())
        now = tuple(sorted(blocks, key=lambda b: (b.symbol, b.kind)))
        if now != self._told:
            self._ledger.commit([], lambda _seq: self._writes.blocks(now, self._clock.now()))
            self._told = now

    def checkpoint(self, session_id: str | None, account: BrokerAccount) -> None:
        """Strategy state and the account's amounts, with one journal row."""
        crashpoint("checkpoint.before_commit")
        amounts = _amounts(account)
        fact = note("checkpoint", {k: to_json(v) for k, v in amounts.items()}, session_id=session_id)
        self._ledger.commit(
            [fact],
            lambda seq: [
                *self._strategy_rows(seq),
                self._writes.snapshot(seq, session_id, self._clock.now(), amounts),
            ],
        )
        crashpoint("checkpoint.after_commit")

    def report(self, report: Any, session_id: str | None) -> None:
        """What a recovery found and did, stored for `gambler reconcile --json` and people."""
        crashpoint("recovery.before_report")
        fact = note("recovery.report", {"applied": report["applied"], "ok": report["ok"]}, session_id=session_id)
        self._ledger.commit([fact], lambda seq: [self._writes.report(seq, self._clock.now(), report)])
        crashpoint("recovery.after_report")


def _amounts(account: BrokerAccount) -> dict[str, Decimal]:
    return {"equity": account.equity, "cash": account.cash, "buying_power": account.buying_power}
