"""The exchanges of tests/paper_exchange, in process (`desk`, `open_desk`) and as processes (`start_server`)."""

from ..paper_exchange.conftest import desk, open_desk, start_server

__all__ = ["desk", "open_desk", "start_server"]
