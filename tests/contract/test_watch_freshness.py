"""Freshness, sentence by sentence, for a client that knows only the proto."""

import asyncio
import gc
import itertools
import weakref
from contextlib import ExitStack
from datetime import timedelta
from time import monotonic
from typing import Any

import pytest
import trio
from google.protobuf.duration_pb2 import Duration
from msgspec.structs import replace

from odds_service.filters.selection import EVERYTHING
from odds_service.model.market import MarketKey
from odds_service.model.observation import Completeness
from odds_service.model.snapshot import Reading
from odds_service.model.source import SourceState, SourceStatus
from odds_service.serving import freshness, reading, stretches
from odds_service.serving.freshness import FreshnessLogs
from odds_service.wire.encode import Wires
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.contract.literal import LiteralWatcher
from tests.contract.test_watch_cuts import current, reach, take
from tests.support.observations import NOON, Offer, observe, offered
from tests.support.odds_builders import Bookkeeping, Client, Stream, connected, serving

H2H = MarketKey("h2h")
BOOKMAKERS = ("alfa", "bravo")


def see(book: Bookkeeping, minute: float, *, price: float = 1.5, events: int = 2) -> None:
    offer = {f"e{n}": {name: {H2H: {"home": price}} for name in BOOKMAKERS} for n in range(events)}
    book.see(observe(offered(offer), minute))


async def told_of(client: Client, chosen: pb.Filter | None = None) -> dict[object, object]:
    """Return the freshness of each bookmaker's odds in GetOdds."""
    reply = await client.call("GetOdds", pb.GetOddsRequest(filter=chosen))
    return {
        (entry.event.id, odds.source, odds.bookmaker): (odds.confirmed_at, odds.stale)
        for entry in reply.events
        for odds in entry.bookmakers
    }


def fresh_of(watcher: LiteralWatcher) -> dict[object, object]:
    return {place: (odds.confirmed_at, odds.stale) for place, odds in watcher.fresh.items()}


async def next_freshness(stream: Stream, watcher: LiteralWatcher) -> pb.Freshness:
    while True:
        message = await stream.next()
        watcher.take(message)
        if message.HasField("freshness"):
            assert isinstance(message.freshness, pb.Freshness)
            return message.freshness


async def test_only_what_moved_is_told_and_only_to_those_who_ask() -> None:
    book = Bookkeeping()
    see(book, 0)
    async with serving(book) as server:
        with connected(server.address) as client:
            watcher = LiteralWatcher(freshness=True)
            silent = LiteralWatcher(heartbeat=Duration(nanos=500_000_000))
            with (
                client.stream("WatchChanges", watcher.request()) as stream,
                client.stream("WatchChanges", silent.request()) as other,
            ):
                await reach(stream, watcher, book.feed.head_revision)
                await reach(other, silent, book.feed.head_revision)
                head = book.feed.head_revision
                shown = offered({"e1": {name: {H2H: {"home": 1.5}} for name in BOOKMAKERS}})
                book.see(observe(shown, 0.5, completeness=Completeness.PARTIAL))
                assert book.feed.head_revision == head  # no change
                message = await next_freshness(stream, watcher)
                assert {(odds.event_id, odds.bookmaker, odds.stale) for odds in message.odds} == {
                    ("e1", "alfa", False),
                    ("e1", "bravo", False),
                }
                assert message.odds[0].confirmed_at.ToDatetime() == (
                    NOON + timedelta(minutes=0.5)
                ).replace(tzinfo=None)
                assert (message.cursor.revision, message.prev_revision) == (head, head)
                kinds = await take(other, silent, 5)
                assert set(kinds) == {"heartbeat"}
            # On a resumed stream, the first message has all that the filter selects.
            with client.stream("WatchChanges", watcher.request()) as stream:
                watcher.fresh.clear()
                await next_freshness(stream, watcher)
                assert watcher.opened.intent == pb.INTENT_UP_TO_DATE
            assert fresh_of(watcher) == await told_of(client)


async def test_odds_that_grow_stale_without_any_fetch_are_told() -> None:
    book = Bookkeeping()
    see(book, 0)
    async with serving(book) as server:
        with connected(server.address) as client:
            watcher = LiteralWatcher(freshness=True)
            with client.stream("WatchChanges", watcher.request()) as stream:
                await reach(stream, watcher, book.feed.head_revision)
                book.now = NOON + timedelta(minutes=30)
                while len(watcher.fresh) < 4:
                    await next_freshness(stream, watcher)
                assert all(odds.stale for odds in watcher.fresh.values())
                see(book, 30)
                message = await next_freshness(stream, watcher)
                assert not any(odds.stale for odds in message.odds)
                assert fresh_of(watcher) == await told_of(client)


