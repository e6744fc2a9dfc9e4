"""A stream may be cut after any message: resuming at its cursor misses nothing."""

import itertools
import random
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
import trio
from google.protobuf.duration_pb2 import Duration
from hypothesis import given, settings
from hypothesis import strategies as st

from odds_service.model.market import MarketKey
from odds_service.serving import odds
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.contract.literal import Held, LiteralWatcher, bettable, held_in
from tests.support.examples import examples
from tests.support.observations import observe, offered
from tests.support.odds_builders import (
    Bookkeeping,
    Client,
    Stream,
    connected,
    random_observations,
    serving,
)

INSIDE = ("opened", "image_begin", "image")


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make images of a few kilobytes consist of several pieces."""
    monkeypatch.setattr(odds.image_pieces, "__defaults__", (256,))


async def current(client: Client, chosen: pb.Filter | None = None) -> Held:
    reply = await client.call("GetOdds", pb.GetOddsRequest(filter=chosen))
    return held_in(list(reply.events))


async def take(stream: Stream, watcher: LiteralWatcher, count: int) -> list[str]:
    """Take the next messages; return their kinds."""
    kinds = []
    for _ in range(count):
        message = await stream.next()
        watcher.take(message)
        kinds.append(message.WhichOneof("message"))
    return kinds


async def reach(stream: Stream, watcher: LiteralWatcher, head: int) -> None:
    watcher.take(await stream.next())
    while not (watcher.acts and watcher.cursor is not None and watcher.cursor.revision >= head):
        watcher.take(await stream.next())


def eventful(seed: int, polls: int) -> Bookkeeping:
    book = Bookkeeping(keeps_past=True)
    for observation in random_observations(random.Random(seed), polls):
        book.see(observation)
    return book


async def test_a_cut_after_any_message_of_an_image_begins_it_anew() -> None:
    book = eventful(3, 20)
    async with serving(book) as server:
        with connected(server.address) as client:
            for length in itertools.count(1):
                watcher = LiteralWatcher()
                with client.stream("WatchChanges", watcher.request()) as stream:
                    kinds = await take(stream, watcher, length)
                whole = kinds[-1] == "image_end"
                with client.stream("WatchChanges", watcher.request()) as stream:
                    await reach(stream, watcher, book.feed.head_revision)
                assert watcher.held == await current(client)
                assert watcher.opened.intent == (pb.INTENT_UP_TO_DATE if whole else pb.INTENT_IMAGE)
                assert watcher.opened.reason == (
                    pb.INTENT_REASON_RESUMED if whole else pb.INTENT_REASON_IMAGE_INCOMPLETE
                )
                if whole:
                    assert length >= 6  # the image had several pieces
                    break
                assert kinds[-1] in INSIDE


async def burst(book: Bookkeeping) -> None:
    """Repeatedly publish more changes at once than the ring holds."""
    lines = [MarketKey("totals", str(line)) for line in range(20)]
    for minute in itertools.count(30):
        for number in range(20):
            prices = {"over": 1.5 + number + minute % 2}
            book.see(observe(offered({"e": {"b": dict.fromkeys(lines, prices)}}), minute))
        await trio.sleep(0.01)


async def test_a_cut_after_lagged_begins_an_image_too() -> None:
    book = Bookkeeping(capacity=4)
    for minute in range(30):
        book.see(observe(offered({"e": {"b": {MarketKey("h2h"): {"home": 1.5 + minute}}}}), minute))
    async with serving(book, stored=False) as server:
        with connected(server.address) as client:
            watcher = LiteralWatcher()
            with client.stream("WatchChanges", watcher.request()) as stream:
                await reach(stream, watcher, book.feed.head_revision)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(burst, book)
                    kinds: list[str] = []
                    while "lagged" not in kinds:
                        kinds += await take(stream, watcher, 1)
                    nursery.cancel_scope.cancel()
            with client.stream("WatchChanges", watcher.request()) as stream:
                await reach(stream, watcher, book.feed.head_revision)
            assert watcher.opened.reason == pb.INTENT_REASON_IMAGE_INCOMPLETE
            assert watcher.held == await current(client)


async def test_a_stop_inside_an_image_tells_where_it_begins_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    book = eventful(3, 20)
    made = odds.image_pieces

    def stopping(*arguments: Any) -> Iterator[odds.ImagePiece]:
        for place, piece in enumerate(made(*arguments)):
            if place == 1:
                book.feed.close()
            yield piece

    monkeypatch.setattr("odds_service.serving.pending_image.image_pieces", stopping)
    async with serving(book) as server:
        with connected(server.address) as client:
            watcher = LiteralWatcher()
            with client.stream("WatchChanges", watcher.request()) as stream:
                kinds: list[str] = []
                while "closing" not in kinds:
                    kinds += await take(stream, watcher, 1)
                error = await stream.error()
            assert error.code() is grpc.StatusCode.UNAVAILABLE
            assert "image_end" not in kinds
            inside = watcher.cursor
    monkeypatch.setattr("odds_service.serving.pending_image.image_pieces", made)
    again = eventful(3, 20)
    async with serving(again) as server:
        with connected(server.address) as client:
            watcher.cursor = inside
            with client.stream("WatchChanges", watcher.request()) as stream:
                await reach(stream, watcher, again.feed.head_revision)
            assert watcher.opened.reason == pb.INTENT_REASON_IMAGE_INCOMPLETE
            assert watcher.held == await current(client)


async def test_where_an_image_may_not_come_a_cursor_inside_one_is_out_of_range() -> None:
    async with serving(eventful(3, 20)) as server:
        with connected(server.address) as client:
            watcher = LiteralWatcher()
            with client.stream("WatchChanges", watcher.request()) as stream:
                await take(stream, watcher, 3)
            never = LiteralWatcher(image=pb.IMAGE_MODE_NEVER)
            never.cursor = watcher.cursor
            with client.stream("WatchChanges", never.request()) as stream:
                error = await stream.error()
            assert error.code() is grpc.StatusCode.OUT_OF_RANGE


async def test_the_place_of_a_cursor_inside_an_image_is_good_for_other_calls() -> None:
    book = eventful(3, 20)
    async with serving(book) as server:
        with connected(server.address) as client:
            watcher = LiteralWatcher()
            with client.stream("WatchChanges", watcher.request()) as stream:
                await take(stream, watcher, 3)
            inside = watcher.cursor
            assert inside is not None
            at = await client.call("GetOdds", pb.GetOddsRequest(min_cursor=inside))
            past = await client.call("GetOdds", pb.GetOddsRequest(as_of_cursor=inside))
            assert at.cursor.revision == past.cursor.revision == inside.revision
            for observation in itertools.islice(random_observations(random.Random(9), 30), 20, 30):
                book.see(observation)
            with client.stream("GetHistory", pb.GetHistoryRequest(from_cursor=inside)) as stream:
                page = await stream.next()
            assert page.changes[0].revision == inside.revision + 1


@given(
    seed=st.integers(0, 2**20),
    cuts=st.lists(st.integers(1, 12), min_size=1, max_size=6),
    polls=st.integers(1, 4),
    conflated=st.booleans(),
    chosen=st.sampled_from(
        (pb.Filter(), pb.Filter(in_play=False), pb.Filter(markets=["h2h"], in_play=True))
    ),
)
@settings(max_examples=examples(4), deadline=None)
def test_whatever_is_cut_the_literal_map_is_what_get_odds_answers(
    seed: int, cuts: list[int], polls: int, conflated: bool, chosen: pb.Filter
) -> None:
    """Odds move between the cuts, which also fall inside images."""

    async def main() -> None:
        rng = random.Random(seed)
        to_come = random_observations(rng, 60)
        book = Bookkeeping(keeps_past=True)
        for observation in itertools.islice(to_come, 10):
            book.see(observation)
        fields = {"filter": chosen, "heartbeat": Duration(nanos=500_000_000)}
        if conflated:
            fields["conflate"] = Duration(nanos=50_000_000)
        watcher = LiteralWatcher(**fields)
        async with serving(book) as server:
            with connected(server.address) as client:
                for length in cuts:
                    with client.stream("WatchChanges", watcher.request()) as stream:
                        for _ in range(length):
                            if watcher.acts and watcher.cursor is not None:
                                for observation in itertools.islice(to_come, polls):
                                    book.see(observation)
                            watcher.take(await stream.next())
                    for observation in itertools.islice(to_come, polls):
                        book.see(observation)
                with client.stream("WatchChanges", watcher.request()) as stream:
                    await reach(stream, watcher, book.feed.head_revision)
                answer = await current(client, chosen)
                assert bettable(watcher.held) == bettable(answer)
                assert conflated or watcher.held == answer

    trio.run(main)
