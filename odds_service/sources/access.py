"""One access policy per source: its budget, retries, Retry-After, breaker and failures.

Pure arithmetic: no method waits, and the caller passes in the monotonic time in seconds. The
scraper and the HTTP client of a source share one `Access`. Each asks it for the time at which to go
on, and reports the outcome to it.
"""

from typing import Final, Protocol, runtime_checkable

from msgspec import Struct

from odds_service.errors import SourceError
from odds_service.sources.base import OpenSource, Pace
from odds_service.sources.breaker import Breaker
from odds_service.sources.budget import Budget
from odds_service.sources.failures import CIRCUIT_OPEN, TROUBLE, Failure, failure_of, waiting_s

MAX_RETRY_WAIT_S: Final = 30.0  # a longer Retry-After is left to the next pull
MAX_BACKOFF: Final = 8.0  # longest pause of a failing pull, in intervals
_DISCOVERY_RETRY_S: Final = 10.0
_MOST_DOUBLINGS: Final = 64


class AccessPolicy(Struct, frozen=True, kw_only=True):
    """The numbers of one source's policy; times in seconds.

    Attributes:
        concurrency: limit of requests under way at once.
        requests_per_s: limit of requests started per second; None for no limit.
        attempts: limit of the attempts of one fetch.
        retry_s: time after which a fetch is not retried again.
        breaker_failures: failed requests in a row that open the breaker.
        breaker_cool_s: time that the breaker stays open.
        max_retry_after_s: upper bound of every Retry-After.
    """

    concurrency: int = 2
    requests_per_s: float | None = None
    attempts: int = 3
    retry_s: float = 30.0
    breaker_failures: int = 10
    breaker_cool_s: float = 30.0
    max_retry_after_s: float = 3_600.0


