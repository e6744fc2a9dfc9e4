"""The protocol of a source, and the values that it exchanges with the scrapers."""

from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, ClassVar, Final, Protocol, Self, runtime_checkable

from msgspec import Struct
from msgspec.structs import replace

from odds_service.model.asks import Asks
from odds_service.model.market import Outcome
from odds_service.model.observation import Observation

TARGET_INTERVALS: Final = 2.0  # by default a fetch may be one interval late


class Tier(Struct, frozen=True, kw_only=True):
    """A class of urgency: events by the time until their start.

    Attributes:
        name: shown in the status.
        within_s: the tier holds events that start within so many seconds (0: those in play); None
            for all others.
        interval_s: seconds between two fetches of one event.
        target_s: the age that odds of the tier should not exceed; the status reports the share of
            events that meet it.
    """

    name: str
    within_s: float | None
    interval_s: float
    target_s: float


class Pace(Struct, frozen=True, kw_only=True):
    """The permitted frequency of fetches from a source.

    Attributes:
        tiers: the most urgent first; the last has no `within_s`.
        concurrency: limit of requests under way at once.
        requests_per_s: limit of requests started per second; None for no limit.
        quota_per_day: credits for one UTC day, spread over it; None for no limit of our own.
        discovery_s: seconds between two discoveries.
        by_event: each pull is one event. Events that discovery no longer lists are pulled until the
            source itself reports them gone.
    """

    tiers: tuple[Tier, ...]
    concurrency: int = 2
    requests_per_s: float | None = None
    quota_per_day: float | None = None
    discovery_s: float = 300.0
    by_event: bool = False

    @classmethod
    def steady(
        cls,
        interval_s: float,
        *,
        concurrency: int = 2,
        requests_per_s: float | None = None,
        quota_per_day: float | None = None,
        discovery_s: float = 300.0,
    ) -> Self:
        """Make a pace of one tier.

        Args:
            interval_s: seconds between two fetches of one pull.
            concurrency: limit of requests under way at once.
            requests_per_s: limit of requests started per second; None for no limit.
            quota_per_day: credits for one UTC day; None for no limit of our own.
            discovery_s: seconds between two discoveries.
        """
        return cls(
            tiers=(steady_tier(interval_s),),
            concurrency=concurrency,
            requests_per_s=requests_per_s,
            quota_per_day=quota_per_day,
            discovery_s=discovery_s,
        )

    @property
    def slowest_s(self) -> float:
        """Return the longest interval of all tiers, in seconds."""
        return self.tiers[-1].interval_s


def steady_tier(interval_s: float) -> Tier:
    """Return the only tier of a source whose pulls are all alike."""
    return Tier(
        name="all", within_s=None, interval_s=interval_s, target_s=interval_s * TARGET_INTERVALS
    )


class Pull(Struct, frozen=True, kw_only=True):
    """A unit of regular work: a listing with all its events, or a single event.

    Attributes:
        key: unique in its source; the source's id of the event if `event` is True.
        event: whether the pull is a single event.
        listing: the part of the offer that a single event belongs to.
        start_time: with `in_play`, determines the urgency; a pull with neither falls in the last
            tier.
        in_play: whether the event is in play.
        shared_ids: as in ObservedEvent. Among equally urgent pulls, events that several sources
            list come first.
        cost: credits of the source's quota.
    """

    key: str
    event: bool = False
    listing: str | None = None
    start_time: datetime | None = None
    in_play: bool = False
    shared_ids: Mapping[str, str] = {}
    cost: float = 1.0


class Offer(Struct, frozen=True):
    """All pulls of a source.

    Attributes:
        pulls: the pulls. Those of a part that could not be read must be repeated from the last
            offer: unread does not mean gone.
        problems: name -> number of parts that could not be read.
    """

    pulls: tuple[Pull, ...]
    problems: Mapping[str, int] = {}


@runtime_checkable
class TellsAsks(Protocol):
    """A source that reports what its settings ask for; optional in a plug-in."""

    def asks(self) -> Asks:
        """Return the parts of the offer that are asked for; equal settings give equal values."""
        ...


class OpenSource(Protocol):
    """An open source as the service knows it, wherever it runs."""

    @property
    def kind(self) -> str:
        """The name of its entry point."""
        ...

    @property
    def name(self) -> str:
        """Unique among the configured sources."""
        ...

    @property
    def pace(self) -> Pace:
        """The permitted frequency of fetches."""
        ...


class Source(Protocol):
    """A provider of odds; one source may carry many bookmakers.

    Two further members are optional. Without `asks()` (TellsAsks) nothing is withdrawn when
    settings change. `access` (access.SharesAccess) lets the scraper share the HTTP client's policy.

    Attributes:
        kind: the name of its entry point.
        name: unique among the configured sources.
        pace: the permitted frequency of fetches.
    """

    kind: ClassVar[str]
    name: str
    pace: Pace

    @classmethod
    def open(cls, name: str, table: dict[str, Any]) -> AbstractAsyncContextManager[Self]:
        """Open a source with its HTTP client.

        A reload opens a changed source beside the one that it will replace, which has the same
        name. One task opens and closes a source.

        Args:
            name: the source's name.
            table: its settings table, without `kind` and `name`.

        Raises:
            SettingsError: a key is wrong or unknown; the text names it.
        """
        ...

    async def discover(self) -> Offer:
        """Return the pulls to make regularly; called every `pace.discovery_s` seconds.

        Raises:
            SourceError: discovery failed; the last offer remains in force.
        """
        ...

    async def fetch(self, pull: Pull) -> Observation:
        """Make one pull: fetch a whole listing, or one event with a scope of that event.

        For an event that the source no longer knows, return a complete observation without events.
        Count a part that cannot be decoded in `problems`, name it in `unreadable` and skip it.

        Raises:
            SourceError: the fetch failed as a whole. Do not return an empty observation instead: it
                would mean that the source shows nothing.
        """
        ...

    async def fetch_event(self, source_event_id: str, listing: str | None) -> Observation:
        """Fetch one event on demand, with a scope of that event; raises like `fetch`."""
        ...


def asks_of(source: OpenSource) -> Asks:
    """Return what a source is asked for, as far as it reports that."""
    asks = source.asks() if isinstance(source, TellsAsks) else Asks()
    return replace(asks, kind=source.kind)


def distinct_outcomes(outcomes: Iterable[Outcome], problems: Counter[str]) -> list[Outcome]:
    """Return outcomes with unique keys; a repeated key keeps its lowest price.

    Repeats with a different price are counted as `repeated_outcome`.
    """
    kept: dict[str, Outcome] = {}
    for outcome in outcomes:
        other = kept.setdefault(outcome.key, outcome)
        if other is outcome:
            continue
        if other.price != outcome.price:
            problems["repeated_outcome"] += 1
        if outcome.price is not None and (other.price is None or outcome.price < other.price):
            kept[outcome.key] = outcome
    return list(kept.values())
