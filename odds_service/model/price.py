"""Conversion of prices into decimal odds and of lines into canonical text."""

import math
import re
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from functools import lru_cache
from typing import Final

MIN_PRICE: Final = 1.0  # a price must be above it, since a bet at 1.0 wins nothing
MAX_PRICE: Final = 1_000_000.0  # larger values are sentinels (2147483647 occurs), not odds
_MIN_AMERICAN: Final = 100  # the format has no values between -100 and +100
_MAX_AMERICAN: Final = 10_000_000  # -1000000 is a real price; -2147483648 occurs as a sentinel
_EVEN: Final = frozenset({"evs", "evens", "even", "ev"})
# ASCII digits, no more than a price can have: the cost of int() is quadratic in their number.
_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,9}")
_FRACTION: Final = re.compile(r"([0-9]{1,9})(?:\s*/\s*([0-9]{1,9}))?")


class BadPrice(ValueError):
    """A price or line that is not valid for a bet; the text gives the reason."""


def decimal_price(value: float) -> float:
    """Check decimal odds. Raises BadPrice unless 1 < value <= MAX_PRICE (NaN fails too)."""
    if not MIN_PRICE < value <= MAX_PRICE:
        raise BadPrice(f"decimal price {value!r} is not between {MIN_PRICE} and {MAX_PRICE}")
    return float(value)


def american_price(value: float | str) -> float:
    """Convert American odds (-110, +150, `EVEN`) to decimal odds, to the nearest double.

    Raises BadPrice for values between -100 and 100, beyond ±10,000,000, or not whole.
    """
    if isinstance(value, str):
        text = value.strip()
        if text.lower() in _EVEN:
            return 2.0
        if _WHOLE.fullmatch(text) is None:
            raise BadPrice(f"American price {value!r} is not a whole number")
        value = int(text)
    if not math.isfinite(value) or value != int(value):
        raise BadPrice(f"American price {value!r} is not a whole number")
    if not _MIN_AMERICAN <= abs(value) <= _MAX_AMERICAN:
        raise BadPrice(f"American price {value!r} is not from ±100 to ±{_MAX_AMERICAN}")
    if value > 0:
        return (value + 100) / 100
    return (100 - value) / -value


def fractional_price(text: str) -> float:
    """Convert fractional odds (`5/2`, `10/11`, `5`, `EVS`) to decimal odds, to the nearest double.

    Raises BadPrice for anything else, and for odds that win nothing or exceed MAX_PRICE.
    """
    if text.strip().lower() in _EVEN:
        return 2.0
    parts = _FRACTION.fullmatch(text.strip())
    if parts is None or int(parts[2] or 1) == 0:
        raise BadPrice(f"fractional price {text!r} is not like '5/2'")
    fraction = Fraction(int(parts[1]), int(parts[2] or 1))
    if not 0 < fraction < MAX_PRICE:
        raise BadPrice(f"fractional price {text!r} is not between 0 and {MAX_PRICE}")
    return decimal_price(float(fraction + 1))


def as_american(price: float) -> int:
    """Return decimal odds as American odds, rounded to a whole number.

    The inverse of american_price is exact; even odds are +100.
    """
    return round((price - 1) * 100) if price >= 2 else round(-100 / (price - 1))


def as_fractional(price: float, max_denominator: int = 1000) -> str:
    """Return decimal odds as the nearest fraction, e.g. `5/2`."""
    fraction = Fraction(price - 1).limit_denominator(max_denominator)
    return f"{fraction.numerator}/{fraction.denominator}"


@lru_cache(maxsize=4096)  # a provider has a few hundred lines; their texts are shared by all keys
def canonical_line(value: float | str) -> str:
    """Return a line as canonical decimal text: 2.50 -> `2.5`, -0.0 -> `0`, `+3` -> `3`.

    Raises BadPrice if it is not a finite decimal number within ±MAX_PRICE.
    """
    text = value.strip() if isinstance(value, str) else repr(value)
    if "_" in text or not text.isascii():  # Decimal takes `1_5` for 15, and digits of all scripts
        raise BadPrice(f"line {value!r} is not a decimal number")
    try:
        number = Decimal(text)
    except InvalidOperation as error:
        raise BadPrice(f"line {value!r} is not a decimal number") from error
    if not number.is_finite() or abs(number) > MAX_PRICE:
        raise BadPrice(f"line {value!r} is out of range")
    text = format(number.normalize(), "f")
    return "0" if text == "-0" else text


def opposite_line(line: str) -> str:
    """Return the handicap of the other side: `-3.5` -> `3.5`, `0` -> `0`."""
    if line == "0":
        return line
    return line[1:] if line.startswith("-") else f"-{line}"
