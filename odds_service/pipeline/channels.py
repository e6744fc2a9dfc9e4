"""The links between the stages: bounded channels, and a write queue counted in changes."""

from collections import deque
from typing import Final, Protocol

import trio
from msgspec import Struct

from odds_service.model.change import Commit
from odds_service.model.observation import Observation
from odds_service.model.scrape_run import ScrapeRun
from odds_service.model.snapshot import BookmakerOdds

OBSERVATIONS_WAITING: Final = 4  # decoded payloads are large, and a longer queue would hide a lag
WRITE_QUEUE_CHANGES: Final = 100_000  # about 10 s for a store that writes 10,000 changes a second
SCRAPE_RUNS_KEPT: Final = 10_000  # the most records of pulls that wait to be stored
_UNCOUNTED_COMMITS: Final = 10_000  # room for changes of sources, which a full queue still accepts


class Fetched(Struct, frozen=True):
    """An observation on its way from a scraper to detect, with the key of its pull."""

    pull_key: str
    observation: Observation


class Outgoing(Protocol):
    """Another way that all commits take, as bounded as the queue is."""

    @property
    def full(self) -> bool: ...

    async def room(self) -> None:
        """Wait until there is room; cancelling loses nothing."""
        ...


class WriteQueue:
    """Commits on their way to the database, in revision order.

    The queue is bounded by the number of changes that are not durable yet. Detect, its only
    producer, awaits `room` before it applies an observation, and puts the commit without a
    checkpoint in between, so every change in the cache is in the queue too. A commit may exceed the
    capacity by its own length, and a full queue still accepts changes of a source's status.

    Two kinds of records need no order and are kept separately: confirmations, coalesced per
    snapshot, and scrape runs. Beyond SCRAPE_RUNS_KEPT, the oldest runs are dropped and counted.

    Args:
        capacity: the number of changes from which the queue is full.
        outbox: the way to other nodes, which `room` waits for too; None without a bus.
    """

    def __init__(self, capacity: int = WRITE_QUEUE_CHANGES, outbox: Outgoing | None = None) -> None:
        self.capacity = capacity
        self._outbox = outbox
        self.pending_changes = 0
        self.runs_dropped = 0
        self.closed = False
        self._send, self.receive = trio.open_memory_channel[Commit](capacity + _UNCOUNTED_COMMITS)
        self._room = trio.Condition()
        self._confirmed: dict[int, BookmakerOdds] = {}  # by snapshot
        self._runs: deque[ScrapeRun] = deque(maxlen=SCRAPE_RUNS_KEPT)

    @property
    def full(self) -> bool:
        return self.pending_changes >= self.capacity

    @property
    def bus_behind(self) -> bool:
        """True while detect waits for the bus."""
        return self._outbox is not None and self._outbox.full

    @property
    def has_room(self) -> bool:
        """True if `room` would not wait."""
        return not (self.full or self.bus_behind)

    async def room(self) -> None:
        """Wait until the queue, and the outbox, are below capacity; cancelling loses nothing."""
        while True:
            async with self._room:
                while self.full:
                    await self._room.wait()
            if self._outbox is None or not self._outbox.full:
                return
            await self._outbox.room()

    def put(self, commit: Commit) -> None:
        """Enqueue the next commit.

        Raises:
            trio.ClosedResourceError: after `close`.
        """
        self._send.send_nowait(commit)
        self.pending_changes += len(commit.changes)

    def confirm(self, odds: BookmakerOdds) -> None:
        """Record the confirmation of a snapshot; only the latest one of each is kept."""
        self._confirmed[odds.snapshot_id] = odds

    def record(self, run: ScrapeRun) -> None:
        """Record a scrape run."""
        if len(self._runs) == SCRAPE_RUNS_KEPT:
            self.runs_dropped += 1
        self._runs.append(run)

    def take_confirmations(self, durable_revision: int) -> list[BookmakerOdds]:
        """Take the confirmations of stored snapshots; the others wait."""
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
        """Record that `changes` more changes are durable, and wake detect if there is room."""
        self.pending_changes -= changes
        async with self._room:
            self._room.notify_all()

    def close(self) -> None:
        """Refuse further commits; the writer drains the queue and ends."""
        self.closed = True
        self._send.close()
