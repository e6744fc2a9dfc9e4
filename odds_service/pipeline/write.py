"""The write stage, which stores commits in order and waits out database outages."""

from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import structlog
import trio

from odds_service.errors import StorageUnavailable
from odds_service.feed import ChangeFeed
from odds_service.model.change import Commit
from odds_service.pipeline.channels import WriteQueue
from odds_service.status import WriterReport
from odds_service.store import Store, WriteGroup

GROUP_CHANGES: Final = 10_000  # per transaction; with more, a commit's cost per row hardly falls
GATHER_S: Final = 0.025  # at least, from one transaction to the next while commits come steadily
RESTS: Final = 4.0  # the same in durations of the last transaction: it has a fifth of the time
MOST_GATHER_S: Final = 0.1
FLUSH_S: Final = 1.0  # between writes of confirmations and scrape runs while nothing changes
RETRY_FIRST_S: Final = 0.1
RETRY_MAX_S: Final = 5.0
SPILL_S: Final = 10.0  # time limit for spilling the rest; a full queue takes about 2 s
ALL_BATCHES: Final = 2**62
_PACE_S: Final = 60.0  # the window over which the pace of changes is measured

log = structlog.get_logger(__name__)


def spill_rest(store: Store, feed: ChangeFeed) -> str:
    """Spill all that the feed holds beyond the durable revision; return where, empty for nothing.

    For the end of a process whose Trio thread stands. May be called from any thread. The group in
    the writer's hand may be committed at the same time; the next start finds out.

    Raises:
        OSError: The spill file cannot be written.
    """
    rest = feed.read_after(feed.durable_revision, ALL_BATCHES)
    return store.spill(rest) if rest else ""


