"""What a source raised, whatever it holds: a name, a text, and how long to leave it alone."""

from typing import Final

from odds_service.errors import SourceError
from odds_service.model.text import told
from odds_service.sources.boundary import BAD_OBSERVATION, MOST_REASON_CHARS, Limits

MOST_KIND_CHARS: Final = 64


def failure_of(error: BaseException, limits: Limits) -> tuple[str, str, float | None]:
    """Kind, reason and seconds to wait of what a source raised, whatever it holds.

    Anything but a SourceError is a `crash`, told by its type alone; what is no Exception at all
    (SystemExit of a library, GeneratorExit) is a `bad_observation`.
    """
    if not isinstance(error, SourceError):
        if isinstance(error, Exception):
            return "crash", f"the source crashed: {type(error).__name__}", None
        return BAD_OBSERVATION, f"the source raised {type(error).__name__}", None
    kind = told(getattr(error, "kind", ""), MOST_KIND_CHARS) or "crash"
    reason = told(error, MOST_REASON_CHARS)
    return kind, reason, waiting_s(getattr(error, "retry_after_s", None), limits.max_retry_after_s)


def waiting_s(asked: object, most_s: float) -> float | None:
    """How long to leave a source alone, from 0 to `most_s` seconds; None where nothing is asked."""
    if isinstance(asked, bool) or not isinstance(asked, int | float):
        return None
    if asked != asked:  # NaN
        return None
    return float(min(max(asked, 0.0), most_s))
