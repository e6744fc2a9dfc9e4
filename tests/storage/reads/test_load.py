"""Source events that departed, in the databases: detected, written, and read by the next start."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from odds_service.cache import OddsCache
from odds_service.clock import DrivenClock
from odds_service.feed import ChangeFeed
from odds_service.model.change import Change, SourceChange
from odds_service.model.match import SourceRef
from odds_service.model.observation import Completeness, Observation, ObservedEvent, Scope
from odds_service.model.source import SourceState
from odds_service.pipeline.channels import WriteQueue
from odds_service.pipeline.detect import Detector
from odds_service.reconcile import Reconciler
from odds_service.store import Store, Stored, WriteGroup
from tests.reconcile import world
from tests.reconcile.world import SOURCES
from tests.support.databases import Place

FIRST = datetime.now(UTC).replace(microsecond=0)  # a start reads what is of these days


def game(
    event_id: str,
    home: str = "Yankees",
    away: str = "Red Sox",
    *,
    minutes: float = 0,
    ids: Mapping[str, str] = {},
) -> ObservedEvent:
    shown = world.game(event_id, home, away, ids=ids)
    return replace(shown, start_time=FIRST + timedelta(minutes=minutes))


class Run:
    """A run of the service that begins from the stored rows and reads SOURCES."""

    def __init__(self, store: Store, stored: Stored) -> None:
        self.store = store
        self.at = FIRST
        self.feed = ChangeFeed(stored.epoch, stored.revision, detected_at=stored.last_detected_at)
        states = [SourceState(source=source, interval_s=1e9) for source in SOURCES]
        self.cache = OddsCache(self.feed, events=stored.events, sources=states)
        self.detector = Detector(
            self.cache,
            self.feed,
            WriteQueue(10**6),
            Reconciler(stored.events, stored.ghosts),
            DrivenClock(lambda: self.at),
        )

    async def see(
        self, source: str, *events: ObservedEvent, minute: float, times: int = 1
    ) -> list[Change]:
        """Show everything a source has, a number of times, and store the changes.

        Returns the changes of events and markets.
        """
        changes: list[Change] = []
        for number in range(times):
            self.at = FIRST + timedelta(minutes=minute, seconds=number)
            before = self.feed.head_revision
            observation = Observation(
                source=source,
                scope=Scope(listing="all"),
                completeness=Completeness.COMPLETE,
                started_at=self.at,
                observed_at=self.at,
                sequence=round(self.at.timestamp()),
                events=events,
            )
            found = self.detector.apply(observation).changes
            changes += [change for change in found if not isinstance(change, SourceChange)]
            batches = self.feed.read_after(before, 10**6) or []
            if batches:
                assert await self.store.write(WriteGroup(batches)) == 0
        return changes

    def groups(self) -> set[frozenset[SourceRef]]:
        return {
            frozenset((carried.source, carried.source_event_id) for carried in e.sources.values())
            for e in self.cache.events.values()
        }


def together(*names: str) -> frozenset[SourceRef]:
    return frozenset((name[0], name) for name in names)


async def test_the_next_game_of_a_twin_bill_after_a_restart(place: Place) -> None:
    second = game("a2", minutes=30)
    async with place.begun() as (store, stored):
        run = Run(store, stored)
        for source in "ab":
            await run.see(source, game(f"{source}1"), minute=-60)
        assert run.groups() == {together("a1", "b1")}
        await run.see("a", minute=1, times=2)
        assert run.groups() == {together("b1")}
    async with place.begun() as (store, stored):
        ((event_id, ghost),) = stored.ghosts
        assert (event_id, ghost.source, ghost.source_event_id) == ("a:a1", "a", "a1")
        assert ghost.departed_at == FIRST + timedelta(minutes=1, seconds=1)
        assert [*stored.events[0].sources] == ["b"]
        run = Run(store, stored)
        await run.see("a", second, minute=5)
        await run.see("b", game("b1"), minute=6)
        assert run.groups() == {together("b1"), together("a2")}
        await run.see("b", minute=7, times=2)
    async with place.begun() as (store, stored):  # the whole event has ended by now
        assert {ghost.source_event_id for _, ghost in stored.ghosts} == {"a1", "b1"}
        run = Run(store, stored)
        await run.see("b", game("b1"), minute=8)
        await run.see("a", second, minute=9)
        assert run.groups() == {together("b1"), together("a2")}
        assert "a:a1" in run.cache.events  # with the id that it had
    async with place.begun() as (_, stored):
        assert [ghost.source_event_id for _, ghost in stored.ghosts] == ["a1"]


@pytest.mark.parametrize("event_id", ["a1", "a9"])
async def test_what_comes_back_or_takes_the_place_is_no_ghost(place: Place, event_id: str) -> None:
    async with place.begun() as (store, stored):
        run = Run(store, stored)
        for source in "ab":
            await run.see(source, game(f"{source}1"), minute=-60)
        await run.see("a", minute=1, times=2)
    async with place.begun() as (store, stored):
        run = Run(store, stored)
        await run.see("a", game(event_id), minute=5)
        assert run.groups() == {together(event_id, "b1")}
    async with place.begun() as (store, stored):
        assert stored.ghosts == []
        assert stored.events[0].sources["a"].departed_at is None
        run = Run(store, stored)
        assert await run.see("b", game("b1"), minute=6) == []
        assert await run.see("a", game(event_id), minute=7) == []
        assert (await store.verify()).faults == []


async def test_ghosts_follow_a_merger(place: Place) -> None:
    ids = {"sr": "7"}
    async with place.begun() as (store, stored):
        run = Run(store, stored)
        for source in "ab":
            await run.see(source, game(f"{source}1"), minute=-60)
        await run.see("c", game("c1", "Mets", "Cubs", ids=ids), minute=-50)
        await run.see("a", minute=1, times=2)
        await run.see("b", game("b1", ids=ids), minute=5)
        assert run.groups() == {together("b1", "c1")}
        assert [*run.cache.events] == ["sr:7"]
    async with place.begun() as (_, stored):
        assert [(id_, ghost.source_event_id) for id_, ghost in stored.ghosts] == [("sr:7", "a1")]
        assert stored.events[0].sources.keys() == {"b", "c"}


async def test_a_start_reads_no_ghosts_of_games_that_are_long_over(place: Place) -> None:
    days = 24 * 60
    async with place.begun() as (store, stored):
        run = Run(store, stored)
        await run.see("a", game("a1", minutes=-3 * days), minute=-2.9 * days)
        await run.see("b", game("b1", minutes=-1), minute=-2.9 * days)
        await run.see("a", minute=-2.8 * days, times=2)
        await run.see("b", minute=1, times=2)
    async with place.begun() as (_, stored):
        assert [ghost.source_event_id for _, ghost in stored.ghosts] == ["b1"]
