"""A stretch of the log read from the database, for a reader that memory no longer serves."""

from collections.abc import AsyncIterator
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

PAGE_CHANGES: Final = 1_000  # about half a message; what a stalled reader holds at most

_BATCHES: Final = 64


class HistoryGap(Exception):
    """The stored log does not hold what comes next; `reason` as in api.md."""

    def __init__(self, reason: pb.IntentReason.ValueType) -> None:
        super().__init__(pb.IntentReason.Name(reason))
        self.reason = reason


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

    async def next_page(self, upto: int | None = None) -> tuple[list[Selected], int]:
        """The selected ones of the next changes, and the revision that they reach to.

        upto: the last revision wanted; None: the durable one. There must be one to read. Holds one
        of the few places for such reads only while it reads. Raises HistoryGap.
        """
        async with self._serving.replays:
            if self._selection.by_event and self._events is None:
                self._events = await self._events_then()
            durable = self._serving.parts.feed.durable_revision
            changes = await self._read(self._revision, durable if upto is None else upto)
            markets = await self._markets_of_moves(changes)
        events = {} if self._events is None else self._events
        selected = list(
            select(self._selection, changes, events, lambda event_id, at: markets[event_id, at])
        )
        self._revision = changes[-1].revision
        return selected, self._revision

    async def _read(self, after: int, upto: int) -> list[Change]:
        """The next page, never empty, never parting a moved line. Raises HistoryGap."""
        changes = list(await self._serving.ask(self._store.history, after, upto, PAGE_CHANGES))
        oldest = await self._serving.ask(self._store.oldest_revision)
        if oldest is None or oldest > after + 1:
            raise HistoryGap(pb.INTENT_REASON_TOO_OLD)
        for place, change in enumerate(changes, after + 1):
            if change.revision != place:
                raise HistoryGap(pb.INTENT_REASON_HISTORY_GAP)
        if not changes:
            raise HistoryGap(pb.INTENT_REASON_HISTORY_GAP)
        last = changes[-1]
        moving = last.kind is ChangeKind.REMOVED and last.reason == Reason.LINE_MOVED
        if moving and last.revision < upto and len(changes) > 1:
            changes.pop()
        return changes

    async def _events_then(self) -> dict[str, Event]:
        """All events as of the replay's start."""
        cut = self._serving.parts.cache.cut()
        events: dict[str, Event | None] = {}
        async for change in self._until(self._revision, cut.cursor.revision):
            if isinstance(change, EventChange):
                events.setdefault(change.event_id, change.before)
        now = {event_id: entry.event for event_id, entry in cut.events.items()}
        return {event_id: event for event_id, event in (now | events).items() if event is not None}

    async def _markets_of_moves(
        self, changes: list[Change]
    ) -> dict[tuple[str, int], dict[Place, Market]]:
        """The markets, at that time, of the events that enter or leave the filter in a page."""
        found: dict[tuple[str, int], dict[Place, Market]] = {}
        for change in changes:
            if (
                isinstance(change, EventChange)
                and change.kind is ChangeKind.EVENT_UPDATED
                and change.before is not None
                and self._selection.takes_event(change.before)
                is not self._selection.takes_event(change.after)
            ):
                key = change.event_id, change.revision
                found[key] = await self._markets_at(*key)
        return found

    async def _markets_at(self, event_id: str, revision: int) -> dict[Place, Market]:
        cut = self._serving.parts.cache.cut([event_id])
        later = [
            change
            async for change in self._until(revision, cut.cursor.revision)
            if not isinstance(change, SourceChange) and change.event_id == event_id
        ]
        return markets_at(cut.events.get(event_id), later, event_id)

    async def _until(self, after: int, upto: int) -> AsyncIterator[Change]:
        """All changes with after < revision <= upto, from the database, then from memory."""
        feed = self._serving.parts.feed
        while after < upto:
            batches = feed.read_after(after, _BATCHES)
            if batches is None:
                changes = await self._read(after, feed.durable_revision)
            else:
                changes = [change for batch in batches for change in batch.changes]
            for change in changes:
                if after < change.revision <= upto:
                    yield change
            after = changes[-1].revision
