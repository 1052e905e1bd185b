"""Limits at the door: requests a minute, connections, symbols, feeds. All off unless somebody sets them.

Sources disagree on most of it, so each is set at the start or by the lab (`/_lab/limits`), and stored.
"""

from dataclasses import asdict, dataclass
from typing import Any

from gambler_ai.paper_exchange.fields import SETTING, read_fields, seconds, whole


@dataclass(slots=True)
class Limits:
    """Numbers of 0 mean no limit; seconds are wall time."""

    requests_per_minute: int = 0  # section 9: 200 on Alpaca, by key, trading and data counted apart
    rate_headers: bool = True  # section 9: may be missing
    stream_connections: int = 0  # section 8: 1 is what clients assume
    stream_slot_seconds: float = 0.0  # section 8: how long an unclean loss keeps its slot
    data_connections: int = 0  # section 11: 1 on the basic plan, error 406
    data_symbols: int = 0  # section 11: 30 for trades and quotes on the free plan, error 405
    data_auth_seconds: float = 10.0  # section 11: error 404 after it
    data_scope: bool = True  # section 11: without it error 411 at the authentication
    sip: bool = True  # sections 10 and 11: without it recent SIP data is 403, the SIP socket error 409
    updated_bars: bool = False  # section 11: every bar is told again with the next one, as after late trades

    def set(self, wanted: dict[str, Any]) -> None:
        """Set some by name, given as JSON or as text; UsageError for one that cannot be, and then nothing is set."""
        for name, value in read_fields("limits", wanted, _KINDS).items():
            setattr(self, name, value)

    def show(self) -> dict[str, Any]:
        """All of them, as JSON."""
        return asdict(self)


_COUNT, _SECONDS = whole(0, 10**9), seconds(0, 10**9)
_KINDS = {
    "requests_per_minute": _COUNT,
    "rate_headers": SETTING,
    "stream_connections": _COUNT,
    "stream_slot_seconds": _SECONDS,
    "data_connections": _COUNT,
    "data_symbols": _COUNT,
    "data_auth_seconds": _SECONDS,
    "data_scope": SETTING,
    "sip": SETTING,
    "updated_bars": SETTING,
}
