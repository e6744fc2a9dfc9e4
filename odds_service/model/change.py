"""Changes of markets, events and sources, which are numbered, streamed and stored.

On the bus all of them are arrays; that of a change begins with its tag (bus/messages.py, which has
a twin of MarketChange and of Commit). Never reuse a tag, and add a field only at the end and with a
default, so that older messages still decode.
"""

import enum
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from msgspec import Struct

from odds_service.model.event import Event
from odds_service.model.market import Market
from odds_service.model.memo import Memo
from odds_service.model.snapshot import BookmakerOdds, EventSource, Snapshot
from odds_service.model.source import SourceState


class ChangeKind(enum.IntEnum):
    """Kinds of changes, as numbered on the wire and in databases; never reuse a number."""

    ADDED = 1
    PRICES = 2
    SUSPENDED = 3
    RESUMED = 4
    REMOVED = 5
    EVENT_ADDED = 6
    EVENT_UPDATED = 7
    EVENT_ENDED = 8
    SOURCE_UP = 9
    SOURCE_STALE = 10
    SOURCE_DOWN = 11


class Reason:
    """Reasons for changes. They are texts, so a client may meet one that it does not know."""

    SOURCE_REMOVED: Final = "source_removed"  # gone from a complete payload
    EVENT_ENDED: Final = "event_ended"  # gone after its start
    EVENT_STARTED: Final = "event_started"
    START_MOVED: Final = "start_moved"
    SIDES_SWAPPED: Final = "sides_swapped"
    RENAMED: Final = "renamed"
    STATUS_TOLD: Final = "status_told"  # a source reports another status than before
    DRAW_LOST: Final = "draw_lost"  # a bookmaker shows a market without the draw that it had
    LISTING_MOVED: Final = "listing_moved"  # the source shows it elsewhere; nothing else differs
    SOURCE_JOINED: Final = "source_joined"  # one more source carries the event
    SOURCE_LEFT: Final = "source_left"
    LINE_MOVED: Final = "line_moved"  # REMOVED and ADDED side by side, each naming the other line
    UNREADABLE: Final = "unreadable"  # still offered, but its odds could not be decoded
    MERGED: Final = "merged"  # found to be the same event as another, which takes over its odds
    SPLIT: Final = "split"  # source events taken for one event were found to be two
    REMATCHED: Final = "rematched"  # only the match between its source events differs
    NO_LONGER_ASKED: Final = "no_longer_asked"  # the settings ask for less; it may still be offered
    IMPORT_ENDED: Final = "import_ended"  # the import that brought it has ended
    PURGED: Final = "purged"  # an ended event left the cache
    LEFT_FILTER: Final = "left_filter"  # in streams only: the event no longer matches


class MarketChange(Struct, Memo, frozen=True, gc=False, array_like=True, tag=1):
    """A market's odds after and before; a market is always whole in a change.

    Attributes:
        before: The market before; None if it was not there.
        after: The market after; if it is gone, it has status REMOVED and no outcomes.
        other_line: With LINE_MOVED, the line that it moved to or from.
        wall_at: The wall clock at detection; None if equal to detected_at, as in any change.
    """

    revision: int
    kind: ChangeKind
    reason: str
    event_id: str
    source: str
    bookmaker: str
    snapshot_id: int
    observed_at: datetime
    detected_at: datetime
    before: Market | None
    after: Market
    other_line: str | None = None
    wall_at: datetime | None = None


class EventChange(Struct, Memo, frozen=True, gc=False, array_like=True, tag=2):
    """An event added, updated or ended.

    One EVENT_ENDED ends all markets of the event. Its `ended` holds the bookmakers' last odds, so
    that odds can be restored as of any earlier revision.
    """

    revision: int
    kind: ChangeKind
    reason: str
    event_id: str
    source: str
    observed_at: datetime
    detected_at: datetime
    before: Event | None
    after: Event
    ended: tuple[BookmakerOdds, ...] = ()
    wall_at: datetime | None = None


class SourceChange(Struct, Memo, frozen=True, gc=False, array_like=True, tag=3):
    """A source that came up, became stale or went down."""

    revision: int
    kind: ChangeKind
    reason: str
    source: str
    observed_at: datetime
    detected_at: datetime
    before: SourceState | None
    after: SourceState
    wall_at: datetime | None = None


Change = MarketChange | EventChange | SourceChange


class Timing(Struct, frozen=True, gc=False):
    """The way of a commit's odds until their detection, in seconds of the monotonic clock.

    Attributes:
        tier: The tier of the pull that observed them.
        observed_s: The time of the observation.
        detected_s: The time at which the changes were numbered.
    """

    source: str
    tier: str
    observed_s: float
    detected_s: float


class Commit(Struct, frozen=True, gc=False, array_like=True):
    """The effect of one swap of the cache on the log; model/fold.py applies it and undoes it.

    Attributes:
        changes: One or more changes with consecutive revisions.
        snapshots: The snapshots made by the changes.
        event_sources: Pairs of an event id and a source of the event that is new, has moved or has
            departed.
        replaced: Snapshot id -> id of the bookmaker's previous snapshot; never stored.
        timing: The delays so far, for changes that come from a pull of this run; never stored.
    """

    changes: Sequence[Change]
    snapshots: Sequence[Snapshot] = ()
    event_sources: Sequence[tuple[str, EventSource]] = ()
    replaced: Mapping[int, int] = {}
    timing: Timing | None = None

    @property
    def first_revision(self) -> int:
        return self.changes[0].revision

    @property
    def last_revision(self) -> int:
        return self.changes[-1].revision
