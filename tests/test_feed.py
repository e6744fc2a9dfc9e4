"""The ring keeps the bytes of its newest changes, and older ones are encoded anew, equally."""

import random
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from odds_service.cache import OddsCache
from odds_service.clock import DrivenClock
from odds_service.feed import ChangeFeed
from odds_service.filters.selection import EVERYTHING, Selection
from odds_service.model.change import Change, Commit, EventChange, MarketChange
from odds_service.model.market import Market
from odds_service.model.source import SourceState
from odds_service.pipeline.channels import WriteQueue
from odds_service.pipeline.detect import Detector
from odds_service.reconcile import Reconciler
from odds_service.serving.reading import LogReader
from odds_service.wire.encode import change_wire, market_wire, markets_wire
from tests.filters.test_filtering import SELECTIONS
from tests.support.observations import NOON
from tests.support.odds_builders import random_observations
from tests.support.stories import Story, random_series

NONE_RELEASED = 10**6


class Log:
    """A log of random observations, whose bytes are all made as soon as they are published.

    Args:
        seed: Equal ones give equal logs of distinct values.
        encoded: See ChangeFeed.
        looks: The number of observations.
    """

    def __init__(self, seed: int, encoded: int, looks: int = 30) -> None:
        self.feed = ChangeFeed("e1", 0, encoded=encoded)
        sources = [SourceState(source="toa", interval_s=1e9)]
        self.cache = OddsCache(self.feed, sources=sources)
        clock = DrivenClock(lambda: NOON)
        detector = Detector(self.cache, self.feed, WriteQueue(10**6), Reconciler(), clock)
        for observation in random_observations(random.Random(seed), looks):
            detector.apply(observation)
            self.read()

    @property
    def commits(self) -> list[Commit]:
        return self.feed.read_after(0, 10**6) or []

    @property
    def changes(self) -> list[Change]:
        return [change for commit in self.commits for change in commit.changes]

    def read(self) -> None:
        """Encode whatever a subscriber or a reader of all odds would."""
        for change in self.changes:
            change_wire(change)
        for entry in self.cache.events.values():
            for odds in entry.bookmakers.values():
                markets_wire(odds)

    def resumed(self, selection: Selection, revision: int) -> bytes:
        """Return the changes that a stream is sent which resumes after a revision."""
        reader = LogReader(self.cache, self.feed)
        sent = b""
        while revision < self.feed.head_revision:
            piece = reader.read(selection, revision)
            sent += b"".join(piece.bodies)
            revision = piece.revision
        return sent


@given(st.integers(0, 2**32), st.integers(1, 40), st.sampled_from(sorted(SELECTIONS)))
def test_a_resumed_stream_is_sent_the_same_bytes(seed: int, encoded: int, name: str) -> None:
    lazy, eager = Log(seed, encoded, 12), Log(seed, NONE_RELEASED, 12)
    head = eager.feed.head_revision
    for revision in range(0, head, 1 + head // 7):
        for selection in (EVERYTHING, SELECTIONS[name]):
            expected = eager.resumed(selection, revision)
            assert lazy.resumed(selection, revision) == expected


def bytes_in(change: Change) -> int:
    """Return the number of bytes that a change and the odds before it hold."""
    holders: list[Change | Market] = [change]
    if isinstance(change, MarketChange) and change.before is not None:
        holders.append(change.before)
    joined = 0
    if isinstance(change, EventChange):
        for odds in change.ended:
            holders += odds.markets.values()
            joined += len(getattr(odds.markets, "encoded", b""))
    return joined + sum(len(getattr(each, "encoded", b"")) for each in holders)


@pytest.mark.parametrize("encoded", [1, 7, 50])
def test_only_the_newest_changes_hold_bytes(encoded: int) -> None:
    log = Log(5, encoded)
    assert any(isinstance(change, EventChange) and change.ended for change in log.changes)
    kept, newest = 0, list(log.commits)
    while kept < encoded:
        kept += len(newest.pop().changes)
    older = [change for commit in newest for change in commit.changes]
    assert len(older) > 50
    assert [bytes_in(change) for change in older] == [0] * len(older)
    log.resumed(EVERYTHING, 0)
    assert sum(map(bytes_in, older)) == 0  # a reader that is far behind leaves none
    for change in log.changes[-kept:]:
        assert change_wire(change) is change_wire(change)


def test_the_bytes_of_cached_odds_stay() -> None:
    log = Log(5, 1)
    assert log.cache.view().count_markets() > 5
    for entry in log.cache.events.values():
        for odds in entry.bookmakers.values():
            assert markets_wire(odds) is markets_wire(odds)
            for market in odds.markets.values():
                assert market_wire(market) is market_wire(market)


class Weak(list[Change]):
    """A list that weak references may follow."""


def test_a_ring_smaller_than_what_keeps_its_bytes_lets_commits_go() -> None:
    feed = ChangeFeed("e1", 0, capacity=5, encoded=1_000)
    gone = []
    for batch in Story(random_series(3, 30)).batches:
        commit = Commit(Weak(batch.changes))
        gone.append(weakref.ref(commit.changes))
        with feed.lock:
            feed.append_locked(commit, NOON)
        feed.advance_durable(feed.head_revision)
        del commit
    held = feed.read_after(feed.oldest_revision - 1, 1_000) or []
    assert len(held) < len(gone) // 2
    assert [changes() is not None for changes in gone].count(True) == len(held)


def test_a_log_that_is_taken_over_goes_on_to_release_bytes() -> None:
    log = Log(5, 10)
    assert any(map(bytes_in, log.changes))
    feed = ChangeFeed("e0", 0, encoded=10)
    with feed.lock:
        feed.adopt_locked(log.feed)
    older, head = log.changes, feed.head_revision
    more = [replace(each, revision=head + n) for n, each in enumerate(older[:10], 1)]
    with feed.lock:
        feed.append_locked(Commit(more), NOON)
    feed.wake()
    assert not any(map(bytes_in, older))
