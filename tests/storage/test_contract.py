"""The promises of store.Store, in memory and on both databases."""

from datetime import datetime, timedelta

import pytest
import trio
from msgspec.structs import replace

from odds_service.bridge import open_bridge
from odds_service.clock import DrivenClock
from odds_service.errors import StorageError, Superseded
from odds_service.model.change import Change, Commit, EventChange, MarketChange, SourceChange
from odds_service.model.event import EventStatus
from odds_service.model.market import MarketKey
from odds_service.model.observation import Observation
from odds_service.model.scrape_run import ScrapeRun
from odds_service.model.source import SourceStatus
from odds_service.pipeline.detect import Detector
from odds_service.reconcile import Reconciler
from odds_service.store import HistoryFilter, Store, WriteGroup
from tests.pipeline.test_detect import Stage
from tests.support.databases import DatabasePlace, MemoryPlace, Place, PostgresPlace, SqlitePlace
from tests.support.observations import (
    NOON,
    Prices,
    cached,
    fold,
    observe,
    observed_event,
    offered,
)
from tests.support.places import on_databases
from tests.support.postgres import PostgresServer
from tests.support.stories import H2H, SERIES, Story, groups, random_series

ALL = 10**9


async def write_all(store: Store, story: Story, size: int = 100) -> None:
    for group in groups(story.batches, size):
        assert await store.write(WriteGroup(group)) == 0


@pytest.mark.parametrize("size", [1, 100])
async def test_the_log_and_the_live_odds_come_back(place: Place, size: int) -> None:
    story = Story(SERIES + random_series(1, 60))
    async with place.begun() as (store, _):
        await write_all(store, story, size)
        assert await store.history(0, ALL, ALL) == story.log
        assert await store.history(3, 6, 2) == story.log[3:5]
        assert await store.oldest_revision() == 1
    async with place.begun() as (store, stored):
        assert (await store.verify()).faults == []
    live = {entry.event.id: entry for entry in stored.events}
    assert cached(live) == cached(story.events) == fold(story.log)
    assert live.keys() == story.events.keys()
    assert stored.revision == len(story.log)
    assert stored.last_detected_at == story.log[-1].detected_at
    for event_id, entry in live.items():
        expected = story.events[event_id]
        assert entry.event == expected.event
        assert entry.sources["toa"].listing == "soccer_epl"
        for key, odds in entry.bookmakers.items():
            assert odds.snapshot_id == expected.bookmakers[key].snapshot_id
            assert odds.markets == expected.bookmakers[key].markets


