"""Running indicators over closes, exact and restorable."""

from collections import deque
from collections.abc import Iterable
from decimal import Decimal

from gambler_ai.domain.money import ZERO, amount, text


class SimpleAverage:
    """Mean of the last `length` values; None until there are that many."""

    def __init__(self, length: int, values: Iterable[Decimal] = ()) -> None:
        self._values: deque[Decimal] = deque(maxlen=length)
        self._sum = ZERO
        for value in values:
            self.add(value)

    def add(self, value: Decimal) -> None:
        if len(self._values) == self._values.maxlen:
            self._sum -= self._values[0]
        self._values.append(value)
        self._sum += value

    @property
    def value(self) -> Decimal | None:
        full = len(self._values) == self._values.maxlen
        return self._sum / len(self._values) if full else None

    def save(self) -> list[str]:
        return [text(value) for value in self._values]

    @classmethod
    def restored(cls, length: int, saved: Iterable[str]) -> "SimpleAverage":
        return cls(length, [amount(value) for value in saved])
