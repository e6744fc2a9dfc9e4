"""The owner of a log in tests: it detects random observations, and its outbox appends them."""

import asyncio
import itertools
import random
from contextlib import suppress
from datetime import UTC, datetime

from odds_service.bus.log import Log, LogError
from odds_service.bus.messages import Opened, decode, encode, end_revision
from odds_service.bus.outbox import Outbox
from odds_service.model.change import Commit
from odds_service.model.fold import OddsState, forwards
from odds_service.model.observation import Observation
from odds_service.store import Stored
from tests.support.odds_builders import Bookkeeping, random_observations


class Truth:
    """The parts that outlive an owner: the observations so far, and the database."""

    def __init__(self, seed: int) -> None:
        self.observations = random_observations(random.Random(seed), 10**6)
        self.seen: list[Observation] = []
        self.commits: list[Commit] = []
        self.epochs: list[tuple[str, int]] = []
        self.durable = 0

    def load(self) -> Stored:
        """Return the state of the database."""
        state = OddsState()
        for commit in self.commits:
            if commit.last_revision <= self.durable:
                state = forwards(state, commit)
        return Stored(
            events=list(state.events.values()),
            sources=[],
            revision=self.durable,
            epoch=self.epochs[-1][0] if self.epochs else "",
            epochs=list(self.epochs),
            last_detected_at=None,
            database_id="d",
        )


class LogWriter:
    """One owner, from its take-over to its end; for the loop of its log."""

    def __init__(self, truth: Truth, log: Log) -> None:
        self.truth = truth
        self.log = log
        self.book = Bookkeeping()
        self.outbox = Outbox(self.book.feed, 0, capacity=100_000, retry_s=0.01)
        self.task: asyncio.Task[None] | None = None

    async def take_over(self) -> None:
        """Begin an epoch after what the log and the database hold; the rest never happened."""
        truth = self.truth
        last = await self.log.last()
        told = 0 if last is None else end_revision(decode(last.message))
        kept = max(told, truth.durable)
        seen, truth.seen, truth.commits = truth.seen, [], []
        for observation in seen:
            if self.book.feed.head_revision >= kept:
                break
            self._see(observation)
        assert self.book.feed.head_revision == kept
        truth.durable = kept
        truth.epochs.append((f"e{len(truth.epochs) + 1}", kept + 1))
        self.book.feed.advance_durable(kept)
        opened = Opened(tuple(truth.epochs), kept + 1, told)
        expect = (await self.log.info()).last
        sequence = await self.log.append(encode(opened)[0], expect)
        self.outbox = Outbox(self.book.feed, kept, capacity=100_000, retry_s=0.01)
        self.task = asyncio.ensure_future(self.outbox.run(self.log, opened, sequence))

    def write(self, observations: int = 5) -> None:
        """Detect something, and announce it."""
        for observation in itertools.islice(self.truth.observations, observations):
            commit = self._see(observation)
            if commit is not None:
                self.outbox.put(commit)

    def store(self) -> None:
        """Let the database catch up with all that was detected."""
        self.book.feed.advance_durable(self.book.feed.head_revision)
        self.truth.durable = self.book.feed.head_revision

    async def acknowledged(self) -> bool:
        """Return whether the log holds everything."""
        return self.outbox.acked_revision == self.book.feed.head_revision

    async def end(self) -> None:
        """End without a word, as a killed owner does."""
        if self.task is not None:
            self.task.cancel()
            with suppress(asyncio.CancelledError, LogError):
                await self.task

    def _see(self, observation: Observation) -> Commit | None:
        self.truth.seen.append(observation)
        found = self.book.see(observation, durable=False)
        if not found.changes:
            return None
        commit = self.book.batches[-1]
        self.truth.commits.append(commit)
        return commit


def wall() -> datetime:
    """Return the machine's wall clock."""
    return datetime.now(UTC)
