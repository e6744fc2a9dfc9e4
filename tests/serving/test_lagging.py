"""Readers of a database that has less than the feed calls durable, as a hot standby has.

Each waits and goes on without a gap, at a bounded pace, or says that it gave up.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pyarrow as pa
import pytest
import trio
from google.protobuf.duration_pb2 import Duration

from odds_service.bridge import open_bridge
from odds_service.model.market import MarketKey
from odds_service.serving import lagging
from odds_service.serving.errors import StatusCode
from odds_service.storage.memory import Memory
from odds_service.storage.memory_store import MemoryStore
from odds_service.store import HistoryFilter, HistoryPage, LogRows, Store, WriteGroup
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.serving.test_watch import cursor, read_to
from tests.support.databases import SqlitePlace
from tests.support.observations import Prices, observe, offered
from tests.support.odds_builders import (
    EVERYTHING,
    Bookkeeping,
    Client,
    assert_unbroken,
    changes_of,
    connected,
    refusal,
    serving,
)

H2H = MarketKey("h2h")
TENTH = Duration(nanos=100_000_000)
STORED = 20  # commits that the database has at first


def priced(minute: int) -> dict[str, dict[MarketKey, Prices]]:
    return {"b": {H2H: {"home": 1.5 + minute / 100}}}


def booked() -> Bookkeeping:
    """Return 40 minutes of two events, of which memory holds the last ones only."""
    book = Bookkeeping(capacity=4)
    for minute in range(40):
        book.see(observe(offered({"e": priced(minute), "f": priced(minute + 1)}), minute))
    return book


class Counting(MemoryStore):
    """A store that counts the reads of its log."""

    def __init__(self) -> None:
        super().__init__(Memory())
        self.reads = 0

    async def history_page(
        self, after: int, upto: int, limit: int, only: HistoryFilter = EVERYTHING
    ) -> HistoryPage:
        self.reads += 1
        return await super().history_page(after, upto, limit, only)

    async def log_rows(
        self, after: int, upto: int, limit: int, only: HistoryFilter = EVERYTHING
    ) -> LogRows:
        self.reads += 1
        return await super().log_rows(after, upto, limit, only)


@asynccontextmanager
async def lagging_store(kind: str, folder: Path, book: Bookkeeping) -> AsyncIterator[Store]:
    """Open a store that has the first half of the book."""
    async with open_bridge():
        if kind == "memory":
            store: Store = Counting()
            await store.begin()
            await store.write(WriteGroup(book.batches[:STORED]))
            yield store
            return
        async with SqlitePlace(folder).opened() as store:
            await store.begin()
            await store.write(WriteGroup(book.batches[:STORED]))
            yield store


both = pytest.mark.parametrize("kind", ["memory", "sqlite"])


@both
@pytest.mark.parametrize("wanted", [pb.Filter(), pb.Filter(sports=["soccer"])])
async def test_a_stream_waits_with_heartbeats_and_goes_on(
    kind: str, wanted: pb.Filter, tmp_path: Path
) -> None:
    book = booked()
    head, stored = book.feed.head_revision, book.batches[STORED - 1].last_revision
    async with lagging_store(kind, tmp_path, book) as store, serving(book, store=store) as server:
        with connected(server.address) as client:
            with client.watch(resume=cursor(0), filter=wanted, heartbeat=TENTH) as stream:
                messages = [await stream.next()]
                if not wanted.sports:  # a filter on events needs the whole log before it begins
                    messages += await read_to(stream, stored)
                beats = [await stream.next() for _ in range(8)]
                assert {beat.WhichOneof("message") for beat in beats} == {"heartbeat"}
                await store.write(WriteGroup(book.batches[STORED:]))
                messages += beats + await read_to(stream, head)
    assert [change.revision for change in changes_of(messages)] == list(range(1, head + 1))
    assert_unbroken(messages)


async def history(client: Client, form: pb.HistoryForm.ValueType) -> list[Any]:
    pages = []
    with client.stream("GetHistory", pb.GetHistoryRequest(form=form)) as stream:
        try:
            while True:
                pages.append(await stream.next(40.0))
        except EOFError:
            return pages


async def replay(client: Client) -> list[Any]:
    messages = []
    with client.stream("Replay", pb.ReplayRequest()) as stream:
        try:
            while True:
                messages.append(await stream.next(40.0))
        except EOFError:
            return messages


Reads = Callable[[Client], Any]
CALLS: list[Reads] = [
    lambda client: history(client, pb.HISTORY_FORM_UNSPECIFIED),
    lambda client: history(client, pb.HISTORY_FORM_ARROW),
    replay,
]


@both
@pytest.mark.parametrize("call", CALLS, ids=["changes", "columns", "replay"])
async def test_a_call_waits_and_goes_on(kind: str, call: Reads, tmp_path: Path) -> None:
    book = booked()
    async with lagging_store(kind, tmp_path, book) as store, serving(book, store=store) as server:
        with connected(server.address) as client:

            async def catch_up() -> None:
                await trio.sleep(1.0)
                await store.write(WriteGroup(book.batches[STORED:]))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(catch_up)
                began = trio.current_time()
                late = await call(client)
                assert trio.current_time() - began >= 1.0
            # The pages are cut differently, so what they hold is compared.
            assert _told(late) == _told(await call(client))


def _told(messages: list[Any]) -> Any:
    """Return the changes of all messages, or for columns the number of their rows."""
    if any(getattr(each, "columns", b"") for each in messages):
        with pa.ipc.open_stream(b"".join(each.columns for each in messages)) as reader:
            return reader.read_all().to_pylist()
    found: list[pb.Change] = []
    for each in messages:
        if isinstance(each, pb.HistoryPage):
            found += each.changes
        elif each.HasField("changes"):
            found += each.changes.changes
    assert found
    return found


@both
async def test_a_listing_waits_for_the_moves_since_its_first_page(
    kind: str, tmp_path: Path
) -> None:
    book = Bookkeeping(capacity=4)
    book.see(observe(offered({"e": priced(0), "f": priced(1)}), 0))
    async with lagging_store(kind, tmp_path, book) as store, serving(book, store=store) as server:
        with connected(server.address) as client:
            first = await client.call("ListEvents", pb.ListEventsRequest(page_size=1))
            for minute in range(1, 20):
                book.see(observe(offered({"e": priced(minute), "f": priced(minute)}), minute))
            asked = pb.ListEventsRequest(page_size=1, page_token=first.next_page_token)
            async with trio.open_nursery() as nursery:

                async def list_more() -> None:
                    second = await client.call("ListEvents", asked)
                    ids = [page.events[0].event.id for page in (first, second)]
                    assert sorted(ids) == ["e", "f"]
                    assert caught_up

                caught_up = False
                nursery.start_soon(list_more)
                await trio.sleep(1.0)
                caught_up = True
                await store.write(WriteGroup(book.batches[1:]))


async def test_the_database_is_asked_at_a_bounded_pace() -> None:
    book = booked()
    async with lagging_store("memory", Path(), book) as store, serving(book, store=store) as server:
        assert isinstance(store, Counting)
        with connected(server.address) as client:
            with client.watch(resume=cursor(0), heartbeat=TENTH) as stream:
                await read_to(stream, book.batches[STORED - 1].last_revision)
                before = store.reads
                await trio.sleep(2.0)
                assert 1 <= store.reads - before <= 2.0 / lagging.PACE_S + 1


async def test_a_database_that_stays_behind_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lagging, "PATIENCE_S", 0.5)
    book = booked()
    stored = book.batches[STORED - 1].last_revision
    async with lagging_store("memory", Path(), book) as store, serving(book, store=store) as server:
        with connected(server.address) as client:
            for call in CALLS:
                with pytest.raises(grpc.RpcError) as refused:
                    await call(client)
                assert refused.value.code() is StatusCode.UNAVAILABLE
                assert f"has changes up to {stored} only" in str(refused.value.details())
            with client.watch(resume=cursor(0), heartbeat=TENTH) as stream:
                messages = await stream.until("image_end")
    lagged = next(message.lagged for message in messages if message.HasField("lagged"))
    assert lagged.lost_from == stored + 1
    assert lagged.reason == pb.INTENT_REASON_HISTORY_GAP
    assert messages[-1].image_end.cursor.revision == book.feed.head_revision
    assert_unbroken(messages)


PAST: dict[str, tuple[str, Any]] = {
    "time": ("GetOdds", lambda book: pb.GetOddsRequest(as_of_time=book.log[-2].detected_at)),
    "cursor": (
        "GetOdds",
        lambda book: pb.GetOddsRequest(as_of_cursor=cursor(book.feed.head_revision - 1)),
    ),
    "series": (
        "GetSeries",
        lambda book: pb.GetSeriesRequest(
            event_id="e", market="h2h", from_time=book.log[-2].detected_at
        ),
    ),
}


@both
@pytest.mark.parametrize("asked", PAST)
async def test_the_past_is_not_told_before_it_is_stored(
    kind: str, asked: str, tmp_path: Path
) -> None:
    book = booked()
    book.now += timedelta(minutes=1)
    name, request_of = PAST[asked]
    request = request_of(book)
    async with lagging_store(kind, tmp_path, book) as store, serving(book, store=store) as server:
        with connected(server.address) as client:
            replies = []

            async def ask() -> None:
                replies.append(await client.call(name, request))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(ask)
                await trio.sleep(1.0)
                assert not replies
                await store.write(WriteGroup(book.batches[STORED:]))
            await ask()
            early, late = replies
            assert early == late


async def test_a_past_that_is_not_stored_in_time_is_unavailable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lagging, "PATIENCE_S", 0.3)
    book = booked()
    book.now += timedelta(minutes=1)
    async with lagging_store("memory", Path(), book) as store, serving(book, store=store) as server:
        with connected(server.address) as client:
            for name, request_of in PAST.values():
                error = await refusal(client, name, request_of(book))
                assert error.code() is StatusCode.UNAVAILABLE
                assert "is behind" in str(error.details())
