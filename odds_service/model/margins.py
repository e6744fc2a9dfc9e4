"""Probabilities behind the prices of a market, with the bookmaker's margin taken out.

The outcomes must be complete and exclude each other. With q = 1/price and S = Σ q:

- proportional: p = q/S, so each outcome bears the margin by its share.
- power: p = q^k with Σ p = 1, so unlikely outcomes bear more (the favourite-longshot bias).
- Shin's (1993): p = (√(z² + 4(1−z)q²/S) − z) / (2(1−z)) with Σ p = 1, where z is the share of bets
  by insiders. It needs S ≥ 1.
"""

import enum
import math
from collections.abc import Callable, Sequence
from typing import Final

_STEPS: Final = 200  # halvings of an interval, far more than a float can take
_CLOSE: Final = 1e-12  # an overround this small is none


class MarginMethod(enum.Enum):
    """Methods to take the margin out."""

    PROPORTIONAL = "proportional"
    POWER = "power"
    SHIN = "shin"


class NoProbabilities(ValueError):
    """Prices from which a method cannot make probabilities."""


def probabilities(prices: Sequence[float], method: MarginMethod) -> list[float]:
    """Return the probability of each outcome; together they are 1.

    Args:
        prices: Decimal odds of all outcomes.
        method: The method.

    Raises:
        NoProbabilities: There are fewer than two prices, one is not above 1, or the sum of their
            inverses is below 1 and the method is Shin's.
    """
    if len(prices) < 2:  # one outcome is certain
        raise NoProbabilities("a market has at least two outcomes")
    for price in prices:
        if not 1 < price < math.inf:
            raise NoProbabilities(f"{price} is no price: it must be above 1")
    inverses = [1 / price for price in prices]
    if method is MarginMethod.PROPORTIONAL:
        found = inverses
    elif method is MarginMethod.POWER:
        found = _power(inverses)
    else:
        found = _shin(inverses)
    total = math.fsum(found)
    return [each / total for each in found]


def _power(inverses: Sequence[float]) -> list[float]:
    """Solve Σ q^k = 1 for k, which falls in k since each q is below 1."""

    def excess(k: float) -> float:
        return math.fsum(q**k for q in inverses) - 1

    least, most = 0.0, 1.0
    while excess(most) > 0:
        least, most = most, 2 * most
    k = _root(excess, least, most)
    return [q**k for q in inverses]


def _shin(inverses: Sequence[float]) -> list[float]:
    booksum = math.fsum(inverses)
    if booksum < 1 - _CLOSE:
        raise NoProbabilities(
            f"the overround is {booksum - 1:.2%}: Shin's method needs one of at least 0"
        )

    def shares(z: float) -> list[float]:
        return [
            (math.sqrt(z * z + 4 * (1 - z) * q * q / booksum) - z) / (2 * (1 - z)) for q in inverses
        ]

    if booksum < 1 + _CLOSE:
        return shares(0.0)
    z = _root(lambda z: math.fsum(shares(z)) - 1, 0.0, 1 - _CLOSE)
    return shares(z)


def _root(falling: Callable[[float], float], least: float, most: float) -> float:
    """Return the root of a falling function between two places, to the precision of a float."""
    for _ in range(_STEPS):
        middle = (least + most) / 2
        if middle in (least, most):
            break
        if falling(middle) > 0:
            least = middle
        else:
            most = middle
    return (least + most) / 2
