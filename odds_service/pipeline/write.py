"""The write stage: what detect enqueued, stored in its order, however long the database is away."""

from collections import deque
from datetime import UTC, datetime
from typing import Final

import structlog
import trio

from odds_service.errors import StorageUnavailable
from odds_service.feed import ChangeFeed
from odds_service.model.change import ChangeBatch
from odds_service.pipeline.channels import WriteQueue
from odds_service.status import WriterReport
from odds_service.storage.base import Store, WriteGroup

GROUP_CHANGES: Final = 5_000  # a transaction's size: past it a commit costs little per row
FLUSH_S: Final = 1.0  # how often confirmations and scrape runs are stored while nothing changes
RETRY_FIRST_S: Final = 0.1
RETRY_MAX_S: Final = 5.0
_PACE_S: Final = 60.0  # the window that the pace of changes is told from

log = structlog.get_logger(__name__)


class Writer:
    """Takes what waits in the queue into one transaction, and says how far the log is durable.

    A group that the database does not take is tried again for ever, in its order: the queue fills
    meanwhile, and that holds the scrapers.
    """

    def __init__(self, store: Store, queue: WriteQueue, feed: ChangeFeed) -> None:
        self._store = store
        self._queue = queue
        self._feed = feed
        self._durable = trio.Condition()
        self._waiting_since: datetime | None = None
        self._paces: deque[tuple[float, int]] = deque()
        self.retries = 0
        self.reason = ""

    async def run(self) -> None:
        """Write until the queue is closed and empty.

        Cancelled, the group in hand may have been stored or not; what is not is reported in the
        log, and `durable_revision` says up to where everything is.
        """
        try:
            with self._queue.receive as receive:
                while (batches := await self._next_batches(receive)) is not None:
                    await self._write(batches)
            await self._write([])
        except trio.Cancelled:
            self._report_loss()
            raise

    async def committed(self, revision: int) -> None:
        """Wait until everything up to `revision` is stored."""
        async with self._durable:
            while self._feed.durable_revision < revision:
                await self._durable.wait()

    def report(self) -> WriterReport:
        """What GetStatus tells of it."""
        since = self._waiting_since
        state = "retrying" if self.reason else "writing" if self._queue.pending_changes else "idle"
        return WriterReport(
            state=state,
            reason=self.reason,
            lag_s=0.0 if since is None else (datetime.now(UTC) - since).total_seconds(),
            pending_changes=self._queue.pending_changes,
            retries=self.retries,
            dead_letters=0,
            bridged_s=self._bridged_s(),
        )

    async def _next_batches(
        self, receive: trio.MemoryReceiveChannel[ChangeBatch]
    ) -> list[ChangeBatch] | None:
        """What waits now, up to GROUP_CHANGES; empty when FLUSH_S passed, None at the end."""
        batches: list[ChangeBatch] = []
        with trio.move_on_after(FLUSH_S):
            try:
                batches.append(await receive.receive())
            except trio.EndOfChannel:
                return None
        changes = sum(len(batch.changes) for batch in batches)
        while batches and changes < GROUP_CHANGES:
            try:
                batches.append(receive.receive_nowait())
            except (trio.WouldBlock, trio.EndOfChannel):
                break
            changes += len(batches[-1].changes)
        return batches

    async def _write(self, batches: list[ChangeBatch]) -> None:
        upto = batches[-1].last_revision if batches else self._feed.durable_revision
        group = WriteGroup(batches, self._queue.take_confirmations(upto), self._queue.take_runs())
        if not (batches or group.confirmations or group.runs):
            return
        if batches:
            self._waiting_since = batches[0].changes[0].detected_at
        await self._write_until_stored(group)
        self._waiting_since = None
        if batches:
            changes = sum(len(batch.changes) for batch in batches)
            self._note_pace(changes)
            self._feed.advance_durable(upto)
            async with self._durable:
                self._durable.notify_all()
            await self._queue.wrote(changes)

    async def _write_until_stored(self, group: WriteGroup) -> None:
        wait_s = RETRY_FIRST_S
        while True:
            try:
                await self._store.write(group)
            except StorageUnavailable as error:
                self.retries += 1
                if not self.reason:
                    log.warning("storage_away", reason=str(error), revision=group.last_revision)
                self.reason = str(error)
                await trio.sleep(wait_s)
                wait_s = min(2 * wait_s, RETRY_MAX_S)
            else:
                if self.reason:
                    log.info("storage_back", retries=self.retries)
                self.reason = ""
                return

    def _report_loss(self) -> None:
        if self._queue.pending_changes:
            log.error(
                "changes_not_stored",
                changes=self._queue.pending_changes,
                from_revision=self._feed.durable_revision + 1,
                to_revision=self._feed.head_revision,
            )

    def _note_pace(self, changes: int) -> None:
        now = trio.current_time()
        self._paces.append((now, changes))
        while self._paces[0][0] < now - _PACE_S:
            self._paces.popleft()

    def _bridged_s(self) -> float | None:
        """Seconds that the rest of the queue lasts at the pace of the last minute."""
        paces = tuple(self._paces)
        changes = sum(count for _, count in paces)
        if not changes:
            return None
        room = max(0, self._queue.capacity - self._queue.pending_changes)
        return room * _PACE_S / changes
