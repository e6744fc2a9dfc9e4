"""A stretch of the log read from the database, for a stream that memory no longer serves."""

from odds_service.errors import BelowFloor
from odds_service.filters.filtering import Selected
from odds_service.filters.selection import EVERYTHING, Selection
from odds_service.rpc.parts import History
from odds_service.rpc.server_context import ServerContext
from odds_service.rpc.stored import StoredLog
from odds_service.store import HistoryFilter
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb


class HistoryGap(Exception):
    """The stored log does not hold what comes next; `reason` as in api.md."""

    def __init__(self, reason: pb.IntentReason.ValueType) -> None:
        super().__init__(pb.IntentReason.Name(reason))
        self.reason = reason


async def gap_after(
    serving: ServerContext, store: History, revision: int, upto: int
) -> HistoryGap | None:
    """What a replay of (revision, upto] would meet, as far as it can be told beforehand."""
    if await serving.ask(store.oldest_revision) > revision + 1:
        return HistoryGap(pb.INTENT_REASON_TOO_OLD)
    # No event or source is named so: only what could not be stored comes back.
    nothing = HistoryFilter(event_ids=frozenset({"-"}), sources=frozenset({"-"}), of_markets=False)
    page = await serving.ask(store.history_page, revision, upto, 1, nothing)
    return HistoryGap(pb.INTENT_REASON_HISTORY_GAP) if page.unstored else None


class Replay:
    """Reads stored changes after a revision, page by page, up to what is durable.

    The stored log, where nothing may be missing: a client's map would be wrong from there on.
    """

    def __init__(
        self, serving: ServerContext, store: History, selection: Selection, revision: int
    ) -> None:
        self._serving = serving
        self._store = store
        self._selection = selection
        self._revision = self._upto = revision
        self._log = StoredLog(serving, store, selection, revision)

    async def next_page(self) -> tuple[list[Selected], int]:
        """The selected ones of the next changes, and the revision that they reach to.

        There must be a durable one to read. Raises HistoryGap.
        """
        if self._revision == self._upto:  # what became durable since is a stretch of its own
            self._upto = self._serving.parts.feed.durable_revision
            self._log = StoredLog(self._serving, self._store, self._selection, self._revision)
        try:
            page = await self._log.next_page(self._upto)
        except BelowFloor:
            raise HistoryGap(pb.INTENT_REASON_TOO_OLD) from None
        count = page.reached - self._revision
        if page.unstored or (self._selection is EVERYTHING and len(page.selected) != count):
            raise HistoryGap(pb.INTENT_REASON_HISTORY_GAP)
        self._revision = page.reached
        return page.selected, page.reached
