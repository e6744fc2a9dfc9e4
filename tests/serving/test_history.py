"""The past over gRPC, from real databases: history, odds as of a time, closing odds.

The oracle for a filter is the live stream: history must have the same changes in the same order.
The oracle for past odds is a fold of the log, without a database.
"""

import random
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
import trio
from google.protobuf.message import Message
from pydantic import SecretStr

from odds_service.bridge import open_bridge
from odds_service.client import (
    Cursor,
    Filter,
    ServiceError,
    SyncClient,
    UnknownChange,
    open_client,
    open_sync_client,
)
from odds_service.config import AccessSettings, ServerSettings
from odds_service.model.change import Change, ChangeKind, Commit, SourceChange
from odds_service.model.market import AtStart, MarketKey, MarketStatus
from odds_service.model.source import SourceState, SourceStatus
from odds_service.serving import stored
from odds_service.storage import open_store
from odds_service.store import HistoryFilter, HistoryPage, LogRows, Retention, Store, WriteGroup
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.support.observations import NOON, Prices, fold, observe, observed_event
from tests.support.odds_builders import (
    EPOCH,
    Bookkeeping,
    Client,
    connected,
    random_observations,
    serving,
)
from tests.support.postgres import PostgresServer, postgres_server


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'odds.db'}"
    server: PostgresServer = request.getfixturevalue("postgres")
    name = f"t{random.randrange(10**9)}"
    server.psql(f"CREATE DATABASE {name}")
    return server.url(name)


@asynccontextmanager
async def kept(
    book: Bookkeeping, url: str, settings: ServerSettings | None = None
) -> AsyncIterator[tuple[Store, str]]:
    """Serve the book with a real store; yield the store and the address."""
    async with open_bridge(), open_store(url, migrate=True) as store:
        await store.begin()
        for first in range(0, len(book.batches), 200):  # one group has a minute in the database
            await store.write(WriteGroup(book.batches[first : first + 200]))
        async with serving(book, store=store, settings=settings) as server:
            yield store, server.address


def booked(seed: int, count: int) -> Bookkeeping:
    book = Bookkeeping()
    for observation in random_observations(random.Random(seed), count):
        book.see(observation)
    return book


def random_filter(rng: random.Random) -> Filter:
    """Return a filter with some fields set."""
    chosen: dict[str, Any] = {}
    if rng.random() < 0.3:
        chosen["event_ids"] = rng.sample(["e0", "e1", "e2", "none"], 2)
    if rng.random() < 0.3:
        chosen["bookmakers"] = [rng.choice(["b1", "b2"])]
    if rng.random() < 0.3:
        chosen["markets"] = [rng.choice(["h2h", "totals", "none"])]
    if rng.random() < 0.2:
        chosen["sources"] = [rng.choice(["toa", "none"])]
    if rng.random() < 0.2:
        chosen["sports"] = [rng.choice(["soccer", "chess"])]
    if rng.random() < 0.3:
        chosen["in_play"] = rng.random() < 0.5
    if rng.random() < 0.3:
        chosen["start_from"] = NOON + timedelta(minutes=rng.randint(-30, 60))
    if rng.random() < 0.3:
        chosen["start_to"] = NOON + timedelta(minutes=rng.randint(61, 120))
    return Filter(**chosen)


def live(client: SyncClient, where: Filter, start: Cursor, head: int) -> list[pb.Change]:
    """Return the changes that the stream sends from memory."""
    found: list[pb.Change] = []
    with client.watch(where, start=start, heartbeat_s=0.5) as watch:
        for message in watch.messages():
            assert isinstance(message, pb.WatchChangesResponse)
            found += message.changes.changes
            if watch.odds.cursor is not None and watch.odds.cursor.revision == head:
                return found
    raise AssertionError("the stream ended early")


