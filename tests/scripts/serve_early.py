"""`exchange serve` with a defect: answers leave at once, and are stored up to a fifth of a second later."""

import time

from gambler_ai.paper_exchange.exchange import Exchange
from tests.paper_exchange import serve_for_tests

_commit = Exchange.commit
_last = 0.0


def _late(exchange: Exchange) -> None:
    global _last
    if time.monotonic() - _last > 0.2:
        _commit(exchange)
        _last = time.monotonic()


if __name__ == "__main__":
    Exchange.commit = _late  # type: ignore[method-assign]
    serve_for_tests.main()