class Writer:
    """The writer of queued commits, in large transactions; it advances the durable revision.

    A group that cannot be stored is retried forever, in order. Meanwhile the queue fills, which
    pauses the scrapers. `dead_letters` is the number of dead letters at the start.
    """

    def __init__(
        self,
        store: Store,
        queue: WriteQueue,
        feed: ChangeFeed,
        *,
        dead_letters: int = 0,
        log_time: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self._queue = queue
        self._feed = feed
        self._log_time = log_time
        self._durable = trio.Condition()
        self._in_hand: list[Commit] = []
        self._rests_until = 0.0  # by Trio's clock
        self._awaited = trio.Event()  # somebody waits until a commit is stored
        self._paces: deque[tuple[float, int]] = deque()
        self.dead_letters = dead_letters
        self.lost = ""  # a description of changes that a stop could neither store nor spill
        self.groups = 0
        self.confirmations = 0
        self.retries = 0
        self.reason = ""

    async def run(self) -> None:
        """Write until the queue is closed and empty.

        On cancellation or an error of the store, everything that is not durable goes to the spill
        file within SPILL_S, including the current group, which may or may not have been stored; the
        next start finds out. Changes that cannot be spilled either are reported in the log.
        """
        try:
            while (batches := await self._next_batches()) is not None:
                await self._write(batches)
            await self._write([])
        except BaseException:
            await self._spill()  # noqa: ASYNC102  # shields itself, with a deadline
            raise

    async def committed(self, revision: int) -> None:
        """Wait until everything up to `revision` is stored."""
        async with self._durable:
            while self._feed.durable_revision < revision:
                self._awaited.set()
                await self._durable.wait()

    def report(self) -> WriterReport:
        """Return the writer's part of GetStatus. Thread-safe."""
        pending = self._queue.pending_changes
        if self._queue.closed:
            state = "draining"
        elif self.reason:
            state = "retrying"
        else:
            state = "writing" if pending else "idle"
        return WriterReport(
            state=state,
            reason=self.reason,
            lag_s=self._lag_s(),
            pending_changes=pending,
            retries=self.retries,
            dead_letters=self.dead_letters,
            bridged_s=self._bridged_s(),
            groups=self.groups,
            confirmations=self.confirmations,
            runs_dropped=self._queue.runs_dropped,
        )

    async def _next_batches(self) -> list[Commit] | None:
        """Return commits up to GROUP_CHANGES: none if FLUSH_S passes first, None at the end."""
        batches: list[Commit] = []
        with trio.move_on_after(FLUSH_S):
            try:
                batches.append(await self._queue.receive.receive())
            except trio.EndOfChannel:
                return None
        self._in_hand = batches
        if batches:
            await self._gather()
            batches += self._waiting(GROUP_CHANGES - len(batches[0].changes))
        return batches

    async def _gather(self) -> None:
        """Let commits come together, since a transaction has a price of its own.

        The slower the database, the more of them. The first one after a pause does not wait, nor do
        any that somebody waits for, or that fill a group or the queue.
        """
        if not (self._queue.full or self._queue.pending_changes >= GROUP_CHANGES):
            with trio.move_on_at(self._rests_until):
                await self._awaited.wait()
        self._awaited = trio.Event()

    def _waiting(self, changes: float) -> list[Commit]:
        """Take waiting commits until they have at least `changes` changes."""
        batches: list[Commit] = []
        while changes > 0:
            try:
                batches.append(self._queue.receive.receive_nowait())
            except (trio.WouldBlock, trio.EndOfChannel):
                break
            changes -= len(batches[-1].changes)
        return batches

    async def _write(self, batches: list[Commit]) -> None:
        upto = batches[-1].last_revision if batches else self._feed.durable_revision
        group = WriteGroup(batches, self._queue.take_confirmations(upto), self._queue.take_runs())
        if not (batches or group.confirmations or group.runs):
            return
        began_s = trio.current_time()
        await self._write_until_stored(group)
        wrote_s = trio.current_time()
        rest_s = min(max(RESTS * (wrote_s - began_s), GATHER_S), MOST_GATHER_S)
        self._rests_until = wrote_s + rest_s
        self.groups += 1
        self.confirmations += len(group.confirmations)
        if batches:
            changes = sum(len(batch.changes) for batch in batches)
            self._note_pace(changes)
            self._in_hand = []
            self._feed.advance_durable(upto)
            async with self._durable:
                self._durable.notify_all()
            await self._queue.wrote(changes)

    async def _write_until_stored(self, group: WriteGroup) -> None:
        wait_s = RETRY_FIRST_S
        while True:
            try:
                self.dead_letters += await self._store.write(group)
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

    async def _spill(self) -> None:
        """Spill everything that is not durable, within SPILL_S, for the next start.

        After an error, detect may continue for a moment; the commits that it adds are spilled too.
        """
        rest, path, why = self._in_hand, "", f"not within {SPILL_S:.0f} s"
        try:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + SPILL_S):
                while (more := self._waiting(float("inf"))) or (rest and not path):
                    rest, path = [*rest, *more], ""
                    path = await trio.to_thread.run_sync(
                        self._store.spill, rest, abandon_on_cancel=True
                    )
        except OSError as error:
            why = str(error)
        if not rest:
            return
        stretch = {
            "changes": sum(len(batch.changes) for batch in rest),
            "from_revision": rest[0].first_revision,
            "to_revision": rest[-1].last_revision,
        }
        if path:
            log.warning("changes_spilled", path=path, **stretch)
            return
        log.error("changes_not_stored", reason=why, **stretch)
        self.lost = (
            f"{stretch['changes']} changes, revisions {stretch['from_revision']} to"
            f" {stretch['to_revision']}, could be neither stored nor spilled: {why}"
        )

    def _lag_s(self) -> float:
        """Return the age of the oldest change that is not durable."""
        durable = self._feed.durable_revision
        for batch in self._feed.read_after(durable, 1) or ():
            for change in batch.changes:
                if change.revision > durable:
                    return max(0.0, (self._log_time() - change.detected_at).total_seconds())
        return 0.0

    def _note_pace(self, changes: int) -> None:
        now = trio.current_time()
        self._paces.append((now, changes))
        while self._paces[0][0] < now - _PACE_S:
            self._paces.popleft()

    def _bridged_s(self) -> float | None:
        """Return the seconds until the queue is full, at the pace of the last minute."""
        paces = tuple(self._paces)
        changes = sum(count for _, count in paces)
        if not changes:
            return None
        room = max(0, self._queue.capacity - self._queue.pending_changes)
        return room * _PACE_S / changes