@pytest.mark.parametrize("stretch", [100_000, 37])
async def test_history_is_what_the_stream_was_whatever_the_filter(
    url: str, stretch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "PAGE_CHANGES", 23)
    monkeypatch.setattr(stored, "STRETCH_REVISIONS", stretch)
    rng = random.Random(stretch)
    book = booked(5, 60)
    head = book.feed.head_revision
    assert head > 300
    crossings = 0

    def compare(address: str) -> None:
        nonlocal crossings
        with open_sync_client(address) as client:
            for _ in range(15):
                where, start = random_filter(rng), Cursor(EPOCH, rng.randint(0, head - 1))
                expected = live(client, where, start, head)
                pages = client.history_pages(where, start=start)
                found = [change for page in pages for change in page.changes]
                assert found == expected, where
                crossings += sum(change.reason == "left_filter" for change in expected)

    async with kept(book, url) as (_, address):
        await trio.to_thread.run_sync(compare, address)
    assert crossings


async def test_bounds_of_a_span_and_what_is_not_kept_any_more(url: str) -> None:
    book = booked(3, 40)
    head = book.feed.head_revision

    def at(minute: float) -> datetime:
        return NOON + timedelta(minutes=minute)

    async with kept(book, url) as (store, address), open_client(address) as client:

        async def ask(**bounds: Any) -> list[int]:
            return [change.revision async for change in client.history(**bounds)]

        assert await ask() == list(range(1, head + 1))
        bounds = {"start": Cursor(EPOCH, 17), "end": Cursor(EPOCH, 30)}
        assert await ask(**bounds) == list(range(18, 31))
        expected = [c.revision for c in book.log if at(7) <= c.detected_at < at(9)]
        assert expected
        assert await ask(start=at(7), end=at(9)) == expected
        assert await ask(start=at(1_000)) == await ask(end=at(-1)) == []
        assert await ask(start=at(-1_000)) == list(range(1, head + 1))

        await store.retain(Retention(history=timedelta(minutes=25)), at(40))
        floor = await store.oldest_revision() - 1
        if floor == 0:  # PostgreSQL drops whole days
            await store.retain(Retention(history=timedelta(days=1)), at(3 * 24 * 60))
            floor = await store.oldest_revision() - 1
        assert floor > 0
        for asked in (Cursor(EPOCH, floor - 1), at(-1)):
            for call, first in (
                (anext(client.history(start=asked)), floor + 1),  # the first change that is kept
                (client.get_odds(as_of=asked), floor),  # the first odds that can be answered
            ):
                with pytest.raises(ServiceError) as refused:
                    await call
                assert refused.value.code == "OUT_OF_RANGE"
                assert refused.value.metadata["floor"] == str(first)
        assert await ask(start=Cursor(EPOCH, floor)) == list(range(floor + 1, head + 1))
        assert await ask() == list(range(floor + 1, head + 1))
        with pytest.raises(ServiceError, match="not of this log"):
            await anext(client.history(start=Cursor("another", 3)))


async def test_the_odds_as_of_any_place_are_a_fold_of_the_log(url: str) -> None:
    book = booked(11, 40)
    head = book.feed.head_revision
    rng = random.Random(1)
    book.now += timedelta(seconds=1)  # the last stamp's moment is over
    async with kept(book, url) as (store, address), open_client(address) as client:
        for revision in [0, 1, head, *rng.sample(range(2, head), 12)]:
            odds = await client.get_odds(as_of=Cursor(EPOCH, revision))
            assert odds.cursor.revision == revision
            shown = {
                (event_id, *place, key): (
                    market.status,
                    tuple((o.key, o.price, o.active) for o in market.outcomes),
                )
                for event_id, entry in odds.events.items()
                for place, bookmaker in entry.bookmakers.items()
                for key, market in bookmaker.markets.items()
            }
            assert shown == fold(book.log[:revision]), revision
            if revision:
                at = book.log[revision - 1].detected_at
                by_time = await client.get_odds(as_of=at)
                last = max(c.revision for c in book.log if c.detected_at <= at)
                assert by_time.cursor.revision == last
                again = await client.get_odds(as_of=Cursor(EPOCH, last))
                assert by_time.events.keys() == again.events.keys()
        with pytest.raises(ServiceError, match="not committed yet") as ahead:
            await client.get_odds(as_of=Cursor(EPOCH, head + 1))
        assert (ahead.value.code, ahead.value.reason) == ("UNAVAILABLE", "NOT_DURABLE_YET")
        found = book.see(observe([observed_event("late", {})], 60), durable=False)
        late, at = Cursor(EPOCH, book.feed.head_revision), found.changes[-1].detected_at
        book.now = at + timedelta(seconds=1)
        for as_of in (late, at, at + timedelta(milliseconds=500)):
            with pytest.raises(ServiceError, match="committed yet") as refused:
                await client.get_odds(as_of=as_of)
            assert (refused.value.reason, refused.value.passing) == ("NOT_DURABLE_YET", True)
            assert refused.value.retry_after_s
        before = await client.get_odds(as_of=at - timedelta(microseconds=1))
        assert (before.cursor.revision, before.durable_revision) == (head, head)
        await store.write(WriteGroup(book.batches[-1:]))
        book.feed.advance_durable(late.revision)
        for as_of in (late, at, at + timedelta(milliseconds=500)):
            odds = await client.get_odds(as_of=as_of)
            assert odds.cursor == late
            assert "late" in odds.events
        for ahead_s, code in ((0, "UNAVAILABLE"), (1.5, "UNAVAILABLE"), (3, "INVALID_ARGUMENT")):
            with pytest.raises(ServiceError) as future:
                await client.get_odds(as_of=book.now + timedelta(seconds=ahead_s))
            assert future.value.code == code


