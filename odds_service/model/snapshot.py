"""Events with their bookmakers' odds: the values of the cache."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from odds_service.model.event import Event, EventStatus
from odds_service.model.market import Market, MarketKey
from odds_service.model.match import Match, ShownEvent

BookmakerKey = tuple[str, str]  # (source, bookmaker): two sources may carry one bookmaker


class Seen(Struct, frozen=True, gc=False):
    """The time of a look: `at` by the wall clock, for people, and `boot_s` by the boot clock."""

    at: datetime
    boot_s: float


class Reading(Struct, frozen=True, gc=False):
    """The clocks that judge the age of odds, read together.

    Attributes:
        wall: The wall clock.
        boot_s: The boot clock; None for a past time, whose ages are judged by the wall clock.
        distrust_before_s: Odds confirmed before this time of the boot clock are stale, because the
            wall clock has since jumped ahead, as after a pause that other clocks do not count.
    """

    wall: datetime
    boot_s: float | None = None
    distrust_before_s: float = float("-inf")

    def age_s(self, at: datetime, boot_s: float) -> float:
        """Return the seconds since a look, for staleness; infinite if unknown."""
        if self.boot_s is not None and boot_s < self.distrust_before_s:
            return float("inf")
        return (self.wall - at).total_seconds() if self.boot_s is None else self.boot_s - boot_s

    def boot_at(self, at: datetime) -> float:
        """Return the boot clock at a time of the wall clock; one that is ahead counts as now."""
        return (self.boot_s or 0.0) - max(0.0, (self.wall - at).total_seconds())

    def on_boot_clock(self, looks: Mapping[str, Seen]) -> Mapping[str, Seen]:
        """Return looks of another run or machine with their times on this boot clock."""
        if not looks:  # as nearly always
            return looks
        return {name: Seen(seen.at, self.boot_at(seen.at)) for name, seen in looks.items()}

    def seconds_since(self, odds: "BookmakerOdds") -> float:
        """Return the seconds since odds were confirmed, for people."""
        if self.boot_s is None:
            return (self.wall - odds.confirmed_at).total_seconds()
        return self.boot_s - odds.confirmed_boot_s


class Snapshot(Struct, frozen=True, gc=False, array_like=True):
    """A capture of one bookmaker for one event that changed something.

    On the bus it is an array (bus/messages.py), so new fields come last and have a default.

    Attributes:
        snapshot_id: The first revision of the capture. For the times, see BookmakerOdds.
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
    """One bookmaker's odds for one event: the immutable value that a capture replaces.

    Attributes:
        snapshot_id: The first revision of the last capture that changed something.
        observed_at: The time of the last look.
        confirmed_at: The time at which these odds were last seen true; earlier than observed_at
            while the event is missing from its source.
        source_updated_at: The time that the bookmaker claims.
        markets: The markets by key; replaced, never changed in place.
        confirmed_boot_s: The boot clock at confirmed_at, from which ages are computed.
        lagging: Market type -> the last time at which its markets were seen true, for types that
            later looks did not cover.
        doubted: Whether the odds were stored under settings that asked their source for something
            else; if so, they are stale until confirmed.
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
        """Return the part that a store keeps as a snapshot."""
        return Snapshot(
            self.snapshot_id, self.event_id, self.source, self.bookmaker,
            self.observed_at, self.confirmed_at, self.source_updated_at, self.lagging,
        )  # fmt: skip


class EventSource(Struct, frozen=True):
    """One source's view of an event that it carries.

    Attributes:
        listing: The listing in which the event was last seen.
        applied: The sequence number of the last request applied to it; None after a restart.
        absences: The number of consecutive complete fetches that lacked it.
        shown: The identity that the source shows; None if not known yet.
        match: The match with the event's other sources.
        told: The status reported in the last look; None if the source reports none.
        departed_at: The time since which the source no longer shows the event; None while it does.
        seen_boot_s: The boot clock when the source last showed it; None if not seen in this run.
        tier: The tier of the pull that last showed it; empty if not seen in this run.
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
    tier: str = ""


def told_statuses(sources: Mapping[str, EventSource]) -> dict[str, EventStatus]:
    """Return the statuses that sources report, without those that do not show the event."""
    return {
        name: carried.told
        for name, carried in sorted(sources.items())
        if carried.told is not None and carried.departed_at is None
    }


class EventOdds(Struct, frozen=True, weakref=True):
    """An event with all its bookmakers; every capture that changes it replaces the whole value."""

    event: Event
    sources: Mapping[str, EventSource]
    bookmakers: Mapping[BookmakerKey, BookmakerOdds]


def confirmed_of(odds: BookmakerOdds, market_type: str) -> datetime:
    """Return the last time at which the markets of a type were seen true."""
    lagging = odds.lagging.get(market_type)
    return odds.confirmed_at if lagging is None else lagging.at


def as_last_seen(odds: BookmakerOdds, market_types: Iterable[str]) -> BookmakerOdds:
    """Return the odds with the times of the look at the oldest of some market types.

    An absent event remains visible as such: its odds still have confirmed_at before observed_at.
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
    """Return a bookmaker's odds as known at a past time.

    Args:
        event_id: The event.
        key: The source and the bookmaker.
        markets: The markets at that time, at least one.
        captured: The bookmaker's last snapshot at that time, with its latest confirmation. If None
            (unknown), the newest change counts as the last look.
        at: The time, which bounds the times of looks; None to keep those of `captured`.
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
