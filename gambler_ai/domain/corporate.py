"""R16: shares that changed by a split, a new name or a merger, proven by the account's own activities.

Such an event takes shares under one name and gives shares under another, or the same, in one group of activities. It
explains a difference only when it explains all of it, to the last share.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from gambler_ai.domain import facts
from gambler_ai.domain.adjustments import Adjustment
from gambler_ai.domain.money import ZERO, text
from gambler_ai.domain.reconciliation import Action, Difference, Look


@dataclass(frozen=True, slots=True)
class ShareChange:
    """An activity that moved signed shares without a trade; `group` names the event it belongs to."""

    activity_id: str
    kind: str
    symbol: str
    qty: Decimal
    group: str
    at: datetime


def explained(
    differences: Sequence[Difference], changes: Iterable[ShareChange], look: Look, held: Mapping[str, Decimal]
) -> list[Action]:
    """R16 for each event that explains its symbols' differences exactly; the others stay differences. `held` is what
    the books hold before what the look has found traded is booked: see `goes_first`."""
    open_ones = {d.symbol: d for d in differences}
    events: dict[str, list[ShareChange]] = {}
    for change in changes:
        events.setdefault(change.group or change.activity_id, []).append(change)
    result = []
    for event in events.values():
        moved: dict[str, Decimal] = {}
        for change in event:
            moved[change.symbol] = moved.get(change.symbol, ZERO) + change.qty
        fits = all(
            symbol in open_ones and open_ones[symbol].theirs - open_ones[symbol].ours == qty
            for symbol, qty in moved.items()
            if qty
        )
        if fits and any(moved.values()):
            result.append(_action(event, moved, open_ones, look, held))
            for symbol in moved:
                open_ones.pop(symbol, None)
    return result


def goes_first(action: Action, held: Mapping[str, Decimal]) -> bool:
    """Whether the event took exactly what the books hold now: what is not booked yet was traded in the new shares."""
    change = action.facts[0].subject
    assert isinstance(change, Adjustment)
    return bool(action.evidence["ours"] == text(held.get(change.was or change.symbol, ZERO)))


def _action(
    event: Sequence[ShareChange],
    moved: dict[str, Decimal],
    differences: dict[str, Difference],
    look: Look,
    held: Mapping[str, Decimal],
) -> Action:
    sign = next((q for s in moved if (q := held.get(s) or (differences[s].ours if s in differences else ZERO))), ZERO)
    taken = [c for c in event if c.qty * sign < 0]
    given = [c for c in event if c.qty and c not in taken]
    old, new = (taken or given)[0].symbol, (given or taken)[0].symbol
    before, after = sum((c.qty for c in taken), ZERO), sum((c.qty for c in given), ZERO)
    ours, theirs = (differences[old].ours if old in differences else ZERO), ZERO
    if new in differences:
        theirs = differences[new].theirs
    if taken and held.get(old) == -before:
        ours, theirs = -before, after
    evidence = {
        "symbols": sorted(symbol for symbol in moved if moved[symbol] or symbol in (old, new)),
        "activities": [c.activity_id for c in event],
        "ours": text(ours),
        "broker": text(theirs),
        "pages": "complete",
    }
    ratio = after / -before if before and after and abs(after) != abs(before) else None
    change = Adjustment(
        symbol=new,
        target=theirs,
        price=look.holdings[new].avg_entry_price if new in look.holdings else ZERO,
        at=look.now,
        reason=f"{event[0].kind.lower()} at the broker",
        ratio=ratio,
        was=old if old != new else None,
    )
    reason = f"a {event[0].kind} among the account's activities changed {text(-before)} {old} into {text(after)} {new}"
    return Action("R16", new, "adjust position", reason, evidence, (facts.position_adjusted(change, evidence),))
