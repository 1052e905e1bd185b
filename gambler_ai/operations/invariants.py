"""Promises of the failure model that hold at every moment, one function each: plain values in, broken promises out.

The simulator asks after every step, from the exchange's own record and from rows read from the database; what must
hold only when everything is at rest is in `proof`. Quantities are shares, signed where nothing else is said.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

ZERO = Decimal(0)
EXITS = frozenset("stxc")
MAX_ATTEMPTS = 5
OURS = EXITS | {"e"}
ROLES = OURS | {"-"}
"""The last one is of somebody else's orders. Legs that the exchange has made have ids of its own, and our roles."""
_OURS = "g1-"
_AMOUNT = re.compile(r"-?\d+(\.\d+)?")
_UNRESOLVED = ("SENDING", "IN_DOUBT")
_SESSION_STEPS = {
    (None, "active"),
    ("active", "active"),
    ("active", "stopped"),
    ("active", "crashed"),
    ("crashed", "active"),
    ("crashed", "stopped"),
    ("stopped", "active"),
}


@dataclass(frozen=True, slots=True)
class Intent:
    """An order as the books have it: `role` by its letter, `decision` what must not become two orders, `intervals` its
    fills (from, to) on the cumulative axis."""

    client_order_id: str
    role: str
    symbol: str
    status: str
    attempts: int
    decision: tuple[str, ...]
    qty: Decimal | None
    filled_qty: Decimal
    intervals: Sequence[tuple[Decimal, Decimal]] = ()


@dataclass(frozen=True, slots=True)
class Executed:
    """Shares of one of our orders, executed at the exchange; `before` and `after` are the account's position."""

    client_order_id: str
    role: str
    symbol: str
    before: Decimal
    after: Decimal


@dataclass(frozen=True, slots=True)
class LiveExit:
    """An exit of ours that may still be executed; members of a `group` share their shares."""

    symbol: str
    group: str
    signed_qty: Decimal


def is_ours(client_order_id: str) -> bool:
    return client_order_id.startswith(_OURS)


def role_of(client_order_id: str) -> str:
    """The letter of an id of ours; empty for others."""
    return client_order_id[len(_OURS)] if is_ours(client_order_id) else ""


def stored_means_stored(promised: Iterable[str], stored: Collection[str]) -> Iterator[str]:
    """I05: what somebody was told is stored, is stored."""
    for name in promised:
        if name not in stored:
            yield f"command {name} was said to be stored, and is not there"


def one_order_per_decision(at_exchange: Iterable[Intent]) -> Iterator[str]:
    """I01, I24: of the intents whose orders the exchange has, no two come from one decision."""
    seen: dict[tuple[str, ...], str] = {}
    for intent in at_exchange:
        if not any(intent.decision):
            continue
        first = seen.setdefault(intent.decision, intent.client_order_id)
        if first != intent.client_order_id:
            yield f"two orders for one decision {' '.join(intent.decision)}: {first} and {intent.client_order_id}"


def every_order_was_intended(at_exchange: Iterable[str], intents: Mapping[str, Intent]) -> Iterator[str]:
    """I02: no order with an id of our form is at the exchange without an intent in the books."""
    for name in at_exchange:
        if is_ours(name) and name not in intents:
            yield f"order {name} is at the exchange, and was never intended"


def may_leave(name: str, intent: Intent | None, sent: int) -> Iterator[str]:
    """I03, I27: a request to submit leaves only while its attempt is committed as SENDING; `sent` counts this one."""
    if intent is None:
        yield f"a request left for {name}, which was never intended"
    elif intent.status != "SENDING" or intent.attempts < sent:
        yield f"attempt {sent} of {name} left while the books say {intent.status} after {intent.attempts}"
    if sent > MAX_ATTEMPTS:
        yield f"{name} was sent {sent} times"


def no_entry_beside_a_doubt(entry: Intent, intents: Iterable[Intent]) -> Iterator[str]:
    """I19: the first attempt of an entry leaves only while no other order of ours in its symbol is in doubt."""
    for other in intents:
        if (
            other.symbol == entry.symbol
            and other.status in _UNRESOLVED
            and other.client_order_id != entry.client_order_id
        ):
            yield f"entry {entry.client_order_id} left while {other.client_order_id} was {other.status}"


def intervals_are_whole(intent: Intent, executed: Decimal) -> Iterator[str]:
    """I07: fills do not overlap, add up to what the order says, and are never more than it has or the exchange did."""
    top = covered = ZERO
    for start, end in sorted(intent.intervals):
        if start < top or end <= start:
            yield f"{intent.client_order_id}: the fill {start}..{end} overlaps what is booked up to {top}"
        top, covered = max(top, end), covered + end - start
    if covered != intent.filled_qty:
        yield f"{intent.client_order_id}: fills cover {covered}, the order says {intent.filled_qty}"
    if intent.qty is not None and covered > intent.qty:
        yield f"{intent.client_order_id}: {covered} shares booked, {intent.qty} ordered"
    if covered > executed:
        yield f"{intent.client_order_id}: {covered} shares booked, {executed} executed"


