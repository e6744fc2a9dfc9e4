"""Numbering: the only place that assigns revisions and snapshot ids.

Intents arrive in their final order. Each is applied to the result of the previous ones, so odds
that move and change in the same commit get the correct `before` and the correct snapshots.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from odds_service.detection.intents import (
    EventDifference,
    EventIntent,
    Look,
    OddsArrive,
    OddsConfirmed,
    OddsDiffer,
)
from odds_service.detection.source_changes import SourceDifference
from odds_service.model.change import (
    Change,
    ChangeKind,
    Commit,
    EventChange,
    MarketChange,
    SourceChange,
    Timing,
)
from odds_service.model.difference import Difference
from odds_service.model.market import Market, MarketKey, Markets, MarketStatus
from odds_service.model.snapshot import (
    BookmakerKey,
    BookmakerOdds,
    EventOdds,
    EventSource,
    Seen,
    Snapshot,
)

_REMOVED: Final = MarketStatus.REMOVED
_ENDED: Final = ChangeKind.EVENT_ENDED
_MICROSECOND: Final = timedelta(microseconds=1)

Row = tuple[str, EventSource]  # (event id, source event)


class Numbered(Struct, frozen=True):
    """Numbered changes, and the new entries of the cache.

    Args:
        detected_at: the timestamp of all changes.
        changes: the changes, with consecutive revisions.
        snapshots: the new snapshots.
        replaced: as in Commit.
        event_sources: as in Commit; empty without changes.
        entries: event id -> its new value, None if the event ended.
        confirmed: the odds that were confirmed without a difference.
        departed: the last states of source events that departed.
        took_rows: True if `event_sources` includes the `rows` passed to number().
    """

    detected_at: datetime
    changes: Sequence[Change] = ()
    snapshots: Sequence[Snapshot] = ()
    replaced: Mapping[int, int] = {}
    event_sources: Sequence[Row] = ()
    entries: Mapping[str, EventOdds | None] = {}
    confirmed: Sequence[BookmakerOdds] = ()
    departed: Sequence[EventSource] = ()
    took_rows: bool = False

    def commit(self, timing: Timing | None = None) -> Commit | None:
        """Return the commit to publish and store, or None if nothing changed."""
        if not self.changes:
            return None
        return Commit(self.changes, self.snapshots, self.event_sources, self.replaced, timing)


def number(
    events: Mapping[str, EventOdds],
    intents: Iterable[EventIntent],
    *,
    first_revision: int,
    detected_at: datetime,
    wall_at: datetime | None = None,
    rows: Sequence[Row] | None = None,
    source: SourceDifference | None = None,
) -> Numbered:
    """Turn intents into numbered changes and cache entries.

    Args:
        events: the entries of the cache, by event id.
        intents: the intents, in the order of their changes.
        first_revision: the revision of the first change.
        detected_at: the timestamp of all changes.
        wall_at: the time by the wall clock; None if equal to `detected_at`.
        rows: rows of event sources to store in addition to those of the intents, but only if odds
            or an event change. None leaves `took_rows` false.
        source: the change of a source's status, which is numbered last, or None.

    Returns:
        The changes with consecutive revisions, and the new values of all events in the intents.
    """
    numbering = _Numbering(events, first_revision, detected_at, wall_at)
    for intent in intents:
        numbering.take(intent)
    took_rows = rows is not None and bool(numbering.changes)
    if took_rows and rows:
        numbering.event_sources += rows
    if source is not None:
        numbering.take_source(source)
    return Numbered(
        detected_at,
        numbering.changes,
        numbering.snapshots,
        numbering.replaced,
        numbering.event_sources,
        numbering.entries,
        numbering.confirmed,
        numbering.departed,
        took_rows,
    )


class _Numbering:
    """A commit under construction."""

    def __init__(
        self,
        events: Mapping[str, EventOdds],
        first_revision: int,
        detected_at: datetime,
        wall_at: datetime | None,
    ) -> None:
        self.changes: list[Change] = []
        self.snapshots: list[Snapshot] = []
        self.replaced: dict[int, int] = {}
        self.event_sources: list[Row] = []
        self.entries: dict[str, EventOdds | None] = {}
        self.confirmed: list[BookmakerOdds] = []
        self.departed: list[EventSource] = []
        self._events = events
        self._next_revision = first_revision
        self._detected_at = detected_at
        self._wall_at = wall_at

    def take(self, intent: EventIntent) -> None:
        """Number an event's changes, and record its new value."""
        event, first = intent.event, intent.first
        event_id = event.id
        entries = self.entries
        entry = entries[event_id] if event_id in entries else self._events.get(event_id)
        held = {} if entry is None else entry.bookmakers
        if first is not None:
            self._change_event(intent.look, first, held)
        if first is not None and first.kind is _ENDED:
            entries[event_id] = None
        else:
            if intent.odds:
                held = self._take_odds(intent, held)
            entries[event_id] = EventOdds(event, intent.sources, held)
        if intent.last is not None:
            self._change_event(intent.look, intent.last, held)
        for row in intent.rows:
            self.event_sources.append((event_id, row))
            if row.departed_at is not None:
                self.departed.append(row)

    def take_source(self, difference: SourceDifference) -> None:
        """Number a change of a source's status."""
        after = difference.after
        self.changes.append(
            SourceChange(
                self._revision(),
                difference.kind,
                after.reason,
                after.source,
                self._wall_at or self._detected_at,
                self._detected_at,
                difference.before,
                after,
                wall_at=self._wall_at,
            )
        )

    def _revision(self) -> int:
        taken = self._next_revision
        self._next_revision = taken + 1
        return taken

    def _change_event(
        self,
        look: Look,
        difference: EventDifference,
        held: Mapping[BookmakerKey, BookmakerOdds],
    ) -> None:
        ended: Iterable[BookmakerOdds] = ()
        if difference.kind is _ENDED:
            ended = (_as_logged(held[key]) for key in sorted(held))
        self.changes.append(
            EventChange(
                self._revision(),
                difference.kind,
                difference.reason,
                difference.after.id,
                look.source,
                look.at,
                self._detected_at,
                difference.before,
                difference.after,
                tuple(ended),
                wall_at=self._wall_at,
            )
        )

    def _take_odds(
        self, intent: EventIntent, held: Mapping[BookmakerKey, BookmakerOdds]
    ) -> dict[BookmakerKey, BookmakerOdds]:
        """Apply an event's odds intents, and return its bookmakers."""
        look = intent.look
        at, boot_s = look.at, look.boot_s
        bookmakers = dict(held)
        for each in intent.odds:
            if isinstance(each, OddsConfirmed):
                key = each.key
                odds = replace(
                    bookmakers[key],
                    observed_at=at,
                    confirmed_at=at,
                    source_updated_at=each.source_updated_at,
                    confirmed_boot_s=boot_s,
                    lagging=each.lagging,
                    doubted=False,
                )
                self.confirmed.append(odds)
            elif isinstance(each, OddsDiffer):
                key = each.key
                odds = self._differ(intent.event.id, look, bookmakers.get(key), each)
            elif isinstance(each, OddsArrive):
                key = each.odds.key
                odds = self._arrive(intent.event.id, each)
            else:
                key = each.key
                odds = bookmakers[key]
                # The answer that lacks the odds came later, whatever the clocks say.
                odds = replace(odds, observed_at=max(at, odds.confirmed_at + _MICROSECOND))
            if odds.markets:
                bookmakers[key] = odds
            else:
                bookmakers.pop(key, None)
        return bookmakers

    def _differ(
        self, event_id: str, look: Look, current: BookmakerOdds | None, intent: OddsDiffer
    ) -> BookmakerOdds:
        """Number differences as one snapshot, and return the bookmaker's new odds."""
        source, bookmaker = intent.key
        markets = Markets() if current is None else Markets(current.markets)
        snapshot_id = self._next_revision
        if current is not None:
            self.replaced[snapshot_id] = current.snapshot_id
        at, detected_at, wall_at = look.at, self._detected_at, self._wall_at
        changes = self.changes
        for revision, difference in enumerate(intent.differences, snapshot_id):
            key = difference.key
            before = markets.get(key)
            after = _after(difference, before, revision, at)
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
                    at,
                    detected_at,
                    before,
                    after,
                    difference.other_line,
                    wall_at=wall_at,
                )
            )
        if intent.matched:
            markets.matched = intent.matched
        self._next_revision = snapshot_id + len(intent.differences)
        odds = _looked_at(snapshot_id, event_id, look, current, markets, intent)
        self.snapshots.append(odds.snapshot())
        return odds

    def _arrive(self, event_id: str, intent: OddsArrive) -> BookmakerOdds:
        """Number odds as ADDED to an event, in one snapshot, and return them."""
        odds = intent.odds
        snapshot_id = self._next_revision
        markets = Markets()
        for key, market in odds.markets.items():
            revision = self._revision()
            markets[key] = replace(market, revision=revision)
            self.changes.append(
                MarketChange(
                    revision,
                    ChangeKind.ADDED,
                    intent.reason,
                    event_id,
                    odds.source,
                    odds.bookmaker,
                    snapshot_id,
                    odds.confirmed_at,
                    self._detected_at,
                    None,
                    markets[key],
                    wall_at=self._wall_at,
                )
            )
        moved = replace(odds, snapshot_id=snapshot_id, event_id=event_id, markets=markets)
        self.snapshots.append(moved.snapshot())
        return moved


