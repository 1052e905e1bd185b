"""Fields that come and go: what an older or a newer Alpaca might answer (reference 14, quirks 45, 62 and 63)."""

from typing import Any

from gambler_ai.paper_exchange.switches import Switches


def drifted(shown: Any, switches: Switches) -> Any:
    """An order, position or account - or a list of them - with the fields left out and set that two switches name."""
    if not (switches.drop_fields or switches.set_fields):
        return shown
    if isinstance(shown, list):
        return [drifted(one, switches) for one in shown]
    kept = {name: value for name, value in shown.items() if not switches.names("drop_fields", name)}
    if kept.get("legs"):
        kept["legs"] = drifted(kept["legs"], switches)
    words = (word.partition(":") for word in switches.set_fields.split(",") if word)
    return kept | {name: value if colon else None for name, colon, value in words}
