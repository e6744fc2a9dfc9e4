"""Failures: whatever a source raises is described in bounded, printable words."""

from typing import Any

import pytest

from odds_service.errors import SourceError
from odds_service.model.text import is_text
from odds_service.sources.failures import Failure, failure_of, waiting_s


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("not even that")


@pytest.mark.parametrize(
    ("asked", "wait_s"),
    [
        (None, None), (5, 5.0), (1e12, 3_600.0), (float("inf"), 3_600.0), (float("nan"), None),
        (-3, 0.0), ("60", None), (True, None), ([], None), (10**400, 3_600.0),
    ],
    ids=repr,
)  # fmt: skip
def test_a_wait_that_a_source_asks_for_is_bounded(asked: Any, wait_s: float | None) -> None:
    assert waiting_s(asked, 3_600.0) == wait_s
    error = SourceError("rate_limited", "too fast", retry_after_s=asked)
    assert failure_of(error, 3_600.0).wait_s == wait_s


def test_whatever_a_source_raises_can_be_told() -> None:
    assert failure_of(SystemExit(3), 3_600.0) == Failure(
        "bad_observation", "the source raised SystemExit", None
    )
    assert failure_of(Mute(), 3_600.0) == Failure("crash", "the source crashed: Mute", None)
    odd = SourceError("k" * 5_000, "half \ud83d\0 " + "x" * 10**6)
    odd.kind += "\x1b"
    failure = failure_of(odd, 3_600.0)
    kind, reason = failure.kind, failure.reason
    assert (len(kind), len(reason)) == (64, 500 - reason.count("\0"))
    assert is_text(kind, reason)
    odd.kind = 7  # type: ignore[assignment]  # what is tested
    assert failure_of(odd, 3_600.0).kind == "7"
