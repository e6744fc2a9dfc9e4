"""The circuit breaker."""

import pytest

from odds_service.errors import SourceError
from odds_service.sources.breaker import Breaker

DOWN = SourceError("connection", "refused")


class At:
    """A breaker at a time that the test moves."""

    def __init__(self, failures: int, cool_s: float) -> None:
        self.breaker = Breaker(failures, cool_s)
        self.now = 1_000.0

    def jump(self, seconds: float) -> None:
        self.now += seconds

    def admit(self) -> None:
        self.breaker.admit(self.now)

    def fail(self, error: SourceError = DOWN) -> None:
        self.admit()
        self.breaker.failed(self.now, error)

    def refused_s(self) -> float:
        """Return the seconds to wait for a request that must be refused."""
        with pytest.raises(SourceError) as caught:
            self.admit()
        assert caught.value.kind == "circuit_open"
        assert caught.value.retry_after_s is not None
        return caught.value.retry_after_s


def test_it_opens_after_failures_in_a_row() -> None:
    at = At(3, 10.0)
    at.fail()
    at.fail()
    at.admit()
    at.breaker.succeeded()
    for _ in range(3):
        assert not at.breaker.is_open(at.now)
        at.fail()
    assert at.breaker.is_open(at.now)
    assert at.refused_s() == pytest.approx(10.0)
    at.jump(9.9)
    assert at.refused_s() == pytest.approx(0.1)


def test_then_one_request_finds_out() -> None:
    at = At(1, 10.0)
    for pause_s in (10.0, 20.0, 40.0, 80.0, 80.0):
        at.fail()
        assert at.refused_s() == pytest.approx(pause_s)
        at.jump(pause_s)
    at.admit()
    at.refused_s()  # while the one is under way
    at.breaker.succeeded()
    at.fail()
    assert at.refused_s() == pytest.approx(10.0)


def test_a_cancelled_request_says_nothing() -> None:
    at = At(1, 10.0)
    at.fail()
    at.jump(10.0)
    at.admit()
    at.breaker.given_up()
    at.admit()
    at.breaker.succeeded()
    at.admit()


def test_refusals_do_not_open_it() -> None:
    at = At(1, 10.0)
    for kind in ("unauthorized", "html", "too_large", "redirect"):
        at.fail(SourceError(kind, "so"))
    at.admit()


def test_a_hold_refuses_at_once_and_ends_by_itself() -> None:
    at = At(5, 10.0)
    at.breaker.hold(at.now + 3.0)
    assert at.refused_s() == pytest.approx(3.0)
    at.jump(3.0)
    at.admit()


def test_a_sleep_of_the_machine_counts_towards_the_pause() -> None:
    at = At(1, 10.0)
    at.fail()
    at.breaker.moved(9.0)
    assert at.refused_s() == pytest.approx(1.0)
    at.breaker.hold(at.now + 60.0)
    at.breaker.moved(60.0)
    at.admit()
