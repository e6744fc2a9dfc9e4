"""What the client hands out: plain typed values, most of them the service's own.

All are immutable: keep them, compare them, hand them to other threads. Times are aware UTC; an
absent price or time is None; a MarketKey's line is canonical decimal text, empty where the market
has none. Of enums the server may know more values than this client: an unknown status of a market
is read as SUSPENDED, of a source as STALE, of an event as SCHEDULED.
"""

import enum
import warnings
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, TypeAlias

from msgspec import Struct

from odds_service.client.errors import ServiceError
from odds_service.model import snapshot
from odds_service.model.cursor import Cursor
from odds_service.model.event import Event
from odds_service.model.market import Market, MarketKey
from odds_service.model.overround import BestMarket
from odds_service.model.snapshot import BookmakerKey
from odds_service.model.source import SourceStatus


class ChangeKind(enum.IntEnum):
    """What changed: 1 to 5 are of markets, 6 to 8 of events, 9 to 11 of sources.

    UNSPECIFIED: a kind that is newer than this client. UNSTORED: in history only, a change that
    the database refused; its odds are not known.
    """

    UNSPECIFIED = 0
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
    UNSTORED = 12


class Filter(Struct, frozen=True, kw_only=True):
    """What to select: fields are joined by "and", the values of one field by "or".

    A field left empty does not restrict. start_from, start_to: events that start at or after the
    one and before the other. in_play: True only those in play, False only the others.
    """

    sports: Sequence[str] = ()
    competitions: Sequence[str] = ()
    event_ids: Sequence[str] = ()
    bookmakers: Sequence[str] = ()
    markets: Sequence[str] = ()
    sources: Sequence[str] = ()
    start_from: datetime | None = None
    start_to: datetime | None = None
    in_play: bool | None = None

    def __post_init__(self) -> None:
        """Raises TypeError for a bare text, whose characters would be taken for the values."""
        for name in self.__struct_fields__:
            if isinstance(getattr(self, name), str):
                raise TypeError(f"{name} takes a list of values, not a text")


EVERYTHING: Final = Filter()


class SourceState(Struct, frozen=True, kw_only=True):
    """What is known of a source.

    reason: a word, why it is not UP or why its last fetch failed; detail: the same for people.
    quota_left: requests, None: not told.
    """

    source: str
    status: SourceStatus
    last_success_at: datetime | None
    consecutive_failures: int
    reason: str
    quota_left: int | None
    detail: str = ""


class BookmakerOdds(snapshot.BookmakerOdds, frozen=True):
    """What one bookmaker, through one source, shows for one event.

    stale: not to be taken for live. The times and `stale` move at every fetch, which is no change:
    in a map that is watched without `freshness` they are as of the image or of the last change.
    """

    stale: bool = False


class EventOdds(Struct, frozen=True):
    """An event with everything that its bookmakers show. best: only where it was asked for."""

    event: Event
    bookmakers: Mapping[BookmakerKey, BookmakerOdds]
    best: tuple[BestMarket, ...] = ()


class Odds(Struct, frozen=True):
    """One consistent cut of the odds: what the log up to `cursor` gives.

    events: by event id, in order of their start. durable_revision: everything up to it is
    committed in the database.
    """

    cursor: Cursor
    durable_revision: int
    events: Mapping[str, EventOdds]
    sources: Mapping[str, SourceState]


class MarketChange(Struct, frozen=True, kw_only=True):
    """A market's odds after and before; always whole.

    before: None where the market was not there. after: with status REMOVED and without outcomes
    where it is gone. reason: a word such as `line_moved`, with which other_line is the line that
    it moved to or from. conflated_count: how many changes this one stands for, 0 where nothing
    was put together; suspended_meanwhile: the market was, between before and after.
    """

    revision: int
    kind: ChangeKind
    event_id: str
    source: str
    bookmaker: str
    before: Market | None
    after: Market
    observed_at: datetime
    detected_at: datetime
    reason: str = ""
    other_line: str | None = None
    snapshot_id: int = 0
    conflated_count: int = 0
    suspended_meanwhile: bool = False

    @property
    def key(self) -> MarketKey:
        return self.after.key


class EventChange(Struct, frozen=True, kw_only=True):
    """An event added, updated or ended; an end ends all its markets, without a change of theirs."""

    revision: int
    kind: ChangeKind
    event: Event
    source: str
    observed_at: datetime
    detected_at: datetime
    reason: str = ""
    conflated_count: int = 0

    @property
    def event_id(self) -> str:
        return self.event.id


class SourceChange(Struct, frozen=True, kw_only=True):
    """A source came up, went stale or went down."""

    revision: int
    kind: ChangeKind
    state: SourceState
    observed_at: datetime
    detected_at: datetime
    reason: str = ""
    conflated_count: int = 0


class UnknownChange(Struct, frozen=True, kw_only=True):
    """A change of which the odds are not known; only in history (kind UNSTORED).

    The database refused it: nothing but its place in the log is told for certain, and it may be of
    anything, whatever the filter. Of a kind that is newer than this client, the rest is told too.
    """

    revision: int
    kind: ChangeKind
    event_id: str = ""
    source: str = ""
    bookmaker: str = ""
    detected_at: datetime | None = None
    reason: str = ""