class Access:
    """The access policy of one source.

    The scraper counts pulls (`opens_at`, `start`, `end`, `pull_failed`); the HTTP client counts
    requests (`request`, `admit`, `answered`, `request_failed`, `given_up`). Both respect the same
    Retry-After.
    """

    def __init__(self, policy: AccessPolicy = AccessPolicy()) -> None:  # immutable
        self.policy = policy
        self.most_wait_s = policy.max_retry_after_s
        self._breaker = Breaker(policy.breaker_failures, policy.breaker_cool_s)
        self._budget = Budget(concurrency=policy.concurrency, requests_per_s=policy.requests_per_s)

    def keep_to(self, pace: Pace, *, day_offset_s: float, most_wait_s: float | None = None) -> None:
        """Set the pace of pulls; call it before the first one.

        Args:
            pace: limits of pulls at once, per second and per day.
            day_offset_s: seconds of the UTC day that had passed at the clock's zero.
            most_wait_s: the service's bound of every Retry-After; the lower of this and the
                policy's bound applies.
        """
        rates = [
            rate for rate in (pace.requests_per_s, self.policy.requests_per_s) if rate is not None
        ]
        self._budget = Budget(
            concurrency=pace.concurrency,
            requests_per_s=min(rates, default=None),
            quota_per_day=pace.quota_per_day,
            day_offset_s=day_offset_s,
        )
        if most_wait_s is not None:
            self.most_wait_s = min(self.most_wait_s, most_wait_s)

    def take_over(self, other: "Access", now: float) -> None:
        """Go on with the credits and the pauses of another access to the same account.

        Args:
            other: the access under the settings before a reload.
            now: seconds on the monotonic clock.
        """
        self._budget.take_over(other._budget, now)
        self._breaker.hold(self._budget.held_until)

    # -- pulls: used by the scraper ----------------------------------------------------------------

    @property
    def full(self) -> bool:
        """Return whether the limit of concurrent pulls is reached."""
        return self._budget.full

    def opens_at(self, now: float, cost: float) -> float:
        """Return when a pull of `cost` credits may start; a time up to `now` means at once."""
        return self._budget.opens_at(now, cost)

    def start(self, now: float, cost: float) -> None:
        """Count a pull that starts now; `end` must follow."""
        self._budget.start(now, cost)

    def end(self) -> None:
        """Count the end of a pull, successful or not."""
        self._budget.end()

    def spent(self, now: float, planned: float, real: float | None, left: float | None) -> None:
        """Update the budget with the credits that an answer reports.

        Args:
            now: seconds on the monotonic clock.
            planned: credits that the pull was started with.
            real: credits that it really cost; None if the source does not say.
            left: credits left of the source's quota; None if the source does not say.
        """
        if real is not None:
            self._budget.cost(now, planned, real)
        if left is not None:
            self._budget.told(now, left)

    def pull_failed(self, now: float, error: BaseException) -> Failure:
        """Describe a failed pull, and pause the source for as long as it asks."""
        failure = failure_of(error, self.most_wait_s)
        if failure.wait_s is not None:
            if failure.kind == CIRCUIT_OPEN:  # the breaker must let its trial pass
                self._budget.hold(now + failure.wait_s)
            else:
                self.hold(now + failure.wait_s)
        return failure

    def held_s(self, now: float) -> float:
        """Return the seconds for which a Retry-After still blocks all pulls and requests."""
        return max(0.0, self._budget.held_until - now)

    def hold(self, until: float) -> None:
        """Block all pulls and requests until a time."""
        self._budget.hold(until)
        self._breaker.hold(until)

    def moved(self, now: float, day_offset_s: float, slept_s: float) -> None:
        """Adjust to a jump of the wall clock or a sleep of the machine; see Budget.moved."""
        self._budget.moved(now, day_offset_s, slept_s)
        self._breaker.moved(slept_s)

    # -- requests: used by the HTTP client ---------------------------------------------------------

    def request(self, now: float) -> float:
        """Reserve a request, and return the time, not before `now`, at which it may start."""
        return self._budget.request(now)

    def admit(self, now: float) -> None:
        """Let a request through; its outcome must be reported afterwards.

        Raises:
            SourceError: of kind circuit_open, with the seconds to wait.
        """
        self._breaker.admit(now)

    def answered(self) -> None:
        """Count a request that the server answered."""
        self._breaker.succeeded()

    def request_failed(self, now: float, error: SourceError) -> None:
        """Count a failed request, and pause the source for as long as it asks."""
        self._breaker.failed(now, error)
        wait_s = waiting_s(error.retry_after_s, self.most_wait_s)
        if wait_s is not None and error.kind in TROUBLE:
            self.hold(now + wait_s)

    def given_up(self) -> None:
        """Forget a cancelled request; it tells nothing about the server."""
        self._breaker.given_up()

    def again(self, error: Exception) -> bool | float:
        """Return whether to retry a failed request, or the seconds to wait before the retry."""
        if not isinstance(error, SourceError) or error.kind not in TROUBLE:
            return False
        if error.retry_after_s is None:
            return True
        return error.retry_after_s if error.retry_after_s <= MAX_RETRY_WAIT_S else False


@runtime_checkable
class SharesAccess(Protocol):
    """A source that exposes its HTTP client's access policy; optional in a plug-in."""

    access: Access


def access_of(source: OpenSource) -> Access:
    """Return the policy that a source shares, or a new one that only counts its pulls."""
    return source.access if isinstance(source, SharesAccess) else Access()


def holds_all(error: SourceError) -> bool:
    """Return whether a failure affects the whole source, so that other fetches would fail too."""
    return error.retry_after_s is not None


def backoff(failures: int, most: float = MAX_BACKOFF) -> float:
    """Return the pause after failures in a row, as a multiple of the first one.

    Args:
        failures: any number of them.
        most: the longest pause.
    """
    doublings = min(max(failures - 1, 0), _MOST_DOUBLINGS)  # a power of many thousands overflows
    return min(2.0**doublings, most)


def discovery_wait_s(failures: int, discovery_s: float) -> float:
    """Return the seconds until the next discovery after failures in a row."""
    if not failures:
        return discovery_s
    return min(discovery_s, _DISCOVERY_RETRY_S * 2.0 ** min(failures - 1, 10))
