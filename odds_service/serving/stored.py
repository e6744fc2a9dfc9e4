"""The filtered stored log, read page by page over millions of changes.

GetHistory reads it directly, a stream through rpc.stored_stretch.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from functools import partial
from typing import Final, NamedTuple, TypeAlias

from odds_service.errors import BelowFloor
from odds_service.filters.filtering import Captured, Place, Selected, select
from odds_service.filters.selection import Selection
from odds_service.filters.stored import filter_of
from odds_service.model.change import Change, ChangeKind, EventChange, Reason
from odds_service.model.event import Event
from odds_service.serving.errors import StatusCode, refused
from odds_service.serving.lagging import Behind, check_moved, patiently
from odds_service.serving.parts import History, Past
from odds_service.serving.server_context import ServerContext
from odds_service.store import HistoryFilter, HistoryPage

PAGE_CHANGES: Final = 1_000  # the most changes that a reader holds at once
# The most revisions that one query scans, so that a narrow filter still sees regular progress.
STRETCH_REVISIONS: Final = 100_000

_FEW_EVENTS: Final = 1_000  # up to so many ids, looking them up is faster than reading all
_NOBODY: Final = frozenset({""})  # no event has this id
_EVENTS_ONLY: Final = HistoryFilter(of_markets=False, ended=False)


# (event id, revision of the move) -> its markets
_MarketsOfMoves: TypeAlias = dict[tuple[str, int], dict[Place, Captured]]


class StoredPage(NamedTuple):
    """The selected changes up to revision `reached`, and the `unstored` revisions."""

    selected: list[Selected]
    unstored: Sequence[int]
    reached: int


class StoredLog:
    """A reader of the stored changes after a revision, each once and in order.

    The database applies as much of a filter as it can; the rest is applied here. A filter on more
    than event ids needs each event as of the change. The first page scans the later event changes
    once to find the events as of the start; later pages keep them up to date.
    """

    def __init__(
        self, server: ServerContext, store: History, selection: Selection, after: int
    ) -> None:
        self._server = server
        self._store = store
        self._selection = selection
        self._after = after
        self._only = filter_of(selection)
        self._events: dict[str, Event] = {}
        self._begun = not selection.by_event

    async def events(self) -> dict[str, Event]:
        """Return all events as of the start; call it before the first page.

        Raises:
            BelowFloor: Retention has overtaken the reader.
        """
        await patiently(self._server, self._begin)
        return dict(self._events)

    async def next_page(self, upto: int) -> StoredPage:
        """Read the next page, which may hold no selected change.

        The number of concurrent reads is limited, so the call may wait for its turn.

        Args:
            upto: The last revision wanted, the same for all pages; it must be durable and not
                reached yet.

        Raises:
            BelowFloor: Retention has overtaken the reader.
            Behind: The database lags, and a wait did not help.
        """
        page, markets = await patiently(self._server, partial(self._read_on, upto))
        changes = page.changes
        reached = page.upto
        if changes and _begins_a_move(changes[-1]):
            last = changes[-1].revision
            if self._after + 1 < last == reached < upto:
                changes, reached = changes[:-1], last - 1
        selected = list(
            select(self._selection, changes, self._events, lambda *place: markets[place])
        )
        if self._selection.by_event:
            _keep_up(self._events, changes)
        self._after = reached
        return StoredPage(selected, [r for r in page.unstored if r <= reached], reached)

    async def _read_on(self, upto: int) -> tuple[HistoryPage, "_MarketsOfMoves"]:
        """Read the next page, with the markets of events that enter or leave the filter."""
        if not self._begun:
            await self._begin()
        page = await self._read(self._after, upto, self._only)
        check_moved(self._after, page.upto)
        return page, await self._markets_of_moves(page.changes)

    async def _read(self, after: int, upto: int, only: HistoryFilter) -> HistoryPage:
        upto = min(upto, after + STRETCH_REVISIONS)
        page = await self._server.ask(self._store.history_page, after, upto, PAGE_CHANGES, only)
        oldest = await self._server.ask(self._store.oldest_revision)
        if oldest > after + 1:
            raise BelowFloor(oldest - 1)
        return page

    async def _begin(self) -> None:
        """Find all events as of the start, and narrow the filter to those that may be selected."""
        cached = self._server.parts.cache.view()
        events = {event_id: entry.event for event_id, entry in cached.events.items()}
        takes = self._selection.takes_event
        wanted = {event.id for event in events.values() if takes(event)}
        seen: set[str] = set()
        async for change in self._event_changes(self._after, cached.cursor.revision):
            if takes(change.after) or (change.before is not None and takes(change.before)):
                wanted.add(change.event_id)
            if change.event_id in seen:
                continue
            seen.add(change.event_id)
            events.pop(change.event_id, None)
            if change.before is not None:
                events[change.event_id] = change.before
        self._events = events
        self._begun = True
        if self._selection.by_event and len(wanted) <= _FEW_EVENTS:
            self._only = filter_of(self._selection, frozenset(wanted) or _NOBODY)

    async def _event_changes(self, after: int, upto: int) -> AsyncIterator[EventChange]:
        """Yield the event changes with after < revision <= upto, from database and memory.

        The ring holds at least all changes that are not durable.
        """
        feed = self._server.parts.feed
        while after < upto:
            durable = min(feed.durable_revision, upto)
            changes: Sequence[Change]
            if after < durable:
                page = await self._read(after, durable, _EVENTS_ONLY)
                changes, moved, after = page.changes, page.upto > after, page.upto
            else:
                changes, moved = (), False
            if not moved:
                batches = feed.read_after(after, PAGE_CHANGES)
                if batches is None:
                    if after < durable:
                        raise Behind(after)
                    continue  # it became durable in the meantime
                changes = [change for batch in batches for change in batch.changes]
                after = changes[-1].revision
            for change in changes:
                if isinstance(change, EventChange):
                    yield change

    async def _markets_of_moves(self, changes: Sequence[Change]) -> "_MarketsOfMoves":
        """Return the markets of events that enter or leave the filter, as of these changes."""
        takes = self._selection.takes_event
        found: _MarketsOfMoves = {}
        if not self._selection.by_event:
            return found
        for change in changes:
            if (
                isinstance(change, EventChange)
                and change.kind is ChangeKind.EVENT_UPDATED
                and change.before is not None
                and takes(change.before) is not takes(change.after)
            ):
                place = change.event_id, change.revision
                found[place] = await self._markets_at(*place)
        return found

    async def _markets_at(self, event_id: str, revision: int) -> dict[Place, Captured]:
        store: object = self._store
        if not isinstance(store, Past):
            raise refused(StatusCode.UNIMPLEMENTED, "odds of the past are not kept", "NO_PAST")
        past = await self._server.ask(store.odds_at, revision, [event_id])
        return {
            (source, bookmaker, key): Captured(market, odds.snapshot_id)
            for entry in past.events
            for (source, bookmaker), odds in entry.bookmakers.items()
            for key, market in odds.markets.items()
        }


def _begins_a_move(change: Change) -> bool:
    """Return whether a change is the first half of a moved line; no page splits the two."""
    return change.kind is ChangeKind.REMOVED and change.reason == Reason.LINE_MOVED


def _keep_up(events: dict[str, Event], changes: Iterable[Change]) -> None:
    """Apply event changes to `events`."""
    for change in changes:
        if not isinstance(change, EventChange):
            continue
        if change.kind is ChangeKind.EVENT_ENDED:
            events.pop(change.event_id, None)
        else:
            events[change.event_id] = change.after
