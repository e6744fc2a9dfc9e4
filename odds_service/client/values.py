"""The values that the client returns.

All are immutable, so they can be kept, compared and passed between threads. Times are aware and in
UTC; an absent price or time is None; the line of a MarketKey is canonical decimal text, empty for a
market without a line. An unknown enum value, from a newer server, decodes as SUSPENDED for a
market's status, as STALE for a source's and as SCHEDULED for an event's.
"""

import warnings
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeAlias

from msgspec import Struct

from odds_service.client.errors import ServiceError
from odds_service.client.market_change import ChangeKind, MarketChange
from odds_service.model import snapshot
from odds_service.model.cursor import Cursor
from odds_service.model.event import Event
from odds_service.model.market import AtStart, Market
from odds_service.model.overround import BestMarket
from odds_service.model.snapshot import BookmakerKey
from odds_service.model.source import SourceStatus


class Filter(Struct, frozen=True, kw_only=True):
    """A selection: fields are joined by "and", the values of one field by "or".

    An empty field does not restrict. `start_from` selects events that start at or after it, and
    `start_to` events that start before it. `in_play` selects events in play if true, all others if
    false.
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
        """Reject a bare string, whose characters would be taken for the values.

        Raises:
            TypeError: A field that takes a list is a string.
        """
        for name in self.__struct_fields__:
            if isinstance(getattr(self, name), str):
                raise TypeError(f"{name} takes a list of values, not a text")


EVERYTHING: Final = Filter()


class SourceState(Struct, frozen=True, kw_only=True):
    """The last known state of a source.

    `reason` is a code for the cause of the state or of the last failure, and `detail` describes it
    for people. `quota_left` is the number of requests left, None if the source does not report it.
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

    `stale` means that the odds are not live. A fetch may update the times and `stale` without any
    change. Without `freshness`, a watch keeps them as of the image or the last change.
    """

    stale: bool = False


class EventOdds(Struct, frozen=True):
    """An event with the odds of all its bookmakers; `best` is filled only on request."""

    event: Event
    bookmakers: Mapping[BookmakerKey, BookmakerOdds]
    best: tuple[BestMarket, ...] = ()


class Odds(Struct, frozen=True):
    """One consistent view of the odds: the log up to `cursor`.

    `events` maps event ids to odds, in the order of the events' start. Everything up to
    `durable_revision` is committed in the database.
    """

    cursor: Cursor
    durable_revision: int
    events: Mapping[str, EventOdds]
    sources: Mapping[str, SourceState]

    def to_arrow(self) -> Any:
        """Return a pyarrow.Table with one row for each outcome; needs the extra `parquet`.

        docs/history-schema.md describes its columns.

        Raises:
            SettingsError: The extra is not installed.
        """
        from odds_service.client.frames import current_table

        return current_table(self)

    def to_pandas(self) -> Any:
        """Return a pandas.DataFrame with the columns of to_arrow(); needs the extra `pandas`."""
        from odds_service.client.frames import pandas_frame

        return pandas_frame(self.to_arrow())

    def to_polars(self) -> Any:
        """Return a polars.DataFrame with the columns of to_arrow(); needs the extra `polars`."""
        from odds_service.client.frames import polars_frame

        return polars_frame(self.to_arrow())


class EventChange(Struct, frozen=True, kw_only=True):
    """An event added, updated or ended; its end also ends its markets, without further changes."""

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
    """A change of a source's status: up, stale or down."""

    revision: int
    kind: ChangeKind
    state: SourceState
    observed_at: datetime
    detected_at: datetime
    reason: str = ""
    conflated_count: int = 0


