"""Margins taken out of random markets, held against independent implementations."""

import math
import random
from collections.abc import Iterator

import pytest

from odds_service.model.margins import MarginMethod, NoProbabilities, probabilities


def random_markets(count: int, least_margin: float = 0.0) -> Iterator[list[float]]:
    """Yield the prices of markets with two to twenty outcomes and margins up to 30 %."""
    rng = random.Random(11)
    found = 0
    while found < count:
        weights = [rng.gammavariate(rng.choice([0.3, 1, 5]), 1) + 1e-4 for _ in range(_size(rng))]
        booksum = 1 + rng.uniform(least_margin, 0.3)
        prices = [round(sum(weights) / (weight * booksum), 3) for weight in weights]
        if min(prices) > 1.001 and sum(1 / price for price in prices) > 1 + least_margin:
            found += 1
            yield prices


def _size(rng: random.Random) -> int:
    return rng.choice([2, 2, 3, 3, 3, 5, 20])


def test_shin_agrees_with_an_independent_implementation_on_10_000_markets() -> None:
    shin = pytest.importorskip("shin", reason="shin has no wheel for this Python")
    for prices in random_markets(10_000, 0.001):
        other = shin.calculate_implied_probabilities(
            prices, max_iterations=20_000, convergence_threshold=1e-11
        )
        assert probabilities(prices, MarginMethod.SHIN) == pytest.approx(other, abs=1e-6)


@pytest.mark.parametrize(
    ("method", "theirs"),
    [
        (MarginMethod.PROPORTIONAL, "multiplicative"),
        (MarginMethod.POWER, "power"),
        (MarginMethod.SHIN, "shin"),
    ],
)
def test_all_methods_agree_with_another_library_on_10_000_markets(
    method: MarginMethod, theirs: str
) -> None:
    implied = pytest.importorskip(
        "penaltyblog.implied", reason="penaltyblog brings seventy packages: install it by hand"
    )
    for prices in random_markets(10_000, 0.001):
        other = implied.calculate_implied(prices, method=theirs).probabilities
        assert probabilities(prices, method) == pytest.approx(other, abs=1e-9)


def test_power_solves_its_equation_on_10_000_markets() -> None:
    """One exponent makes all probabilities out of the inverses, and they are 1 together."""
    for prices in random_markets(10_000, -0.2):
        found = probabilities(prices, MarginMethod.POWER)
        exponents = [-math.log(p) / math.log(price) for p, price in zip(found, prices, strict=True)]
        assert max(exponents) == pytest.approx(min(exponents), rel=1e-6)
        assert math.fsum(found) == pytest.approx(1)


def test_proportional_keeps_the_ratios() -> None:
    for prices in random_markets(1_000, -0.2):
        found = probabilities(prices, MarginMethod.PROPORTIONAL)
        assert math.fsum(found) == pytest.approx(1)
        assert [p * price for p, price in zip(found, prices, strict=True)] == pytest.approx(
            [found[0] * prices[0]] * len(prices)
        )


@pytest.mark.parametrize("method", MarginMethod)
def test_known_markets(method: MarginMethod) -> None:
    assert probabilities([1.9, 1.9], method) == pytest.approx([0.5, 0.5])
    assert probabilities([2.0, 4.0, 4.0], method) == pytest.approx([0.5, 0.25, 0.25])
    favourite, other = probabilities([1.01, 26.0], method)
    assert 0.9 < favourite < 1
    assert favourite + other == pytest.approx(1)


def test_unlikely_outcomes_bear_more_by_power_and_shin() -> None:
    plain = probabilities([1.2, 5.0, 11.0], MarginMethod.PROPORTIONAL)
    for method in (MarginMethod.POWER, MarginMethod.SHIN):
        found = probabilities([1.2, 5.0, 11.0], method)
        assert found[0] > plain[0]
        assert found[2] < plain[2]


def test_a_book_below_1_has_no_insiders() -> None:
    with pytest.raises(NoProbabilities, match="overround is -4"):
        probabilities([2.1, 2.1], MarginMethod.SHIN)
    assert probabilities([2.1, 2.1], MarginMethod.POWER) == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize("prices", [[], [2.0], [2.0, 1.0], [2.0, 0.0], [2.0, math.inf],
                                    [2.0, math.nan]])  # fmt: skip
@pytest.mark.parametrize("method", MarginMethod)
def test_what_is_no_market_is_refused(prices: list[float], method: MarginMethod) -> None:
    with pytest.raises(NoProbabilities):
        probabilities(prices, method)
