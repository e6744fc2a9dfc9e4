"""A stretch of the log read from the database, for a reader that memory no longer serves."""

from collections.abc import AsyncIterator, Iterable
from typing import Final

from odds_service.model.change import (
    Change,
    ChangeKind,
    EventChange,
    Reason,
    SourceChange,
)
from odds_service.model.event import Event
from odds_service.model.market import Market
from odds_service.rpc.filtering import Place, Selected, select
from odds_service.rpc.parts import History
from odds_service.rpc.pb.odds.v1 import odds_pb2 as pb
from odds_service.rpc.selection import Selection
from odds_service.rpc.serving import Serving
from odds_service.rpc.timeline import markets_at
from odds_service.storage.base import HistoryFilter

PAGE_CHANGES: Final = 1_000  # about half a message; what a stalled reader holds at most

_BATCHES: Final = 64
_EVERYTHING: Final = HistoryFilter()
_NO_MARKETS: Final = HistoryFilter(of_markets=False, ended=False)


class HistoryGap(Exception):
    """The stored log does not hold what comes next; `reason` as in api.md."""

    def __init__(self, reason: pb.IntentReason.ValueType) -> None:
        super().__init__(pb.IntentReason.Name(reason))
        self.reason = reason


async def gap_after(
    serving: Serving, store: History, revision: int, upto: int
) -> HistoryGap | None:
    """What a replay of (revision, upto] would meet, as far as it can be told beforehand."""
    oldest = await serving.ask(store.oldest_revision)
    if oldest is None or oldest > revision + 1:
        return HistoryGap(pb.INTENT_REASON_TOO_OLD)
    # No event or source is named so: only what could not be stored comes back.
    nothing = HistoryFilter(event_ids=frozenset({"-"}), sources=frozenset({"-"}), of_markets=False)
    page = await serving.ask(store.history_page, revision, upto, 1, nothing)
    return HistoryGap(pb.INTENT_REASON_HISTORY_GAP) if page.unstored else None


class Replay:
    """Reads stored changes after a revision, page by page, up to what is durable.

    A filter on more than event ids needs each event as it was at the time: the events as of the
    start are found by reading ahead once, and kept up with the pages from then on.
    """

    def __init__(
        self, serving: Serving, store: History, selection: Selection, revision: int
    ) -> None:
        self._serving = serving
        self._store = store
        self._selection = selection
        self._revision = revision
        self._events: dict[str, Event] | None = None
        self._only = HistoryFilter(
            event_ids=selection.event_ids or frozenset(),
            sources=selection.sources or frozenset(),
            bookmakers=selection.bookmakers or frozenset(),
            markets=selection.markets or frozenset(),
        )

    async def next_page(self, upto: int | None = None) -> tuple[list[Selected], int]:
        """The selected ones of the next changes, and the revision that they reach to.

        upto: the last revision wanted; None: the durable one. There must be one to read. Holds one
        of the few places for such reads only while it reads. Raises HistoryGap.
        """
        async with self._serving.replays:
            if self._selection.by_event and self._events is None:
                self._events = await self._events_then()
            durable = self._serving.parts.feed.durable_revision
            changes, reached = await self._read(
                self._revision, durable if upto is None else upto, self._only
            )
            markets = await self._markets_of_moves(changes)
        events = {} if self._events is None else self._events
        selected = list(
            select(self._selection, changes, events, lambda event_id, at: markets[event_id, at])
        )
        if self._events is not None:
            keep_up(self._events, changes)
        self._revision = reached
        return selected, reached

    async def _read(
        self, after: int, upto: int, only: HistoryFilter = _EVERYTHING
    ) -> tuple[list[Change], int]:
        """The next page and how far it reaches, further than `after`; a moved line is not parted.

        Raises HistoryGap.
        """
        ask, store = self._serving.ask, self._store
        page = await ask(store.history_page, after, upto, PAGE_CHANGES, only)
        oldest = await ask(store.oldest_revision)
        if oldest is None or oldest > after + 1:
            raise HistoryGap(pb.INTENT_REASON_TOO_OLD)
        changes, reached = list(page.changes), page.upto
        missing = only == _EVERYTHING and len(changes) != reached - after
        if page.unstored or missing or reached <= after:
            raise HistoryGap(pb.INTENT_REASON_HISTORY_GAP)
        if (
            len(changes) > 1
            and begins_a_move(changes[-1])
            and changes[-1].revision == reached < upto
        ):
            reached = changes.pop().revision - 1
        return changes, reached

    async def _events_then(self) -> dict[str, Event]:
        """All events as of the replay's start."""
        cut = self._serving.parts.cache.cut()
        events: dict[str, Event | None] = {}
        async for change in self._until(self._revision, cut.cursor.revision, _NO_MARKETS):
            if isinstance(change, EventChange):
                events.setdefault(change.event_id, change.before)
        now = {event_id: entry.event for event_id, entry in cut.events.items()}
        return {event_id: event for event_id, event in (now | events).items() if event is not None}

    async def _markets_of_moves(
        self, changes: list[Change]
    ) -> dict[tuple[str, int], dict[Place, Market]]:
        """The markets, at that time, of the events that enter or leave the filter in a page."""
        moves = [
            change
            for change in changes
            if isinstance(change, EventChange)
            and change.kind is ChangeKind.EVENT_UPDATED
            and change.before is not None
            and self._selection.takes_event(change.before)
            is not self._selection.takes_event(change.after)
        ]
        if not moves:
            return {}
        of_moves = frozenset(move.event_id for move in moves)
        cut = self._serving.parts.cache.cut(of_moves)
        later: dict[str, list[Change]] = {event_id: [] for event_id in of_moves}
        only = HistoryFilter(event_ids=of_moves)
        async for change in self._until(moves[0].revision, cut.cursor.revision, only):
            if not isinstance(change, SourceChange) and change.event_id in later:
                later[change.event_id].append(change)
        found: dict[tuple[str, int], dict[Place, Market]] = {}
        for move in moves:
            since = [each for each in later[move.event_id] if each.revision > move.revision]
            entry = cut.events.get(move.event_id)
            found[move.event_id, move.revision] = markets_at(entry, since, move.event_id)
        return found

    async def _until(self, after: int, upto: int, only: HistoryFilter) -> AsyncIterator[Change]:
        """Changes with after < revision <= upto, from the database, then from memory.

        only: may be left out by it; from memory all come.
        """
        feed = self._serving.parts.feed
        while after < upto:
            batches = feed.read_after(after, _BATCHES)
            if batches is None:
                changes, reached = await self._read(after, feed.durable_revision, only)
            else:
                changes = [change for batch in batches for change in batch.changes]
                reached = changes[-1].revision
            for change in changes:
                if after < change.revision <= upto:
                    yield change
            after = reached


def begins_a_move(change: Change) -> bool:
    """Whether it is the first half of a moved line, which no page parts from the second."""
    return change.kind is ChangeKind.REMOVED and change.reason == Reason.LINE_MOVED


def keep_up(events: dict[str, Event], changes: Iterable[Change]) -> None:
    """Make events as of before the changes those as of after."""
    for change in changes:
        if not isinstance(change, EventChange):
            continue
        if change.kind is ChangeKind.EVENT_ENDED:
            events.pop(change.event_id, None)
        else:
            events[change.event_id] = change.after