async def test_both_databases_keep_the_same_log(
    postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    story = Story(SERIES + random_series(2, 80))
    kept: list[list[Change]] = []
    rows: list[list[tuple[str, ...]]] = []
    for place in (
        SqlitePlace(tmp_path_factory.mktemp("one")),
        PostgresPlace(tmp_path_factory.mktemp("other"), postgres),
    ):
        async with place.begun() as (store, _):
            await write_all(store, story, 7)
            kept.append(await store.history(0, ALL, ALL))
        rows.append(
            place.sql("SELECT revision, kind, reason, event_id, bookmaker, market, line, status, "
                      "snapshot_id, before, after, other_line FROM odds_history ORDER BY revision")
        )  # fmt: skip
        rows[-1] += place.sql("SELECT event_id, bookmaker, market, line, status, odds, revision "
                              "FROM odds_current ORDER BY revision")  # fmt: skip
    assert kept[0] == kept[1] == story.log
    assert rows[0] == rows[1]


def rows_beside_the_log(place: Place) -> int:
    """Count the snapshots, and the rows of how sources carry events."""
    if isinstance(place, MemoryPlace):
        return len(place.memory.snapshots) + len(place.memory.carried)
    assert isinstance(place, DatabasePlace)
    counted = "SELECT (SELECT count(*) FROM snapshots) + (SELECT count(*) FROM event_sources)"
    return int(place.value(counted))


async def test_a_restart_with_an_identical_scrape_is_no_change_and_no_row(place: Place) -> None:
    before = Stage()
    for minute, offer in enumerate(SERIES[:2]):
        await before.detector.observe(observe(offered(offer), minute))
    batches = before.feed.read_after(0, 100) or []
    log = [change for batch in batches for change in batch.changes]
    async with place.begun() as (store, _):
        await store.write(WriteGroup(batches))
    rows = rows_beside_the_log(place)
    async with place.begun() as (store, stored):
        stage = Stage(announced=SourceStatus.UP)
        stage.cache.swap({entry.event.id: entry for entry in stored.events}, {}, None, NOON)
        detector = Detector(
            stage.cache, stage.feed, stage.queue, Reconciler(stored.events, stored.ghosts),
            DrivenClock(lambda: NOON + timedelta(hours=1)),
        )  # fmt: skip
        await detector.observe(observe(offered(SERIES[1]), 60))
        assert stage.published() == []
        confirmed = stage.queue.take_confirmations(stored.revision)
        await store.write(WriteGroup((), confirmed))
        assert await store.history(0, ALL, ALL) == log
    assert rows_beside_the_log(place) == rows
    async with place.begun() as (_, stored):
        shown = {key: o for entry in stored.events for key, o in entry.bookmakers.items()}
    assert len(shown) == 2
    assert {odds.confirmed_at for odds in shown.values()} == {NOON + timedelta(hours=1)}
    assert {odds.observed_at for odds in shown.values()} == {NOON + timedelta(hours=1)}


async def test_what_a_source_told_and_the_draws_that_were_lost_outlive_a_restart(
    place: Place,
) -> None:
    """A two-way price is left out after a restart too, and nothing is told anew."""
    three: Prices = {"home": 2.0, "draw": 3.0, "away": 4.0}
    two: Prices = {"home": 1.6, "away": 2.4}

    def look(minute: float, prices: Prices | None) -> Observation:
        shown = observed_event("e", {} if prices is None else {"b": {H2H: prices}})
        shown = replace(shown, sport="icehockey", competition="shl", status=EventStatus.IN_PLAY)
        outright = observed_event("o", {"b": {H2H: two}}, home="", away="")
        return observe([shown, replace(outright, sport="golf", title="Masters Winner")], minute)

    before = Stage()
    for minute, prices in enumerate((three, None, two)):
        await before.detector.observe(look(minute, prices))
    async with place.begun() as (store, _):
        await store.write(WriteGroup(before.feed.read_after(0, 100) or []))
    async with place.begun() as (_, stored):
        events = {entry.event.source_ids["toa"]: entry for entry in stored.events}
        assert events["e"].event.draws_lost == (("toa", "b", "h2h"),)
        assert events["e"].event.told == {"toa": EventStatus.IN_PLAY}
        assert events["e"].sources["toa"].told is EventStatus.IN_PLAY
        assert events["o"].event.name == "Masters Winner"
        stage = Stage(announced=SourceStatus.UP)
        stage.cache.swap({entry.event.id: entry for entry in stored.events}, {}, None, NOON)
        detector = Detector(
            stage.cache, stage.feed, stage.queue, Reconciler(stored.events, stored.ghosts),
            DrivenClock(lambda: NOON + timedelta(hours=1)),
        )  # fmt: skip
        await detector.observe(look(60, two))
        assert stage.published() == []


async def test_a_repeat_after_a_lost_reply_is_a_no_op(place: Place) -> None:
    story = Story(SERIES)
    async with place.begun() as (store, _):
        for part in (story.batches[:3], story.batches[:3], story.batches[3:], story.batches[3:]):
            assert await store.write(WriteGroup(part)) == 0
        # A group that overlaps what is stored is cut, in the middle of a batch too.
        assert await store.write(WriteGroup(story.batches)) == 0
        assert await store.history(0, ALL, ALL) == story.log
        assert (await store.verify()).faulty == 0


async def test_a_batch_that_is_half_stored_is_stored_to_its_end(place: Place) -> None:
    story = Story(SERIES)
    whole = story.batches[0]
    async with place.begun() as (store, _):
        await store.write(WriteGroup([Commit(whole.changes[:2], whole.snapshots)]))
        await write_all(store, story)
        assert await store.history(0, ALL, ALL) == story.log
        assert (await store.verify()).faulty == 0


async def test_a_hole_in_the_log_is_a_bug_and_writes_nothing(place: Place) -> None:
    story = Story(SERIES)
    async with place.begun() as (store, _):
        with pytest.raises(AssertionError, match="follows 0"):
            await store.write(WriteGroup(story.batches[1:]))
        assert await store.history(0, ALL, ALL) == []
        await write_all(store, story)


async def test_epochs_follow_each_other_and_a_superseded_owner_is_told(place: Place) -> None:
    story = Story(SERIES)
    async with place.begun() as (store, first):
        await write_all(store, story)
        place.take_over()
        with pytest.raises(Superseded):
            await store.write(WriteGroup(story.batches))
    async with place.begun() as (_, second):
        pass
    async with place.begun() as (_, third):
        pass
    head = len(story.log)
    assert first.epochs == [(first.epoch, 1)]
    assert second.epochs == [(first.epoch, 1), (second.epoch, head + 1)]
    assert third.epochs == [*second.epochs, (third.epoch, head + 1)]
    assert first.database_id == second.database_id


async def test_a_second_owner_is_refused_and_a_tool_is_not(place: Place) -> None:
    async with place.begun() as (store, _):
        with trio.fail_after(30):
            with pytest.raises(StorageError, match="in use by another odds-service"):
                async with place.opened():
                    pytest.fail("it was let in")
        async with place.opened(owner=False) as tool:
            assert (await tool.verify()).faulty == 0
        await write_all(store, Story(SERIES))
    async with place.begun() as (_, stored):
        assert stored.revision


@on_databases
async def test_a_removed_market_stays_as_a_tombstone_that_nothing_older_revives(
    place: DatabasePlace,
) -> None:
    story = Story(SERIES[:3])
    async with place.begun() as (store, _):
        await write_all(store, story)
    removed = [c for c in story.log if isinstance(c, MarketChange) and not c.after.outcomes]
    assert removed
    tombstones = place.sql("SELECT market, line, bookmaker, revision FROM odds_current "
                           "WHERE status = 3 ORDER BY revision")  # fmt: skip
    assert tombstones == [
        (c.after.key.market, c.after.key.line, c.bookmaker, str(c.revision)) for c in removed
    ]


async def test_confirmations_are_one_update_a_snapshot_and_runs_are_kept(place: Place) -> None:
    story = Story(SERIES[:2])
    run = ScrapeRun(source="toa", listing="soccer_epl", started_at=NOON,
                    finished_at=NOON + timedelta(seconds=1), outcome="complete", reason="",
                    events=1, markets=2, changes=3, problems={"bad_price": 1})  # fmt: skip
    stage = Stage()
    later = NOON + timedelta(minutes=9)
    for minute in range(3, 10):
        for odds in story.events["e"].bookmakers.values():
            seen = NOON + timedelta(minutes=minute)
            stage.queue.confirm(replace(odds, observed_at=seen, confirmed_at=seen))
    confirmed = stage.queue.take_confirmations(len(story.log))
    assert len(confirmed) == 2  # one a bookmaker and event, however often it was seen
    async with place.begun() as (store, _):
        await store.write(WriteGroup(story.batches, confirmed, [run, run]))
        await store.write(WriteGroup((), (), [run]))
    async with place.begun() as (_, stored):
        (entry,) = [entry for entry in stored.events if entry.event.id == "e"]
    assert {odds.confirmed_at for odds in entry.bookmakers.values()} == {later}
    if isinstance(place, MemoryPlace):
        assert list(place.memory.runs.values()) == [run]
    if isinstance(place, DatabasePlace):
        assert place.sql("SELECT listing, changes, problems FROM scrape_runs") == [
            ("soccer_epl", "3", '{"bad_price":1}')
        ]


@pytest.mark.logs_errors
@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"observed_at": datetime(2026, 8, 4)}, "naive time"),  # noqa: DTZ001  # what is refused
        ({"bookmaker": "\ud800"}, "surrogates not allowed"),
    ],
)
async def test_what_no_database_takes_is_refused_and_nothing_else_with_it(
    place: Place, wrong: dict[str, object], says: str
) -> None:
    story = Story(SERIES)
    spoiled = [c for c in story.log if isinstance(c, MarketChange)][1]
    story.batches[0] = Commit(
        [replace(c, **wrong) if c is spoiled else c for c in story.batches[0].changes],
        story.batches[0].snapshots,
        story.batches[0].event_sources,
    )
    async with place.begun() as (store, _):
        assert await store.write(WriteGroup(story.batches)) == 1
        page = await store.history_page(0, ALL, ALL)
        assert page.unstored == [spoiled.revision]
        assert page.changes == [c for c in story.log if c is not spoiled]
        (letter,) = await store.dead_letters()
        assert letter.revision == spoiled.revision
        assert says in letter.reason