Change: TypeAlias = MarketChange | EventChange | SourceChange
HistoricalChange: TypeAlias = Change | UnknownChange


class Opened(Struct, frozen=True, kw_only=True):
    """A stream is open, at first and after each reconnect.

    image: an image follows, and what the map holds is not to be used until it is complete.
    reason: `no_cursor`, `resumed`, `too_old`, `epoch_changed`, `history_gap`, `ahead_of_server`,
    `image_incomplete`, `image_asked`.
    conflate_s, heartbeat_s: what the server granted; 0: no conflation.
    """

    cursor: Cursor
    image: bool
    reason: str
    conflate_s: float
    heartbeat_s: float


class ImageLoaded(Struct, frozen=True, kw_only=True):
    """The map was replaced as a whole: derive anew what you derived from it."""

    cursor: Cursor
    events: int
    markets: int


class Changes(Struct, frozen=True, kw_only=True):
    """Changes in the order of their revisions; the map holds them all."""

    cursor: Cursor
    changes: tuple[Change, ...]
    durable_revision: int


class Heartbeat(Struct, frozen=True, kw_only=True):
    """Nothing is missing up to here. sent_at: the server's clock."""

    cursor: Cursor
    durable_revision: int
    sent_at: datetime


class OddsFreshness(Struct, frozen=True, kw_only=True):
    """When one bookmaker's odds of an event were last seen true, and whether they are stale."""

    event_id: str
    source: str
    bookmaker: str
    confirmed_at: datetime
    stale: bool


class Freshness(Struct, frozen=True, kw_only=True):
    """Odds that were confirmed again, or grew stale; the map holds it. It is no change."""

    cursor: Cursor
    odds: tuple[OddsFreshness, ...]


class Lagged(Struct, frozen=True, kw_only=True):
    """Changes from revision lost_from to lost_to will not come; an image follows."""

    lost_from: int
    lost_to: int
    reason: str


class StreamClosing(Struct, frozen=True, kw_only=True):
    """The server ends the stream; the client resumes by itself."""

    cursor: Cursor
    reason: str
    retry_after_s: float


class Disconnected(Struct, frozen=True, kw_only=True):
    """The connection broke; after retry_in_s it is tried again, from the last cursor."""

    error: ServiceError
    retry_in_s: float


Step: TypeAlias = (
    Opened | ImageLoaded | Changes | Heartbeat | Freshness | Lagged | StreamClosing | Disconnected
)


class ListedBookmaker(Struct, frozen=True, kw_only=True):
    """A bookmaker that prices an event; markets: how many it shows."""

    bookmaker: str
    source: str
    markets: int
    confirmed_at: datetime
    stale: bool


class SourceMatch(Struct, frozen=True, kw_only=True):
    """How one source shows an event, and what joins that to the event's other sources.

    score: 0 (none, or alone) to 100 (certain). reason: in words. start_time: None where not known.
    """

    source: str
    source_event_id: str
    score: int
    reason: str
    home: str
    away: str
    competition: str
    start_time: datetime | None


class ListedEvent(Struct, frozen=True, kw_only=True):
    """An event, who prices it, and why its sources are taken for one."""

    event: Event
    bookmakers: tuple[ListedBookmaker, ...]
    matches: tuple[SourceMatch, ...] = ()


class ClosingOdds(Struct, frozen=True, kw_only=True):
    """The last odds of a market that were open before its event started.

    confirmed_at: when they were last seen true, the start at the latest; age_s: from then to the
    start. offered: whether they stood until the start; else the market was suspended or removed
    before it.
    """

    bookmaker: str
    source: str
    market: Market
    confirmed_at: datetime
    age_s: float
    offered: bool


class ClosedEvent(Struct, frozen=True, kw_only=True):
    """An event that has started, with its closing odds by source, bookmaker and market."""

    event: Event
    odds: tuple[ClosingOdds, ...]


class RefreshedSource(Struct, frozen=True, kw_only=True):
    """How the fetch from one source went; error_code and error_message are empty when it did."""

    source: str
    ok: bool
    error_code: str
    error_message: str
    latency_s: float


class Refreshed(Struct, frozen=True, kw_only=True):
    """What a refresh gave; everything up to `cursor` is served, up to durable_revision stored.

    snapshots: (source, bookmaker) -> the snapshot that holds its odds now.
    """

    cursor: Cursor
    durable_revision: int
    changes: tuple[Change, ...]
    snapshots: Mapping[BookmakerKey, int]
    sources: tuple[RefreshedSource, ...]


_RENAMED: Final = {"Closing": StreamClosing}  # names of 0.1, kept for its users


def renamed(name: str, module: str) -> type:
    """Return a class by its name of 0.1, with a warning to whoever imports it.

    Args:
        name: The old name.
        module: The module that was asked for it.

    Raises:
        AttributeError: No class had that name.
    """
    if name not in _RENAMED:
        raise AttributeError(f"module {module!r} has no attribute {name!r}")
    now = _RENAMED[name]
    warnings.warn(f"{name} is now {now.__name__}", DeprecationWarning, stacklevel=3)
    return now


def __getattr__(name: str) -> type:
    return renamed(name, __name__)
