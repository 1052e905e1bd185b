"""Limits at the door: requests a minute, connections, symbols, feeds. All off unless somebody sets them.

Sources disagree on most of it, so each is set at the start or by the lab (`/_lab/limits`), and stored.
"""

from dataclasses import asdict, dataclass, fields
from decimal import Decimal, InvalidOperation
from typing import Any

from gambler_ai.errors import UsageError

_NONE, _LARGEST = Decimal(-1), Decimal(10) ** 9
_WORDS = {"true": True, "false": False}


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
        read = {name: self._read(name, value) for name, value in wanted.items()}
        for name, value in read.items():
            setattr(self, name, value)

    def show(self) -> dict[str, Any]:
        """All of them, as JSON."""
        return asdict(self)

    def _read(self, name: str, value: Any) -> Any:
        names = [one.name for one in fields(self)]
        if name not in names:
            raise UsageError(f"no limit {name!r}; there are {', '.join(names)}")
        kind, text = type(getattr(self, name)), str(value).lower()
        if kind is bool and text in _WORDS:
            return _WORDS[text]
        try:
            number = Decimal(text) if kind is not bool else _NONE
        except InvalidOperation:
            number = _NONE
        if not number.is_finite() or not 0 <= number < _LARGEST:
            raise UsageError(f"limit {name}: want {'true or false' if kind is bool else 'a number from 0'}")
        return kind(number)
