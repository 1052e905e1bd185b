"""A lost database: a new one from what the broker remembers, written in one transaction. Sends nothing.

Killed before that transaction, the database is still empty and the next try begins again; killed after it, the next try
finds the books there and only proves them. Books that have lived are never written over.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from gambler_ai.broker.gateway import BrokerAccount, Gateway
from gambler_ai.crashpoints import crashpoint
from gambler_ai.domain.book import Book
from gambler_ai.domain.differences import Confirmations
from gambler_ai.domain.facts import note, to_json
from gambler_ai.domain.history import History
from gambler_ai.domain.market import iso
from gambler_ai.domain.orders import GROUPS, TERMINAL, BrokerOrder, owner_slug, parse_our_id, status_from_broker
from gambler_ai.domain.rebuilding import Rebuilt, rebuild, span_of
from gambler_ai.domain.reconciliation import Difference
from gambler_ai.errors import AlreadyStored, BrokerUnreachable, HumanNeeded, RateLimited
from gambler_ai.logs import get_logger
from gambler_ai.storage import schema
from gambler_ai.storage.database import Database
from gambler_ai.storage.head_file import HeadFile
from gambler_ai.storage.records import Records, find_account
from gambler_ai.strategies.loading import BUILT_IN
from gambler_ai.trading import opening, turn
from gambler_ai.trading.downtime import amounts_of
from gambler_ai.trading.house import House
from gambler_ai.trading.look import take_look
from gambler_ai.trading.patience import READ_TRIES, read_patiently
from gambler_ai.trading.shutdown import EXIT_DONE, EXIT_NEEDS_A_HUMAN

log = get_logger("rebuilding")

BEGINNING = datetime(1990, 1, 1, tzinfo=UTC)
"""Before any account: Alpaca was founded in 2015."""
LONGEST_S = 60.0
RATE_LIMITED_S = 5.0


@dataclass(frozen=True, slots=True)
class Memory:
    """What the broker remembers, what follows from it, and the account's amounts at that time."""

    history: History
    rebuilt: Rebuilt
    account: BrokerAccount


def recover(house: House, *, dry_run: bool) -> tuple[int, dict[str, Any]]:
    """Rebuild the account's books from the broker's history; 0 when they say what the broker says, 3 when a person is
    needed. Raises AlreadyStored when the database holds books of this account. `dry_run` changes nothing."""
    parts = house.parts
    try:
        unfinished = _refuse_living_books(parts.database, parts.label)
        if dry_run:
            with house.steps.step("meet the broker"):
                at_broker = opening.meet_broker(parts.gateway, parts.clock, house)
            memory = _believed(house, at_broker.account_id)
            return _code(memory, human=False), _report(house, memory, applied=False)
        parts.create_tables = True
        books = house.open(anew=not unfinished)
        memory = _believed(house, books.account.account_id)
        if not unfinished:
            with house.steps.step("write the new books"):
                HeadFile(parts.data_dir, parts.label, parts.database.shown).expect(books.account.account_id)
                _write(house, memory)
        for action in memory.rebuilt.actions:
            if action.halts:
                books.state.raise_halt(action)
        with house.steps.step("prove"):
            recovery, _blocks = house.recovery()
            last = recovery.reconciler.round()
        halts = books.state.records.active_halts()
        report = _report(house, memory, applied=True)
        report["ok"] = not (last.is_open or halts)
        report["report"]["halts"] = [halt.told for halt in halts]
        books.state.report(report, None)
        HeadFile(parts.data_dir, parts.label, parts.database.shown).write(books.account.account_id, books.state.head)
        return _code(memory, human=not report["ok"]), report
    finally:
        house.close()


def _refuse_living_books(database: Database, label: str) -> bool:
    """Whether there are books that an earlier try wrote and did not report. Raises AlreadyStored for any others. Makes
    no file where there is none."""
    if not database.exists or schema.stored_version(database) is None:
        return False
    schema.check(database)
    account = find_account(database, label)
    if account is None or account.head.seq == 0:
        return False
    records = Records(database, account.account_id)
    if records.first_journal_kind() == "epoch.begun" and not records.has_report():
        return True
    away = "drop its schema" if database.file is None else f"move {database.file} away, with its -wal and -shm"
    raise AlreadyStored(
        f"the database {database.shown} is not empty: it has {account.head.seq} journal rows of this account, and "
        "books are never written over. `gambler run` goes on with them; if they are beyond repair, "
        f"{away}, or name another database in GAMBLER_DATABASE_URL, and try again"
    )


def _believed(house: House, account_id: str) -> Memory:
    """Read until every share is explained, or what nobody explains was seen in several looks over the confirmation
    span: one answer may be stale, empty or cut off."""
    rules, clock = house.parts.rules, house.parts.clock
    confirmations = Confirmations(rules.confirm_rounds, rules.confirm_span_s)
    limit: float | None = None
    groups = Groups(house)
    with house.steps.step("read the broker's history"):
        while True:
            memory = _read_patiently(house, account_id, groups)
            limit = limit or clock.monotonic() + 2 * rules.confirm_span_s + LONGEST_S  # a first reading may take long
            doubts, moving = memory.rebuilt.unexplained, memory.history.look.moving
            if not moving and len(confirmations.record(doubts, clock.monotonic())) == len(doubts):
                return memory
            log.info("history.confirming", doubts=len(doubts), moving=sorted(moving))
            if clock.monotonic() > limit:
                raise HumanNeeded(
                    f"the broker's positions keep changing while its history is read ({_named(doubts, moving)}); "
                    "nothing was written. Stop what else trades this account, and try again"
                )
            turn.pause(clock, house, confirmations.wait_s)


