"""Settings: one frozen object, read once: gambler.toml, overridden by environment, overridden by flags."""

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from gambler_ai.domain.policy import (
    EXTERNALS,
    FOREIGN,
    MISMATCH,
    ORPHANS,
    UNPROTECTED,
    Policy,
    one_of,
    parse_externals,
    parse_percent,
    parse_tolerance,
)
from gambler_ai.errors import UsageError
from gambler_ai.logs import hide

FILE = "gambler.toml"
_SYMBOL = re.compile(r"[A-Z][A-Z0-9]{0,9}([./][A-Z0-9]{1,6})?")
_LABEL = re.compile(r"[A-Za-z0-9_-]{1,32}")
_KEYS = {
    "key_id": ("APCA_API_KEY_ID", "ALPACA_API_KEY"),
    "secret_key": ("APCA_API_SECRET_KEY", "ALPACA_SECRET_KEY"),
}
_PLAIN = {
    "base_url": "APCA_API_BASE_URL",
    "data_url": "APCA_API_DATA_URL",
    "stream_url": "APCA_API_STREAM_URL",
    "database_url": "GAMBLER_DATABASE_URL",
    "data_dir": "GAMBLER_DATA_DIR",
    "account_label": "GAMBLER_ACCOUNT_LABEL",
    "symbols": "GAMBLER_SYMBOLS",
    "log_level": "GAMBLER_LOG_LEVEL",
    "log_file": "GAMBLER_LOG_FILE",
    "settle_s": "GAMBLER_SETTLE_S",
    "confirm_span_s": "GAMBLER_CONFIRM_SPAN_S",
    "confirm_rounds": "GAMBLER_CONFIRM_ROUNDS",
    "look_every_s": "GAMBLER_LOOK_EVERY_S",
    "signal_ttl_s": "GAMBLER_SIGNAL_TTL_S",
    "schedule_poll_s": "GAMBLER_SCHEDULE_POLL_S",
    "restart_wait_s": "GAMBLER_RESTART_WAIT_S",
    "orphans": "GAMBLER_ORPHANS",
    "mismatch": "GAMBLER_MISMATCH",
    "externals": "GAMBLER_EXTERNALS",
    "foreign": "GAMBLER_FOREIGN",
    "qty_tolerance": "GAMBLER_QTY_TOLERANCE",
    "strict": "GAMBLER_STRICT",
    "fail_fast": "GAMBLER_FAIL_FAST",
    "halt_on_insufficient": "GAMBLER_HALT_ON_INSUFFICIENT",
    "no_protect": "GAMBLER_NO_PROTECT",
    "protect_external_pct": "GAMBLER_PROTECT_EXTERNAL_PCT",
    "unprotected": "GAMBLER_UNPROTECTED",
}


@dataclass(frozen=True, slots=True, repr=False)
class Settings:
    """Everything a run depends on. `key_id` None = no keys: the local exchange of `data_dir` is used.

    Seconds: `settle_s` before an order that cannot be found counts as absent; `confirm_span_s` and `confirm_rounds`
    before a difference without evidence is believed; `look_every_s` between looks beside the session; `signal_ttl_s`
    exchange seconds after its bar in which a signal may still be traded; `schedule_poll_s` between two looks of the
    scheduler at the exchange's clock; `restart_wait_s` from the first start of a session's process to the second, each
    later wait is four times as long. `policy`: what recovery may do with what
    nobody explains.
    """

    data_dir: Path
    database_url: str
    account_label: str
    symbols: tuple[str, ...]
    key_id: str | None
    secret_key: str | None
    base_url: str | None
    data_url: str | None
    stream_url: str | None
    log_level: str
    log_file: Path | None
    settle_s: float
    confirm_span_s: float
    confirm_rounds: int
    look_every_s: float
    signal_ttl_s: float
    schedule_poll_s: float
    restart_wait_s: float
    policy: Policy
    default_database: bool

    def make_data_dir(self) -> None:
        """Create `data_dir` if it is not there. Raises UsageError when it cannot be made or written."""
        try:
            self.data_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"the data directory {self.data_dir} cannot be made ({error.strerror}); set GAMBLER_DATA_DIR"
            ) from error
        if not os.access(self.data_dir, os.W_OK):
            raise UsageError(
                f"the data directory {self.data_dir} is not writable by this user; set GAMBLER_DATA_DIR to one that is"
            )

    def __repr__(self) -> str:
        return f"Settings(account_label={self.account_label!r}, data_dir={str(self.data_dir)!r})"


