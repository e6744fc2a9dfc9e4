"""What links the stages: bounded channels, and the write queue that is counted in changes."""

from collections import deque
from typing import Final

import trio
from msgspec import Struct

from odds_service.model.change import Commit
from odds_service.model.observation import Observation
from odds_service.model.scrape_run import ScrapeRun
from odds_service.model.snapshot import BookmakerOdds

OBSERVATIONS_WAITING: Final = 4  # decoded payloads are large; more would only hide that detect lags
WRITE_QUEUE_CHANGES: Final = 100_000  # about 10 s of a store at 10,000 changes a second
SCRAPE_RUNS_KEPT: Final = 10_000  # waiting to be stored; a record of pulls, never of odds
_UNCOUNTED_BATCHES: Final = 10_000  # places for source-state changes, which pass a full queue


class Fetched(Struct, frozen=True):
    """What a scraper hands to detect: an observation and the pull that it came from."""

    pull_key: str
    observation: Observation


class WriteQueue:
    """Batches on their way to the database, in revision order.

    Bounded in changes, from enqueued until durable: the one producer (detect) awaits `room`
    before it applies an observation and then puts the batch without a checkpoint in between, so
    no change can be in the cache and not in the queue. A batch may overshoot the capacity by its
    own length; a source's change of state passes a full queue.

    Beside the queue stand two records that need no order: confirmations, coalesced per snapshot,
    and scrape runs (the oldest are dropped, and counted, beyond SCRAPE_RUNS_KEPT).
    """

    def __init__(self, capacity: int = WRITE_QUEUE_CHANGES) -> None:
        self.capacity = capacity
        self.pending_changes = 0
        self.runs_dropped = 0
        self.closed = False
        self._send, self.receive = trio.open_memory_channel[Commit](capacity + _UNCOUNTED_BATCHES)
        self._room = trio.Condition()
        self._confirmed: dict[int, BookmakerOdds] = {}  # by snapshot
        self._runs: deque[ScrapeRun] = deque(maxlen=SCRAPE_RUNS_KEPT)

    @property
    def full(self) -> bool:
        return self.pending_changes >= self.capacity

    async def room(self) -> None:
        """Wait until the queue is below its capacity. Cancelling loses nothing."""
        async with self._room:
            while self.full:
                await self._room.wait()

    def put(self, batch: Commit) -> None:
        """Enqueue the next batch. Raises trio.ClosedResourceError after `close`."""
        self._send.send_nowait(batch)
        self.pending_changes += len(batch.changes)

    def confirm(self, odds: BookmakerOdds) -> None:
        """Note that a snapshot was seen unchanged; only the latest of each is kept."""
        self._confirmed[odds.snapshot_id] = odds

    def record(self, run: ScrapeRun) -> None:
        """Note a scrape run."""
        if len(self._runs) == SCRAPE_RUNS_KEPT:
            self.runs_dropped += 1
        self._runs.append(run)

    def take_confirmations(self, durable_revision: int) -> list[BookmakerOdds]:
        """Take the confirmations whose snapshot is stored already; the others wait for it."""
        taken = [odds for odds in self._confirmed.values() if odds.snapshot_id <= durable_revision]
        for odds in taken:
            del self._confirmed[odds.snapshot_id]
        return taken

    def take_runs(self) -> list[ScrapeRun]:
        """Take the scrape runs recorded since the last call."""
        taken = list(self._runs)
        self._runs.clear()
        return taken

    async def wrote(self, changes: int) -> None:
        """The writer made so many changes durable: lets detect go on when there is room."""
        self.pending_changes -= changes
        async with self._room:
            self._room.notify_all()

    def close(self) -> None:
        """No more batches: the writer drains what is there and ends."""
        self.closed = True
        self._send.close()