@dataclass
class Groups:
    """Which legs hang on which order: told only by the order itself, so a long history asks for many. What has ended
    is asked for once, however often the history is read; a broker that wants us to wait is waited for."""

    house: House
    _known: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def legs_of(self, order: BrokerOrder) -> tuple[str, ...]:
        """Broker ids. Raises BrokerUnreachable when the list shows an order that its own endpoint does not know."""
        name = order.broker_order_id
        if name in self._known:
            return self._known[name]
        head = self._shown(name)
        if head is None:
            raise BrokerUnreachable(f"the list of orders shows {name}, its own endpoint does not")
        legs = tuple(leg.broker_order_id for leg in head.legs)
        if status_from_broker(head.status) in TERMINAL:
            self._known[name] = legs
        return legs

    def _shown(self, name: str) -> BrokerOrder | None:
        parts = self.house.parts
        for _ in range(READ_TRIES):
            try:
                return parts.gateway.order_by_id(name)
            except RateLimited as error:
                log.warning("history.waiting", why=str(error), groups_read=len(self._known))
                seconds = RATE_LIMITED_S if error.retry_after_s is None else error.retry_after_s
                turn.pause(parts.clock, self.house, seconds)
        return parts.gateway.order_by_id(name)


def _named(doubts: tuple[Difference | str, ...], moving: frozenset[str]) -> str:
    return ", ".join(sorted({d if isinstance(d, str) else d.symbol for d in doubts} | moving))


def _read_patiently(house: House, account_id: str, groups: "Groups") -> Memory:
    gateway, clock = house.parts.gateway, house.parts.clock
    try:
        return read_patiently(lambda: _read(gateway, account_id, clock.now(), groups), clock, house)
    except (BrokerUnreachable, RateLimited):
        if house.is_set():
            raise turn.StoppedEarly from None
        raise


def _read(gateway: Gateway, account_id: str, now: datetime, groups: "Groups") -> Memory:
    """Everything, paged to its end; raises and concludes nothing when any read fails or two contradict."""
    sight = take_look(gateway, account_id, Book(), since=BEGINNING, not_before=BEGINNING, now=now)
    legs: dict[str, str] = {}
    for order in sight.look.orders:
        if order.order_class in GROUPS and parse_our_id(order.client_order_id):
            legs |= dict.fromkeys(groups.legs_of(order), order.broker_order_id)
    history = History(sight.look, legs, tuple(gateway.share_changes_since(BEGINNING)))
    rebuilt = rebuild(account_id, history, {owner_slug(name): name for name in BUILT_IN})
    for doubt in rebuilt.unexplained:
        if isinstance(doubt, Difference) and not doubt.theirs and gateway.position(doubt.symbol) is not None:
            raise BrokerUnreachable(f"the list of positions lacks {doubt.symbol}, its own endpoint shows it")
    if rebuilt.unexplained and not sight.look.holdings and sight.account.equity != sight.account.cash:
        raise BrokerUnreachable("the list of positions is empty, but the account's equity says that shares are held")
    return Memory(history, rebuilt, sight.account)


def _write(house: House, memory: Memory) -> None:
    """One transaction: the row that says from what these books were rebuilt, and everything that followed from it."""
    since, _until = span_of(memory.history)
    first = note("epoch.begun", {"rebuilt from": "the broker's history", **_figures(memory)})
    sessions = [note("session.recovered", to_json(one), session_id=one.session_id) for one in memory.rebuilt.sessions]
    crashpoint("epoch.before_commit")
    house.books.state.begin_epoch(
        [first, *sessions, *memory.rebuilt.facts],
        memory.rebuilt.sessions,
        memory.account,
        since=since,
        looked_at=memory.history.look.now,
    )
    crashpoint("epoch.after_commit")
    log.info("books.rebuilt", **{name: value for name, value in _figures(memory).items() if isinstance(value, int)})


def _figures(memory: Memory) -> dict[str, Any]:
    since, until = span_of(memory.history)
    return {
        "account": memory.account.number,
        "from": iso(since),
        "to": iso(until),
        "orders": memory.rebuilt.orders,
        "fills": memory.rebuilt.fills,
        "sessions": [one.session_id for one in memory.rebuilt.sessions],
    }


def _code(memory: Memory, *, human: bool) -> int:
    return EXIT_NEEDS_A_HUMAN if human or any(a.halts for a in memory.rebuilt.actions) else EXIT_DONE


def _report(house: House, memory: Memory, *, applied: bool) -> dict[str, Any]:
    """As `reconcile` reports."""
    plan = [action.as_json() for action in memory.rebuilt.actions]
    return {
        "ok": not any(action.halts for action in memory.rebuilt.actions),
        "applied": plan if applied else [],
        "plan": plan,
        "requests": 0,
        "steps": [[name, seconds] for name, seconds in house.steps.done],
        "report": {**_figures(memory), "halts": [], "amounts": amounts_of(memory.account)},
    }
