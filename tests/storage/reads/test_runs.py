"""Runs come back newest first, page by page, the same from memory and both databases."""

import random
from datetime import timedelta

from odds_service.model.scrape_run import ScrapeRun
from odds_service.store import RunPlace, RunsFilter, Store, WriteGroup
from tests.support.databases import DatabasePlace, Place
from tests.support.observations import NOON
from tests.support.places import on_databases

ALL = RunsFilter()


def run_at(second: int, source: str = "toa", listing: str = "soccer_epl") -> ScrapeRun:
    at = NOON + timedelta(seconds=second)
    return ScrapeRun(
        source=source, listing=listing, started_at=at, finished_at=at + timedelta(seconds=0.25),
        outcome="partial", reason="cut – short", events=1, markets=2, changes=3,
        problems={"bad_price": 4, "a name": 2**31 - 1},
    )  # fmt: skip


def key(run: ScrapeRun) -> RunPlace:
    return run.started_at, run.source, run.listing


async def pages(store: Store, only: RunsFilter, size: int) -> list[list[ScrapeRun]]:
    found, before = [], None
    while True:
        page = await store.runs(only, before, size)
        found.append(page.runs)
        before = page.next
        if before is None:
            return found


async def test_pages_join_to_all_selected_runs_newest_first(place: Place) -> None:
    rng = random.Random(5)
    # Many share their start, and some their start and source.
    runs = {
        key(run): run
        for run in (
            run_at(rng.randrange(12), rng.choice("abc"), rng.choice(["one", "two"]))
            for _ in range(60)
        )
    }
    stored = list(runs.values())

    def selected(only: RunsFilter) -> list[ScrapeRun]:
        chosen = [
            run
            for run in stored
            if (not only.sources or run.source in only.sources)
            and (only.start is None or only.start <= run.started_at)
            and (only.end is None or run.started_at < only.end)
        ]
        return sorted(chosen, key=key, reverse=True)

    some = RunsFilter(
        sources=frozenset({"a", "c", "none"}),
        start=NOON + timedelta(seconds=2),
        end=NOON + timedelta(seconds=9),
    )
    async with place.begun() as (store, _):
        await store.write(WriteGroup((), (), stored))
        for only in (ALL, some, RunsFilter(sources=frozenset({"none"}))):
            for size in (1, 7, len(selected(only)) or 1, 500):
                found = await pages(store, only, size)
                assert [run for page in found for run in page] == selected(only)
                assert all(len(page) == size for page in found[:-1])
                assert found[-1] or not selected(only)  # the last page is not an empty one


async def test_a_run_stored_between_two_pages_repeats_none(place: Place) -> None:
    stored = [run_at(second) for second in range(6)]
    async with place.begun() as (store, _):
        await store.write(WriteGroup((), (), stored))
        first = await store.runs(ALL, None, 3)
        await store.write(WriteGroup((), (), [run_at(9), run_at(1, "late")]))
        rest = await store.runs(ALL, first.next, 10)
    assert first.runs == stored[:2:-1]
    assert rest.runs == [stored[2], stored[1], run_at(1, "late"), stored[0]]
    assert rest.next is None


@on_databases
async def test_a_record_that_cannot_be_read_is_left_out_alone(place: DatabasePlace) -> None:
    stored = [run_at(second) for second in range(5)]
    async with place.begun() as (store, _):
        await store.write(WriteGroup((), (), stored))
    place.sql("UPDATE scrape_runs SET problems = '{' WHERE source = 'toa'")
    async with place.begun() as (store, _):
        await store.write(WriteGroup((), (), [run_at(2, "fine")]))
        assert await pages(store, ALL, 2) == [[], [run_at(2, "fine")], []]
    place.sql("UPDATE scrape_runs SET problems = '{}', markets = -1")
    async with place.begun() as (store, _):
        assert await pages(store, ALL, 100) == [[]]
