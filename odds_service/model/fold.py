"""The effect of a commit on the odds, forwards and backwards, as pure functions.

Both directions are exact in everything that changes carry: events, markets, snapshot ids and the
announced states of sources. A commit does not carry

- confirmations of unchanged odds, by time and request. Forwards, a bookmaker has the times of its
  last snapshot;
- the times of the snapshots that it replaced. Backwards, a bookmaker counts as last seen when the
  newest of its markets changed, which is never later than the actual time;
- the earlier listing, match and reported status of a source that still carries the event, and all
  of these for a source event that moved to another event.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from odds_service.model.change import (
    ChangeKind,
    Commit,
    EventChange,
    MarketChange,
    SourceChange,
)
from odds_service.model.event import Event, EventStatus
from odds_service.model.market import Market, MarketKey, Markets, MarketStatus
from odds_service.model.snapshot import (
    BookmakerKey,
    BookmakerOdds,
    EventOdds,
    EventSource,
    Snapshot,
)
from odds_service.model.source import SourceState


class OddsState(Struct, frozen=True):
    """All odds at one revision: open events by id, sources by name."""

    events: Mapping[str, EventOdds] = {}
    sources: Mapping[str, SourceState] = {}


def forwards(state: OddsState, commit: Commit) -> OddsState:
    """Return the state after a commit.

    Args:
        state: The state just before the commit; it is not modified.
        commit: The next commit of the log.
    """
    events, sources = dict(state.events), dict(state.sources)
    folds: dict[str, EventFold] = {}
    for change in commit.changes:
        if isinstance(change, SourceChange):
            sources[change.source] = change.after
        else:
            _fold_of(change, events, folds).apply(change)
    for event_id, carried in commit.event_sources:
        if event_id in folds and carried.departed_at is None:
            folds[event_id].sources[carried.source] = carried
    _put(events, folds, {snapshot.snapshot_id: snapshot for snapshot in commit.snapshots})
    return OddsState(events, sources)


def shown_sources(event: Event, sources: Mapping[str, EventSource]) -> dict[str, EventSource]:
    """Return the sources that carry an event."""
    return {
        name: sources[name]
        for name, source_event_id in event.source_ids.items()
        if name in sources and sources[name].source_event_id == source_event_id
    }


def backwards(state: OddsState, commit: Commit) -> OddsState:
    """Return the state before a commit.

    Args:
        state: The state just after the commit; it is not modified.
        commit: The last commit applied to it.
    """
    events, sources = dict(state.events), dict(state.sources)
    folds: dict[str, EventFold] = {}
    for change in reversed(commit.changes):
        if not isinstance(change, SourceChange):
            _fold_of(change, events, folds).undo(change, commit.replaced)
        elif change.before is None:
            sources.pop(change.source, None)
        else:
            sources[change.source] = change.before
    for event_id, carried in commit.event_sources:
        if event_id in folds and carried.departed_at is not None:
            folds[event_id].restore(carried)
    _put(events, folds, {})
    return OddsState(events, sources)


class EventFold:
    """A mutable working copy of one event's odds.

    It also accepts changes of an event without a description, as found in a history that begins
    in the middle of the event's life.
    """

    def __init__(self, entry: EventOdds | None = None) -> None:
        self.event: Event | None = None
        self.sources: dict[str, EventSource] = {}
        self._held: Mapping[BookmakerKey, BookmakerOdds] = {}  # as they were, unless in _folds
        self._folds: dict[BookmakerKey, BookmakerFold] = {}
        if entry is not None:
            self.event = entry.event
            self.sources = dict(entry.sources)
            self._held = entry.bookmakers

    @property
    def bookmakers(self) -> Mapping[BookmakerKey, "BookmakerFold"]:
        """The working copies of all bookmakers' odds."""
        for key, odds in self._held.items():
            if key not in self._folds:
                self._folds[key] = BookmakerFold(odds)
        return self._folds

    def apply(self, change: EventChange | MarketChange) -> None:
        """Apply a change to the odds as of just before it."""
        if isinstance(change, MarketChange):
            self.bookmaker(change.source, change.bookmaker).set_market(
                change.after.key, change.after, change.snapshot_id, change.observed_at
            )
        elif change.kind is ChangeKind.EVENT_ENDED:
            self.event = None
            self._hold(())
        else:
            self.event = change.after

    def undo(
        self, change: EventChange | MarketChange, replaced: Mapping[int, int] | None = None
    ) -> None:
        """Undo a change in the odds as of just after it.

        To get back to a revision, it is enough to undo the first later change of each market and
        of the event, and the event's first end.

        Args:
            change: A change of the event or of one of its markets.
            replaced: Snapshot id -> id of the previous snapshot, as in Commit; without it, the ids
                become 0.
        """
        if isinstance(change, MarketChange):
            before_id = 0 if replaced is None else replaced.get(change.snapshot_id, 0)
            shown = self.bookmaker(change.source, change.bookmaker)
            shown.set_market(change.after.key, change.before, before_id)
            return
        self.event = change.before
        if change.kind is ChangeKind.EVENT_ENDED:
            self._hold(change.ended)
        elif change.before is None:
            self._hold(())

    def _hold(self, shown: Iterable[BookmakerOdds]) -> None:
        self.sources, self._folds = {}, {}
        self._held = {odds.key: odds for odds in shown}

    def restore(self, departed: EventSource) -> None:
        """Take back a source that departed with an undone change."""
        event = self.event
        if event is not None and event.source_ids.get(departed.source) == departed.source_event_id:
            self.sources[departed.source] = _present(departed)

    def entry(self, captured: Mapping[int, Snapshot] | None = None) -> EventOdds | None:
        """Return the odds as an immutable value, or None if there is no event or it has ended.

        Args:
            captured: Snapshots by id, for the times of bookmakers that have changed.
        """
        event = self.event
        if event is None or event.status is EventStatus.ENDED:
            return None
        bookmakers = dict(self._held)
        for key, fold in self._folds.items():
            if fold.markets:
                bookmakers[key] = fold.odds(event.id, key, captured or {})
            else:
                bookmakers.pop(key, None)
        return EventOdds(event, shown_sources(event, self.sources), bookmakers)

    def bookmaker(self, source: str, bookmaker: str) -> "BookmakerFold":
        """Return the working copy of a bookmaker's odds, empty if it has none."""
        key = source, bookmaker
        fold = self._folds.get(key)
        if fold is None:
            fold = self._folds[key] = BookmakerFold(self._held.get(key))
        return fold


