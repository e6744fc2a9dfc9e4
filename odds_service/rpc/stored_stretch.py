"""The stretch of the log that a stream reads from the database, when memory no longer serves it."""

from odds_service.errors import BelowFloor
from odds_service.filters.filtering import Selected
from odds_service.filters.selection import EVERYTHING, Selection
from odds_service.rpc.parts import History
from odds_service.rpc.server_context import ServerContext
from odds_service.rpc.stored import StoredLog
from odds_service.store import HistoryFilter
from odds_service.stream.opening import IntentReason


class HistoryGap(Exception):
    """The stored log lacks what comes next; `reason` says why."""

    def __init__(self, reason: IntentReason) -> None:
        super().__init__(reason.name)
        self.reason = reason


async def gap_after(
    serving: ServerContext, store: History, revision: int, upto: int
) -> IntentReason | None:
    """Look for a gap in the stored log, as far as one can be seen before reading it.

    Args:
        serving: The state of the server.
        store: The database.
        revision: The stretch begins after this revision.
        upto: The stretch ends with this one.

    Returns:
        The reason why the stretch is not whole, None when no gap was found.
    """
    if await serving.ask(store.oldest_revision) > revision + 1:
        return IntentReason.TOO_OLD
    # No event or source has this name, so only changes that could not be stored come back.
    nothing = HistoryFilter(event_ids=frozenset({"-"}), sources=frozenset({"-"}), of_markets=False)
    page = await serving.ask(store.history_page, revision, upto, 1, nothing)
    return IntentReason.HISTORY_GAP if page.unstored else None


class StoredStretch:
    """Reads stored changes after a revision, page by page, up to what is durable.

    Nothing may be missing in it: a client's map would be wrong from there on.
    """

    def __init__(
        self, serving: ServerContext, store: History, selection: Selection, revision: int
    ) -> None:
        self._serving = serving
        self._store = store
        self._selection = selection
        self._revision = self._upto = revision
        self._log = StoredLog(serving, store, selection, revision)

    @property
    def revision(self) -> int:
        """The revision that was read up to."""
        return self._revision

    async def next_page(self) -> tuple[list[Selected], int]:
        """Read the next page; there must be durable changes left to read.

        Returns:
            The selected changes of the page, and the revision that it reaches up to.

        Raises:
            HistoryGap: The changes are not kept, or one of them could not be stored.
        """
        if self._revision == self._upto:  # what became durable since is a log of its own
            self._upto = self._serving.parts.feed.durable_revision
            self._log = StoredLog(self._serving, self._store, self._selection, self._revision)
        try:
            page = await self._log.next_page(self._upto)
        except BelowFloor:
            raise HistoryGap(IntentReason.TOO_OLD) from None
        count = page.reached - self._revision
        if page.unstored or (self._selection is EVERYTHING and len(page.selected) != count):
            raise HistoryGap(IntentReason.HISTORY_GAP)
        self._revision = page.reached
        return page.selected, page.reached