async def test_history_pages_name_what_they_cover(place: Place) -> None:
    story = Story(SERIES + random_series(3, 40))
    async with place.begun() as (store, _):
        await write_all(store, story)
        for only in (
            HistoryFilter(),
            HistoryFilter(event_ids=frozenset({"e1"})),
            HistoryFilter(bookmakers=frozenset({"b1"}), markets=frozenset({"h2h"})),
            HistoryFilter(sources=frozenset({"nobody"})),
            HistoryFilter(of_markets=False),
        ):
            expected = [c for c in story.log if selects(only, c)]
            found: list[Change] = []
            after = 0
            while after < len(story.log):
                page = await store.history_page(after, len(story.log), 5, only)
                assert page.upto > after
                found += page.changes
                after = page.upto
            assert found == expected


def selects(only: HistoryFilter, change: Change) -> bool:
    """Return whether the filter, as documented, selects a change."""
    if isinstance(change, SourceChange):
        return not only.sources or change.source in only.sources
    if only.event_ids and change.event_id not in only.event_ids:
        return False
    if isinstance(change, EventChange):
        return True
    return (
        only.of_markets
        and (not only.sources or change.source in only.sources)
        and (not only.bookmakers or change.bookmaker in only.bookmakers)
        and (not only.markets or change.after.key.market in only.markets)
    )


