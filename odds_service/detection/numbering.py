"""What detection found, and how it is numbered: changes in the order of their revisions."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from msgspec import Struct, field
from msgspec.structs import replace

from odds_service.model.change import Change, ChangeKind, EventChange, MarketChange, Reason
from odds_service.model.difference import Difference, compare_markets
from odds_service.model.event import Event
from odds_service.model.market import Market, Markets, MarketStatus
from odds_service.model.observation import Observation
from odds_service.model.snapshot import (
    BookmakerKey,
    BookmakerOdds,
    EventOdds,
    EventSource,
    Seen,
    Snapshot,
)

_REMOVED: Final = MarketStatus.REMOVED


class Detected(Struct):
    """The outcome of one observation: changes in revision order, and what the cache takes over.

    wall_at: the wall clock, where detected_at is not that.
    entries: event id -> its new value, None where it ended. late: events whose observation was
    older than the last applied one. duplicates: events that stood in the payload twice.
    departed: source events that are not carried any more, as they were last.
    """

    next_revision: int
    detected_at: datetime
    wall_at: datetime | None = None
    changes: list[Change] = field(default_factory=list)
    snapshots: list[Snapshot] = field(default_factory=list)
    replaced: dict[int, int] = field(default_factory=dict)  # as in ChangeBatch
    entries: dict[str, EventOdds | None] = field(default_factory=dict)
    confirmed: list[BookmakerOdds] = field(default_factory=list)
    event_sources: list[tuple[str, EventSource]] = field(default_factory=list)
    departed: list[EventSource] = field(default_factory=list)
    markets: int = 0
    late: int = 0
    duplicates: int = 0

    def revision(self) -> int:
        """Hand out the next revision."""
        taken = self.next_revision
        self.next_revision = taken + 1
        return taken

    def add(self, later: "Detected") -> None:
        """Take over what was found on top of this."""
        self.next_revision = later.next_revision
        self.changes += later.changes
        self.snapshots += later.snapshots
        self.replaced |= later.replaced
        self.entries |= later.entries
        self.confirmed += later.confirmed
        self.event_sources += later.event_sources
        self.departed += later.departed
        self.markets += later.markets
        self.late += later.late
        self.duplicates += later.duplicates

    def upon(self, events: Mapping[str, EventOdds]) -> Mapping[str, EventOdds]:
        """What the cache holds with this taken over."""
        if not self.entries:
            return events
        held = {**events, **self.entries}
        return {event_id: entry for event_id, entry in held.items() if entry is not None}


def change_event(
    found: Detected,
    kind: ChangeKind,
    reason: str,
    before: Event | None,
    after: Event,
    observation: Observation,
    ended: tuple[BookmakerOdds, ...] = (),
) -> None:
    """Number a change of an event."""
    found.changes.append(
        EventChange(
            found.revision(),
            kind,
            reason,
            after.id,
            observation.source,
            observation.observed_at,
            found.detected_at,
            before,
            after,
            tuple(_as_logged(odds) for odds in ended),
            wall_at=found.wall_at,
        )
    )


def _as_logged(odds: BookmakerOdds) -> BookmakerOdds:
    """Odds as a log has them: without what only this run knows of them."""
    return replace(odds, confirmed_boot_s=0.0, lagging={}, doubted=False)


def lose_bookmaker(
    found: Detected,
    bookmakers: dict[BookmakerKey, BookmakerOdds],
    current: BookmakerOdds,
    observation: Observation,
    event: Event,
    reason: str = Reason.SOURCE_REMOVED,
) -> None:
    """Number the end of all that a bookmaker shows within the observation's scope."""
    scope = observation.scope
    differences = compare_markets(
        current.markets, None, scope.markets, reason, elsewhere=scope.elsewhere
    )
    if not differences:
        return
    updated = apply_differences(
        found, current, event.id, current.bookmaker, differences, observation,
        current.source_updated_at, _unseen(current),
    )  # fmt: skip
    found.snapshots.append(updated.snapshot())
    if updated.markets:
        bookmakers[current.key] = updated
    else:
        del bookmakers[current.key]


def _unseen(current: BookmakerOdds) -> dict[str, Seen]:
    """When each type was last seen true, where a look confirms none of them."""
    last = Seen(current.confirmed_at, current.confirmed_boot_s)
    return {key.market: current.lagging.get(key.market, last) for key in current.markets}


def apply_differences(
    found: Detected,
    current: BookmakerOdds | None,
    event_id: str,
    bookmaker: str,
    differences: list[Difference],
    observation: Observation,
    source_updated_at: datetime | None,
    lagging: Mapping[str, Seen] | None = None,
) -> BookmakerOdds:
    """Number the differences as changes of one new snapshot; give the bookmaker's new value.

    lagging: as in BookmakerOdds, after this look; types whose last market goes are left out.
    """
    markets = Markets() if current is None else Markets(current.markets)
    snapshot_id = found.next_revision
    if current is not None:
        found.replaced[snapshot_id] = current.snapshot_id
    source, observed_at, detected_at = (
        observation.source, observation.observed_at, found.detected_at
    )  # fmt: skip
    changes, wall_at = found.changes, found.wall_at
    for revision, difference in enumerate(differences, snapshot_id):
        key = difference.key
        before = markets.get(key)
        after = _after(difference, before, revision, observed_at)
        if after.status is _REMOVED:
            del markets[key]
        else:
            markets[key] = after
        changes.append(
            MarketChange(
                revision,
                difference.kind,
                difference.reason,
                event_id,
                source,
                bookmaker,
                snapshot_id,
                observed_at,
                detected_at,
                before,
                after,
                difference.other_line,
                wall_at=wall_at,
            )
        )
    found.next_revision = snapshot_id + len(differences)
    if lagging:
        held = {key.market for key in markets}
        lagging = {market: seen for market, seen in lagging.items() if market in held}
    confirmed_at, confirmed_boot_s, doubted = observed_at, observation.observed_boot_s, False
    if lagging and current is not None and lagging.keys() >= {key.market for key in markets}:
        confirmed_at, confirmed_boot_s = current.confirmed_at, current.confirmed_boot_s
        doubted = current.doubted
    return BookmakerOdds(
        snapshot_id,
        event_id,
        observation.source,
        bookmaker,
        observed_at if confirmed_at is observed_at or current is None else current.observed_at,
        confirmed_at,
        source_updated_at,
        markets,
        confirmed_boot_s=confirmed_boot_s,
        lagging=lagging or {},
        doubted=doubted,
    )


def _after(
    difference: Difference, before: Market | None, revision: int, changed_at: datetime
) -> Market:
    observed = difference.observed
    if observed is not None:
        return Market(
            difference.key,
            observed.status,
            observed.outcomes,
            revision,
            changed_at,
            observed.source_updated_at,
        )
    if difference.kind is ChangeKind.REMOVED or before is None:
        return Market(difference.key, MarketStatus.REMOVED, (), revision, changed_at)
    return replace(before, status=MarketStatus.SUSPENDED, revision=revision, changed_at=changed_at)
