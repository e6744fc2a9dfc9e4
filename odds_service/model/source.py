"""The state of a source, as watchers see it."""

import enum
import re
from datetime import datetime
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

STALE_AFTER_INTERVALS: Final = 3  # without a success for so many intervals a source is STALE
DOWN_AFTER_FAILURES: Final = 5  # after so many failures in a row a source is DOWN

BAD_OBSERVATION: Final = "bad_observation"  # a value has the wrong type: a bug in the source
NOTHING_READ: Final = "wrong_shape"  # the answer had parts, and none could be read
WRONG_EVENT: Final = "wrong_event"  # the answer is about another event than the one asked for
# Kinds of failures in which an answer came but could not be read. When a single event was asked
# for, such a failure says nothing about the source as a whole.
UNREADABLE_KINDS: Final = frozenset({NOTHING_READ, BAD_OBSERVATION, WRONG_EVENT})


class SourceStatus(enum.IntEnum):
    """UP: odds are current. STALE: too long without a success. DOWN: many failures in a row."""

    UP = 1
    STALE = 2
    DOWN = 3


class SourceReason:
    """Reasons for a source not to be UP, beside the kinds of failed fetches (SourceError.kind)."""

    STARTING: Final = "starting"  # no fetch has ended yet
    NO_SUCCESS: Final = "no_success"  # nothing failed, but nothing succeeded for too long either
    STORAGE_BEHIND: Final = "storage_behind"  # scraping waits for the database
    CRASH: Final = "crash"  # the source raised an unexpected error
    FAILED: Final = "failed"  # a failure whose name is not a word


_WORD: Final = re.compile("[a-z][a-z0-9_]{0,63}")


class SourceState(Struct, frozen=True, kw_only=True):
    """The present state of a source.

    announced: the status of its last numbered change; a restart shows STALE without announcing
    it, so that scraping the same odds again gives no change. interval_s: the usual seconds between
    two successes. paces: (seconds before the start, None for the rest; seconds between two fetches
    of such an event), the most urgent first. reason: a word for programs, empty after a success;
    detail: the same for people. quota_left: requests, None where the source does not say.
    success_boot_s: the boot clock at last_success_at, for ages; meaningless in stored states.
    """

    source: str
    interval_s: float
    paces: tuple[tuple[float | None, float], ...] = ()
    status: SourceStatus = SourceStatus.STALE
    announced: SourceStatus | None = None
    last_success_at: datetime | None = None
    watched_since: datetime | None = None
    consecutive_failures: int = 0
    reason: str = SourceReason.STARTING
    quota_left: int | None = None
    detail: str = ""
    success_boot_s: float | None = None


def reason_word(name: str) -> str:
    """Return the name of a failure if it is a word fit for programs, else FAILED.

    A plug-in may name its failures by any text.
    """
    return name if _WORD.fullmatch(name) else SourceReason.FAILED


def told_by_word(state: SourceState) -> SourceState:
    """Return the state with a word as its reason.

    Up to version 0.1.0 the reason was text, which becomes the detail.
    """
    if not state.reason or _WORD.fullmatch(state.reason):
        return state
    behind = state.reason.startswith("no success since")
    word = SourceReason.NO_SUCCESS if behind else SourceReason.FAILED
    return replace(state, reason=word, detail=state.detail or state.reason)


def judged_status(state: SourceState, boot_s: float) -> SourceStatus:
    """Return the status by time and failures; never UP before the first success.

    boot_s: the boot clock now.
    """
    if state.consecutive_failures >= DOWN_AFTER_FAILURES:
        return SourceStatus.DOWN
    if state.success_boot_s is None:
        return SourceStatus.STALE
    if boot_s - state.success_boot_s > STALE_AFTER_INTERVALS * state.interval_s:
        return SourceStatus.STALE
    return SourceStatus.UP


def event_interval_s(state: SourceState, starts_in_s: float) -> float:
    """Return the seconds between two fetches of an event that starts in `starts_in_s`."""
    for within_s, interval_s in state.paces:
        if within_s is None or starts_in_s <= within_s:
            return interval_s
    return state.interval_s
