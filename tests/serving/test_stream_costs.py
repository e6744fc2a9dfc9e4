"""The cost of a change, counted without a clock: encodings, wake-ups, bytes."""

from contextlib import ExitStack, closing

import pytest
import trio
from google.protobuf.duration_pb2 import Duration

from odds_service.feed import ChangeFeed
from odds_service.model.change import Change
from odds_service.model.market import MarketKey
from odds_service.rpc import server
from odds_service.serving import hub
from odds_service.wire import encode
from odds_service.wire.encode import change_wire
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.support.observations import observe, offered
from tests.support.odds_builders import Bookkeeping, Stream, connected, serving
from tests.support.raw_http2 import RawClient, framed
from tests.support.stalled import PATH

H2H, TOTALS = MarketKey("h2h"), MarketKey("totals", "2.5")
BATCHES = 10
AROUND_BYTES = 64  # bytes of a message's cursors and durable revision
LAST = 80  # a revision, after 38 batches of two changes, 50 ms apart
FILTERS = [pb.Filter(), pb.Filter(bookmakers=["b"]), pb.Filter(markets=["h2h"], in_play=False)]


def move(book: Bookkeeping, minute: int) -> None:
    prices = {"home": 1.5 + minute / 100, "away": 2.5}
    book.see(observe(offered({"e": {"b": {H2H: prices, TOTALS: prices}}}), minute))


async def read_to(stream: Stream, head: int) -> list[pb.WatchChangesResponse]:
    messages: list[pb.WatchChangesResponse] = []
    reached = 0
    while reached < head:
        message = await stream.next()
        kind = message.WhichOneof("message")
        reached = getattr(message, kind).cursor.revision
        messages.append(message)
    return messages


async def test_a_change_is_encoded_once_and_wakes_the_server_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    encoded: list[Change] = []
    original = encode.change_payload
    wake_ups: list[int] = []
    on_wake = hub.Hub._on_wake

    def encoding(change: Change) -> bytes:
        encoded.append(change)
        return original(change)

    def waking(self: hub.Hub) -> None:
        wake_ups.append(self.feed.head_revision)
        on_wake(self)

    monkeypatch.setattr(encode, "change_payload", encoding)
    monkeypatch.setattr(hub.Hub, "_on_wake", waking)
    book = Bookkeeping()
    move(book, 0)
    start = len(book.log)
    async with serving(book) as running:
        with connected(running.address) as client, ExitStack() as opened:
            streams = [
                (chosen, opened.enter_context(client.watch(filter=chosen)))
                for chosen in FILTERS
                for _ in range(8)
            ]
            for _, stream in streams:
                await stream.until("image_end")
            encoded.clear()
            wake_ups.clear()
            for minute in range(1, BATCHES + 1):
                move(book, minute)
                for chosen, stream in streams:
                    if not chosen.markets:
                        await read_to(stream, book.feed.head_revision)
            assert len(encoded) == len(book.log) - start == 2 * BATCHES
            assert len(wake_ups) == BATCHES  # durable revisions add none
            assert running.subscribers == len(streams)


async def test_fifty_equal_conflated_streams_cost_as_many_encodings_as_one() -> None:
    book = Bookkeeping()
    move(book, 0)
    interval = Duration(nanos=400_000_000)
    windows: list[set[tuple[int, int]]] = []

    async def read(stream: Stream) -> None:
        found: set[tuple[int, int]] = set()
        for message in await read_to(stream, LAST):
            if message.HasField("changes"):
                found.add((message.changes.prev_revision, message.changes.cursor.revision))
        windows.append(found)

    async with serving(book) as running:
        with connected(running.address) as client, ExitStack() as opened:
            streams = [opened.enter_context(client.watch(conflate=interval)) for _ in range(50)]
            for stream in streams:
                await stream.until("image_end")
            before = running.pieces_made
            async with trio.open_nursery() as nursery:
                for stream in streams:
                    nursery.start_soon(read, stream)
                while book.feed.head_revision < LAST:
                    move(book, book.feed.head_revision)
                    await trio.sleep(0.05)
            made = running.pieces_made - before
    # However slow the machine is, each window that is sent is encoded once.
    assert made == len(set().union(*windows))
    most = max(map(len, windows))
    assert most >= 3
    assert made <= 2 * most < 50


async def test_a_message_is_its_changes_and_little_around_them() -> None:
    book = Bookkeeping()
    move(book, 0)
    async with serving(book) as running:
        with connected(running.address) as client, client.watch() as stream:
            await stream.until("image_end")
            for minute in range(1, BATCHES + 1):
                before = len(book.log)
                move(book, minute)
                (message,) = await read_to(stream, book.feed.head_revision)
                changes = sum(len(change_wire(change)) for change in book.log[before:])
                assert 0 < message.ByteSize() - changes <= AROUND_BYTES


async def test_an_idle_peer_that_is_dead_is_let_go_and_a_living_one_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A dead peer sends nothing; it just answers no HTTP/2 ping."""
    monkeypatch.setattr(server, "KEEPALIVE_S", 1)
    monkeypatch.setattr(server, "KEEPALIVE_TIMEOUT_S", 1)
    monkeypatch.setattr(server, "PING_EVERY_S", 1)
    book = Bookkeeping()
    move(book, 0)
    async with serving(book) as running:
        request = pb.WatchChangesRequest(heartbeat=Duration(seconds=60)).SerializeToString()
        with connected(running.address) as client, client.watch() as living:
            await living.until("image_end")
            dead = RawClient(running.address)
            dead.call(PATH, framed(request))
            with closing(dead.socket), trio.fail_after(60):
                while running.subscribers != 2:  # noqa: ASYNC110  # the server has no event for it
                    await trio.sleep(0.01)
                while running.subscribers != 1:  # noqa: ASYNC110  # as above
                    await trio.sleep(0.05)
            move(book, 1)
            await read_to(living, book.feed.head_revision)


def test_a_feed_tells_its_listeners_of_every_batch() -> None:
    feed = ChangeFeed("e", 0)
    told: list[int] = []
    leave = feed.listen(lambda: told.append(feed.head_revision))
    feed.wake()
    leave()
    feed.wake()
    assert told == [0]
