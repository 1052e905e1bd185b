"""Work in small steps: what takes long yields now and then, so that a server can answer others in between."""

from collections.abc import Generator
from typing import TypeVar

_T = TypeVar("_T")
Work = Generator[None, None, _T]


def finished(work: Work[_T]) -> _T:
    """Do it all at once."""
    while True:
        try:
            next(work)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]
