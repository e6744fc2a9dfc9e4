"""The fold of a read node, which applies decoded commits to the odds and makes them whole.

It agrees with model/fold.py. A read node does nothing else all day, so each bookmaker's odds are
built once for each of its snapshots, and a change gets the market before it from the odds.

Decoding makes every value anew, and the log in memory holds 200,000 changes. Where detect makes a
change, its texts and times are those of the odds and of its snapshot. So they are here afterwards.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

from msgspec import Struct
from msgspec.structs import force_setattr

from odds_service.bus.messages import DecodedChange, DecodedCommit
from odds_service.model.change import (
    Change,
    ChangeKind,
    Commit,
    EventChange,
    MarketChange,
    SourceChange,
)
from odds_service.model.event import EventStatus
from odds_service.model.fold import shown_sources
from odds_service.model.market import Market, Markets, MarketStatus
from odds_service.model.snapshot import (
    BookmakerOdds,
    EventOdds,
    EventSource,
    Reading,
    Seen,
    Snapshot,
)
from odds_service.model.source import SourceState

# In Python 3.11 it takes six times as long to look a member up in its enumeration.
_REMOVED: Final = MarketStatus.REMOVED


class Folded(Struct, frozen=True):
    """The effect of some commits.

    Attributes:
        entries: The new odds of all events that they change, None for those without any.
        sources: The announced states of sources, by name, as the log has them.
        commits: The commits without what only a database needs, their snapshots, and without the
            clocks of the machine that made them.
    """

    entries: Mapping[str, EventOdds | None]
    sources: Mapping[str, SourceState]
    commits: Sequence[Commit]


def fold(events: Mapping[str, EventOdds], commits: Iterable[DecodedCommit], now: Reading) -> Folded:
    """Apply commits to the odds, as a pure function but for equal values of the commits.

    Args:
        events: All odds just before the first commit; it is not modified.
        commits: The next commits of the log. Values in them are replaced by equal ones.
        now: The clocks of this machine, for ages.

    Raises:
        BadMessage: The market before a change is not the one of the odds, and unreadable.
    """
    folding = _Folding(events, now)
    whole = [folding.take(commit) for commit in commits]
    entries = {event_id: draft.entry() for event_id, draft in folding.drafts.items()}
    return Folded(entries, folding.sources, whole)


class _Folding:
    """A fold of some commits under way.

    Attributes:
        drafts: The new odds of the events so far.
        sources: The new states of sources so far.
    """

    def __init__(self, events: Mapping[str, EventOdds], now: Reading) -> None:
        self.drafts: dict[str, _Draft] = {}
        self.sources: dict[str, SourceState] = {}
        self._events = events
        self._now = now
        self._looked_at: datetime | None = None  # in the last snapshot
        self._looked_boot_s = 0.0

    def take(self, commit: DecodedCommit) -> Commit:
        """Apply the next commit, and return it whole."""
        captured = {snapshot.snapshot_id: snapshot for snapshot in commit.snapshots}
        touched: dict[str, _Draft] = {}
        changes, count = commit.changes, len(commit.changes)
        whole: list[Change] = []
        while len(whole) < count:
            change = changes[len(whole)]
            if isinstance(change, DecodedChange):  # first: of a Struct, only True is fast
                draft = self._draft(change.event_id, touched)
                seen = captured.get(change.snapshot_id)
                self._take_snapshot(change, changes, whole, draft, seen)
                continue
            if isinstance(change, EventChange):
                self._draft(change.event_id, touched).take(change)
            else:
                self.sources[change.source] = change.after
            whole.append(change)
        for event_id, carried in commit.event_sources:
            if event_id in touched and carried.departed_at is None:
                touched[event_id].carry(carried)
        return Commit(tuple(whole), (), commit.event_sources, commit.replaced)

    def _draft(self, event_id: str, touched: dict[str, "_Draft"]) -> "_Draft":
        """Return the draft of an event that the commit changes."""
        draft = touched.get(event_id)
        if draft is None:
            draft = self.drafts.get(event_id)
            if draft is None:
                draft = self.drafts[event_id] = _Draft(self._events.get(event_id))
            touched[event_id] = draft
        return draft

    def _take_snapshot(
        self,
        change: DecodedChange,
        changes: Sequence[DecodedChange | EventChange | SourceChange],
        whole: list[Change],
        draft: "_Draft",
        seen: Snapshot | None,
    ) -> None:
        """Apply all changes of a snapshot, which stand side by side and have its times.

        Args:
            change: The first of them.
            changes: The changes of the commit.
            whole: The changes that are folded; those of the snapshot are appended.
            draft: The odds of the event.
            seen: The snapshot; None if the commit does not have it.
        """
        event_id, source, bookmaker = change.event_id, change.source, change.bookmaker
        snapshot_id, observed_at = change.snapshot_id, change.observed_at
        detected_at = change.detected_at
        key = source, bookmaker
        odds = draft.bookmakers.get(key)
        if odds is None:
            markets = Markets()
        else:
            event_id, source, bookmaker = odds.event_id, odds.source, odds.bookmaker
            markets = Markets(odds.markets)
        if seen is not None and seen.observed_at == observed_at:
            observed_at = seen.observed_at
        count = len(changes)
        while True:
            after, told, before = change.after, change.before, None
            held = markets.get(after.key)
            if held is not None:
                _share(after, held)
            if told is not None:
                same = held is not None and held.revision == told.revision
                before = held if same else told.market()
            if after.changed_at == observed_at:
                force_setattr(after, "changed_at", observed_at)
            if after.status is _REMOVED:
                markets.pop(after.key, None)
            else:
                markets[after.key] = after
            whole.append(
                MarketChange(
                    change.revision, change.kind, change.reason, event_id, source, bookmaker,
                    snapshot_id, observed_at, detected_at, before, after,
                    change.other_line, change.wall_at,
                )
            )  # fmt: skip
            if len(whole) == count:
                break
            following = changes[len(whole)]
            if not isinstance(following, DecodedChange) or following.snapshot_id != snapshot_id:
                break
            change = following
        if not markets:
            draft.bookmakers.pop(key, None)
            return
        lagging: Mapping[str, Seen] = {}
        confirmed_at, updated_at = observed_at, None
        if seen is not None:
            observed_at, confirmed_at = seen.observed_at, seen.confirmed_at
            updated_at, lagging = seen.source_updated_at, self._now.on_boot_clock(seen.lagging)
        if confirmed_at != self._looked_at:  # snapshots of one answer have one time
            self._looked_at, self._looked_boot_s = confirmed_at, self._now.boot_at(confirmed_at)
        draft.bookmakers[key] = BookmakerOdds(
            snapshot_id, event_id, source, bookmaker, observed_at, confirmed_at, updated_at,
            markets, self._looked_boot_s, lagging,
        )  # fmt: skip


class _Draft:
    """The new odds of an event under construction."""

    __slots__ = ("_moved", "_sources", "bookmakers", "event")

    def __init__(self, entry: EventOdds | None) -> None:
        self.event = None if entry is None else entry.event
        self.bookmakers = {} if entry is None else dict(entry.bookmakers)
        self._sources: Mapping[str, EventSource] = {} if entry is None else entry.sources
        self._moved = False  # whether the event or its sources have changed

    def take(self, change: EventChange) -> None:
        """Apply a change of the event."""
        self._moved = True
        if change.kind is ChangeKind.EVENT_ENDED:
            self.event = None
            self._sources, self.bookmakers = {}, {}
        else:
            self.event = change.after

    def carry(self, row: EventSource) -> None:
        """Take a source of the event as it is now."""
        self._moved = True
        self._sources = {**self._sources, row.source: row}

    def entry(self) -> EventOdds | None:
        """Return the odds as an immutable value, None if there is no event or it has ended."""
        event, sources = self.event, self._sources
        if event is None or event.status is EventStatus.ENDED:
            return None
        if self._moved:
            sources = shown_sources(event, sources)
        return EventOdds(event, sources, self.bookmakers)


def _share(market: Market, held: Market) -> None:
    """Replace the texts of a decoded market by equal ones of the market before it."""
    force_setattr(market, "key", held.key)
    outcomes = market.outcomes
    if len(outcomes) != len(held.outcomes):
        return
    for place, known in enumerate(held.outcomes):  # zip(strict=False) takes twice as long
        outcome, key, name = outcomes[place], known.key, known.name
        if outcome.key == key:
            force_setattr(outcome, "key", key)
        if outcome.name == name:
            force_setattr(outcome, "name", name)
