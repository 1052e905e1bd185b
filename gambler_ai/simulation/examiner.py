"""The invariants, after every step and whenever a request leaves: the exchange's own record against the database.

Nothing is asked of the program's memory. What was examined once and has not changed since is not read again.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

from gambler_ai.operations import invariants, proof
from gambler_ai.operations.invariants import Executed, Intent, LiveExit, role_of
from gambler_ai.paper_exchange import wire
from gambler_ai.paper_exchange.book import Order
from gambler_ai.simulation.hand import OWN_SYMBOL, SHARED_SYMBOL
from gambler_ai.simulation.process import LABEL
from gambler_ai.simulation.report import Report, Violation
from gambler_ai.simulation.stored_books import Head, StoredBooks
from gambler_ai.simulation.world import KEYS, World
from gambler_ai.storage.database import Database
from gambler_ai.storage.records import find_account
from gambler_ai.storage.verify import verify
from gambler_ai.trading.emergency_stop import EmergencyStopFile

ZERO = Decimal(0)


class Examiner:
    """Broken promises go into the report, under the step that is being taken."""

    def __init__(self, world: World, report: Report) -> None:
        self._world = world
        self._report = report
        self._books = StoredBooks(world.folder / "books.db")
        self._sent: Counter[str] = Counter()
        self._executed = 0
        self._changed: dict[str, None] = {}
        self._stop_file = EmergencyStopFile.of(world.folder, LABEL)
        self.promised: list[str] = []
        """Ids of commands that somebody was told are stored."""
        self.step = 0
        self._has_forgotten = False

    def close(self) -> None:
        self._books.close()

    def other_books(self, put: Callable[[], None]) -> None:
        """The database becomes another one: what was in it is not there any more, and that is nobody's fault."""
        self._books.close()
        put()
        self._has_forgotten = True
        self._books = StoredBooks(self._world.folder / "books.db")
        self._sent.clear()
        self._changed.clear()
        self.promised[:] = [name for name in self.promised if name in self._books.commands()]

    def back_up(self, file: Path) -> None:
        self._books.copy_to(file)

    def head(self) -> Head:
        return self._books.head()

    def may_resume(self) -> bool:
        return self._books.has_sessions()

    def is_halted(self) -> bool:
        return self._books.is_halted()

    def asked(self) -> list[str]:
        """Kinds of the commands that nobody has closed."""
        return [kind for kind, result in self._books.commands().values() if result is None]

    def was_done(self, command_id: str) -> bool:
        """Whether this command was carried out, and not only closed."""
        _, result = self._books.commands()[command_id]
        return result is not None and json.loads(result)["ok"] is True

    def found(self, invariant: str, detail: str) -> None:
        self._report.violations.append(Violation(self.step, invariant, detail))

    def _all(self, invariant: str, details: Iterable[str]) -> None:
        for detail in details:
            self.found(invariant, detail)

    # --- at every moment ----------------------------------------------------------------------------------------

    def leaves(self, client_order_id: str) -> None:
        """A request to submit is about to leave the process that has the lease."""
        self._changed.update(dict.fromkeys(self._books.refresh()))
        self._sent[client_order_id] += 1
        intent = self._books.intents.get(client_order_id)
        sent = self._sent[client_order_id]
        self._all("I03", invariants.may_leave(client_order_id, intent, sent))
        if intent is None or intent.role != "e":
            return
        if self._stop_file.reason() is not None or self._books.is_stopped(intent.symbol):
            self.found("I15", f"entry {client_order_id} left although new risk is stopped")
        if sent == 1:
            self._all("I19", invariants.no_entry_beside_a_doubt(intent, self._books.intents.values()))

    def stayed(self, client_order_id: str) -> None:
        """No byte of the request that was about to leave did: it was no attempt."""
        self._sent[client_order_id] -= 1

    def after_step(self) -> None:
        changed = [*self._changed, *(name for name in self._books.refresh() if name not in self._changed)]
        self._changed.clear()
        orders = self._orders()
        intents = self._books.intents
        self._all("I04", self._books.broken)
        if not self._has_forgotten:  # else once every order is known again, at the end
            self._all("I02", invariants.every_order_was_intended(orders, intents))
        self._all("I01", invariants.one_order_per_decision(i for name, i in intents.items() if name in orders))
        for name in changed:
            order, intent = orders.get(name), intents[name]
            self._all("I07", invariants.intervals_are_whole(intent, order.filled_qty if order else ZERO))
            self._all("rule 6", invariants.refused_means_refused(intent, self._was_there(intent)))
        books = self._books
        self._all("I06", invariants.positions_are_what_was_filled(books.filled, self._given(), books.held))
        self._all("R6", books.unproven)
        expected = {"command", "R11"} if self._has_forgotten else {"command"}
        self._all("R7", (said for row, said in books.halted_by if row not in expected))
        self._all("I05", invariants.stored_means_stored(self.promised, books.commands()))
        self._all("I23", self._books.sessions_stepped())
        self._all("I11", invariants.exits_only_close(self._new_executions(orders)))
        self._all("I10", invariants.exits_do_not_exceed(self._held(), self._live_exits(orders)))

    def _orders(self) -> dict[str, Order]:
        """Those of the account that the exchange has, by client order id."""
        mine = self._world.exchange.venue.book.by_account.get(self._world.account_id, [])
        return {order.client_order_id: order for order in mine}

    def _given(self) -> dict[str, Decimal]:
        """Signed shares that came or went without a trade and are booked: imports, and what activities prove."""
        given = self._books.imported
        if self._books.adjusted_by:
            venue = self._world.exchange.venue
            entries = venue.book.activities[self._world.account_id]
            changes = {wire.activity_id(one, venue.switches): one for one in entries}
            for name in self._books.adjusted_by:
                symbol, qty = changes[name].symbol or "", changes[name].qty or ZERO
                given[symbol] = given.get(symbol, ZERO) + qty
        return given

    def _was_there(self, intent: Intent) -> bool:
        """Whether the exchange had taken the order when the books said REJECTED."""
        taken = self._world.taken_at.get(intent.client_order_id)
        rejected = self._books.rejected_at.get(intent.client_order_id)
        return taken is not None and rejected is not None and taken <= self._world.when(rejected)

    def _is_ours_alone(self, symbol: str) -> bool:
        """Where another hand trades too, nobody can know what is held when an exit leaves."""
        return symbol != OWN_SYMBOL and not (self._world.nature.is_meddled_with and symbol == SHARED_SYMBOL)

    def _held(self) -> dict[str, Decimal]:
        account = self._world.exchange.venue.accounts[self._world.account_id]
        return {symbol: position.qty for symbol, position in account.positions.items()}

    def _live_exits(self, orders: dict[str, Order]) -> list[LiveExit]:
        """Exits of ours at the exchange, legs that are made by it included."""
        heads = {order.id: order for order in orders.values()}
        found = []
        for order in orders.values():
            head = heads.get(order.group or "", order)
            role = role_of(head.client_order_id)
            if order.is_alive and order.active and role in invariants.EXITS:
                qty = order.remaining or ZERO
                signed = qty if order.side == "buy" else -qty
                if self._is_ours_alone(order.symbol):
                    found.append(LiveExit(order.symbol, order.group or order.id, signed))
        return found

    def _new_executions(self, orders: dict[str, Order]) -> list[Executed]:
        by_id = {order.id: order for order in orders.values()}
        executions = self._world.exchange.venue.book.executions.get(self._world.account_id, [])
        found = []
        for one in executions[self._executed :]:
            before = one.position_qty - (one.qty if one.side == "buy" else -one.qty)
            order = by_id[one.order_id]
            head = by_id.get(order.group or "", order)
            role = role_of(head.client_order_id) if self._is_ours_alone(one.symbol) else ""
            found.append(Executed(one.client_order_id, role, one.symbol, before, one.position_qty))
        self._executed = len(executions)
        return found

    def blocked(self, blocks: dict[str, str]) -> None:
        """When nothing fails any more, whatever blocks the trader can be read from outside, but for the file."""
        if self._stop_file.reason() is None:
            self._all("I29", invariants.blocks_are_told(blocks, self._books.told_blocks()))

    # --- at rest ------------------------------------------------------------------------------------------------

    def at_rest(self) -> None:
        """Books and exchange agree exactly, what wants protection has it, and the journal alone gives the same
        tables."""
        truth = self._world.truth()
        for name in ("orders", "executions", "requests"):
            self._report.happened[name] += len(truth[name])
        if self._world.clock_is_wrong or self._has_forgotten:
            truth = truth | {
                "requests": []
            }  # their intents have times of another clock, or are lost; I03 saw them leave
        if self._has_forgotten:  # an order that came and went without a share, while it was forgotten, is not missed
            known = self._books.intents
            truth = truth | {"orders": [o for o in truth["orders"] if o["client_order_id"] in known or _matters(o)]}
        self._all("I08", proof.compare(truth, self._world.database_url, LABEL, initial_cash=_cash_given(truth)))
        orders = self._orders()
        there = [name for name, order in orders.items() if order.is_alive or order.filled_qty]
        self._all("I12", invariants.every_order_is_attributed(there, self._books.intents))
        self._all("I21", invariants.amounts_are_exact(self._books.amounts()))
        files = ((path.name, path.read_bytes()) for path in self._world.folder.iterdir())
        self._all("I25", invariants.secrets_stay_out(files, KEYS[1:]))
        wanted = {symbol: qty for symbol, qty in self._books.wants_protection().items() if self._is_ours_alone(symbol)}
        self._all("I09", invariants.everything_is_protected(wanted, self._live_exits(orders)))
        for symbol, earned, paid, cost in self._books.results():
            self._all("I28", invariants.earned_is_what_fills_say(symbol, earned, paid, cost))
        database = Database(self._world.database_url)
        try:
            account = find_account(database, LABEL)
            assert account is not None
            verdict = verify(database, account)
        finally:
            database.close()
        if verdict.first_bad_seq is not None:
            self.found("I04", f"the journal is broken at row {verdict.first_bad_seq}")
        self._all("I04", verdict.differences)


def _matters(order: dict[str, Any]) -> bool:
    return Decimal(order["filled_qty"]) > 0 or order["status"] not in ("canceled", "expired", "rejected")


def _cash_given(truth: dict[str, Any]) -> Decimal:
    """USD that came to the account, or left it, without a trade: what it began with, and dividends."""
    return sum((Decimal(one["net_amount"]) for one in truth["activities"] if "net_amount" in one), ZERO)
