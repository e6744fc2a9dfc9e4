"""An outbox that is fed as detect feeds it, and a reader of its log that keeps to the rules."""

import asyncio
import random
from contextlib import aclosing
from datetime import datetime, timedelta
from typing import Final

from msgspec.structs import replace

from odds_service.bus.log import Log, TailLost, Unavailable
from odds_service.bus.messages import Assembler, DecodedBatch, Freshness, Opened, decode, encode
from odds_service.bus.outbox import Outbox
from odds_service.feed import ChangeFeed
from odds_service.model.change import Commit, MarketChange
from odds_service.model.market import Outcome
from tests.support.observations import NOON
from tests.support.odds_builders import Bookkeeping, random_observations

OPENED: Final = Opened((("e", 1),), 1, 0)


def in_tuples(commit: Commit) -> Commit:
    """Return a commit as decoding makes it: detect uses lists, which equal no tuples."""
    return replace(
        commit,
        changes=tuple(commit.changes),
        snapshots=tuple(commit.snapshots),
        event_sources=tuple(commit.event_sources),
    )


def commits_of(seed: int, count: int) -> list[Commit]:
    """Return random commits, as they are after a way through the log."""
    book = Bookkeeping()
    for observation in random_observations(random.Random(seed), count):
        book.see(observation)
    return [in_tuples(commit) for commit in book.batches]


def large_commit(revision: int, megabytes: int) -> Commit:
    """Return a commit of one change that needs several messages."""
    change = next(
        change
        for commit in commits_of(0, 5)
        for change in commit.changes
        if isinstance(change, MarketChange)
    )
    name = random.Random(revision).randbytes(megabytes * 2**19).hex()
    after = replace(change.after, outcomes=(Outcome(name, "x", 2.0),))
    return Commit((replace(change, revision=revision, after=after),))


class Ingest:
    """A feed and an outbox, fed as detect would feed them."""

    def __init__(self, *, capacity: int = 10**6, ring: int = 10**6) -> None:
        self.feed = ChangeFeed("e", 0, capacity=ring)
        self.outbox = Outbox(self.feed, 0, capacity=capacity, retry_s=0.001, clock=self.clock)
        self.put: list[Commit] = []

    def clock(self) -> datetime:
        return NOON + timedelta(seconds=len(self.put))

    def publish(self, commit: Commit) -> None:
        at = NOON + timedelta(seconds=len(self.put))
        with self.feed.lock:
            self.feed.append_locked(commit, at)
        self.put.append(commit)
        self.outbox.put(commit)


async def opened_run(ingest: Ingest, bus: Log, opened: Opened = OPENED, expect: int = 0) -> None:
    """Open the epoch, as a take-over does, and run the outbox."""
    while True:
        try:
            sequence = await bus.append(encode(opened)[0], expect)
            break
        except Unavailable:
            await asyncio.sleep(0.001)
    await ingest.outbox.run(bus, opened, sequence)


class Replica:
    """A reader that keeps to the rules, with what it has applied."""

    def __init__(self) -> None:
        self.commits: list[Commit] = []
        self.revision = 0
        self.fresh: list[tuple[int, Freshness]] = []
        self.batches: list[DecodedBatch] = []

    def apply(self, batch: DecodedBatch | Opened | None) -> None:
        if isinstance(batch, Opened):
            assert batch == replace(OPENED, prev_revision=batch.prev_revision)
        if not isinstance(batch, DecodedBatch):
            return
        assert batch.prev_revision <= self.revision, "a hole"
        for commit in batch.commits:
            if commit.last_revision > self.revision:
                assert commit.first_revision == self.revision + 1
                self.commits.append(commit.commit())
                self.revision = commit.last_revision
        if batch.freshness is not None:
            self.fresh.append((batch.revision, batch.freshness))
        self.batches.append(batch)

    async def follow(self, bus: Log) -> None:
        """Follow the log until cancelled."""
        sequence, assembler = 1, Assembler()
        while True:
            try:
                async with aclosing(bus.read_from(sequence)) as reader:
                    async for stored in reader:
                        sequence = stored.sequence + 1
                        self.apply(assembler.add(decode(stored.message)))
            except TailLost as lost:
                sequence, assembler = lost.last + 1, Assembler()


async def content(bus: Log) -> Replica:
    """Return all that a log holds, which must be each revision once, in order."""
    replica, assembler = Replica(), Assembler()
    last = (await bus.info()).last
    async with aclosing(bus.read_from(1)) as reader:
        async for stored in reader:
            found = assembler.add(decode(stored.message))
            if isinstance(found, DecodedBatch):
                assert found.prev_revision == replica.revision
            replica.apply(found)
            if stored.sequence == last:
                break
    return replica


async def is_at(replica: Replica, ingest: Ingest) -> bool:
    """Return whether a reader has all that was put."""
    return replica.revision >= ingest.feed.head_revision


async def acked(ingest: Ingest, revision: int) -> bool:
    """Return whether the log has taken a revision."""
    return ingest.outbox.acked_revision >= revision