def refused_means_refused(intent: Intent, is_there: bool) -> Iterator[str]:
    """Rules 5 and 6: REJECTED is written only about an order that the exchange did not take."""
    if intent.status == "REJECTED" and is_there:
        yield f"{intent.client_order_id} was called REJECTED, and the exchange had taken it"


def positions_are_what_was_filled(
    filled: Mapping[str, Decimal], adjusted: Mapping[str, Decimal], held: Mapping[str, Decimal]
) -> Iterator[str]:
    """I06: by symbol, fills and adjustments add up to the open positions."""
    for symbol in sorted({*filled, *adjusted, *held}):
        due = filled.get(symbol, ZERO) + adjusted.get(symbol, ZERO)
        if due != held.get(symbol, ZERO):
            yield f"{symbol}: fills and adjustments give {due}, the positions are {held.get(symbol, ZERO)}"


def exits_do_not_exceed(positions: Mapping[str, Decimal], live: Iterable[LiveExit]) -> Iterator[str]:
    """I10: all live exits of a symbol together close no more than there is, and nothing in the wrong direction."""
    groups: dict[tuple[str, str], Decimal] = {}
    for one in live:
        key = (one.symbol, one.group)
        groups[key] = max(groups.get(key, ZERO), one.signed_qty, key=abs)
    leaving: dict[str, Decimal] = {}
    for (symbol, _), qty in groups.items():
        leaving[symbol] = leaving.get(symbol, ZERO) + qty
    for symbol, qty in sorted(leaving.items()):
        held = positions.get(symbol, ZERO)
        if abs(qty) > abs(held) or qty * held > 0:
            yield f"{symbol}: exits over {qty} shares are live, the position is {held}"


def exits_only_close(executions: Iterable[Executed]) -> Iterator[str]:
    """I11: what protects or leaves never makes a position larger and never turns it round."""
    for one in executions:
        if one.role in EXITS and (abs(one.after) >= abs(one.before) or one.before * one.after < 0):
            yield f"{one.client_order_id} ({one.symbol}) took the position from {one.before} to {one.after}"


def everything_is_protected(wanted: Mapping[str, Decimal], live: Iterable[LiveExit]) -> Iterator[str]:
    """I09, at rest: the shares that want an exit (unsigned, by symbol) have one that works."""
    groups: dict[tuple[str, str], Decimal] = {}
    for one in live:
        key = (one.symbol, one.group)
        groups[key] = max(groups.get(key, ZERO), abs(one.signed_qty))
    for symbol, qty in sorted(wanted.items()):
        covered = sum((shares for (name, _), shares in groups.items() if name == symbol), ZERO)
        if covered != qty:
            yield f"{symbol}: exits for {covered} shares work, {qty} want one"


def sessions_step_as_allowed(session: str, before: str | None, after: str) -> Iterator[str]:
    """I23: active -> stopped or crashed, and back when it is resumed."""
    if (before, after) not in _SESSION_STEPS:
        yield f"session {session} went from {before} to {after}"


def earned_is_what_fills_say(
    symbol: str, earned: Decimal, paid: Decimal, cost_of_held: Decimal, tolerance: Decimal = Decimal("0.000001")
) -> Iterator[str]:
    """I28: results of a symbol's positions are the money that came in, less what the shares still held have cost.
    Average prices end at nine places, hence the tolerance (USD)."""
    due = cost_of_held - paid
    if abs(due - earned) > tolerance:
        yield f"{symbol}: positions earned {earned} USD, the fills say {due}"


def every_order_is_attributed(at_exchange: Iterable[str], intents: Mapping[str, Intent]) -> Iterator[str]:
    """I12, at rest: of every order the exchange has the books say whose it is, by its role."""
    for name in at_exchange:
        if name not in intents:
            yield f"order {name} is nobody's: the books do not have it"
        elif intents[name].role not in (OURS if is_ours(name) else ROLES):
            yield f"order {name} is taken for {intents[name].role!r}"


def amounts_are_exact(amounts: Iterable[tuple[str, object]]) -> Iterator[str]:
    """I21: money and quantities are stored as the text of an exact number, never as a binary one."""
    for where, value in amounts:
        if not isinstance(value, str) or not _AMOUNT.fullmatch(value):
            yield f"{where} is stored as {value!r}"


def secrets_stay_out(files: Iterable[tuple[str, bytes]], secrets: Collection[str]) -> Iterator[str]:
    """I25: nothing that is written anywhere contains a secret."""
    for name, content in files:
        for secret in secrets:
            if secret.encode() in content:
                yield f"{name} contains a secret"


def blocks_are_told(blocks: Mapping[str, str], told: Mapping[str, Collection[tuple[str, str]]]) -> Iterator[str]:
    """I29: why a symbol (or "*") takes no entry can be read from outside, with a reason and a way out."""
    for symbol, why in sorted(blocks.items()):
        if not any(reason and way_out for reason, way_out in told.get(symbol, ())):
            yield f"{symbol} is blocked ({why}), and nobody can read why"
