"""Prices and lines, converted both ways."""

import math

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


@given(st.integers(1, 1000), st.integers(1, 1000))
def test_fractional_and_back(numerator: int, denominator: int) -> None:
    price = fractional_price(f"{numerator}/{denominator}")
    assert math.isclose(price, 1 + numerator / denominator)
    assert fractional_price(as_fractional(price)) == price


@pytest.mark.parametrize(
    ("american", "decimal"), [(100, 2.0), (-100, 2.0), (150, 2.5), (-110, 1.9090909090909092)]
)
def test_known_prices(american: int, decimal: float) -> None:
    assert american_price(american) == decimal


@pytest.mark.parametrize("bad", [0, 99, -99, -2147483648, 100.5, math.nan, math.inf])
def test_no_american_price(bad: float) -> None:
    with pytest.raises(BadPrice, match="American"):
        american_price(bad)


@pytest.mark.parametrize("bad", [1.0, 0.0, -2.0, math.nan, math.inf, 2147483647.0])
def test_no_decimal_price(bad: float) -> None:
    with pytest.raises(BadPrice, match="decimal price"):
        decimal_price(bad)


@pytest.mark.parametrize("bad", ["", "5", "-1/2", "5/0", "five/two", "nan"])
def test_no_fractional_price(bad: str) -> None:
    if bad == "5":  # a whole number is the fraction 5/1
        assert fractional_price(bad) == 6.0
        return
    with pytest.raises(BadPrice):
        fractional_price(bad)


@pytest.mark.parametrize(
    ("value", "line"),
    [(2.5, "2.5"), ("2.50", "2.5"), (-0.0, "0"), ("+3", "3"), (-24.4, "-24.4"), (100, "100"),
     (1e3, "1000"), ("1E+2", "100")],
)  # fmt: skip
def test_lines(value: float | str, line: str) -> None:
    assert canonical_line(value) == line
    assert opposite_line(opposite_line(line)) == line


@pytest.mark.parametrize("bad", ["", "0:1", "nan", "inf", math.nan, math.inf])
def test_no_line(bad: float | str) -> None:
    with pytest.raises(BadPrice, match="line"):
        canonical_line(bad)
