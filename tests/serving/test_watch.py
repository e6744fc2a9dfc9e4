"""The promises of WatchChanges, as seen by a real client of a real server."""

import itertools
import random
from contextlib import ExitStack

import grpc
import pytest
import trio
import trio.lowlevel
from google.protobuf.duration_pb2 import Duration

from odds_service.client import OddsMap
from odds_service.config import ServerSettings
from odds_service.model.market import MarketKey
from odds_service.store import HistoryFilter, HistoryPage
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.support.observations import Prices, observe, offered
from tests.support.odds_builders import (
    EPOCH,
    EVERYTHING,
    Bookkeeping,
    Client,
    Stream,
    assert_unbroken,
    changes_of,
    connected,
    random_observations,
    serving,
)

H2H = MarketKey("h2h")
TENTH = Duration(nanos=100_000_000)


def priced(minute: int, *, events: int = 1) -> dict[str, dict[str, dict[MarketKey, Prices]]]:
    return {f"e{n}": {"b": {H2H: {"home": 1.5 + minute / 100}}} for n in range(events)}


def cursor(revision: int, epoch: str = EPOCH) -> pb.Cursor:
    return pb.Cursor(epoch=epoch, revision=revision)


def kinds(messages: list[pb.WatchChangesResponse]) -> list[str | None]:
    return [message.WhichOneof("message") for message in messages]


async def read_to(stream: Stream, head: int) -> list[pb.WatchChangesResponse]:
    """Return the messages up to the first at `head`, after the image if there is one."""
    messages: list[pb.WatchChangesResponse] = []
    while True:
        message = await stream.next()
        messages.append(message)
        kind = message.WhichOneof("message")
        assert kind is not None
        whole = kind in ("changes", "heartbeat", "image_end")
        if whole and getattr(message, kind).cursor.revision >= head:
            return messages


async def test_opens_with_an_image_and_goes_on_with_every_change() -> None:
    book = Bookkeeping()
    book.see(observe(offered(priced(0, events=3)), 0))
    async with serving(book) as server:
        with connected(server.address) as client, client.watch() as stream:
            messages = await stream.until("image_end")
            assert kinds(messages) == ["opened", "image_begin", "image", "image_end"]
            opened = messages[0].opened
            assert (opened.intent, opened.reason) == (
                pb.INTENT_IMAGE,
                pb.INTENT_REASON_NO_CURSOR,
            )
            assert [source.source for source in opened.sources] == ["toa"]
            assert messages[-1].image_end.markets == 3
            assert len(messages[2].image.events) == 3
            for minute in range(1, 6):
                book.see(observe(offered(priced(minute, events=3)), minute))
            messages += await read_to(stream, book.feed.head_revision)
            assert [c.revision for c in changes_of(messages)] == list(range(7, 22))
            assert_unbroken(messages)


async def test_reading_and_then_watching_misses_nothing_while_odds_move() -> None:
    book = Bookkeeping()
    book.see(observe(offered(priced(0)), 0))
    async with serving(book) as server:
        with connected(server.address) as client:
            async with trio.open_nursery() as nursery:

                async def move() -> None:
                    for minute in range(1, 120):
                        book.see(observe(offered(priced(minute)), minute))
                        await trio.sleep(0.001)

                nursery.start_soon(move)
                for _ in range(5):
                    reply = await client.call("GetOdds", pb.GetOddsRequest())
                    revision = reply.cursor.revision
                    shown = reply.events[0].bookmakers[0].markets[0]
                    assert shown.revision == revision  # the newest change is of the one market
                    with client.watch(resume=reply.cursor) as stream:
                        messages = await read_to(stream, revision + 3)
                        revisions = [c.revision for c in changes_of(messages)]
                        assert revisions == list(range(revision + 1, revisions[-1] + 1))


