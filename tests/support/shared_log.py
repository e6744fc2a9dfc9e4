"""A log that several nodes share, with the truth behind it, and all that can happen to both."""

import itertools
import random
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import NamedTuple

from odds_service.bus.messages import Batch, Freshness, Opened, decode, encode, end_revision
from odds_service.model.change import Change, Commit
from odds_service.model.fold import OddsState, forwards
from odds_service.model.observation import Observation
from odds_service.model.snapshot import EventOdds, Reading
from odds_service.store import Stored
from tests.support.observations import NOON, Place, Shown, fold
from tests.support.odds_builders import Bookkeeping, random_observations

READING = Reading(NOON + timedelta(hours=1), 10_000.0)


class Entry(NamedTuple):
    """A message of the log; `number` tells it from one written later in its place."""

    number: int
    message: bytes


class SharedLog:
    """A writer with its database and its stream; each of the methods is one thing that happens.

    Attributes:
        messages: The messages of the stream that are still there.
        begins: The number of messages that have left it at its beginning.
        timelines: Epoch -> all commits up to its end, from the first revision on.
        durable: The revision up to which the database has everything.
    """

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.epochs: list[tuple[str, int]] = [("e1", 1)]
        self.messages: list[Entry] = []
        self._numbers = itertools.count()
        self._observations = random_observations(self.rng, 10**6)
        self.begins = 0
        self.durable = 0
        self.timelines: dict[str, list[Commit]] = {"e1": []}
        self._seen: list[Observation] = []
        self._book = Bookkeeping()
        self._states: dict[tuple[str, int], dict[Place, Shown]] = {}
        self._add(Opened(tuple(self.epochs), 1, 0))

    @property
    def epoch(self) -> str:
        return self.epochs[-1][0]

    @property
    def commits(self) -> list[Commit]:
        """All commits of the truth."""
        return self.timelines[self.epoch]

    @property
    def head(self) -> int:
        """The newest revision of the truth."""
        return self.commits[-1].last_revision if self.commits else 0

    @property
    def end(self) -> int:
        """The sequence after the last message, counted from 0."""
        return self.begins + len(self.messages)

    @property
    def told(self) -> int:
        """The revision at the end of the stream."""
        return end_revision(decode(self.messages[-1].message)) if self.messages else 0

    # What happens

    def write(self, observations: int = 2) -> None:
        """Detect something, and append it in messages cut at random."""
        for observation in itertools.islice(self._observations, observations):
            self._see(observation)
        self.append()

    def append(self) -> None:
        """Append the commits that the stream lacks."""
        if not self.messages:
            self._add(Opened(tuple(self.epochs), self.epochs[-1][1], 0))
        told = self.told
        rest = [commit for commit in self.commits if commit.first_revision > told]
        while rest:
            count = self.rng.randint(1, 3)
            some, rest = rest[:count], rest[count:]
            self._batch(told, some, fresh=not rest)
            told = some[-1].last_revision
        if self.rng.random() < 0.3:
            self._batch(told, (), fresh=True)

    def store(self) -> None:
        """Let the database catch up by some commits."""
        later = [each.last_revision for each in self.commits if each.last_revision > self.durable]
        if later:
            self.durable = self.rng.choice(later)

    def lose_tail(self) -> None:
        """Lose the last messages of the stream; the writer lives, and writes them again."""
        self._lose()
        self.append()

    def take_over(self, *, losing: bool) -> None:
        """Begin an epoch, perhaps after the stream has lost what no database has."""
        if losing:
            self._lose()
        told = max(self.durable, self.told if self.messages else 0)
        kept = [commit for commit in self.commits if commit.last_revision <= told]
        epoch = f"e{len(self.epochs) + 1}"
        self.timelines[epoch] = kept
        self._book = Bookkeeping()
        seen, self._seen = self._seen, []
        for observation in seen:
            if self._book.feed.head_revision >= told:
                break
            self._seen.append(observation)
            self._book.see(observation)
        prev = self.told if self.messages else 0
        self.epochs.append((epoch, told + 1))
        self.durable = told
        self._add(Opened(tuple(self.epochs), told + 1, prev))

    def trim(self) -> None:
        """Let the oldest messages leave the stream."""
        count = self.rng.randint(0, len(self.messages))
        del self.messages[:count]
        self.begins += count

    # What a reader asks

    def find(self, revision: int) -> int:
        """Return the place of the first message after which the log is at a revision."""
        for place, entry in enumerate(self.messages, self.begins):
            if end_revision(decode(entry.message)) >= revision:
                return place
        return self.end

    def load(self) -> Stored:
        """Return what the database holds."""
        state = OddsState()
        for commit in self.commits:
            if commit.last_revision <= self.durable:
                state = forwards(state, commit)
        return Stored(
            events=list(state.events.values()),
            sources=[],
            revision=self.durable,
            epoch=self.epoch,
            epochs=list(self.epochs),
            last_detected_at=None,
            database_id="d",
        )

    def shown_at(self, epoch: str, revision: int) -> dict[Place, Shown]:
        """Return all markets at a place, by an independent fold of the changes."""
        key = epoch, revision
        if key not in self._states:
            changes: list[Change] = [
                change
                for commit in self.timelines[epoch]
                for change in commit.changes
                if change.revision <= revision
            ]
            self._states[key] = fold(changes)
        return self._states[key]

    def events_now(self) -> Mapping[str, EventOdds]:
        """Return the true odds at the head."""
        return self._book.cache.events

    # Parts of what happens

    def _see(self, observation: Observation) -> None:
        self._seen.append(observation)
        found = self._book.see(observation)
        if found.changes:
            self.commits.append(self._book.batches[-1])

    def _lose(self) -> None:
        count = self.rng.randint(0, min(len(self.messages), 4))
        if count:
            del self.messages[-count:]

    def _batch(self, prev: int, commits: Sequence[Commit], *, fresh: bool) -> None:
        freshness = None
        revision = commits[-1].last_revision if commits else prev
        if fresh and revision == self.head:
            looks = tuple(
                odds.snapshot()
                for entry in self._book.cache.events.values()
                for odds in entry.bookmakers.values()
            )
            rows = tuple(
                (event_id, row)
                for event_id, entry in self._book.cache.events.items()
                for row in entry.sources.values()
            )
            freshness = Freshness(looks, rows)
        self._add(Batch(self.epoch, prev, self.durable, commits, freshness, NOON))

    def _add(self, message: Batch | Opened) -> None:
        self.messages += [Entry(next(self._numbers), piece) for piece in encode(message)]
