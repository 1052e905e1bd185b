"""Structured log lines: on stderr for people, as JSON elsewhere, and as JSON in a file; secrets are masked in all.

Lines of the libraries go the same way, so that there is one place to read after a bad day.
"""

import contextlib
import logging
import re
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any

from gambler_ai.log_file import LogFile

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_SECRET_NAME = re.compile(r"secret|password|passwd|authorization|api.?key|key.?id|lab.?token", re.IGNORECASE)
_IN_URL = re.compile(r"(://[^/\s:@]*:)[^/\s@]+(@)")
_HIDDEN = "***"
_secrets: set[str] = set()
_about: dict[str, str] = {}
_threshold: int | None = None


def hide(secret: str) -> None:
    """Never let this text appear in a log line of this process."""
    if len(secret) >= 4:
        _secrets.add(secret)


def about(**fields: str) -> None:
    """What every line of this process says from now on: which session it trades."""
    _about.update(fields)


def masked(text: str) -> str:
    """Without any secret that is known, and without the password of an address."""
    for secret in _secrets:
        text = text.replace(secret, _HIDDEN)
    return _IN_URL.sub(rf"\1{_HIDDEN}\2", text)


def _clean(name: str, value: Any) -> Any:
    """By name and by value, however deep."""
    if isinstance(value, Mapping):
        return {key: _clean(str(key), inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean(name, inner) for inner in value]
    if _SECRET_NAME.search(name) and value:
        return _HIDDEN
    return value if value is None or isinstance(value, bool | int | float) else masked(str(value))


def _mask(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {name: _clean(name, value) for name, value in event.items()}


class _Keep:
    """A processor that writes the line to the file as well."""

    def __init__(self, file: LogFile, render: Any) -> None:
        self._file, self._render = file, render

    def __call__(self, logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        self._file.write(self._render(logger, method, dict(event)))
        return event


class _FromLibraries(logging.Handler):
    """Lines of the standard library's logging, in our form and masked like ours."""

    def emit(self, record: logging.LogRecord) -> None:
        fields = {}
        if record.exc_info:
            fields["error"] = logging.Formatter().formatException(record.exc_info)
        level = next((name for name, number in _LEVELS.items() if number >= record.levelno), "error")
        Logger(record.name)._log(level, record.getMessage(), fields)


def configure(level: str = "info", file: Path | None = None) -> None:
    """Set up structlog once. Lines go to stderr, so that stdout holds answers only, and to `file`."""
    import structlog

    global _threshold
    number = _LEVELS[level]
    as_json = structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _mask,
            *([_Keep(LogFile(file), as_json)] if file else []),
            structlog.dev.ConsoleRenderer(pad_event_to=24) if sys.stderr.isatty() else as_json,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=lambda *_names: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(level=logging.WARNING, handlers=[_FromLibraries()], force=True)
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

        told = {name: value for name, value in (_about | fields).items() if value is not None}
        getattr(structlog.get_logger(), method)(event, room=self._name, **told)

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