DEFAULTS: dict[str, str] = {
    "account_label": "default",
    "symbols": "SPY",
    "log_level": "info",
    "settle_s": "60",
    "confirm_span_s": "20",
    "confirm_rounds": "3",
    "look_every_s": "60",
    "signal_ttl_s": "120",
    "schedule_poll_s": "5",
    "restart_wait_s": "2",
    "orphans": "close",
    "mismatch": "halt",
    "externals": "import",
    "foreign": "respect",
    "qty_tolerance": "0",
    "strict": "no",
    "fail_fast": "no",
    "halt_on_insufficient": "no",
    "no_protect": "no",
    "protect_external_pct": "0",
    "unprotected": "hold",
}


def read_settings(
    environ: Mapping[str, str] | None = None,
    directory: Path | None = None,
    flags: Mapping[str, str | None] | None = None,
) -> Settings:
    """Read and check everything; raises one UsageError that lists all problems."""
    environ = os.environ if environ is None else environ
    problems: list[str] = []
    values: dict[str, str] = dict(DEFAULTS)
    values |= _from_file((directory or Path.cwd()) / FILE, problems)
    for name, variable in _PLAIN.items():
        if environ.get(variable):
            values[name] = environ[variable]
    for name, variables in _KEYS.items():
        found = {environ[v] for v in variables if environ.get(v)}
        if len(found) > 1:
            problems.append(f"{' and '.join(variables)} are both set and differ; keep one")
        elif found:
            values[name] = found.pop()
    values |= {name: value for name, value in (flags or {}).items() if value is not None}
    for name in _KEYS:
        hide(values.get(name, ""))
    settings = _checked(values, problems)
    if problems or settings is None:
        raise UsageError("the settings are not usable:\n" + "\n".join(f"  - {problem}" for problem in problems))
    return settings


def _from_file(path: Path, problems: list[str]) -> dict[str, str]:
    if not path.exists():
        return {}
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        problems.append(f"{path}: {error}")
        return {}
    unknown = sorted(set(content) - set(_PLAIN))
    if unknown:
        problems.append(f"{path}: unknown settings {', '.join(unknown)}; known: {', '.join(sorted(_PLAIN))}")
    return {
        name: ",".join(map(str, value)) if isinstance(value, list) else str(value)
        for name, value in content.items()
        if name in _PLAIN
    }


def parse_symbols(text: str) -> tuple[str, ...]:
    """`AAPL,MSFT` as symbols, in order. Raises UsageError that says which part is wrong."""
    parts = [part.strip().upper() for part in text.split(",")]
    if not text.strip() or "" in parts:
        raise UsageError(f"the symbol list {text!r} has an empty part; write symbols like SPY,AAPL,MSFT")
    wrong = [part for part in parts if not _SYMBOL.fullmatch(part)]
    if wrong:
        raise UsageError(f"{', '.join(map(repr, wrong))} in {text!r} is not a symbol; write symbols like SPY,AAPL,MSFT")
    double = sorted({part for part in parts if parts.count(part) > 1})
    if double:
        raise UsageError(f"{', '.join(double)} stands twice in {text!r}")
    return tuple(parts)


