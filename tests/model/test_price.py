"""Conversions of prices and lines, in both directions."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odds_service.model.price import (
    BadPrice,
    american_price,
    as_american,
    as_fractional,
    canonical_line,
    decimal_price,
    fractional_price,
    opposite_line,
)


@given(st.one_of(st.integers(-10_000_000, -101), st.integers(100, 10_000_000)))
def test_american_and_back(american: int) -> None:
    price = american_price(american)
    assert price > 1
    assert as_american(price) == american


@given(st.one_of(st.integers(-10_000_000, -101), st.integers(100, 10_000_000)))
def test_american_text_reads_as_its_number(american: int) -> None:
    for text in (f"{american}", f"{american:+d}", f" {american:+d} "):
        assert american_price(text) == american_price(american)


@given(st.integers(100, 10_000_000), st.sampled_from([1, -1]))
def test_american_prices_are_exact(size: int, sign: int) -> None:
    """The result is the double nearest to the exact fraction, without a rounding in between."""
    exact = 1 + (Fraction(size, 100) if sign > 0 else Fraction(100, size))
    assert american_price(sign * size) == float(exact)


@given(st.integers(1, 1000), st.integers(1, 1000))
def test_fractional_and_back(numerator: int, denominator: int) -> None:
    fraction = Fraction(numerator, denominator)
    price = fractional_price(f"{numerator}/{denominator}")
    assert price == float(fraction + 1)
    assert as_fractional(price) == f"{fraction.numerator}/{fraction.denominator}"


@given(st.one_of(st.integers(-10_000_000, -101), st.integers(100, 10_000_000)))
def test_american_through_the_other_formats(american: int) -> None:
    """American, decimal and fractional prices of one bet convert into each other."""
    price = american_price(american)
    size = abs(american)
    fraction = Fraction(size, 100) if american > 0 else Fraction(100, size)
    assert fractional_price(f"{fraction.numerator}/{fraction.denominator}") == price
    assert as_american(fractional_price(as_fractional(price, 10_000_000))) == american


@pytest.mark.parametrize(
    ("fraction", "decimal", "american"),
    [("10/11", 1 + 10 / 11, -110), ("EVS", 2.0, 100), ("evens", 2.0, 100), ("5/2", 3.5, 250),
     ("1/5", 1.2, -500), ("4/6", 1 + 4 / 6, -150), ("100 / 30", 1 + 100 / 30, 333),
     ("33", 34.0, 3300)],
)  # fmt: skip
def test_known_fractions(fraction: str, decimal: float, american: int) -> None:
    assert fractional_price(fraction) == pytest.approx(decimal, abs=1e-15)
    assert as_american(fractional_price(fraction)) == american


@pytest.mark.parametrize(
    ("american", "decimal"),
    [(100, 2.0), (-100, 2.0), (150, 2.5), (-110, 1.9090909090909092), ("+100", 2.0), ("-100", 2.0),
     ("+150", 2.5), ("EVEN", 2.0), ("-101", 1 + 100 / 101), ("101", 2.01), (150.0, 2.5)],
)  # fmt: skip
def test_known_prices(american: float | str, decimal: float) -> None:
    assert american_price(american) == decimal


@pytest.mark.parametrize(
    "bad",
    [0, 99, -99, -2147483648, 100.5, math.nan, math.inf, "", "+", "+-150", "1_50", "150.0",
     "15O", "99", "-99", "\u0661\u0665\u0660", "9" * 5000, "5/2"],
)  # fmt: skip
def test_no_american_price(bad: float | str) -> None:
    with pytest.raises(BadPrice, match="American"):
        american_price(bad)


@pytest.mark.parametrize("bad", [1.0, 0.0, -2.0, math.nan, math.inf, 2147483647.0])
def test_no_decimal_price(bad: float) -> None:
    with pytest.raises(BadPrice, match="decimal price"):
        decimal_price(bad)


@pytest.mark.parametrize(
    "bad",
    ["", "-1/2", "+1/2", "5/0", "0/5", "five/two", "nan", "1.5", "1/2/3", "1//2", "5/", "/5", "1e3",
     "1_0/3", "\u0665/\u0662", "9999999/1", "9" * 5000],
)  # fmt: skip
def test_no_fractional_price(bad: str) -> None:
    with pytest.raises(BadPrice, match="fractional price"):
        fractional_price(bad)


@pytest.mark.parametrize(
    ("value", "line"),
    [(2.5, "2.5"), ("2.50", "2.5"), (-0.0, "0"), ("+3", "3"), (-24.4, "-24.4"), (100, "100"),
     (1e3, "1000"), ("1E+2", "100")],
)  # fmt: skip
def test_lines(value: float | str, line: str) -> None:
    assert canonical_line(value) == line
    assert opposite_line(opposite_line(line)) == line


@pytest.mark.parametrize(
    "bad", ["", "0:1", "nan", "inf", math.nan, math.inf, "1_5", "\u0661", "9" * 5000]
)
def test_no_line(bad: float | str) -> None:
    with pytest.raises(BadPrice, match="line"):
        canonical_line(bad)
