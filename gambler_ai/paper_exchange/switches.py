"""What Alpaca does in more than one way, or only by report: one switch per fact that sources do not settle.

The defaults are the documented behaviour; each field names the section of the reference it comes from.
"""

from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any

from gambler_ai.paper_exchange.fields import NAMES, SETTING, SYMBOLS, among, number, read_fields, word


@dataclass(slots=True)
class Switches:
    """Settable at the start and by the lab. Lists are comma separated; seconds are exchange time."""

    oco_loser_status: str = "canceled"  # 5.3: the take-profit after a stop-out
    emit_held_cancel: bool = False  # 5.3: whether a held leg's end is told on the stream
    stop_fires_as_new_order: bool = False  # 5.3: an elected stop leg is replaced by an order that fills
    both_exits_fill: bool = False  # 5.3: a fast market fills both exits
    replace: str = "success"  # 5.4: 200 and done; 200 and then rejected; 422 although done
    replace_original_qty: bool = False  # 5.4: the new order asks for the whole quantity again
    replace_holds_old: bool = False  # 5.4: the old order's shares are not free for the new one
    replace_seconds: Decimal = Decimal(0)  # 5.2 row 14: how long an order is pending_replace
    cancel_seconds: Decimal = Decimal(0)  # 5.5: how long an order is pending_cancel
    cancel_outcome: str = "canceled"  # 5.2 rows 11 and 12: what becomes of a pending cancel
    cancel_when_closed: str = "at_once"  # 5.2 row 10: of a routed order, outside regular hours
    repeat_cancel: str = "refuse"  # 5.5: cancelling what is canceled already
    day_end_status: str = "expired"  # 5.2 row 15
    auction_unfilled: str = "canceled"  # 5.2 row 19
    split_positions: bool = True  # 6: whether a split changes positions
    split_orders: str = "cancel"  # 5.2 row 21; legs are never touched
    multiplier: int = 2  # 3.3: of accounts opened from now on
    legacy_pdt_fields: bool = False  # 3.3: the fields that left the API on 2026-07-06
    drop_fields: str = ""  # 16: fields left out of every order, position and account
    set_fields: str = ""  # 16: fields added to them or changed, as name (null) or name:value
    plain_order_class: str = ""  # 3.1: how a simple order calls its class
    activity_ids: str = "midnight"  # 3.5: what time the id of a non-trade activity carries
    wash_trade_status: int = 403  # 4.3: 422 in reports of 2024
    no_change_status: int = 422  # 5.4: 403 in one report
    halted: str = ""  # 11: symbols whose trading is halted: their orders rest
    inactive: str = ""  # 7: symbols that cannot be traded
    not_fractionable: str = ""  # 7
    not_shortable: str = ""  # 7

    def set(self, wanted: dict[str, Any]) -> None:
        """Set some by name; UsageError for an unknown name or value, and then nothing is set."""
        for name, value in read_fields("switches", wanted, _KINDS).items():
            setattr(self, name, value)

    def show(self) -> dict[str, Any]:
        """All of them, as JSON."""
        plain = {one.name: getattr(self, one.name) for one in fields(self)}
        return {name: str(value) if isinstance(value, Decimal) else value for name, value in plain.items()}

    def names(self, switch: str, name: str) -> bool:
        """Whether a list holds this name."""
        return name in str(getattr(self, switch)).split(",")


_KINDS = {
    "oco_loser_status": word("canceled", "replaced"),
    "emit_held_cancel": SETTING,
    "stop_fires_as_new_order": SETTING,
    "both_exits_fill": SETTING,
    "replace": word("success", "reject", "error_but_done"),
    "replace_original_qty": SETTING,
    "replace_holds_old": SETTING,
    "replace_seconds": number(0, 10**6),
    "cancel_seconds": number(0, 10**6),
    "cancel_outcome": word("canceled", "rejected", "filled"),
    "cancel_when_closed": word("at_once", "at_open"),
    "repeat_cancel": word("refuse", "accept"),
    "day_end_status": word("expired", "canceled"),
    "auction_unfilled": word("canceled", "expired"),
    "split_positions": SETTING,
    "split_orders": word("cancel", "keep"),
    "multiplier": among(1, 2, 4),
    "legacy_pdt_fields": SETTING,
    "drop_fields": NAMES,
    "set_fields": NAMES,
    "plain_order_class": word("", "simple"),
    "activity_ids": word("midnight", "created"),
    "wash_trade_status": among(403, 422),
    "no_change_status": among(422, 403),
    "inactive": SYMBOLS,
    "halted": SYMBOLS,
    "not_fractionable": SYMBOLS,
    "not_shortable": SYMBOLS,
}