@pytest.mark.parametrize("capacity", [10, 100_000])
@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"bookmakers": ["b1"]},
        {"in_play": False},
        {"sports": ["soccer"], "markets": ["totals"]},
    ],
)
async def test_a_resume_at_any_cut_gives_the_same_changes(
    capacity: int, wanted: dict[str, object]
) -> None:
    """With a ring of 10 changes, nearly all is read from the store and joined to the ring."""
    book = Bookkeeping(capacity=capacity, keeps_past=True)
    filtered = pb.Filter(**wanted)  # type: ignore[arg-type]  # fields by name
    async with serving(book) as server:
        with connected(server.address) as client:
            with client.watch(resume=cursor(0), filter=filtered, heartbeat=TENTH) as stream:
                await stream.until("opened")
                whole: list[pb.WatchChangesResponse] = []
                for observation in random_observations(random.Random(5), 40):
                    book.see(observation)
                    whole += await read_to(stream, book.feed.head_revision)
            head = book.feed.head_revision
            assert_unbroken(whole)
            expected = [c.SerializeToString() for c in changes_of(whole)]
            assert expected
            before = book.reads
            for cut in [0, *range(1, head, max(1, head // 12)), head]:
                with client.watch(resume=cursor(cut), filter=filtered, heartbeat=TENTH) as stream:
                    messages = await read_to(stream, head)
                opened = messages[0].opened
                assert opened.reason == pb.INTENT_REASON_RESUMED
                assert_unbroken(messages)
                assert [c.SerializeToString() for c in changes_of(messages)] == [
                    c.SerializeToString() for c in changes_of(whole) if c.revision > cut
                ]
            assert (book.reads > before) is (capacity == 10)


async def opened_with(client: Client, **fields: object) -> pb.Opened:
    with client.watch(**fields) as stream:
        message = await stream.next()
        assert isinstance(message, pb.WatchChangesResponse)
        return message.opened


async def test_every_intent_and_reason() -> None:
    book = Bookkeeping(capacity=4)
    for minute in range(20):
        book.see(observe(offered(priced(minute)), minute))
    book.stored_from = 5
    head = book.feed.head_revision
    async with serving(book) as server:
        with connected(server.address) as client:
            cases: list[tuple[dict[str, object], str, str]] = [
                ({}, "IMAGE", "NO_CURSOR"),
                ({"image": pb.IMAGE_MODE_NEVER}, "UP_TO_DATE", "NO_CURSOR"),
                ({"resume": cursor(head)}, "UP_TO_DATE", "RESUMED"),
                ({"resume": cursor(head - 1)}, "CHANGES", "RESUMED"),
                ({"resume": cursor(4)}, "CHANGES", "RESUMED"),
                ({"resume": cursor(3)}, "IMAGE", "TOO_OLD"),
                ({"resume": cursor(head + 1)}, "IMAGE", "AHEAD_OF_SERVER"),
                ({"resume": cursor(head, "another")}, "IMAGE", "EPOCH_CHANGED"),
                (
                    {"resume": cursor(4), "policy": pb.SLOW_READER_POLICY_LATEST},
                    "IMAGE",
                    "TOO_OLD",
                ),
                (
                    {"resume": cursor(4), "image": pb.IMAGE_MODE_ONLY},
                    "IMAGE",
                    "IMAGE_ASKED",
                ),
                ({"image": pb.IMAGE_MODE_ONLY}, "IMAGE", "NO_CURSOR"),
                ({"resume": cursor(head, f"part-{EPOCH}")}, "IMAGE", "IMAGE_INCOMPLETE"),
                ({"resume": cursor(3, f"part-{EPOCH}")}, "IMAGE", "IMAGE_INCOMPLETE"),
                ({"resume": cursor(head, "part-another")}, "IMAGE", "EPOCH_CHANGED"),
                # Values of a newer client count as unspecified.
                ({"image": 77, "policy": 77}, "IMAGE", "NO_CURSOR"),
                ({"image": 77, "policy": 77, "resume": cursor(4)}, "CHANGES", "RESUMED"),
            ]
            for fields, intent, reason in cases:
                opened = await opened_with(client, **fields)
                assert pb.Intent.Name(opened.intent) == f"INTENT_{intent}", fields
                assert pb.IntentReason.Name(opened.reason) == f"INTENT_REASON_{reason}", fields
            with client.watch(resume=cursor(3), image=pb.IMAGE_MODE_NEVER) as stream:
                error = await stream.error()
                assert error.code() is grpc.StatusCode.OUT_OF_RANGE


class RefusingLater(Bookkeeping):
    """A store in which a change is refused from the second page on."""

    async def history_page(
        self, after: int, upto: int, limit: int, only: HistoryFilter = EVERYTHING
    ) -> HistoryPage:
        page = await super().history_page(after, upto, limit, only)
        self.refused = {9}
        return page


async def test_a_change_that_could_not_be_stored_is_told_and_an_image_follows() -> None:
    book = RefusingLater(capacity=4)
    for minute in range(20):
        book.see(observe(offered(priced(minute)), minute))
    async with serving(book) as server:
        with connected(server.address) as client, client.watch(resume=cursor(2)) as stream:
            messages = await read_to(stream, book.feed.head_revision)
            assert messages[0].opened.reason == pb.INTENT_REASON_RESUMED
            lagged = next(m.lagged for m in messages if m.HasField("lagged"))
            assert lagged.reason == pb.INTENT_REASON_HISTORY_GAP
            assert lagged.lost_to == book.feed.head_revision
            assert kinds(messages)[-1] == "image_end"
            assert lagged.lost_from == max([2, *(c.revision for c in changes_of(messages))]) + 1
            assert_unbroken(messages)
        for resumed, reason in ((2, "HISTORY_GAP"), (8, "HISTORY_GAP"), (9, "RESUMED")):
            with connected(server.address) as client:
                opened = await opened_with(client, resume=cursor(resumed))
                assert pb.IntentReason.Name(opened.reason) == f"INTENT_REASON_{reason}", resumed


async def test_image_only_ends_with_ok_and_in_pieces() -> None:
    book = Bookkeeping()
    offer = {
        f"e{n:03}": {
            f"b{b}": {
                MarketKey("totals", str(line)): {"over": 1.9, "under": 1.9} for line in range(40)
            }
            for b in range(4)
        }
        for n in range(60)
    }
    book.see(observe(offered(offer), 0))
    async with serving(book) as server:
        with connected(server.address) as client:
            with client.watch(image=pb.IMAGE_MODE_ONLY) as stream:
                messages = await stream.until("image_end")
                with pytest.raises(EOFError):
                    await stream.next()
            pieces = [message.image for message in messages if message.HasField("image")]
            assert [piece.piece for piece in pieces] == list(range(1, len(pieces) + 1))
            assert len(pieces) > 2
            assert max(len(piece.SerializeToString()) for piece in pieces) < 2**20
            end = messages[-1].image_end
            assert (end.pieces, end.events, end.markets) == (len(pieces), 60, 60 * 4 * 40)
            shown = sum(
                len(odds.markets)
                for piece in pieces
                for entry in piece.events
                for odds in entry.bookmakers
            )
            assert shown == end.markets
            assert_unbroken(messages)


async def test_no_message_is_over_a_mebibyte_also_with_one_huge_bookmaker() -> None:
    lines = {
        MarketKey("player_points", str(n), f"A player with a long name, number {n:06}"): {
            "over": 1.9,
            "under": 1.9,
        }
        for n in range(12_000)
    }
    book = Bookkeeping()
    book.see(observe(offered({"e": {"big": lines}, "f": {"small": {H2H: {"home": 2.0}}}}), 0))
    async with serving(book) as server:
        with connected(server.address) as client, client.watch() as stream:
            messages = await stream.until("image_end")
            assert sum(message.ByteSize() for message in messages) > 2**20
            book.see(observe(offered({"e": {"big": {key: {"over": 2.0} for key in lines}}}), 1))
            messages += await read_to(stream, book.feed.head_revision)
            assert max(message.ByteSize() for message in messages) <= 2**20
            assert_unbroken(messages)
            odds = OddsMap()
            for message in messages:
                odds.take(message)
            assert len(odds.events["e"].bookmakers["toa", "big"].markets) == 12_000


async def test_a_conflated_stream_keeps_up_with_many_small_batches() -> None:
    book = Bookkeeping()
    book.see(observe(offered(priced(0)), 0))
    async with serving(book) as server:
        with connected(server.address) as client:
            with client.watch(conflate=Duration(nanos=200_000_000)) as stream:
                messages = await stream.until("image_end")
                for minute in range(1, 6_001):  # a batch each
                    book.see(observe(offered(priced(minute % 97)), minute / 60))
                    if minute % 100 == 0:
                        await trio.lowlevel.checkpoint()
                messages += await read_to(stream, book.feed.head_revision)
                assert sum(message.HasField("changes") for message in messages) <= 20
                assert_unbroken(messages)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"heartbeat": Duration(seconds=-1)}, "heartbeat"),
        ({"conflate": Duration(nanos=-1)}, "conflate"),
        ({"conflate": Duration(nanos=1_000_000_000)}, "conflate"),
        ({"filter": pb.Filter(sports=[""])}, "filter.sports"),
    ],
)
async def test_a_malformed_request_names_its_field(fields: dict[str, object], named: str) -> None:
    async with serving(Bookkeeping()) as server:
        with connected(server.address) as client, client.watch(**fields) as stream:
            error = await stream.error()
            assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert (error.details() or "").startswith(f"{named}: ")