def _checked(values: Mapping[str, str], problems: list[str]) -> Settings | None:
    def take(name: str, read: Callable[[str], Any]) -> Any:
        try:
            return read(values[name])
        except UsageError as error:
            problems.append(str(error))
        except (ValueError, InvalidOperation):
            problems.append(f"{_PLAIN.get(name, name)}={values[name]!r}: {_EXPECTED.get(name, 'not a valid value')}")
        return None

    data_dir = Path(values["data_dir"]).expanduser().absolute() if values.get("data_dir") else _default_data_dir()
    explicit = values.get("database_url")
    if bool(values.get("key_id")) != bool(values.get("secret_key")):
        have, lack = ("key_id", "secret_key") if values.get("key_id") else ("secret_key", "key_id")
        problems.append(f"{_KEYS[have][0]} is set, but {_KEYS[lack][0]} is not; set both, or neither")
    settings = Settings(
        data_dir=data_dir,
        database_url=explicit or f"sqlite:///{data_dir / 'gambler.db'}",
        account_label=take("account_label", _label),
        symbols=take("symbols", parse_symbols),
        key_id=values.get("key_id"),
        secret_key=values.get("secret_key"),
        base_url=values.get("base_url"),
        data_url=values.get("data_url"),
        stream_url=values.get("stream_url"),
        log_level=take("log_level", _level),
        log_file=_log_file(values.get("log_file"), data_dir),
        settle_s=take("settle_s", _seconds),
        confirm_span_s=take("confirm_span_s", _seconds),
        confirm_rounds=take("confirm_rounds", _count),
        look_every_s=take("look_every_s", _seconds),
        signal_ttl_s=take("signal_ttl_s", _seconds),
        schedule_poll_s=take("schedule_poll_s", _seconds),
        restart_wait_s=take("restart_wait_s", _seconds),
        policy=Policy(
            orphans=take("orphans", lambda text: one_of(text, ORPHANS)),
            mismatch=take("mismatch", lambda text: one_of(text, MISMATCH)),
            externals=take("externals", parse_externals),
            foreign=take("foreign", lambda text: one_of(text, FOREIGN)),
            qty_tolerance=take("qty_tolerance", parse_tolerance),
            strict=take("strict", _yes_or_no),
            fail_fast=take("fail_fast", _yes_or_no),
            halt_on_insufficient=take("halt_on_insufficient", _yes_or_no),
            no_protect=take("no_protect", _yes_or_no),
            protect_external_pct=take("protect_external_pct", parse_percent),
            unprotected=take("unprotected", lambda text: one_of(text, UNPROTECTED)),
        ),
        default_database=not explicit,
    )
    if settings.policy.no_protect and (
        settings.policy.protect_external_pct or settings.policy.unprotected == "flatten"
    ):
        problems.append(
            "no_protect contradicts protect_external_pct and unprotected=flatten: without protection nothing is "
            "protected, and nothing sold for the want of it; keep one"
        )
    return None if problems else settings


_EXPECTED = {
    "account_label": "1 to 32 letters, digits, _ or -",
    "log_level": "debug, info, warning or error",
    "confirm_rounds": "a whole number from 1 to 100",
    "orphans": f"one of {', '.join(ORPHANS)}",
    "mismatch": f"one of {', '.join(MISMATCH)}",
    "externals": f"one of {', '.join(EXTERNALS)}, or claim=STRATEGY",
    "foreign": f"one of {', '.join(FOREIGN)}",
    "qty_tolerance": "a number of shares from 0 to 0.001",
    "protect_external_pct": "percent, from 0 (no stop) to below 100",
    "unprotected": f"one of {', '.join(UNPROTECTED)}",
} | dict.fromkeys(("strict", "fail_fast", "halt_on_insufficient", "no_protect"), "yes or no")
_EXPECTED |= dict.fromkeys(
    ("settle_s", "confirm_span_s", "look_every_s", "signal_ttl_s", "schedule_poll_s", "restart_wait_s"),
    "a number of seconds from 0 to 86400",
)


def _log_file(text: str | None, data_dir: Path) -> Path | None:
    if text == "none":
        return None
    return Path(text).expanduser().absolute() if text else data_dir / "gambler.log"


def _label(text: str) -> str:
    if not _LABEL.fullmatch(text):
        raise ValueError(text)
    return text


def _level(text: str) -> str:
    if text.lower() not in ("debug", "info", "warning", "error"):
        raise ValueError(text)
    return text.lower()


def _yes_or_no(text: str) -> bool:
    """As TOML and as environments write it."""
    if text.lower() not in ("yes", "no", "true", "false", "1", "0"):
        raise ValueError(text)
    return text.lower() in ("yes", "true", "1")


def _seconds(text: str) -> float:
    seconds = Decimal(text)
    if not 0 <= seconds <= 86400:
        raise ValueError(text)
    return float(seconds)


def _count(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 100:
        raise ValueError(text)
    return number


def _default_data_dir() -> Path:
    from platformdirs import user_data_path

    return user_data_path("gambler_ai", appauthor=False)


def setting_names() -> list[str]:
    """Every environment variable that is read, for the documentation's test."""
    return sorted({*_PLAIN.values(), *(name for names in _KEYS.values() for name in names)})
