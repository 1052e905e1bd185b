"""The exchanges of tests/paper_exchange: in process (`desk`, `moving`, `open_desk`) and as processes."""

from ..paper_exchange.conftest import desk, moving, open_desk, start_server

__all__ = ["desk", "moving", "open_desk", "start_server"]