async def test_heartbeats_tell_the_cursor_past_what_the_filter_leaves_out() -> None:
    book = Bookkeeping()
    book.see(observe(offered(priced(0)), 0))
    async with serving(book) as server:
        with connected(server.address) as client:
            with client.watch(
                filter=pb.Filter(bookmakers=["nobody"]), heartbeat=Duration(nanos=1)
            ) as stream:
                messages = await stream.until("image_end")
                assert messages[0].opened.heartbeat.ToTimedelta().total_seconds() == 0.5
                for minute in range(1, 6):
                    book.see(observe(offered(priced(minute)), minute))
                messages += await read_to(stream, book.feed.head_revision)
                assert kinds(messages)[-1] == "heartbeat"
                assert changes_of(messages) == []
                assert_unbroken(messages)


async def test_a_quiet_subscriber_hears_before_the_log_is_trimmed() -> None:
    book = Bookkeeping(capacity=20)
    book.see(observe(offered(priced(0)), 0))
    async with serving(book) as server:
        with connected(server.address) as client:
            with client.watch(
                filter=pb.Filter(bookmakers=["nobody"]), heartbeat=Duration(seconds=60)
            ) as stream:
                await stream.until("image_end")
                for minute in range(1, 30):
                    book.see(observe(offered(priced(minute)), minute))
                    await trio.sleep(0.005)
                message = await stream.next()
                assert message.HasField("heartbeat")
                assert message.heartbeat.cursor.revision > 10


