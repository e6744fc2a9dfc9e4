"""The values that the client hands out: plain and typed, most of them the service's own.

All are immutable: keep them, compare them, hand them to other threads. Times are aware UTC; an
absent price or time is None; a MarketKey's line is canonical decimal text, empty where the market
has none. A server may know more enum values than this client: an unknown status of a market reads
as SUSPENDED, of a source as STALE, of an event as SCHEDULED.
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
    """The kind of a change: 1 to 5 concern markets, 6 to 8 events, 9 to 11 sources.

    UNSPECIFIED: a kind that is newer than this client. UNSTORED: in history only, a change that
    the database refused; its odds are unknown.
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
    """A selection: fields are joined by "and", the values of one field by "or".

    An empty field does not restrict. start_from, start_to: events that start at or after the one
    and before the other. in_play: True selects events in play, False the others.
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
        """Refuse a bare text, whose characters would be taken for the values.

        Raises:
            TypeError: A field is a text.
        """
        for name in self.__struct_fields__:
            if isinstance(getattr(self, name), str):
                raise TypeError(f"{name} takes a list of values, not a text")


EVERYTHING: Final = Filter()


class SourceState(Struct, frozen=True, kw_only=True):
    """The last known state of a source.

    reason: a word for the cause of its state, or of its last failure; detail: the same for people.
    quota_left: requests left, None where the source does not tell.
    """

    source: str
    status: SourceStatus
    last_success_at: datetime | None
    consecutive_failures: int
    reason: str
    quota_left: int | None
    detail: str = ""


class BookmakerOdds(snapshot.BookmakerOdds, frozen=True):
    """The odds that one bookmaker shows for one event, through one source.

    stale: not live. The times and `stale` move at every fetch, which is no change: a map that is
    watched without `freshness` holds them as of the image or of the last change.
    """

    stale: bool = False


class EventOdds(Struct, frozen=True):
    """An event with the odds of all its bookmakers. best: only where it was asked for."""

    event: Event
    bookmakers: Mapping[BookmakerKey, BookmakerOdds]
    best: tuple[BestMarket, ...] = ()


class Odds(Struct, frozen=True):
    """One consistent view of the odds: the log up to `cursor`.

    events: by event id, in the order of their start. durable_revision: everything up to it is
    committed in the database.
    """

    cursor: Cursor
    durable_revision: int
    events: Mapping[str, EventOdds]
    sources: Mapping[str, SourceState]


class MarketChange(Struct, frozen=True, kw_only=True):
    """The odds of a market after and before a change; always whole.

    before: None for a market that was not there. after: with status REMOVED and without outcomes
    for one that is gone. reason: a word such as `line_moved`, with other_line the line that it
    moved to or from. conflated_count: the number of changes that this one stands for, 0 without
    conflation; suspended_meanwhile: the market was suspended between before and after.
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
    """A change whose odds are unknown; only in history (kind UNSTORED).

    The database refused it. Only its place in the log is certain: it may concern anything, whatever
    the filter. A change of a kind that is newer than this client has the other fields too.
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

    image: an image follows, and the map must not be used until it is complete.
    reason: `no_cursor`, `resumed`, `too_old`, `epoch_changed`, `history_gap`, `ahead_of_server`,
    `image_incomplete`, `image_asked`.
    conflate_s, heartbeat_s: the values that the server granted; 0: no conflation.
    """

    cursor: Cursor
    image: bool
    reason: str
    conflate_s: float
    heartbeat_s: float


class ImageLoaded(Struct, frozen=True, kw_only=True):
    """The map was replaced as a whole: recompute everything derived from it."""

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
    """The last confirmation of one bookmaker's odds of an event, and whether they are stale."""

    event_id: str
    source: str
    bookmaker: str
    confirmed_at: datetime
    stale: bool


class Freshness(Struct, frozen=True, kw_only=True):
    """Odds were confirmed again or grew stale; the map holds the news. It is no change."""

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
    """The connection broke; the next attempt follows in retry_in_s, from the last cursor."""

    error: ServiceError
    retry_in_s: float


Step: TypeAlias = (
    Opened | ImageLoaded | Changes | Heartbeat | Freshness | Lagged | StreamClosing | Disconnected
)


class ListedBookmaker(Struct, frozen=True, kw_only=True):
    """A bookmaker that prices an event. markets: the number that it shows."""

    bookmaker: str
    source: str
    markets: int
    confirmed_at: datetime
    stale: bool


class SourceMatch(Struct, frozen=True, kw_only=True):
    """One source's version of an event, and its match with the other sources' versions.

    score: 0 (none, or alone) to 100 (certain). reason: in words. start_time: None if unknown.
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
    """An event with its bookmakers, and the match of its sources."""

    event: Event
    bookmakers: tuple[ListedBookmaker, ...]
    matches: tuple[SourceMatch, ...] = ()


class ClosingOdds(Struct, frozen=True, kw_only=True):
    """The last open odds of a market before its event started.

    confirmed_at: their last confirmation, at most the start; age_s: the seconds from then to the
    start. offered: they stood until the start; otherwise the market was suspended or removed
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
    """The result of the fetch from one source; both error fields are empty on success."""

    source: str
    ok: bool
    error_code: str
    error_message: str
    latency_s: float


class Refreshed(Struct, frozen=True, kw_only=True):
    """The result of a refresh; changes up to durable_revision are stored.

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
