"""Identifiers and chance from a seed: the same exchange, asked the same things, answers the same.

A draw is a hash of (seed, kind, counter). The counters are the whole state, so storing a few integers is
enough to continue after a restart without ever repeating an id.
"""

from datetime import datetime
from decimal import Decimal
from hashlib import blake2b

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_VARIANT = "89ab" * 4
_PAIRS = [first + second for first in _CROCKFORD for second in _CROCKFORD]
_TWO_TO_64 = Decimal(2**64)


class Ids:
    """Seeded source of ids and chances. `counters` is plain data to be stored with every transaction."""

    def __init__(self, seed: int, counters: dict[str, int] | None = None) -> None:
        self._seed = seed
        self.counters: dict[str, int] = dict(counters or {})

    def uuid(self, kind: str) -> str:
        """The next id of a kind, in the form of a random UUID."""
        return as_uuid(self._draw(kind, 16))

    def fixed_uuid(self, kind: str, name: str) -> str:
        """The id of a named thing: a function of seed, kind and name alone; moves no counter."""
        return as_uuid(blake2b(f"{self._seed}:{kind}:{name}".encode(), digest_size=16).digest())

    def chance(self, kind: str) -> Decimal:
        """A number at least 0 and below 1, drawn from the stream of this kind."""
        return Decimal(int.from_bytes(self._draw(kind, 8))) / _TWO_TO_64

    def count(self, kind: str) -> int:
        """The next whole number of a kind, from one."""
        self.counters[kind] = self.counters.get(kind, 0) + 1
        return self.counters[kind]

    def uuid_of(self, kind: str, count: int) -> str:
        """The id that a kind's count stands for; moves no counter."""
        return as_uuid(self._digest(kind, count, 16))

    def ulid(self, kind: str, count: int, at: datetime) -> str:
        """An event id: ten characters of time in milliseconds, sixteen of chance; sorts by time. Moves no counter."""
        number = (int(at.timestamp() * 1000) << 80) | int.from_bytes(self._digest(kind, count, 10))
        return "".join([_PAIRS[(number >> shift) & 1023] for shift in range(120, -1, -10)])

    def _draw(self, kind: str, size: int) -> bytes:
        count = self.counters.get(kind, 0) + 1
        self.counters[kind] = count
        return self._digest(kind, count, size)

    def _digest(self, kind: str, count: int, size: int) -> bytes:
        return blake2b(f"{self._seed}:{kind}:{count}".encode(), digest_size=size).digest()


def as_uuid(raw: bytes) -> str:
    """Sixteen bytes as the text of a version 4 UUID."""
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{_VARIANT[raw[8] >> 4]}{text[17:20]}-{text[20:]}"
