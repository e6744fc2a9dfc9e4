"""What a source is: the protocol that the scrapers know, and what all providers share."""

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

TARGET_INTERVALS: Final = 2.0  # unless told: a fetch may be late by a whole interval


class Tier(Struct, frozen=True, kw_only=True):
    """How urgent an event is, by how soon it starts.

    within_s: for events that start within so many seconds (0: those in play), None for all others.
    interval_s: seconds between two fetches of one event. target_s: how old its odds may get; the
    share of events that keep it is reported.
    """

    name: str
    within_s: float | None
    interval_s: float
    target_s: float


class Pace(Struct, frozen=True, kw_only=True):
    """What a source may be asked, and when.

    tiers: the most urgent first; the last one has no `within_s`. concurrency: requests under way
    at once; requests_per_s: how many may start (None: no limit). quota_per_day: credits that may
    be spent in one day (UTC), spread over it (None: no limit of our own). discovery_s: seconds
    between two looks at what there is. by_event: whether pulls are of single events, so that those
    which discovery lists no more are pulled on until the source says that they are gone.
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
        """One pace for all that a source has."""
        return cls(
            tiers=(steady_tier(interval_s),),
            concurrency=concurrency,
            requests_per_s=requests_per_s,
            quota_per_day=quota_per_day,
            discovery_s=discovery_s,
        )

    @property
    def slowest_s(self) -> float:
        """The interval of what is asked for the least often."""
        return self.tiers[-1].interval_s


def steady_tier(interval_s: float) -> Tier:
    """The only tier of a source whose pulls are all alike."""
    return Tier(
        name="all", within_s=None, interval_s=interval_s, target_s=interval_s * TARGET_INTERVALS
    )


class Pull(Struct, frozen=True, kw_only=True):
    """One unit of regular work: a listing with all its events, or a single event.

    key: its name, unique in its source; for a single event the source's id of it, where `event`
    is True. listing: the part of the offer that a single event stands in. start_time, in_play: what
    its urgency is judged by; a pull without either falls in the last tier. shared_ids: as in
    ObservedEvent; what several sources list comes first among equals. cost: credits of the
    source's quota that it takes.
    """

    key: str
    event: bool = False
    listing: str | None = None
    start_time: datetime | None = None
    in_play: bool = False
    shared_ids: Mapping[str, str] = {}
    cost: float = 1.0


class Offer(Struct, frozen=True):
    """What a source has to be pulled; problems: name -> how many parts could not be looked at.

    What stood in such a part before must be in `pulls` again: not looked at is not gone.
    """

    pulls: tuple[Pull, ...]
    problems: Mapping[str, int] = {}


@runtime_checkable
class TellsAsks(Protocol):
    """A source that tells what its settings ask for; what a plug-in may leave out."""

    def asks(self) -> Asks:
        """Return what is asked for: the same value for the same settings."""
        ...


class Source(Protocol):
    """A place that odds are fetched from; one source may carry many bookmakers.

    name: unique among the configured sources. pace: how often it may be asked for what. A source
    may tell what it is asked for (TellsAsks); of others nothing is withdrawn when settings change.
    """

    kind: ClassVar[str]
    name: str
    pace: Pace

    @classmethod
    def open(cls, name: str, table: dict[str, Any]) -> AbstractAsyncContextManager[Self]:
        """Make one from its settings table (without `kind` and `name`), with its HTTP client.

        Raises SettingsError naming the key that is wrong; unknown keys are wrong.
        """
        ...

    async def discover(self) -> Offer:
        """What to fetch regularly, asked every `pace.discovery_s` seconds.

        Raises SourceError when that cannot be found out now; then the last offer stands.
        """
        ...

    async def fetch(self, pull: Pull) -> Observation:
        """Fetch one pull whole: a listing, or one event with a scope of that event.

        An event that the source knows no more is a complete observation without events. Raises
        SourceError when it failed as a whole: an empty observation says that there is
        nothing. What cannot be decoded is counted in `problems`, named in `unreadable`, skipped.
        """
        ...

    async def fetch_event(self, source_event_id: str, listing: str | None) -> Observation:
        """Fetch one event on demand, with a scope of that event. Raises as `fetch`."""
        ...


def asks_of(source: Source) -> Asks:
    """Return what a source is asked for, as far as it tells."""
    asks = source.asks() if isinstance(source, TellsAsks) else Asks()
    return replace(asks, kind=source.kind)


def distinct_outcomes(outcomes: Iterable[Outcome], problems: Counter[str]) -> list[Outcome]:
    """The outcomes with unique keys: where one repeats, the lowest price stands.

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
