"""The kinds of failed fetches, and their meaning for the source."""

from typing import Final

from msgspec import Struct

from odds_service.errors import SourceError
from odds_service.model.source import BAD_OBSERVATION, SourceReason
from odds_service.model.text import told

CIRCUIT_OPEN: Final = "circuit_open"  # not asked: the breaker is open, or Retry-After still runs
OVER_BUDGET: Final = "over_budget"  # not asked: the quota is used up, or Retry-After still runs
RATE_LIMITED: Final = "rate_limited"
SERVER_ERROR: Final = "server_error"

# Failures of the server itself: they are retried, and the breaker counts them. Refusals (401, 404)
# are neither retried nor counted.
TROUBLE: Final = frozenset({"timeout", "connection", "truncated", SERVER_ERROR, RATE_LIMITED})

MOST_REASON_CHARS: Final = 500
MOST_KIND_CHARS: Final = 64
_STATUS_KINDS: Final = {
    401: "unauthorized", 403: "forbidden", 404: "not_found", 429: RATE_LIMITED,
    500: SERVER_ERROR, 502: SERVER_ERROR, 503: SERVER_ERROR, 504: SERVER_ERROR,
}  # fmt: skip


class Failure(Struct, frozen=True):
    """A failed fetch in bounded, printable words.

    Attributes:
        kind: the name of the failure, for programs.
        reason: a description, for people.
        wait_s: seconds for which the source asks to be left alone; None if it does not ask.
    """

    kind: str
    reason: str
    wait_s: float | None


def failure_of(error: BaseException, most_wait_s: float) -> Failure:
    """Describe an exception that a source raised.

    A SourceError keeps its kind. Any other Exception is a `crash`, described by its type alone.
    SystemExit, GeneratorExit and the like are a `bad_observation`.

    Args:
        error: the exception; a plug-in's may hold values of any type and size.
        most_wait_s: upper bound of `wait_s` in seconds.
    """
    if not isinstance(error, SourceError):
        if isinstance(error, Exception):
            return Failure(SourceReason.CRASH, f"the source crashed: {type(error).__name__}", None)
        return Failure(BAD_OBSERVATION, f"the source raised {type(error).__name__}", None)
    return Failure(
        told(getattr(error, "kind", ""), MOST_KIND_CHARS) or SourceReason.CRASH,
        told(error, MOST_REASON_CHARS),
        waiting_s(getattr(error, "retry_after_s", None), most_wait_s),
    )


def waiting_s(asked: object, most_s: float) -> float | None:
    """Return a wait of 0 to `most_s` seconds; None if `asked` is not a number."""
    if isinstance(asked, bool) or not isinstance(asked, int | float):
        return None
    if asked != asked:  # NaN
        return None
    return float(min(max(asked, 0.0), most_s))


def status_kind(status: int) -> str:
    """Return the kind of failure of an HTTP status; `bad_request` for unknown ones."""
    return _STATUS_KINDS.get(status, "bad_request")
