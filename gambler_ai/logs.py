"""Structured log lines on stderr, for people on a terminal and as JSON elsewhere; secrets are masked."""

import contextlib
import logging
import sys
from collections.abc import Iterator, MutableMapping
from typing import Any

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_secrets: set[str] = set()
_threshold: int | None = None


def hide(secret: str) -> None:
    """Never let this text appear in a log line of this process."""
    if len(secret) >= 4:
        _secrets.add(secret)


def masked(text: str) -> str:
    for secret in _secrets:
        text = text.replace(secret, "***")
    return text


def _mask(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {key: masked(value) if isinstance(value, str) else value for key, value in event.items()}


def configure(level: str = "info") -> None:
    """Set up structlog once. Lines go to stderr, so that stdout holds answers only."""
    import structlog

    global _threshold
    number = _LEVELS[level]
    pretty = sys.stderr.isatty()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _mask,
            structlog.dev.ConsoleRenderer(pad_event_to=24) if pretty else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(name)s: %(message)s", force=True)
    _threshold = number


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """No lines at all meanwhile: a simulation has thousands of lives, and tells what matters itself."""
    global _threshold
    before, _threshold = _threshold, max(_LEVELS.values()) + 1
    try:
        yield
    finally:
        _threshold = before


class Logger:
    """Imports structlog with the first line, not with the module: `--help` must stay instant."""

    def __init__(self, name: str) -> None:
        self._name = name

    def _log(self, method: str, event: str, fields: dict[str, Any]) -> None:
        if _threshold is None:
            configure("warning")
        if _LEVELS[method] < (_threshold or 0):
            return
        import structlog

        getattr(structlog.get_logger(), method)(event, room=self._name, **fields)

    def debug(self, event: str, **fields: Any) -> None:
        self._log("debug", event, fields)

    def info(self, event: str, **fields: Any) -> None:
        self._log("info", event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        self._log("warning", event, fields)

    def error(self, event: str, **fields: Any) -> None:
        self._log("error", event, fields)


def get_logger(name: str) -> Logger:
    return Logger(name)
