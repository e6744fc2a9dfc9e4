"""Reading of stored changes for a stream that memory no longer serves."""

from odds_service.errors import BelowFloor
from odds_service.filters.filtering import Selected
from odds_service.filters.selection import EVERYTHING, Selection
from odds_service.serving.lagging import Behind
from odds_service.serving.parts import History
from odds_service.serving.server_context import ServerContext
from odds_service.serving.stored import StoredLog
from odds_service.store import HistoryFilter
from odds_service.stream.opening import IntentReason


class HistoryGap(Exception):
    """The stored log lacks the next changes, for `reason`."""

    def __init__(self, reason: IntentReason) -> None:
        super().__init__(reason.name)
        self.reason = reason


async def gap_after(
    server: ServerContext, store: History, revision: int, upto: int
) -> IntentReason | None:
    """Look for a gap in a stretch of the stored log, without reading all of it.

    Args:
        server: The state of the server.
        store: The database.
        revision: The revision before the stretch.
        upto: The last revision of the stretch.

    Returns:
        The reason for the gap, or None if none was found.
    """
    if await server.ask(store.oldest_revision) > revision + 1:
        return IntentReason.TOO_OLD
    # No event or source has this name, so the page holds nothing but unstored revisions.
    nothing = HistoryFilter(event_ids=frozenset({"-"}), sources=frozenset({"-"}), of_markets=False)
    page = await server.ask(store.history_page, revision, upto, 1, nothing)
    return IntentReason.HISTORY_GAP if page.unstored else None


class StoredStretch:
    """A reader of stored changes after a revision, page by page, up to the durable one.

    It raises on any gap: a client that missed a change would hold wrong odds from there on.
    """

    def __init__(
        self, server: ServerContext, store: History, selection: Selection, revision: int
    ) -> None:
        self._server = server
        self._store = store
        self._selection = selection
        self._revision = self._upto = revision
        self._log = StoredLog(server, store, selection, revision)

    @property
    def revision(self) -> int:
        """The last revision read."""
        return self._revision

    async def next_page(self) -> tuple[list[Selected], int]:
        """Read the next page; there must be durable changes left to read.

        Returns:
            The selected changes of the page, and its last revision.

        Raises:
            HistoryGap: The changes are no longer kept, or one of them could not be stored, or the
                database lags for too long.
        """
        if self._revision == self._upto:  # read the newly durable changes as a new log
            self._upto = self._server.parts.feed.durable_revision
            self._log = StoredLog(self._server, self._store, self._selection, self._revision)
        try:
            page = await self._log.next_page(self._upto)
        except BelowFloor:
            raise HistoryGap(IntentReason.TOO_OLD) from None
        except Behind:
            raise HistoryGap(IntentReason.HISTORY_GAP) from None
        count = page.reached - self._revision
        if page.unstored or (self._selection is EVERYTHING and len(page.selected) != count):
            raise HistoryGap(IntentReason.HISTORY_GAP)
        self._revision = page.reached
        return page.selected, page.reached