async def test_a_write_that_is_cancelled_is_whole_or_not_there(place: Place) -> None:
    story = Story(SERIES + random_series(4, 30))
    async with place.begun() as (store, _):
        kept: list[Change] = []
        for tries in range(24):
            with trio.move_on_after(0.0005 * 1.35**tries):  # up to half a second
                await store.write(WriteGroup(story.batches))
            kept = await store.history(0, ALL, ALL)
            assert kept in ([], story.log)
            if kept:
                break
        await store.write(WriteGroup(story.batches))
        assert await store.history(0, ALL, ALL) == story.log
        assert (await store.verify()).faulty == 0


async def test_two_sources_of_one_bookmaker_are_two(place: Place) -> None:
    story = Story()
    story.look({"e": {"b": {H2H: {"home": 2.0}}}}, source="one")
    story.look({"e": {"b": {H2H: {"home": 2.5}}}}, source="two")
    async with place.begun() as (store, _):
        await write_all(store, story)
    async with place.begun() as (_, stored):
        (entry,) = stored.events
    assert cached({"e": entry}) == cached(story.events)
    assert entry.bookmakers.keys() == {("one", "b"), ("two", "b")}
    assert entry.event.source_ids == {"one": "e", "two": "e"}
    assert MarketKey("h2h") in entry.bookmakers["two", "b"].markets


async def test_nothing_is_left_open(place: Place) -> None:
    for _ in range(3):
        async with open_bridge(), place.opened() as store:
            await store.begin()
    if isinstance(place, PostgresPlace):
        query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'odds-service'"
        assert place.value(f"{query} AND datname = '{place.name}'") == "0"


async def test_its_size_is_that_of_its_files_or_tables(place: Place) -> None:
    story = Story(SERIES)
    async with place.begun() as (store, _):
        before = await store.size()
        await write_all(store, story)
        size = await store.size()
        if not isinstance(place, DatabasePlace):
            assert size is None
            return
        assert before is not None
        assert size is not None
        assert size.parts["spill"] == 0
        assert sum(size.parts.values()) > sum(before.parts.values())
        if isinstance(place, SqlitePlace):
            assert size.parts == {
                "database": place.path.stat().st_size,
                "wal": place.path.with_name("odds.db-wal").stat().st_size,
                "spill": 0,
            }
            assert size.folders == {"database": place.folder, "spill": place.folder}
        else:
            whole = int(place.value("SELECT pg_database_size(current_database())"))
            assert sum(size.parts.values()) == pytest.approx(whole, rel=0.05)
            assert size.parts["odds_history"] > before.parts["odds_history"]  # its partitions
            assert {"odds_current", "snapshots", "events", "other"} <= size.parts.keys()
            assert size.folders == {"spill": place.folder}  # the server's disk is out of sight
        store.spill(story.batches)
        spilled = place.spill()
        assert spilled is not None
        after = await store.size()
        assert after is not None
        assert after.parts["spill"] == spilled.stat().st_size > 0
