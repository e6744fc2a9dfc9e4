"""A circuit breaker, which pauses a source that keeps failing. Pure arithmetic."""

from typing import Final

from odds_service.errors import SourceError
from odds_service.sources.failures import CIRCUIT_OPEN, TROUBLE

_MAX_COOL_FACTOR: Final = 8.0  # the longest pause, in `cool_s`


class Breaker:
    """A breaker that opens for `cool_s` seconds after `failures` failed requests in a row.

    While open it refuses every request. Then it lets one trial request through: a success closes
    it, a failure doubles the pause, up to eight times `cool_s`. `hold` refuses requests until a
    given time, whatever the count. All times are seconds on one monotonic clock.
    """

    def __init__(self, failures: int, cool_s: float) -> None:
        self._limit = failures
        self._cool_s = cool_s
        self._failures = 0
        self._open_until: float | None = None
        self._held_until = float("-inf")
        self._factor = 1.0
        self._trial = False
        self._last = ""

    def is_open(self, now: float) -> bool:
        """Return whether a request would be refused now."""
        return self._wait_s(now) > 0

    def admit(self, now: float) -> None:
        """Let one request through; `succeeded`, `failed` or `given_up` must follow.

        Raises:
            SourceError: of kind circuit_open, with the seconds to wait.
        """
        wait_s = self._wait_s(now)
        if wait_s > 0:
            text = f"left alone for {wait_s:.0f} s more after failures: {self._last}"
            raise SourceError(CIRCUIT_OPEN, text, retry_after_s=wait_s)
        self._trial = self._open_until is not None

    def succeeded(self) -> None:
        """Close the breaker after an answer."""
        self._failures = 0
        self._open_until = None
        self._factor = 1.0
        self._trial = False

    def failed(self, now: float, error: SourceError) -> None:
        """Count a failed request; open after too many, or after a failed trial."""
        self._trial = False
        if error.kind not in TROUBLE:
            return
        self._last = str(error)
        self._failures += 1
        if self._open_until is not None:
            self._factor = min(self._factor * 2, _MAX_COOL_FACTOR)
        if self._failures >= self._limit or self._open_until is not None:
            self._open_until = now + self._cool_s * self._factor

    def given_up(self) -> None:
        """Forget a cancelled request; it tells nothing about the server."""
        self._trial = False

    def hold(self, until: float) -> None:
        """Refuse requests until a time."""
        self._held_until = max(self._held_until, until)

    def moved(self, slept_s: float) -> None:
        """Adjust to a sleep of the machine, during which the monotonic clock stood still."""
        self._held_until -= slept_s
        if self._open_until is not None:
            self._open_until -= slept_s

    def _wait_s(self, now: float) -> float:
        until = self._held_until
        if self._open_until is not None:
            until = max(until, self._open_until)
            if until <= now and self._trial:
                return self._cool_s  # the trial request is under way
        return until - now
