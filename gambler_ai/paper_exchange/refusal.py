"""How a request is refused: Alpaca's status, code and text, and what is read from a body before."""

import json
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any, NoReturn

_LARGEST = Decimal(10) ** 12


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


@lru_cache(maxsize=1)
def _parsed(body: str) -> Any:
    """The same body is asked for its client order id and for its order; nobody changes what was read."""
    return _DECODE(body)


def _constant(name: str) -> NoReturn:
    raise ValueError(name)


_DECODE = json.JSONDecoder(parse_float=Decimal, parse_constant=_constant).decode


def read_number(fields: dict[str, Any], name: str) -> Decimal | None:
    """A number, given as such or as text; None when absent, null or empty."""
    value = fields.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        malformed(f"invalid {name}")
    try:
        number = Decimal(value)
    except InvalidOperation:
        malformed(f"invalid {name}")
    if not number.is_finite() or abs(number) > _LARGEST:
        malformed(f"invalid {name}")
    return number