@pytest.mark.parametrize("conflate", [None, Duration(nanos=300_000_000)])
async def test_it_agrees_with_get_odds_while_odds_move_and_sources_fail(
    conflate: Duration | None,
) -> None:
    book = Bookkeeping()
    see(book, 0)
    up = book.cache.sources["toa"]
    async with serving(book) as server:
        with connected(server.address) as client:
            watcher = LiteralWatcher(
                freshness=True, conflate=conflate, filter=pb.Filter(bookmakers=["alfa"])
            )
            with client.stream("WatchChanges", watcher.request()) as stream:
                await reach(stream, watcher, book.feed.head_revision)
                for step in range(1, 12):
                    see(book, step / 4, price=1.5 + step // 3, events=2 + step % 2)
                    set_source(book, up, step % 4 == 3)
                    await take(stream, watcher, 1)
                set_source(book, up, False)
                see(book, 10)
                expected = await told_of(client, pb.Filter(bookmakers=["alfa"]))
                while not expected.items() <= fresh_of(watcher).items():
                    await next_freshness(stream, watcher)
                assert not any(place[2] == "bravo" for place in watcher.fresh)
                assert watcher.held == await current(client, pb.Filter(bookmakers=["alfa"]))


def set_source(book: Bookkeeping, up: SourceState, down: bool) -> None:
    state = replace(up, status=SourceStatus.DOWN) if down else up
    book.cache.swap({}, {"toa": state}, None, book.now)


async def test_it_comes_at_most_once_a_second_and_in_messages_of_bounded_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reading, "_BODY_BYTES", 2_000)
    begun: list[float] = []
    looked = freshness.FreshReader.bodies

    async def timed(self: freshness.FreshReader, revision: int) -> list[bytes]:
        bodies = await looked(self, revision)
        if bodies:
            begun.append(monotonic())
        return bodies

    monkeypatch.setattr(freshness.FreshReader, "bodies", timed)
    book = Bookkeeping()
    see(book, 0, events=100)
    async with serving(book) as server:
        with connected(server.address) as client:
            watcher = LiteralWatcher(freshness=True)
            with client.stream("WatchChanges", watcher.request()) as stream:
                await reach(stream, watcher, book.feed.head_revision)
                for minute in itertools.count(1):
                    see(book, minute / 60, events=100)
                    message = await next_freshness(stream, watcher)
                    assert message.ByteSize() <= 2_300
                    if len(begun) > 3:
                        break
            assert len(watcher.fresh) == 200  # one look may give several messages
    # Looks are a second apart; messages come nearer where one look took longer than the next.
    assert begun[3] - begun[0] > 2.5


async def test_equal_filters_share_their_looks_and_none_are_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    logs: list[weakref.ref[freshness.FreshnessLog]] = []
    made = freshness.FreshnessLog.__init__

    def noted(self: freshness.FreshnessLog, *arguments: Any) -> None:
        made(self, *arguments)
        logs.append(weakref.ref(self))

    monkeypatch.setattr(freshness.FreshnessLog, "__init__", noted)
    book = Bookkeeping()
    see(book, 0)
    async with serving(book) as server:
        with connected(server.address) as client:
            with client.watch() as stream:
                await stream.until("image_end")
            assert logs == []
            watchers = [LiteralWatcher(freshness=True) for _ in range(3)]
            with ExitStack() as streams:
                opened = [
                    streams.enter_context(client.stream("WatchChanges", watcher.request()))
                    for watcher in watchers
                ]
                for stream, watcher in zip(opened, watchers, strict=True):
                    await reach(stream, watcher, book.feed.head_revision)
                see(book, 0.5)
                for stream, watcher in zip(opened, watchers, strict=True):
                    await next_freshness(stream, watcher)
                (log,) = logs
                assert log() is not None
            with trio.fail_after(20):
                while server.subscribers or log() is not None:  # noqa: ASYNC110  # no event for it
                    await trio.sleep(0.01)
                    gc.collect()


async def test_a_stream_that_leaves_in_the_middle_of_a_look_costs_its_equal_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stretches, "STRETCH_S", 0.0)  # yields as it does with many events
    book = Bookkeeping()
    offer: Offer = {f"e{n}": {"b": {H2H: {"home": 1.5}}} for n in range(50)}
    book.see(observe(offered(offer)))

    async def looked() -> int:
        logs = FreshnessLogs(book.cache, book.feed, Wires(), lambda: Reading(book.now))
        leaving, staying = logs.reader(EVERYTHING), logs.reader(EVERYTHING)
        head = book.feed.head_revision
        one = asyncio.create_task(leaving.bodies(head))
        other = asyncio.create_task(staying.bodies(head))
        for _ in range(3):
            await asyncio.sleep(0)
        one.cancel()
        (body,) = await other
        with pytest.raises(asyncio.CancelledError):
            await one
        return len(pb.Freshness.FromString(body).odds)

    assert await trio.to_thread.run_sync(lambda: asyncio.run(looked())) == 50
