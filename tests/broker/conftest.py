import ssl
from collections.abc import Iterator
from typing import Any

import pytest
from raw_server import Connect, RawServer, Script

from gambler_ai.broker.alpaca import AlpacaGateway
from gambler_ai.broker.alpaca_http import Limits
from gambler_ai.broker.endpoint import check_endpoint
from gambler_ai.clock import SystemClock


@pytest.fixture
def connect() -> Iterator[Connect]:
    """connect(script) -> a server that follows the script, and a gateway to it."""
    opened: list[RawServer | AlpacaGateway] = []

    def make(script: Script, tls: ssl.SSLContext | None = None, **options: Any) -> tuple[RawServer, AlpacaGateway]:
        server = RawServer(script, tls)
        options.setdefault("limits", Limits())
        gateway = AlpacaGateway(check_endpoint(server.url), "PKTEST", "sesame", SystemClock(), **options)
        opened.extend((gateway, server))
        return server, gateway

    yield make
    for one in opened:
        one.close()
