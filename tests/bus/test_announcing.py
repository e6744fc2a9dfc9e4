"""The outbox learns what a swap moves: commits, and all that no commit carries."""

import random
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from odds_service.bus.announcing import AnnouncedCache, Moved
from odds_service.clock import DrivenClock
from odds_service.feed import ChangeFeed
from odds_service.model.change import Commit
from odds_service.model.fold import OddsState, forwards
from odds_service.model.market import MarketKey
from odds_service.model.observation import Completeness, Observation
from odds_service.model.snapshot import BookmakerOdds, EventOdds, Snapshot
from odds_service.model.source import SourceState, SourceStatus
from odds_service.pipeline.channels import WriteQueue
from odds_service.pipeline.detect import Detector
from odds_service.reconcile import Reconciler
from tests.support.examples import examples
from tests.support.observations import NOON, observe, offered
from tests.support.odds_builders import random_observations


class Reader:
    """Another node: it folds what the outbox is told, in order."""

    def __init__(self) -> None:
        self.state = OddsState()
        self.told: list[Commit | Moved] = []

    def put(self, commit: Commit) -> None:
        self.told.append(commit)
        self.state = forwards(self.state, commit)

    def refresh(self, moved: Moved) -> None:
        self.told.append(moved)
        events, sources = dict(self.state.events), dict(self.state.sources)
        if isinstance(moved, Snapshot):
            entry = events[moved.event_id]
            key = moved.source, moved.bookmaker
            odds = entry.bookmakers[key]
            assert odds.snapshot_id == moved.snapshot_id
            seen = replace(
                odds,
                observed_at=moved.observed_at,
                confirmed_at=moved.confirmed_at,
                source_updated_at=moved.source_updated_at,
                lagging=moved.lagging,
            )
            events[moved.event_id] = replace(entry, bookmakers={**entry.bookmakers, key: seen})
        elif isinstance(moved, tuple):
            event_id, carried = moved
            entry = events[event_id]
            fresh = {**entry.sources, carried.source: carried}
            events[event_id] = replace(entry, sources=fresh)
        elif isinstance(moved, SourceState):
            sources[moved.source] = moved
        else:
            del sources[moved]
        self.state = OddsState(events, sources)


class Owner:
    """A detector whose cache tells a reader."""

    def __init__(self) -> None:
        self.now, self.reader = NOON, Reader()
        self.feed = ChangeFeed("e", 0)
        state = SourceState(source="toa", interval_s=60.0, announced=SourceStatus.UP)
        self.cache = AnnouncedCache(self.feed, self.reader, sources=[state])
        clock = DrivenClock(lambda: self.now)
        self.detector = Detector(self.cache, self.feed, WriteQueue(10**9), Reconciler(), clock)

    def see(self, observation: Observation) -> None:
        self.now = observation.observed_at
        self.detector.apply(observation)

    def agrees(self) -> None:
        """Assert that the reader shows what the owner's cache shows."""
        state = self.reader.state
        assert dict(shown(state.events)) == dict(shown(self.cache.events))
        assert state.sources == self.cache.sources


def shown(events: Any) -> Iterator[tuple[str, EventOdds]]:
    """Yield events without what only their own process knows."""
    for event_id, entry in events.items():
        sources = {
            name: replace(carried, applied=None, seen_boot_s=None, tier="")
            for name, carried in entry.sources.items()
        }
        bookmakers = {key: timeless(odds) for key, odds in entry.bookmakers.items()}
        yield event_id, EventOdds(entry.event, sources, bookmakers)


def timeless(odds: BookmakerOdds) -> BookmakerOdds:
    lagging = {name: replace(seen, boot_s=0.0) for name, seen in odds.lagging.items()}
    return replace(odds, confirmed_boot_s=0.0, doubted=False, lagging=lagging)


@settings(max_examples=examples(60), deadline=None)
@given(st.integers(0, 10**6), st.data())
def test_a_reader_that_folds_what_is_told_shows_the_same(seed: int, data: st.DataObject) -> None:
    owner, rng = Owner(), random.Random(seed)
    for observation in random_observations(rng, 12):
        if data.draw(st.booleans()):
            observation = replace(observation, completeness=Completeness.PARTIAL)
        owner.see(observation)
        owner.agrees()


def test_a_look_without_changes_moves_only_times() -> None:
    owner = Owner()
    offer = offered({"e1": {"b": {MarketKey("h2h"): {"home": 2.0}}}})
    owner.see(observe(offer, 0))
    del owner.reader.told[:]
    owner.see(observe(offer, 1))
    kinds = [type(each) for each in owner.reader.told]
    assert kinds == [Snapshot, SourceState]
    owner.agrees()


def test_a_source_that_leaves_is_dropped_after_its_last_change() -> None:
    owner = Owner()
    owner.see(observe(offered({}), 0))
    owner.now += timedelta(hours=1)
    owner.detector.judge_sources()
    owner.detector.drop_source("toa")
    assert owner.reader.told[-1] == "toa"
    assert not owner.reader.state.sources
    owner.agrees()


@pytest.mark.parametrize("minutes", [1, 3])
def test_an_absence_reaches_the_reader(minutes: int) -> None:
    """An event that an answer lacks keeps its odds for a while, with an older confirmation."""
    owner = Owner()
    for observation in list(random_observations(random.Random(5), minutes)):
        owner.see(observation)
    del owner.reader.told[:]
    owner.see(observe(offered({}), minutes))
    owner.agrees()