async def test_odds_as_of_a_time_rest_on_the_sources_of_then(url: str) -> None:
    book = Bookkeeping()
    start = NOON + timedelta(days=1)
    two: dict[MarketKey, Prices] = {H2H: {"home": 2.0, "away": 1.9}}
    book.see(observe([observed_event("e", {"b": two}, start_time=start)], 0))
    last = book.feed.head_revision
    changes: list[Change] = []
    for minute, status in ((1, SourceStatus.UP), (10, SourceStatus.DOWN)):
        at = NOON + timedelta(minutes=minute)
        state = SourceState(
            source="toa", interval_s=60.0, status=status, reason="", last_success_at=at
        )
        kind = ChangeKind.SOURCE_UP if status is SourceStatus.UP else ChangeKind.SOURCE_DOWN
        changes.append(SourceChange(last + len(changes) + 1, kind, "", "toa", at, at, None, state))
    book.batches += [Commit([change]) for change in changes]
    # This service does not have the source in its settings, and nothing asks for it any more.
    served = Bookkeeping(sources=(), revision=changes[-1].revision)
    served.batches, served.now = book.batches, NOON + timedelta(days=200)
    async with kept(served, url) as (_, address), open_client(address) as client:
        for minute, status, stale in (
            (1, SourceStatus.UP, False),
            (2, SourceStatus.UP, False),
            (4, SourceStatus.UP, True),  # four intervals after the last look
            (10, SourceStatus.DOWN, True),
        ):
            odds = await client.get_odds(as_of=NOON + timedelta(minutes=minute))
            assert odds.sources["toa"].status is status
            (shown,) = odds.events["e"].bookmakers.values()
            assert (minute, shown.stale) == (minute, stale)


async def test_a_change_that_was_refused_is_told_in_its_place() -> None:
    book = booked(3, 20)
    book.refused = {1, 9, 10, book.feed.head_revision}
    async with serving(book) as server, open_client(server.address) as client:
        found = [change async for change in client.history(Filter(markets=["h2h"]))]
    assert [c.revision for c in found if isinstance(c, UnknownChange)] == sorted(book.refused)
    assert [c.revision for c in found] == sorted(c.revision for c in found)
    assert len(found) > len(book.refused)


H2H, TOTALS = MarketKey("h2h"), MarketKey("totals", "2.5")


