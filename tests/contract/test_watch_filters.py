"""Filtered streams: events that enter and leave, and the sources that are sent."""

from google.protobuf.duration_pb2 import Duration

from odds_service.filters.filtering import ENTERED_FILTER
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.contract.literal import LiteralWatcher
from tests.contract.test_watch_cuts import eventful, reach
from tests.support.odds_builders import Bookkeeping, Client, connected, serving

NOT_YET = pb.Filter(in_play=False)


async def changes_from_the_beginning(client: Client, head: int) -> list[pb.Change]:
    watcher = LiteralWatcher(filter=NOT_YET, heartbeat=Duration(nanos=500_000_000))
    watcher.acts, watcher.cursor = True, pb.Cursor(epoch="e1")
    with client.stream("WatchChanges", watcher.request()) as stream:
        await reach(stream, watcher, head)
    return watcher.changes


async def test_what_enters_or_leaves_carries_the_capture_that_get_odds_shows() -> None:
    book = eventful(11, 120)
    head = book.feed.head_revision
    async with serving(book) as server:
        with connected(server.address) as client:
            moved = 0
            for change in await changes_from_the_beginning(client, head):
                if change.HasField("after"):
                    assert change.snapshot_id
                if not change.HasField("after") or change.reason not in (
                    ENTERED_FILTER,
                    "left_filter",
                ):
                    continue
                moved += 1
                at = pb.Cursor(epoch="e1", revision=change.revision)
                then = await client.call("GetOdds", pb.GetOddsRequest(as_of_cursor=at))
                (captured,) = (
                    odds.snapshot_id
                    for entry in then.events
                    for odds in entry.bookmakers
                    if entry.event.id == change.event_id and odds.bookmaker == change.bookmaker
                )
                assert change.snapshot_id == captured
            assert moved > 4


async def test_memory_and_database_tell_the_same_of_what_enters_and_leaves() -> None:
    told = []
    for capacity in (100_000, 8):
        book = eventful(11, 120)
        short = Bookkeeping(keeps_past=True, capacity=capacity)
        for batch in book.batches:
            short.feed.append_locked(batch, batch.changes[-1].detected_at)
            short.feed.advance_durable(short.feed.head_revision)
        short.log, short.noted, short.replaced = book.log, book.noted, book.replaced
        short.cache.swap(dict(book.cache.events), {}, None, book.now)
        async with serving(short) as server:
            with connected(server.address) as client:
                told.append(await changes_from_the_beginning(client, short.feed.head_revision))
        assert (short.reads > 0) is (capacity == 8)
    assert told[0] == told[1]


async def test_image_begin_tells_the_sources_that_the_filter_selects() -> None:
    book = Bookkeeping(sources=("toa", "other"))
    async with serving(book) as server:
        with connected(server.address) as client:
            for chosen, expected in (
                (pb.Filter(), {"toa", "other"}),
                (pb.Filter(sources=["other"]), {"other"}),
            ):
                watcher = LiteralWatcher(filter=chosen, image=pb.IMAGE_MODE_ONLY)
                with client.stream("WatchChanges", watcher.request()) as stream:
                    await reach(stream, watcher, 0)
                assert {state.source for state in watcher.opened.sources} == expected
                assert set(watcher.sources) == expected