async def test_conflation_sends_few_messages_and_the_last_odds() -> None:
    book = Bookkeeping()
    book.see(observe(offered(priced(0)), 0))

    async def publish() -> None:
        for minute in itertools.count(1):
            book.see(observe(offered(priced(minute)), minute / 60))  # long before its start
            await trio.sleep(0.002)

    async with serving(book) as server:
        with connected(server.address) as client:
            began = trio.current_time()
            with client.watch(conflate=Duration(nanos=300_000_000)) as stream:
                messages = await stream.until("image_end")
                assert messages[0].opened.conflate == Duration(nanos=300_000_000)
                image_at = messages[-1].image_end.cursor.revision
                async with trio.open_nursery() as publishing:
                    publishing.start_soon(publish)
                    for _ in range(4):
                        messages += await stream.until("changes")
                    publishing.cancel_scope.cancel()
                messages += await read_to(stream, book.feed.head_revision)
                took_s = trio.current_time() - began
                sent = [m for m in messages if m.HasField("changes")]
                # However slow the machine is: never two within the interval, and none left out.
                assert 4 <= len(sent) <= 1 + took_s / 0.3
                folded = [max(1, change.conflated_count) for change in changes_of(sent)]
                assert sum(folded) == book.feed.head_revision - image_at > 2 * len(sent)
                assert len(folded) == len(sent)
                (last,) = sent[-1].changes.changes
                current = next(iter(book.cache.events["e0"].bookmakers.values())).markets[H2H]
                assert last.after.outcomes[0].price == current.outcomes[0].price
                assert_unbroken(messages)


async def test_the_stop_sends_where_to_resume_and_then_unavailable() -> None:
    book = Bookkeeping()
    book.see(observe(offered(priced(0)), 0))
    async with serving(book) as server:
        with connected(server.address) as client, client.watch() as stream:
            await stream.until("image_end")
            with trio.fail_after(30):
                book.feed.close()
                closing = await stream.next()
                assert closing.closing.cursor.revision == book.feed.head_revision
                assert closing.closing.reason == "server_stopping"
                error = await stream.error()
            assert error.code() is grpc.StatusCode.UNAVAILABLE
            await server.stop(1.0)


async def test_many_that_read_the_same_share_one_encoding_and_one_wake_up() -> None:
    book = Bookkeeping()
    book.see(observe(offered(priced(0)), 0))
    async with serving(book) as server:
        with connected(server.address) as client:
            with ExitStack() as opened:
                streams = [opened.enter_context(client.watch()) for _ in range(30)]
                for stream in streams:
                    await stream.until("image_end")
                assert server.subscribers == 30
                before = server.pieces_made
                for minute in range(1, 11):
                    book.see(observe(offered(priced(minute)), minute))
                    for stream in streams:
                        await read_to(stream, book.feed.head_revision)
                assert server.pieces_made - before <= 11


async def test_streams_are_limited_and_their_places_come_back() -> None:
    book = Bookkeeping()
    settings = ServerSettings(listen="127.0.0.1:0", max_streams_per_client=2)
    async with serving(book, settings=settings) as server:
        with connected(server.address) as client:
            with client.watch() as one, client.watch() as two:
                await one.until("image_end")
                await two.until("image_end")
                with client.watch() as three:
                    error = await three.error()
                assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            with trio.fail_after(30):
                while server.subscribers:  # noqa: ASYNC110  # the server has no event to wait for
                    await trio.sleep(0.01)
            with client.watch() as four:
                await four.until("image_end")