def _looked_at(
    snapshot_id: int,
    event_id: str,
    look: Look,
    current: BookmakerOdds | None,
    markets: Mapping[MarketKey, Market],
    intent: OddsDiffer,
) -> BookmakerOdds:
    """Return a bookmaker's odds after an answer with differences.

    The times stay unchanged if the answer confirms none of the remaining types.
    """
    source, bookmaker = intent.key
    lagging: Mapping[str, Seen] = intent.lagging
    observed_at = confirmed_at = look.at
    confirmed_boot_s, doubted = look.boot_s, False
    if lagging:
        held = {key.market for key in markets}
        lagging = {market: seen for market, seen in lagging.items() if market in held}
        if lagging and current is not None and lagging.keys() >= held:
            observed_at, confirmed_at = current.observed_at, current.confirmed_at
            confirmed_boot_s, doubted = current.confirmed_boot_s, current.doubted
    return BookmakerOdds(
        snapshot_id,
        event_id,
        source,
        bookmaker,
        observed_at,
        confirmed_at,
        intent.source_updated_at,
        markets,
        confirmed_boot_s=confirmed_boot_s,
        lagging=lagging,
        doubted=doubted,
    )


def _after(
    difference: Difference, before: Market | None, revision: int, changed_at: datetime
) -> Market:
    """Return the market after a difference."""
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


def _as_logged(odds: BookmakerOdds) -> BookmakerOdds:
    """Return odds without the fields that only the current run knows."""
    return replace(odds, confirmed_boot_s=0.0, lagging={}, doubted=False)