class UnknownChange(Struct, frozen=True, kw_only=True):
    """A change with unknown odds.

    With kind UNSTORED, which occurs only in history, the database refused the change. Only its
    place in the log is known, so it comes whatever the filter. A change of a kind that this client
    does not know yet has the other fields too.
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
    """The first step of a stream, also after each reconnect.

    If `image` is true, an image follows, and the map must not be used until it is complete.
    `reason` is one of `no_cursor`, `resumed`, `too_old`, `epoch_changed`, `history_gap`,
    `ahead_of_server`, `image_incomplete` and `image_asked`. `conflate_s` and `heartbeat_s` are the
    values that the server granted, in seconds; a `conflate_s` of 0 means no conflation.
    """

    cursor: Cursor
    image: bool
    reason: str
    conflate_s: float
    heartbeat_s: float


class ImageLoaded(Struct, frozen=True, kw_only=True):
    """An image that has replaced the whole map: recompute everything derived from the map.

    `unknown`, in a replay, is the number of later changes that are not known any more: so many
    markets may show the odds from before or after one of them.
    """

    cursor: Cursor
    events: int
    markets: int
    unknown: int = 0


class Changes(Struct, frozen=True, kw_only=True):
    """Changes in the order of their revisions; the map already includes them."""

    cursor: Cursor
    changes: tuple[Change, ...]
    durable_revision: int


class Heartbeat(Struct, frozen=True, kw_only=True):
    """A sign that the stream is complete up to `cursor`; `sent_at` is by the server's clock."""

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
    """Odds that were confirmed again or became stale, without a change; the map is up to date."""

    cursor: Cursor
    odds: tuple[OddsFreshness, ...]


class Lagged(Struct, frozen=True, kw_only=True):
    """A loss of the changes from revision `lost_from` to `lost_to`; an image follows."""

    lost_from: int
    lost_to: int
    reason: str


class StreamClosing(Struct, frozen=True, kw_only=True):
    """A notice that the server is ending the stream; the client resumes by itself."""

    cursor: Cursor
    reason: str
    retry_after_s: float


class Disconnected(Struct, frozen=True, kw_only=True):
    """A lost connection; the client resumes from the last cursor in `retry_in_s` seconds.

    `changed_to` is the other server where it resumes at once, if there is one to try.
    """

    error: ServiceError
    retry_in_s: float
    changed_to: str | None = None


Step: TypeAlias = (
    Opened | ImageLoaded | Changes | Heartbeat | Freshness | Lagged | StreamClosing | Disconnected
)


class ListedBookmaker(Struct, frozen=True, kw_only=True):
    """A bookmaker that prices an event, with the number of its markets."""

    bookmaker: str
    source: str
    markets: int
    confirmed_at: datetime
    stale: bool


class SourceMatch(Struct, frozen=True, kw_only=True):
    """One source's version of an event, and how well it matches the other sources' versions.

    `score` runs from 0 (no match, or no other source) to 100 (certain); `reason` explains it in
    words. `start_time` is None if unknown.
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
    """An event with its bookmakers and its sources' matches."""

    event: Event
    bookmakers: tuple[ListedBookmaker, ...]
    matches: tuple[SourceMatch, ...] = ()


class ClosingOdds(Struct, frozen=True, kw_only=True):
    """The last open odds of a market before its event started.

    `confirmed_at` is their last confirmation, no later than the start, and `age_s` the seconds from
    then to the start. `at_start` says whether they still stood at the start, and `offered` is true
    only if it is OFFERED. `looked_at` is the last look at the event, later than `confirmed_at` if
    the market was gone by then. `opening` holds the market's first open odds, None if the history
    does not reach back to them.
    """

    bookmaker: str
    source: str
    market: Market
    confirmed_at: datetime
    age_s: float
    offered: bool
    at_start: AtStart
    looked_at: datetime
    opening: Market | None = None


class ClosedEvent(Struct, frozen=True, kw_only=True):
    """An event that has started, with its closing odds by source, bookmaker and market."""

    event: Event
    odds: tuple[ClosingOdds, ...]


class RefreshedSource(Struct, frozen=True, kw_only=True):
    """The result of fetching from one source; both error fields are empty on success."""

    source: str
    ok: bool
    error_code: str
    error_message: str
    latency_s: float


class Refreshed(Struct, frozen=True, kw_only=True):
    """The result of a refresh; changes up to `durable_revision` are stored.

    `snapshots` maps (source, bookmaker) to the id of the snapshot that holds its odds now.
    """

    cursor: Cursor
    durable_revision: int
    changes: tuple[Change, ...]
    snapshots: Mapping[BookmakerKey, int]
    sources: tuple[RefreshedSource, ...]


_RENAMED: Final = {"Closing": StreamClosing}  # names of 0.1, kept for its users


def renamed(name: str, module: str) -> type:
    """Return a class by the name that it had in 0.1, with a DeprecationWarning.

    Args:
        name: The old name.
        module: The name of the module that it is imported from.

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
