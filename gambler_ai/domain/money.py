"""Amounts: US dollars and shares, always Decimal, never float.

Quantities have at most nine places, as at Alpaca. Text of an amount is plain: no exponent, no padding.
"""

from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Decimal, InvalidOperation

ZERO = Decimal(0)
NINE_PLACES = Decimal("0.000000001")
ONE_DOLLAR = Decimal(1)
CENT = Decimal("0.01")
HUNDREDTH_CENT = Decimal("0.0001")


def amount(value: str | int | Decimal) -> Decimal:
    """The exact amount written in `value`. Raises ValueError for anything but a finite number; floats too,
    because what a float was meant to be is already lost."""
    if type(value) is not str and (isinstance(value, bool) or not isinstance(value, (str, int, Decimal))):
        raise ValueError(f"an amount must be text, a whole number or a Decimal, not {type(value).__name__}")
    try:
        number = Decimal(value)
    except InvalidOperation:
        raise ValueError(f"{value!r} is not a number") from None
    if not number.is_finite():
        raise ValueError(f"{value!r} is not a finite number")
    return number


def text(value: Decimal) -> str:
    """Plain text: 187.5, 150, 0; never 1E+2 or 150.00. Equal amounts have equal texts."""
    if not value:
        return "0"
    plain = format(value, "f")
    return plain.rstrip("0").rstrip(".") if "." in plain else plain


def nine_places(value: Decimal) -> Decimal:
    """Rounded half-even to nine places; for averages, where exactness ends at a division."""
    return value.quantize(NINE_PLACES, rounding=ROUND_HALF_EVEN)


def has_at_most_nine_places(value: Decimal) -> bool:
    return _places(value) <= 9


def _places(value: Decimal) -> int:
    """Decimal places that are not padding; of absurd amounts too, where quantize() raises."""
    return len(text(value).partition(".")[2])


def whole_shares(notional: Decimal, price: Decimal) -> Decimal:
    """How many whole shares `notional` dollars buy at `price`; 0 when the price is not positive."""
    if price <= 0:
        return ZERO
    return (notional / price).quantize(Decimal(1), rounding=ROUND_DOWN)


def on_tick(price: Decimal) -> bool:
    """Whether Alpaca takes this price: two decimals from one dollar up, four below (orders.md)."""
    return _places(price) <= (2 if price >= ONE_DOLLAR else 4)


def nearest_tick(price: Decimal) -> Decimal:
    """The price nearest to this one that Alpaca takes; unchanged when it is one."""
    moved = price.quantize(CENT if price >= ONE_DOLLAR else HUNDREDTH_CENT, rounding=ROUND_HALF_EVEN)
    return price if moved == price else moved
