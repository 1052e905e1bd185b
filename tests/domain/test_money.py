from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gambler_ai.domain.money import amount, has_at_most_nine_places, nine_places, on_tick, text, whole_shares

amounts = st.decimals(allow_nan=False, allow_infinity=False, places=9, min_value=-(10**15), max_value=10**15)


@given(amounts)
def test_an_amount_survives_its_text(value: Decimal) -> None:
    assert amount(text(value)) == value


@given(amounts, st.integers(0, 6))
def test_equal_amounts_have_equal_texts(value: Decimal, zeros: int) -> None:
    padded = Decimal(f"{value:f}" + "0" * zeros)
    assert padded == value
    assert text(padded) == text(value)


@given(amounts)
def test_a_text_is_plain(value: Decimal) -> None:
    written = text(value)
    assert set(written) <= set("-0123456789.")
    assert not written.endswith(".")
    assert "." not in written or not written.endswith("0")


@pytest.mark.parametrize(
    ("value", "written"),
    [("1E+2", "100"), ("0.00", "0"), ("-0", "0"), ("150.00", "150"), ("1E-9", "0.000000001"), ("-2.50", "-2.5")],
)
def test_exponents_and_padding_disappear(value: str, written: str) -> None:
    assert text(Decimal(value)) == written


@pytest.mark.parametrize("value", [0.1, 1.0, True, None, b"1", [1]])
def test_what_is_not_exact_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="an amount must be"):
        amount(value)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", ["", "abc", "NaN", "Infinity", "-inf", "sNaN", "1,5"])
def test_what_is_not_a_finite_number_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="number"):
        amount(value)


def test_sums_are_exact_where_floats_are_not() -> None:
    assert sum(amount("0.1") for _ in range(10)) == 1
    assert amount("123456789012.000000001") - amount("123456789012") == amount("0.000000001")


def test_averages_round_half_to_even_at_nine_places() -> None:
    assert nine_places(Decimal("0.0000000005")) == 0
    assert nine_places(Decimal("0.0000000015")) == Decimal("0.000000002")


@given(amounts)
def test_nine_places_are_enough_for_every_amount(value: Decimal) -> None:
    assert has_at_most_nine_places(value)
    assert nine_places(value) == value


def test_a_tenth_place_is_one_too_many() -> None:
    assert not has_at_most_nine_places(Decimal("0.0000000001"))


def test_an_absurd_amount_has_an_answer_too() -> None:
    assert has_at_most_nine_places(Decimal("1E+30"))
    assert on_tick(Decimal("1E+30"))
    assert not has_at_most_nine_places(Decimal("1" + "0" * 30 + ".0000000001"))


@pytest.mark.parametrize(("notional", "price", "shares"), [("100", "33.34", 2), ("99.99", "100", 0), ("100", "0", 0)])
def test_notional_buys_whole_shares_and_never_more_than_it_pays(notional: str, price: str, shares: int) -> None:
    assert whole_shares(Decimal(notional), Decimal(price)) == shares


@pytest.mark.parametrize(
    ("price", "taken"), [("1.00", True), ("1.01", True), ("1.001", False), ("0.9999", True), ("0.99999", False)]
)
def test_the_tick_is_a_cent_from_one_dollar_up_and_four_places_below(price: str, taken: bool) -> None:
    assert on_tick(Decimal(price)) is taken
