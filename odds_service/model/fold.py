"""The effect of a commit on the odds, forwards and backwards: pure functions of plain values.

Both directions are exact in what a change carries: events, markets, snapshot ids and the states
that sources announced. A commit does not carry

- confirmations: when unchanged odds were last seen true, and by which request. Forwards, a
  bookmaker has the times of its last snapshot;
- the times of the snapshot that a commit replaced. Backwards, a bookmaker counts as last seen when
  the newest of its markets changed, which is no later than it really was;
- the earlier listing, match and told status of a source that still carries the event, and all of
  these for a source event that moved to another event.
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
from odds_service.model.market import Market, MarketKey, MarketStatus
from odds_service.model.snapshot import (
    BookmakerKey,
    BookmakerOdds,
    EventOdds,
    EventSource,
    Snapshot,
)
from odds_service.model.source import SourceState


class OddsState(Struct, frozen=True):
    """All odds at one revision: events that have not ended by id, sources by name."""

    events: Mapping[str, EventOdds] = {}
    sources: Mapping[str, SourceState] = {}


def forwards(state: OddsState, commit: Commit) -> OddsState:
    """Return the state after a commit.

    Args:
        state: the state just before the commit; it stays as it is.
        commit: the next one of the log.
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
    captured = {snapshot.snapshot_id: snapshot for snapshot in commit.snapshots}
    _put(events, folds, captured)
    return OddsState(events, sources)


def backwards(state: OddsState, commit: Commit) -> OddsState:
    """Return the state before a commit.

    Args:
        state: the state just after the commit; it stays as it is.
        commit: the last one applied to it.
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
    """One event's odds, to be changed in place: a working copy of an entry.

    It also takes changes of an event that it has no description of, as a history gives them that
    begins amid the event's life.
    """

    def __init__(self, entry: EventOdds | None = None) -> None:
        self.event: Event | None = None
        self.sources: dict[str, EventSource] = {}
        self.bookmakers: dict[BookmakerKey, BookmakerFold] = {}
        if entry is not None:
            self.event = entry.event
            self.sources = dict(entry.sources)
            self.bookmakers = _folds_of(entry.bookmakers.values())

    def apply(self, change: EventChange | MarketChange) -> None:
        """Bring the odds from just before a change to just after it."""
        if isinstance(change, MarketChange):
            self.bookmaker(change.source, change.bookmaker).set_market(
                change.after.key, change.after, change.snapshot_id, change.observed_at
            )
        elif change.kind is ChangeKind.EVENT_ENDED:
            self.event = None
            self.sources, self.bookmakers = {}, {}
        else:
            self.event = change.after

    def undo(
        self, change: EventChange | MarketChange, replaced: Mapping[int, int] | None = None
    ) -> None:
        """Bring the odds from just after a change to just before it.

        Changes that a later undone one covers may be left out: of each market, and of the event,
        the first change after a revision and the first end are enough to get back to it.

        Args:
            change: an event's or market's change.
            replaced: as in Commit; snapshot ids become 0 without it.
        """
        if isinstance(change, MarketChange):
            before_id = 0 if replaced is None else replaced.get(change.snapshot_id, 0)
            shown = self.bookmaker(change.source, change.bookmaker)
            shown.set_market(change.after.key, change.before, before_id)
            return
        self.event = change.before
        if change.kind is ChangeKind.EVENT_ENDED:
            self.sources, self.bookmakers = {}, _folds_of(change.ended)
        elif change.before is None:
            self.sources, self.bookmakers = {}, {}

    def restore(self, departed: EventSource) -> None:
        """Take back a source that an undone change let go."""
        event = self.event
        if event is not None and event.source_ids.get(departed.source) == departed.source_event_id:
            self.sources[departed.source] = _present(departed)

    def entry(self, captured: Mapping[int, Snapshot] | None = None) -> EventOdds | None:
        """Return the odds as an immutable value; None where there is no such event, or it ended.

        Args:
            captured: snapshots by id, for the times of bookmakers that have changed.
        """
        event = self.event
        if event is None or event.status is EventStatus.ENDED:
            return None
        sources = {
            name: self.sources[name]
            for name, source_event_id in event.source_ids.items()
            if name in self.sources and self.sources[name].source_event_id == source_event_id
        }
        bookmakers = {
            key: fold.odds(event.id, key, captured or {})
            for key, fold in self.bookmakers.items()
            if fold.markets
        }
        return EventOdds(event, sources, bookmakers)

    def bookmaker(self, source: str, bookmaker: str) -> "BookmakerFold":
        """Return the working copy of a bookmaker's odds; an empty one where it shows none."""
        key = source, bookmaker
        fold = self.bookmakers.get(key)
        if fold is None:
            fold = self.bookmakers[key] = BookmakerFold()
        return fold


class BookmakerFold:
    """What one bookmaker shows for an event, to be changed in place.

    snapshot_id: the last capture that changed something; 0 where it is not known. It outlives the
    last market, as in the log.
    """

    __slots__ = ("_owned", "_seen_at", "_whole", "markets", "snapshot_id")

    def __init__(self, odds: BookmakerOdds | None = None) -> None:
        self.snapshot_id = 0 if odds is None else odds.snapshot_id
        self.markets: Mapping[MarketKey, Market] = {} if odds is None else odds.markets
        self._whole = odds  # as long as nothing was changed
        self._owned: dict[MarketKey, Market] | None = None
        self._seen_at: datetime | None = None

    def set_market(
        self,
        key: MarketKey,
        market: Market | None,
        snapshot_id: int = 0,
        seen_at: datetime | None = None,
    ) -> None:
        """Replace a market, or take it out.

        Args:
            key: which one.
            market: its odds; None, or with status REMOVED, where it is not there.
            snapshot_id: the bookmaker's last capture then.
            seen_at: when that was made; None where it is not known.
        """
        if self._owned is None:
            self._whole = None
            self.markets = self._owned = dict(self.markets)
        if market is None or market.status is MarketStatus.REMOVED:
            self._owned.pop(key, None)
        else:
            self._owned[key] = market
        self.snapshot_id = snapshot_id
        self._seen_at = seen_at

    def odds(
        self, event_id: str, key: BookmakerKey, captured: Mapping[int, Snapshot]
    ) -> BookmakerOdds:
        """Return the immutable value; there has to be a market."""
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


def _folds_of(shown: Iterable[BookmakerOdds]) -> dict[BookmakerKey, BookmakerFold]:
    return {odds.key: BookmakerFold(odds) for odds in shown}


def _fold_of(
    change: EventChange | MarketChange,
    events: Mapping[str, EventOdds],
    folds: dict[str, EventFold],
) -> EventFold:
    """Return the working copy of a change's event, made at its first change."""
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
