"""The odds that bookmakers show for an event: the values of the cache."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from odds_service.model.event import Event, EventStatus
from odds_service.model.market import Market, MarketKey
from odds_service.model.match import Match, ShownEvent

BookmakerKey = tuple[str, str]  # (source, bookmaker): two sources may carry one bookmaker


class Seen(Struct, frozen=True, gc=False):
    """A look at odds: `at` by the wall clock, for people; `boot_s` by the boot clock, for ages."""

    at: datetime
    boot_s: float


class Reading(Struct, frozen=True, gc=False):
    """The clocks that odds are judged by, read together.

    boot_s: None for a time of the past, at which ages are told by the wall clock. Odds confirmed
    before `distrust_before_s` (on the boot clock) are stale: since then the wall clock has jumped
    ahead, as it does after a pause that the machine's other clocks do not know of.
    """

    wall: datetime
    boot_s: float | None = None
    distrust_before_s: float = float("-inf")

    def age_s(self, at: datetime, boot_s: float) -> float:
        """Return the seconds since a look, for staleness; infinite where they cannot be known."""
        if self.boot_s is not None and boot_s < self.distrust_before_s:
            return float("inf")
        return (self.wall - at).total_seconds() if self.boot_s is None else self.boot_s - boot_s

    def seconds_since(self, odds: "BookmakerOdds") -> float:
        """Return the seconds since odds were confirmed, for people."""
        if self.boot_s is None:
            return (self.wall - odds.confirmed_at).total_seconds()
        return self.boot_s - odds.confirmed_boot_s


class Snapshot(Struct, frozen=True, gc=False):
    """A capture that changed something: what one bookmaker shows for one event from then on.

    snapshot_id: the first revision of the capture. Times as in BookmakerOdds.
    """

    snapshot_id: int
    event_id: str
    source: str
    bookmaker: str
    observed_at: datetime
    confirmed_at: datetime
    source_updated_at: datetime | None
    lagging: Mapping[str, Seen] = {}


class BookmakerOdds(Struct, frozen=True):
    """One bookmaker's odds for one event; the one immutable value that a capture replaces.

    snapshot_id: the first revision of the last capture that changed something here.
    observed_at: when we last looked; confirmed_at: when these odds were last seen true (earlier
    than observed_at while the event is missing from its source); source_updated_at: the
    bookmaker's own claim. `markets` is replaced, never changed in place.
    confirmed_boot_s: the boot
    clock at confirmed_at; ages are told from it. lagging: market type -> when its markets were last
    seen true, of the types that the looks since then did not show. doubted: they
    were stored under settings that asked their source for something else; stale until confirmed.
    """

    snapshot_id: int
    event_id: str
    source: str
    bookmaker: str
    observed_at: datetime
    confirmed_at: datetime
    source_updated_at: datetime | None
    markets: Mapping[MarketKey, Market]
    confirmed_boot_s: float = 0.0
    lagging: Mapping[str, Seen] = {}
    doubted: bool = False

    @property
    def key(self) -> BookmakerKey:
        return self.source, self.bookmaker

    def snapshot(self) -> Snapshot:
        """Return the part that a store keeps as a row."""
        return Snapshot(
            self.snapshot_id, self.event_id, self.source, self.bookmaker,
            self.observed_at, self.confirmed_at, self.source_updated_at, self.lagging,
        )  # fmt: skip


class EventSource(Struct, frozen=True):
    """How one source carries an event.

    listing: where it was last seen. applied: sequence number of the last request applied to it,
    None after a restart. seen_boot_s: the boot clock when the source showed it last, None where no
    run has seen it yet. absences: complete fetches in a row that lacked it. shown: what it says of
    the event, None where that is not known yet; match: what joins it to the event's other sources.
    told: the status that the source told at the last look, None where it tells none. departed_at:
    since when the source shows it no more; None: it shows it.
    """

    source: str
    source_event_id: str
    listing: str | None
    applied: int | None
    absences: int = 0
    shown: ShownEvent | None = None
    match: Match = Match()
    told: EventStatus | None = None
    departed_at: datetime | None = None
    seen_boot_s: float | None = None


def told_statuses(sources: Mapping[str, EventSource]) -> dict[str, EventStatus]:
    """Return the statuses that sources report, without those that do not show the event."""
    return {
        name: carried.told
        for name, carried in sorted(sources.items())
        if carried.told is not None and carried.departed_at is None
    }


class EventOdds(Struct, frozen=True):
    """An event with all its bookmakers; replaced whole by every capture that touches it."""

    event: Event
    sources: Mapping[str, EventSource]
    bookmakers: Mapping[BookmakerKey, BookmakerOdds]


def confirmed_of(odds: BookmakerOdds, market_type: str) -> datetime:
    """Return the last time at which the markets of a type were seen true."""
    lagging = odds.lagging.get(market_type)
    return odds.confirmed_at if lagging is None else lagging.at


def as_last_seen(odds: BookmakerOdds, market_types: Iterable[str]) -> BookmakerOdds:
    """Return the odds with the times at which the oldest of some market types was seen true.

    An event's absence stays visible: then the odds are still confirmed earlier than observed.
    """
    lagging = [odds.lagging[name] for name in market_types if name in odds.lagging]
    if not lagging:
        return odds
    oldest = min(lagging, key=lambda seen: seen.at)
    absent = odds.confirmed_at < odds.observed_at
    return replace(
        odds,
        observed_at=odds.observed_at if absent else oldest.at,
        confirmed_at=oldest.at,
        confirmed_boot_s=oldest.boot_s,
        lagging={},
    )


def odds_as_known(
    event_id: str,
    key: BookmakerKey,
    markets: Mapping[MarketKey, Market],
    captured: Snapshot | None,
    at: datetime | None,
) -> BookmakerOdds:
    """Return a bookmaker's odds as they were known at a time.

    Args:
        event_id: the event.
        key: the source and the bookmaker.
        markets: the odds then; at least one market.
        captured: the bookmaker's last snapshot by then, with its latest confirmation; None where
            it is not known, and the newest change counts as the last look.
        at: the time; looks after it were not known then. None for the times of `captured`.
    """
    if captured is None:
        changed_at = max(market.changed_at for market in markets.values())
        return BookmakerOdds(0, event_id, *key, changed_at, changed_at, None, markets)
    return BookmakerOdds(
        captured.snapshot_id,
        event_id,
        *key,
        min(captured.observed_at, at or captured.observed_at),
        min(captured.confirmed_at, at or captured.confirmed_at),
        captured.source_updated_at,
        markets,
        lagging={name: Seen(seen.at, 0.0) for name, seen in captured.lagging.items()},
    )
