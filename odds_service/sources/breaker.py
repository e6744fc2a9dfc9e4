"""A circuit breaker: a source that fails again and again is left alone for a while."""

from collections.abc import Callable
from typing import Final

from odds_service.errors import SourceError

# What says that the server itself is in trouble; a refusal (401, 404) says nothing of the kind.
TROUBLE: Final = frozenset({"timeout", "connection", "truncated", "server_error", "rate_limited"})
_MAX_COOL_FACTOR: Final = 8.0  # a source that stays down is still tried this seldom


class Breaker:
    """Counts failed requests in a row; after `failures` of them it opens for `cool_s` seconds.

    While it is open every request is refused at once. Then one request is let through: when it
    succeeds the breaker closes, when it fails the pause doubles, up to eight times `cool_s`. A
    server that names a time to wait (Retry-After) is left alone until then, whatever the count.
    now: a monotonic clock in seconds.
    """

    def __init__(self, failures: int, cool_s: float, now: Callable[[], float]) -> None:
        self._now = now
        self._limit = failures
        self._cool_s = cool_s
        self._failures = 0
        self._open_until: float | None = None
        self._asked_until = 0.0
        self._factor = 1.0
        self._trial = False
        self._last = ""

    @property
    def is_open(self) -> bool:
        """Return whether a request would be refused now."""
        return self._wait_s() > 0

    def admit(self) -> None:
        """Let one request through, to be followed by `succeeded`, `failed` or `given_up`.

        Raises SourceError of kind circuit_open, saying how long to wait.
        """
        wait_s = self._wait_s()
        if wait_s > 0:
            text = (
                f"left alone for {wait_s:.0f} s more, since it failed again and again: {self._last}"
            )
            raise SourceError("circuit_open", text, retry_after_s=wait_s)
        self._trial = self._open_until is not None

    def succeeded(self) -> None:
        """The server answered; close."""
        self._failures = 0
        self._open_until = None
        self._factor = 1.0
        self._trial = False

    def failed(self, error: SourceError) -> None:
        """A request failed; open when that was once too often, or when the server asks for it."""
        self._trial = False
        if error.kind not in TROUBLE:
            return
        self._last = str(error)
        now = self._now()
        if error.retry_after_s is not None:
            self._asked_until = max(self._asked_until, now + error.retry_after_s)
        self._failures += 1
        if self._open_until is not None:
            self._factor = min(self._factor * 2, _MAX_COOL_FACTOR)
        if self._failures >= self._limit or self._open_until is not None:
            self._open_until = now + self._cool_s * self._factor

    def given_up(self) -> None:
        """A request was cancelled: it says nothing of the server."""
        self._trial = False

    def _wait_s(self) -> float:
        now = self._now()
        until = self._asked_until
        if self._open_until is not None:
            until = max(until, self._open_until)
            if until <= now and self._trial:
                return self._cool_s  # one request is finding out already
        return until - now