async def test_closing_odds_are_the_last_open_ones_before_the_start(url: str) -> None:
    book = Bookkeeping()
    start = NOON + timedelta(minutes=10)

    def show(minute: float, offer: dict[str, dict[MarketKey, Prices]]) -> None:
        later = observed_event("later", offer, start_time=NOON + timedelta(days=1))
        book.see(observe([observed_event("e", offer, start_time=start), later], minute))

    show(0, {"b1": {H2H: {"home": 2.0, "away": 1.9}}, "b2": {TOTALS: {"over": 1.5, "under": 2.5}}})
    show(8, {"b1": {H2H: {"home": 2.1, "away": 1.8}}, "b2": {TOTALS: {"over": 1.6, "under": 2.3}}})
    show(9, {"b1": {H2H: {"home": 2.1, "away": 1.8}}, "b2": {TOTALS: {"over": None}}})
    show(11, {"b1": {H2H: {"home": 9.0, "away": 1.1}}})
    book.now = NOON + timedelta(hours=1)
    async with kept(book, url) as (_, address), open_client(address) as client:
        (closed,) = await client.closing_odds()
        (only,) = await client.closing_odds(Filter(bookmakers=["b2"], sports=["soccer"]))
        nobody = Filter(start_to=start), Filter(event_ids=["later"]), Filter(sports=["chess"])
        assert [await client.closing_odds(where) for where in nobody] == [[], [], []]
    assert closed.event.id == "e"
    first, second = closed.odds
    assert (first.bookmaker, first.market.key, first.market.outcomes[0].price) == ("b1", H2H, 2.1)
    assert (second.bookmaker, second.market.outcomes[0].price) == ("b2", 1.6)
    assert first.market.status is second.market.status is MarketStatus.OPEN
    assert (first.offered, second.offered) == (True, False)
    assert (first.at_start, second.at_start) == (AtStart.OFFERED, AtStart.NOT_OFFERED)
    assert (first.looked_at, second.looked_at) == (first.confirmed_at, start - timedelta(minutes=1))
    assert first.opening is not None
    assert first.opening.outcomes[0].price == 2.0
    assert first.opening.changed_at == NOON
    assert first.age_s <= 120
    assert second.age_s == 120
    assert second.confirmed_at == NOON + timedelta(minutes=8)
    assert only.odds == (second,)


async def test_closing_odds_and_history_of_a_restricted_token(url: str) -> None:
    book = Bookkeeping(sources=("ours", "hidden"))
    start = NOON + timedelta(minutes=10)
    offer: dict[str, dict[MarketKey, Prices]] = {
        name: {H2H: {"home": 2.0, "away": 1.9}} for name in ("b1", "b2")
    }
    both = observed_event("e", offer, start_time=start)
    alone = observed_event("theirs", offer, start_time=start)
    book.see(observe([both], 0, source="ours"))
    book.see(observe([both, alone], 1, source="hidden"))
    book.now = NOON + timedelta(hours=1)
    token = "token-of-a-restricted-caller"
    entry = AccessSettings(name="ours", token=SecretStr(token), sources=["ours"], bookmakers=["b1"])
    settings = ServerSettings(listen="127.0.0.1:0", access=[entry])
    async with kept(book, url, settings) as (_, address):
        with connected(address, authorization=f"Bearer {token}") as client:
            closed, pages = [
                await all_of(client, name, request)
                for name, request in (
                    ("GetClosingOdds", pb.GetClosingOddsRequest()),
                    ("GetHistory", pb.GetHistoryRequest()),
                )
            ]
    (event,) = [event for page in closed for event in page.events]
    assert event.event.id == "e"
    assert [(each.source, each.bookmaker) for each in event.odds] == [("ours", "b1")]
    changes = [change for page in pages for change in page.changes]
    assert [(each.event_id, each.bookmaker) for each in changes] == [("e", ""), ("e", "b1")]
    for hidden in ('"hidden"', '"b2"', '"theirs"'):
        assert hidden not in f"{closed} {pages}"


async def all_of(client: Client, name: str, request: Message) -> list[Any]:
    """Return the messages of a server stream."""
    messages: list[Any] = []
    with client.stream(name, request) as stream, suppress(EOFError):
        while True:
            messages.append(await stream.next())
    return messages