class BookmakerFold:
    """A mutable working copy of one bookmaker's odds for an event.

    Attributes:
        markets: The markets by key.
        snapshot_id: The last snapshot, 0 if unknown. It outlives the last market, as in the log.
    """

    __slots__ = ("_owned", "_seen_at", "_whole", "markets", "snapshot_id")

    def __init__(self, odds: BookmakerOdds | None = None) -> None:
        self.snapshot_id = 0 if odds is None else odds.snapshot_id
        self.markets: Mapping[MarketKey, Market] = {} if odds is None else odds.markets
        self._whole = odds  # None once something was changed
        self._owned: Markets | None = None
        self._seen_at: datetime | None = None

    def set_market(
        self,
        key: MarketKey,
        market: Market | None,
        snapshot_id: int = 0,
        seen_at: datetime | None = None,
    ) -> None:
        """Replace or remove a market.

        Args:
            key: The market.
            market: Its odds; None or status REMOVED to remove it.
            snapshot_id: The bookmaker's last snapshot at that revision, 0 if unknown.
            seen_at: The time of that snapshot; None if unknown.
        """
        if self._owned is None:
            self._whole = None
            self.markets = self._owned = Markets(self.markets)
        if market is None or market.status is MarketStatus.REMOVED:
            self._owned.pop(key, None)
        else:
            self._owned[key] = market
        self.snapshot_id = snapshot_id
        self._seen_at = seen_at

    def odds(
        self, event_id: str, key: BookmakerKey, captured: Mapping[int, Snapshot]
    ) -> BookmakerOdds:
        """Return the odds as an immutable value; requires at least one market."""
        if self._whole is not None:
            return self._whole
        snapshot = captured.get(self.snapshot_id)
        if snapshot is not None:
            return BookmakerOdds(
                self.snapshot_id,
                event_id,
                *key,
                snapshot.observed_at,
                snapshot.confirmed_at,
                snapshot.source_updated_at,
                self.markets,
                lagging=snapshot.lagging,
            )
        seen_at = self._seen_at or max(market.changed_at for market in self.markets.values())
        return BookmakerOdds(self.snapshot_id, event_id, *key, seen_at, seen_at, None, self.markets)


def _fold_of(
    change: EventChange | MarketChange,
    events: Mapping[str, EventOdds],
    folds: dict[str, EventFold],
) -> EventFold:
    """Return the working copy of a change's event, making it at the first change."""
    fold = folds.get(change.event_id)
    if fold is None:
        fold = folds[change.event_id] = EventFold(events.get(change.event_id))
    return fold


def _put(
    events: dict[str, EventOdds],
    folds: Mapping[str, EventFold],
    captured: Mapping[int, Snapshot],
) -> None:
    for event_id, fold in folds.items():
        entry = fold.entry(captured)
        if entry is None:
            events.pop(event_id, None)
        else:
            events[event_id] = entry


def _present(departed: EventSource) -> EventSource:
    return replace(departed, departed_at=None)
