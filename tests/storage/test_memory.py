"""The memory store's differences from a database: it neither persists nor is shared."""

import os
from functools import partial
from pathlib import Path

import pytest
import trio
from msgspec.structs import replace

from odds_service.bridge import open_bridge
from odds_service.config import load_settings
from odds_service.demo.bookmaker import SimulatedBookmaker, run_bookmaker
from odds_service.demo.settings import SimulationSettings
from odds_service.errors import StorageError, StorageUnavailable
from odds_service.model.change import Change, Commit
from odds_service.model.fold import OddsState
from odds_service.storage import open_store
from odds_service.store import WriteGroup
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.support.databases import MemoryPlace
from tests.support.observations import cached
from tests.support.serving import call, service, settings_for, wait_until
from tests.support.stories import SERIES, Story, random_series

URL = "memory:"


async def test_each_opening_is_empty() -> None:
    story = Story(SERIES)
    async with open_bridge():
        for _ in range(2):
            async with open_store(URL) as store:
                stored = await store.begin()
                assert (stored.revision, stored.events) == (0, [])
                await store.write(WriteGroup(story.batches))
                assert await store.history(0, 100, 100) == story.log


async def test_no_tool_can_open_it() -> None:
    async with open_bridge():
        with pytest.raises(StorageError, match="inside the service"):
            async with open_store(URL, owner=False):
                pytest.fail("it opened")


async def test_a_service_runs_on_it_and_a_restart_forgets_all(tmp_path: Path) -> None:
    simulation = SimulationSettings(sports=1, events=2, bookmakers=1, markets_per_bookmaker=2)
    offer = SimulatedBookmaker(simulation)
    async with trio.open_nursery() as nursery:
        port = await nursery.start(partial(run_bookmaker, simulation))
        settings = settings_for(tmp_path, port, offer.sport_keys, interval_s=0.1)
        url = type(settings.database.url)(URL)
        database = settings.database.model_copy(update={"url": url})
        settings = settings.model_copy(update={"database": database})
        async with service(settings) as running:
            feed = running.parts.feed
            await wait_until(lambda: 0 < feed.head_revision == feed.durable_revision, "a change")
            revision = feed.head_revision
            pages = await call(
                running.address,
                lambda stub: list(stub.GetHistory(pb.GetHistoryRequest(), timeout=30)),
            )
            assert sum(len(page.changes) for page in pages) >= revision
        nursery.cancel_scope.cancel()
    async with service(settings.model_copy(update={"sources": []})) as running:
        assert running.parts.feed.head_revision == 0
    assert os.listdir(tmp_path) == []


async def test_what_was_spilled_and_fits_no_more_becomes_dead_letters() -> None:
    place, story = MemoryPlace(), Story(SERIES + random_series(8, 30))
    middle = len(story.batches) // 2
    async with place.begun() as (store, _):
        await store.write(WriteGroup(story.batches[:middle]))
        store.spill(story.batches[middle:])
    spilled, place.memory.spilled = place.memory.spilled, []
    async with place.begun():
        pass  # another epoch
    place.memory.spilled = spilled
    async with place.begun() as (store, stored):
        lost: list[Change] = [c for batch in story.batches[middle:] for c in batch.changes]
        assert (stored.replayed, stored.misfits) == (0, len(lost))
        letters = await store.dead_letters()
        assert [letter.change for letter in letters] == lost
        why = await store.retry_dead_letter(letters[0].letter_id)
        assert "belongs to another change" in why


async def test_a_change_without_a_time_for_the_log_is_an_outage_and_writes_nothing() -> None:
    place, story = MemoryPlace(), Story(SERIES)
    change = story.batches[0].changes[0]
    naive = replace(change, detected_at=change.detected_at.replace(tzinfo=None))
    async with place.begun() as (store, _):
        with pytest.raises(StorageUnavailable, match="naive time"):
            await store.write(WriteGroup([Commit([naive])]))
        assert await store.history(0, 100, 100) == []
        await store.write(WriteGroup(story.batches))


async def test_verify_finds_odds_that_the_history_does_not_give() -> None:
    place, story = MemoryPlace(), Story(SERIES)
    async with place.begun() as (store, _):
        await store.write(WriteGroup(story.batches))
        assert (await store.verify()).faulty == 0
        assert cached(place.memory.now.events) == cached(story.events)
        place.memory.now = OddsState()
        assert (await store.verify()).faulty == len(story.events)


def test_settings_take_the_memory_for_a_database() -> None:
    settings = load_settings(database={"url": URL})
    assert settings.database.url.get_secret_value() == URL
