"""The state of a source, as shown to clients."""

import enum
import re
from datetime import datetime
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

_ASSUMED_INTERVAL_S: Final = 60.0  # where nothing tells it
STALE_AFTER_INTERVALS: Final = 3  # a source without a success for this many intervals is STALE
DOWN_AFTER_FAILURES: Final = 5  # a source with this many consecutive failures is DOWN

BAD_OBSERVATION: Final = "bad_observation"  # a value has the wrong type: a bug in the source
NOTHING_READ: Final = "wrong_shape"  # the answer had parts, and none could be read
WRONG_EVENT: Final = "wrong_event"  # the answer is about another event than the one asked for
# Kinds of failures in which an answer came but could not be read. When a single event was asked
# for, such a failure says nothing about the source as a whole.
UNREADABLE_KINDS: Final = frozenset({NOTHING_READ, BAD_OBSERVATION, WRONG_EVENT})


class SourceStatus(enum.IntEnum):
    """UP: odds are current. STALE: too long without success. DOWN: many consecutive failures."""

    UP = 1
    STALE = 2
    DOWN = 3


class SourceReason:
    """Reasons for a source not to be UP, beside the kinds of failed fetches (SourceError.kind)."""

    STARTING: Final = "starting"  # no fetch has ended yet
    NO_SUCCESS: Final = "no_success"  # too long without a success, though nothing failed
    STORAGE_BEHIND: Final = "storage_behind"  # scraping waits for the database
    BUS_BEHIND: Final = "bus_behind"  # scraping waits for the bus between nodes
    UPSTREAM_AWAY: Final = "upstream_away"  # a read node hears nothing from the one that fetches
    TOO_MANY_NEW_EVENTS: Final = "too_many_new_events"  # above limits.max_new_events_per_h
    TOO_MANY_CHANGES: Final = "too_many_changes"  # above limits.max_changes_per_s
    CRASH: Final = "crash"  # the source raised an unexpected error
    NO_LONGER_ASKED: Final = "no_longer_asked"  # a reload took the source out of the settings
    IMPORT_ENDED: Final = "import_ended"  # its odds came from recordings, which have ended
    FAILED: Final = "failed"  # a failure whose name is not a word


class Overload(Struct, frozen=True):
    """A bound that a source exceeds: a reason for programs, and its numbers for people."""

    reason: str
    detail: str


_WORD: Final = re.compile("[a-z][a-z0-9_]{0,63}")


class SourceState(Struct, frozen=True, kw_only=True):
    """The present state of a source.

    Attributes:
        interval_s: The usual seconds between two successes.
        paces: Pairs of the seconds before an event's start (None for all other events) and the
            seconds between two fetches of such an event, most urgent first.
        announced: The status in its last numbered change. A restart shows STALE without announcing
            it, so that fetching the same odds again makes no change.
        reason: The reason for not being UP, a word for programs; empty after a success.
        quota_left: The requests left; None if the source does not say.
        detail: The reason, for people.
        success_boot_s: The boot clock at last_success_at, for ages; meaningless in stored states.
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
    """Return the name of a failure if it is a word for programs, else FAILED.

    A plug-in may name its failures with any text.
    """
    return name if _WORD.fullmatch(name) else SourceReason.FAILED


def told_by_word(state: SourceState) -> SourceState:
    """Return the state with a word as its reason.

    Up to version 0.1.0 the reason was text for people, which becomes the detail.
    """
    if not state.reason or _WORD.fullmatch(state.reason):
        return state
    behind = state.reason.startswith("no success since")
    word = SourceReason.NO_SUCCESS if behind else SourceReason.FAILED
    return replace(state, reason=word, detail=state.detail or state.reason)


def judged_status(state: SourceState, boot_s: float) -> SourceStatus:
    """Return the status of a source at boot time `boot_s`; never UP before the first success."""
    if state.consecutive_failures >= DOWN_AFTER_FAILURES:
        return SourceStatus.DOWN
    if state.success_boot_s is None:
        return SourceStatus.STALE
    if boot_s - state.success_boot_s > STALE_AFTER_INTERVALS * state.interval_s:
        return SourceStatus.STALE
    return SourceStatus.UP


def assumed_up(source: str) -> SourceState:
    """Return the state assumed for a source whose state of a past time is not known."""
    return SourceState(source=source, interval_s=_ASSUMED_INTERVAL_S, status=SourceStatus.UP)


def event_interval_s(state: SourceState, starts_in_s: float) -> float:
    """Return the seconds between two fetches of an event that starts in `starts_in_s`."""
    for within_s, interval_s in state.paces:
        if within_s is None or starts_in_s <= within_s:
            return interval_s
    return state.interval_s