async def test_closing_odds_of_many_events_come_in_pages(tmp_path: Path) -> None:
    book = Bookkeeping()
    offer = {f"b{n}": {MarketKey("totals", str(line)): {"over": 2.0, "under": 1.8}
             for line in range(60)} for n in range(40)}  # fmt: skip
    small = {"b": {H2H: {"home": 2.0, "away": 1.9}}}
    events = [observed_event(f"e{n:03}", small, start_time=NOON + timedelta(minutes=1))
              for n in range(230)]  # fmt: skip
    large = observed_event("large", offer, start_time=NOON + timedelta(minutes=2))
    book.see(observe([*events, large], 0))
    book.now = NOON + timedelta(hours=1)
    async with kept(book, f"sqlite:///{tmp_path / 'odds.db'}") as (_, address):
        async with open_client(address) as client:
            closed = await client.closing_odds()
    assert [each.event.id for each in closed] == [*(f"e{n:03}" for n in range(230)), "large"]
    assert len(closed[-1].odds) == 40 * 60


class Counted:
    """A store that counts the pages read from it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.pages = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def history(self, after: int, upto: int, limit: int) -> Any:
        return await self._store.history(after, upto, limit)

    async def oldest_revision(self) -> int:
        return await self._store.oldest_revision()

    async def history_page(
        self, after: int, upto: int, limit: int, only: HistoryFilter = HistoryFilter()
    ) -> HistoryPage:
        self.pages += 1
        return await self._store.history_page(after, upto, limit, only)

    async def log_rows(
        self, after: int, upto: int, limit: int, only: HistoryFilter = HistoryFilter()
    ) -> LogRows:
        self.pages += 1
        return await self._store.log_rows(after, upto, limit, only)


@pytest.mark.parametrize(
    "rows", [150_000, pytest.param(3_000_000, marks=pytest.mark.long)]
)  # fmt: skip
async def test_a_long_history_is_never_held_as_a_whole(tmp_path: Path, rows: int) -> None:
    """The limit is below the 150 MiB that 150,000 changes take as objects."""
    book = Bookkeeping()
    for minute in range(2):
        offer = {"b1": {H2H: {"home": 2.0 + minute, "away": 1.9}}}
        book.see(observe([observed_event("e", offer)], minute))
    url = f"sqlite:///{tmp_path / 'odds.db'}"
    async with open_bridge(), open_store(url) as store:
        await store.begin()
        await store.write(WriteGroup(book.batches))
        first = book.feed.head_revision
        multiply(tmp_path / "odds.db", first, rows)
        counted = Counted(store)
        async with serving(Bookkeeping(revision=first + rows), store=counted) as server:
            seen, at_stall, grown = await trio.to_thread.run_sync(
                read_slowly, server.address, counted
            )
    assert seen == first + rows
    assert counted.pages >= rows // stored.PAGE_CHANGES
    # While the reader stood still, the server read only what fits on the way to it.
    assert at_stall < 100
    assert grown < 96 * 2**20


COPIES = """
    WITH RECURSIVE n(k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM n WHERE k < :rows)
    INSERT INTO odds_history
    SELECT revision + k, detected_at + k, kind, reason, event_id, source, bookmaker, market, line,
      participant, status, snapshot_id, observed_at, before, after, other_line, ended, wall_at
    FROM odds_history, n WHERE revision = :revision
"""


def multiply(path: Path, revision: int, rows: int) -> None:
    """Append copies of a stored change, as after months of service."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(COPIES, {"rows": rows, "revision": revision})
        connection.execute("UPDATE feed_state SET durable_revision = ?", [revision + rows])


def read_slowly(address: str, counted: Counted) -> tuple[int, int, int]:
    """Read the whole history, with a stall after the first page.

    Returns:
        The number of changes, the pages that the server had read at the end of the stall, and the
        growth of the process in bytes.
    """
    memory = psutil.Process().memory_info
    before = peak = memory().rss
    seen = at_stall = 0
    with open_sync_client(address) as client:
        for page in client.history_pages():
            if not seen:
                at_stall = settled(counted)
            seen += len(page.changes)
            peak = max(peak, memory().rss)
    return seen, at_stall, peak - before


def settled(counted: Counted) -> int:
    """Return the number of pages read once the server has read none for a second."""
    pages, since = counted.pages, time.monotonic()
    while time.monotonic() - since < 1.0:
        if counted.pages != pages:
            pages, since = counted.pages, time.monotonic()
        time.sleep(0.05)
    return pages
