"""What a fault rule may say: the acts, what each of them can be matched by, and how one is read."""

from typing import Any

from gambler_ai.paper_exchange.fields import PATTERN, TEXT, Kind, number, read_fields, seconds, table, whole, word

BEFORE = ("reset_before", "hang_before", "status_before", "delay_before", "html_before")
AFTER = (
    *("reset_after", "hang_after", "status_after", "delay_after", "html_after"),
    *("truncate_after", "trickle_after", "empty", "duplicate"),
)
INSTEAD = ("stale",)
ON_REQUESTS = (*BEFORE, *AFTER, *INSTEAD)
ON_ITEMS = ("ws_mute", "ws_drop", "ws_cut", "ws_delay", "ws_duplicate", "ws_swap")
ON_FRAMES = (*ON_ITEMS, "ws_null", "ws_unknown", "ws_status", "ws_bare")
ON_ORDERS = ("partial_fill", "hold_cancel", "reject")

ITEM_EVENTS = {
    "b": "bar",
    "u": "updatedBar",
    "d": "dailyBar",
    "q": "quote",
    "t": "trade",
    "s": "status",
    "l": "luld",
}
_ORDER_EVENTS = (
    *("new", "fill", "partial_fill", "canceled", "expired", "replaced", "rejected", "accepted", "pending_cancel"),
    *("pending_replace", "order_cancel_rejected", "order_replace_rejected"),
)
_PATH, _SYMBOL = {"path": PATTERN}, {"symbol": TEXT}
_MATCHES: dict[tuple[str, ...], dict[str, Kind]] = {
    ON_REQUESTS: {"method": word("GET", "POST", "PATCH", "DELETE"), **_PATH, **_SYMBOL},
    ON_ITEMS: {"event": word(*_ORDER_EVENTS, *ITEM_EVENTS.values()), **_PATH, **_SYMBOL},
    ON_FRAMES: {"event": word(*_ORDER_EVENTS), **_PATH, **_SYMBOL},
    ON_ORDERS: _SYMBOL,
}
_LONG = 7 * 24 * 3600
_ACT = word(*ON_REQUESTS, *ON_FRAMES, *ON_ORDERS).must()


def read_rule(given: dict[str, Any]) -> dict[str, Any]:
    """The fields of a rule, with its `act` and `match`; UsageError when it makes no sense or could never act."""
    act = read_fields("fault rule", {"act": given.get("act")}, {"act": _ACT})["act"]
    matches = next(known for acts, known in _MATCHES.items() if act in acts)
    late = "delay" in act or act in INSTEAD
    known = {
        "act": _ACT,
        "match": table(f"match of {act}", matches),
        "p": number(0, 1),
        "times": whole(1, 10**9),
        "seconds": seconds(0, _LONG).must() if late else seconds(0, _LONG),
        "code": whole(400, 599),
        "qty": number(0, 10**9, above=True),
    }
    return {"match": {}, **read_fields("fault rule", given, known)}
