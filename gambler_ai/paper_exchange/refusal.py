"""How a request is refused: Alpaca's status, code and text, and what is read from a body before."""

import json
import re
from decimal import Decimal
from functools import lru_cache
from typing import Any, NoReturn

_LARGEST = Decimal(10) ** 12
_MOST_PLACES = 30
_NUMBER = re.compile(r"-?[0-9]*\.?[0-9]+")


class Refused(Exception):
    """A request Alpaca would refuse: HTTP status, code, text, and extra keys of the body."""

    def __init__(self, status: int, code: int | None, message: str, **extra: Any) -> None:
        super().__init__(message)
        self.status = status
        self.body: dict[str, Any] = {"message": message, **extra}
        if code is not None:
            self.body = {"code": code, **self.body}


def malformed(message: str) -> NoReturn:
    """The 422 of a field that makes no sense by itself."""
    raise Refused(422, 40010001, message)


def unprocessable(message: str) -> NoReturn:
    """The 422 of a request that breaks a rule."""
    raise Refused(422, 42210000, message)


def forbidden(message: str, **extra: Any) -> Refused:
    """The 403 of an account that may not do this."""
    return Refused(403, 40310000, message, **extra)


def read_body(body: str | bytes | None) -> dict[str, Any]:
    """A JSON object; numbers become Decimal or int, never float."""
    try:
        parsed = _parsed(body.decode() if isinstance(body, bytes) else body or "")
    except ValueError as broken:
        raise Refused(400, 40010000, "request body format is invalid") from broken
    if not isinstance(parsed, dict):
        raise Refused(400, 40010000, "request body format is invalid")
    return parsed


def read_json(text: str) -> Any:
    """JSON that can be stored and sent again. ValueError for any other text, also for one too deep, or for half of
    a surrogate pair: JSON can write that, and no encoding can."""
    try:
        parsed = _DECODE(text)
    except (RecursionError, ArithmeticError) as broken:
        raise ValueError("nested too deep, or a number out of all bounds") from broken
    if "\\u" in text or not text.isascii():
        json.dumps(parsed, ensure_ascii=False, default=str).encode()
    return parsed


@lru_cache(maxsize=1)
def _parsed(body: str) -> Any:
    """The same body is asked for its client order id and for its order; nobody changes what was read."""
    return read_json(body)


def _constant(name: str) -> NoReturn:
    raise ValueError(name)


_DECODE = json.JSONDecoder(parse_float=Decimal, parse_constant=_constant).decode


def plain_number(value: Any) -> Decimal:
    """A number of JSON, or its decimal digits as text. ValueError for anything else."""
    if isinstance(value, float):
        value = str(value)
    text = isinstance(value, str) and _NUMBER.fullmatch(value)
    if not text and (isinstance(value, bool) or not isinstance(value, int | Decimal)):
        raise ValueError(value)
    number = Decimal(value)
    if abs(number.adjusted()) > _MOST_PLACES:  # written out, it would fill the memory
        raise ValueError(value)
    return number


def read_number(fields: dict[str, Any], name: str) -> Decimal | None:
    """A number, given as such or as text; None when absent, null or empty."""
    value = fields.get(name)
    if value is None or value == "":
        return None
    try:
        number = plain_number(value)
    except ValueError:
        malformed(f"invalid {name}")
    if abs(number) > _LARGEST:
        malformed(f"invalid {name}")
    return number


def read_flag(fields: dict[str, Any], name: str) -> bool:
    """True or false; false when absent or null."""
    value = fields.get(name)
    if value is not None and not isinstance(value, bool):
        malformed(f"invalid {name}: want true or false")
    return bool(value)
