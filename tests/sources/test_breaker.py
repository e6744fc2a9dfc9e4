"""The circuit breaker, on a clock of the test's own."""

import pytest

from odds_service.errors import SourceError
from odds_service.sources.breaker import Breaker


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now

    def jump(self, seconds: float) -> None:
        self.now += seconds


DOWN = SourceError("connection", "refused")


def refused(breaker: Breaker) -> float:
    with pytest.raises(SourceError) as caught:
        breaker.admit()
    assert caught.value.kind == "circuit_open"
    assert caught.value.retry_after_s is not None
    return caught.value.retry_after_s


def fail(breaker: Breaker, error: SourceError = DOWN) -> None:
    breaker.admit()
    breaker.failed(error)


def test_it_opens_after_failures_in_a_row() -> None:
    clock = Clock()
    breaker = Breaker(3, 10.0, clock)
    fail(breaker)
    fail(breaker)
    breaker.admit()
    breaker.succeeded()
    for _ in range(3):
        assert not breaker.is_open
        fail(breaker)
    assert breaker.is_open
    assert refused(breaker) == pytest.approx(10.0)
    clock.jump(9.9)
    assert refused(breaker) == pytest.approx(0.1)


def test_then_one_request_finds_out() -> None:
    clock = Clock()
    breaker = Breaker(1, 10.0, clock)
    for pause_s in (10.0, 20.0, 40.0, 80.0, 80.0):
        fail(breaker)
        assert refused(breaker) == pytest.approx(pause_s)
        clock.jump(pause_s)
    breaker.admit()
    refused(breaker)  # while the one is under way
    breaker.succeeded()
    fail(breaker)
    assert refused(breaker) == pytest.approx(10.0)


def test_a_cancelled_request_says_nothing() -> None:
    clock = Clock()
    breaker = Breaker(1, 10.0, clock)
    fail(breaker)
    clock.jump(10.0)
    breaker.admit()
    breaker.given_up()
    breaker.admit()
    breaker.succeeded()
    breaker.admit()


def test_refusals_do_not_open_it() -> None:
    clock = Clock()
    breaker = Breaker(1, 10.0, clock)
    for kind in ("unauthorized", "html", "too_large", "redirect"):
        fail(breaker, SourceError(kind, "so"))
    breaker.admit()


def test_a_named_wait_holds_at_once() -> None:
    clock = Clock()
    breaker = Breaker(5, 10.0, clock)
    fail(breaker, SourceError("rate_limited", "429", retry_after_s=3.0))
    assert refused(breaker) == pytest.approx(3.0)
    clock.jump(3.0)
    breaker.admit()
