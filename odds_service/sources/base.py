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

TARGET_INTERVALS: Final = 2.0  # by default a fetch may be late by a whole interval


class Tier(Struct, frozen=True, kw_only=True):
    """A class of urgency: events by how soon they start.

    within_s: events that start within so many seconds (0: those in play); None for all others.
    interval_s: seconds between two fetches of one event. target_s: age that its odds may reach;
    status reports the share of events that keep it.
    """

    name: str
    within_s: float | None
    interval_s: float
    target_s: float


class Pace(Struct, frozen=True, kw_only=True):
    """The permitted frequency of fetches from a source.

    tiers: the most urgent first; the last has no `within_s`. concurrency: requests under way at
    once. requests_per_s: requests that may start; None for no limit. quota_per_day: credits for
    one UTC day, spread over it; None for no limit of our own. discovery_s: seconds between two
    discoveries. by_event: each pull is one event; events that discovery no longer lists are
    pulled until the source itself says that they are gone.
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
        """Make a pace of one tier; for the arguments see the fields."""
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

    key: unique in its source; the source's id of the event if `event` is True. listing: the part of
    the offer that a single event belongs to. start_time, in_play: decide the urgency; a pull with
    neither falls in the last tier. shared_ids: as in ObservedEvent; among equally urgent pulls,
    events that several sources list come first. cost: credits of the source's quota.
    """

    key: str
    event: bool = False
    listing: str | None = None
    start_time: datetime | None = None
    in_play: bool = False
    shared_ids: Mapping[str, str] = {}
    cost: float = 1.0


class Offer(Struct, frozen=True):
    """The pulls that a source has.

    problems: name -> number of parts that could not be looked at. The pulls of such a part must be
    repeated from the last offer: not looked at does not mean gone.
    """

    pulls: tuple[Pull, ...]
    problems: Mapping[str, int] = {}


@runtime_checkable
class TellsAsks(Protocol):
    """A source that can say what its settings ask for; optional in a plug-in."""

    def asks(self) -> Asks:
        """Return the parts of the offer that are asked for: equal values for equal settings."""
        ...


class Source(Protocol):
    """A place that odds are fetched from; one source may carry many bookmakers.

    name: unique among the configured sources. pace: how often it may be asked. Two members are
    optional: `asks()` (TellsAsks), without which nothing is withdrawn when settings change, and
    `access` (access.SharesAccess), which lets the scraper share the HTTP client's policy.
    """

    kind: ClassVar[str]
    name: str
    pace: Pace

    @classmethod
    def open(cls, name: str, table: dict[str, Any]) -> AbstractAsyncContextManager[Self]:
        """Open a source with its HTTP client.

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
            SourceError: they cannot be found out now; the last offer stands.
        """
        ...

    async def fetch(self, pull: Pull) -> Observation:
        """Fetch one pull whole: a listing, or one event with a scope of that event.

        An event that the source no longer knows is a complete observation without events. A part
        that cannot be decoded is counted in `problems`, named in `unreadable` and skipped.

        Raises:
            SourceError: the fetch failed as a whole. An empty observation would say that there is
                nothing.
        """
        ...

    async def fetch_event(self, source_event_id: str, listing: str | None) -> Observation:
        """Fetch one event on demand, with a scope of that event; raises as `fetch`."""
        ...


def asks_of(source: Source) -> Asks:
    """Return what a source is asked for, as far as it says."""
    asks = source.asks() if isinstance(source, TellsAsks) else Asks()
    return replace(asks, kind=source.kind)


def distinct_outcomes(outcomes: Iterable[Outcome], problems: Counter[str]) -> list[Outcome]:
    """Return outcomes with unique keys; of repeated ones the lowest price stands.

    Repeats with another price are counted as `repeated_outcome`.
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
