"""Account configurations (reference 3.4): what may be set, and to what."""

from typing import Any

from gambler_ai.paper_exchange.refusal import Refused

DEFAULTS: dict[str, Any] = {
    "fractional_trading": True,
    "max_margin_multiplier": "4",
    "no_shorting": False,
    "suspend_trade": False,
    "trade_confirm_email": "all",
    "ptp_no_exception_entry": False,
    "max_options_trading_level": None,
    "disable_overnight_trading": False,
}
_WORDS = {"max_margin_multiplier": ("1", "2", "4"), "trade_confirm_email": ("all", "none")}


def patched(now: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """The configurations after a PATCH. Nulls and unknown names are ignored; a bad value is 400."""
    result = dict(now)
    for name, value in wanted.items():
        if value is None or name not in DEFAULTS:
            continue
        if name in _WORDS:
            value = str(value)
            sound = value in _WORDS[name]
        elif name == "max_options_trading_level":
            sound = value in (0, 1, 2, 3) and not isinstance(value, bool)
            value = int(value) if sound else value
        else:
            sound = isinstance(value, bool)
        if not sound:
            raise Refused(400, 40010000, f"invalid {name}")
        result[name] = value
    return result
