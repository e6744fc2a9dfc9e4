"""The links between the stages: bounded channels, and a write queue counted in changes."""

from collections import deque
from typing import Final

import trio
from msgspec import Struct

from odds_service.model.change import Commit
from odds_service.model.observation import Observation
from odds_service.model.scrape_run import ScrapeRun
from odds_service.model.snapshot import BookmakerOdds

OBSERVATIONS_WAITING: Final = 4  # decoded payloads are large, and more would only hide a lag
WRITE_QUEUE_CHANGES: Final = 100_000  # about 10 s of a store at 10,000 changes a second
SCRAPE_RUNS_KEPT: Final = 10_000  # waiting to be stored; records of pulls, which hold no odds
_UNCOUNTED_COMMITS: Final = 10_000  # room for changes of sources, which pass a full queue


class Fetched(Struct, frozen=True):
    """An observation on its way from a scraper to detect, with the pull that it came from."""

    pull_key: str
    observation: Observation


class WriteQueue:
    """Commits on their way to the database, in revision order.

    The queue is bounded in changes, from enqueued until durable. Detect, its only producer, awaits
    `room` before it applies an observation, and puts the commit without a checkpoint in between, so
    no change can be in the cache and not in the queue. A commit may overshoot the capacity by its
    own length; the change of a source's status passes a full queue.

    Two records beside the queue need no order: confirmations, coalesced per snapshot, and scrape
    runs, of which the oldest are dropped and counted beyond SCRAPE_RUNS_KEPT.
    """

    def __init__(self, capacity: int = WRITE_QUEUE_CHANGES) -> None:
        self.capacity = capacity
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

    async def room(self) -> None:
        """Wait until the queue is below its capacity; cancelling loses nothing."""
        async with self._room:
            while self.full:
                await self._room.wait()

    def put(self, commit: Commit) -> None:
        """Enqueue the next commit.

        Raises:
            trio.ClosedResourceError: after `close`.
        """
        self._send.send_nowait(commit)
        self.pending_changes += len(commit.changes)

    def confirm(self, odds: BookmakerOdds) -> None:
        """Note that a snapshot was seen unchanged; only the latest look at each is kept."""
        self._confirmed[odds.snapshot_id] = odds

    def record(self, run: ScrapeRun) -> None:
        """Note a scrape run."""
        if len(self._runs) == SCRAPE_RUNS_KEPT:
            self.runs_dropped += 1
        self._runs.append(run)

    def take_confirmations(self, durable_revision: int) -> list[BookmakerOdds]:
        """Take the confirmations whose snapshot is stored; the others wait for theirs."""
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
        """Note that so many changes are durable; detect goes on once there is room."""
        self.pending_changes -= changes
        async with self._room:
            self._room.notify_all()

    def close(self) -> None:
        """Accept no more commits: the writer drains the queue and ends."""
        self.closed = True
        self._send.close()
