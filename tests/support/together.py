"""Cases of one test that run a few at a time, because most of their time is waiting for processes to start."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

AT_ONCE = 3


def chosen(request: pytest.FixtureRequest, test: str) -> list[dict[str, Any]]:
    """The parameters of every case of this test that will run."""
    items = [item for item in request.session.items if isinstance(item, pytest.Function)]
    return [item.callspec.params for item in items if item.originalname == test and item.path == request.path]


@contextmanager
def begun(
    cases: list[dict[str, Any]], run: Callable[..., None], at_once: int = AT_ONCE
) -> Iterator[Callable[..., None]]:
    """Begin `run(**case)` for all of them; gives a function that waits for one and raises what it raised."""

    def key(case: dict[str, Any]) -> str:
        return "-".join(str(case[name]) for name in sorted(case))

    with ThreadPoolExecutor(at_once) as pool:
        running: dict[str, Future[None]] = {key(case): pool.submit(run, **case) for case in cases}
        yield lambda **case: running[key(case)].result()
        pool.shutdown(cancel_futures=True)
