"""A cache and a feed that take small observations, and a gRPC server over them."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import grpc
import pytest
import trio
from google.protobuf.message import Message

from odds_service.bridge import TrioGate
from odds_service.cache import OddsCache
from odds_service.config import HttpSettings, ServerSettings
from odds_service.detection.numbering import Numbered
from odds_service.errors import BelowFloor
from odds_service.feed import RING_CHANGES, ChangeFeed
from odds_service.http.door import open_http
from odds_service.model.change import (
    Change,
    Commit,
    MarketChange,
    SourceChange,
)
from odds_service.model.fold import OddsState, backwards
from odds_service.model.market import MarketKey
from odds_service.model.market_types import MarketType
from odds_service.model.observation import Observation
from odds_service.model.refresh import RefreshOutcome
from odds_service.model.snapshot import EventOdds
from odds_service.model.source import SourceState, SourceStatus
from odds_service.rpc.server import GrpcDoor
from odds_service.serving.parts import History, ServingParts
from odds_service.serving.server import Opens, Server, serve
from odds_service.status import IDLE_WRITER, ServiceStatus, UnmappedReport
from odds_service.store import HistoryFilter, HistoryPage
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from odds_service.wire.pb.odds.v1 import odds_pb2_grpc as pb_grpc
from tests.support.observations import NOON, Prices, detect, observe, observed_event

EPOCH = "e1"
EVERYTHING = HistoryFilter()
# Without it, channels to one address share a connection.
_OWN_CONNECTION = [("grpc.use_local_subchannel_pool", 1)]


class Past(NamedTuple):
    """Like storage.PastOdds."""

    revision: int
    at: datetime | None
    events: list[EventOdds]
    unstored: int = 0


class Bookkeeping:
    """Detection without a pipeline: it applies observations and keeps the whole log.

    It is the server's store too. `stored_from` is the oldest revision that it still returns, and
    `refused` holds the revisions that a database would have refused; `unknown` is the number of
    later changes that past odds miss.
    """

    def __init__(
        self,
        *,
        capacity: int = RING_CHANGES,
        sources: Sequence[str] = ("toa",),
        keeps_past: bool = False,
        revision: int = 0,
    ) -> None:
        self.keeps_past = keeps_past
        self.feed = ChangeFeed(EPOCH, revision, capacity=capacity)
        self.cache = OddsCache(
            self.feed,
            sources=[
                SourceState(
                    source=name,
                    interval_s=60.0,
                    status=SourceStatus.UP,
                    announced=SourceStatus.UP,
                    last_success_at=NOON,
                )
                for name in sources
            ],
        )
        self.log: list[Change] = []
        self.batches: list[Commit] = []
        self.now = NOON
        self.stored_from = 1
        self.refused: set[int] = set()
        self.unknown = 0
        self.reads = 0
        self.replaced: dict[int, int] = {}
        self.noted: dict[int, dict[str, EventOdds]] = {}
        self.market_types: Sequence[MarketType] = ()
        self.unmapped: Sequence[UnmappedReport] = ()

    def see(
        self,
        observation: Observation,
        *,
        durable: bool = True,
        detected_at: datetime | None = None,
    ) -> Numbered:
        """Apply, publish and (if `durable`) store an observation, detected at once by default."""
        found = detect(
            self.cache.events,
            observation,
            first_revision=self.feed.head_revision + 1,
            detected_at=detected_at,
        )
        self.now = max(self.now, observation.observed_at, found.detected_at)
        batch = (
            Commit(found.changes, found.snapshots, replaced=found.replaced)
            if found.changes
            else None
        )
        self.log += found.changes
        if found.changes:
            self.batches.append(
                Commit(found.changes, found.snapshots, found.event_sources, found.replaced)
            )
            self.replaced |= found.replaced
        self.cache.swap(found.entries, {}, batch, found.detected_at)
        if durable:
            self.feed.advance_durable(self.feed.head_revision)
        if self.keeps_past:
            self.noted[self.feed.head_revision] = dict(self.cache.events)
        return found

    async def history(self, after: int, upto: int, limit: int) -> list[Change]:
        """Like storage.Store."""
        await trio.lowlevel.checkpoint()
        self.reads += 1
        after = max(after, self.stored_from - 1)
        return [c for c in self.log[after:upto] if c.revision not in self.refused][:limit]

    async def history_page(
        self, after: int, upto: int, limit: int, only: HistoryFilter = EVERYTHING
    ) -> HistoryPage:
        """Like storage.Store."""
        await trio.lowlevel.checkpoint()
        self.reads += 1
        found = [
            change
            for change in self.log[max(after, self.stored_from - 1) : upto]
            if change.revision in self.refused or _passes(only, change)
        ][:limit]
        return HistoryPage(
            [change for change in found if change.revision not in self.refused],
            found[-1].revision if len(found) == limit else upto,
            [change.revision for change in found if change.revision in self.refused],
        )

    async def oldest_revision(self) -> int:
        """Like storage.Store."""
        await trio.lowlevel.checkpoint()
        return self.stored_from

    async def revision_at(self, at: datetime) -> int:
        """Like storage.Store."""
        await trio.lowlevel.checkpoint()
        if self.stored_from > 1 and at < self.log[self.stored_from - 1].detected_at:
            raise BelowFloor(self.stored_from)
        return max((change.revision for change in self.log if change.detected_at <= at), default=0)

    async def odds_at(
        self, revision: int, event_ids: Sequence[str] = (), at: datetime | None = None
    ) -> Past:
        """Like storage.Store, by undoing changes from the next head whose odds were noted."""
        await trio.lowlevel.checkpoint()
        head = min((noted for noted in self.noted if noted >= revision), default=None)
        if head is None or revision < self.stored_from - 1:
            raise BelowFloor(self.stored_from - 1)
        state = OddsState(self.noted[head])
        if head > revision:
            later = Commit(self.log[revision:head], replaced=self.replaced)
            state = backwards(state, later)
        entries = state.events.values()
        chosen = [each for each in entries if not event_ids or each.event.id in event_ids]
        then = self.log[revision - 1].detected_at if revision else None
        return Past(revision, at or then, chosen, self.unknown)

    async def sources_at(self, _revision: int, _at: datetime) -> list[SourceState]:
        """Like storage.Store, for sources that never change."""
        await trio.lowlevel.checkpoint()
        return list(self.cache.view(()).sources.values())

    def status(self) -> ServiceStatus:
        """Like reporting.service_status; call it in Trio's thread only."""
        trio.lowlevel.current_task()
        cut = self.cache.view()
        return ServiceStatus(
            version="0",
            started_at=NOON,
            now=self.now,
            sources=[],
            channels=[],
            writer=IDLE_WRITER,
            events=len(cut.events),
            markets=0,
        )


def _passes(only: HistoryFilter, change: Change) -> bool:
    if isinstance(change, SourceChange):
        return not only.sources or change.source in only.sources
    if only.event_ids and change.event_id not in only.event_ids:
        return False
    if not isinstance(change, MarketChange):
        return True
    if not only.of_markets or (only.sources and change.source not in only.sources):
        return False
    return (not only.bookmakers or change.bookmaker in only.bookmakers) and (
        not only.markets or change.after.key.market in only.markets
    )


@asynccontextmanager
async def serving(
    book: Bookkeeping,
    *,
    stored: bool = True,
    settings: ServerSettings | None = None,
    store: History | None = None,
    refresh: Callable[[str, float], Awaitable[RefreshOutcome]] | None = None,
    http: HttpSettings | None = None,
) -> AsyncIterator[Server]:
    """Serve the book on a free port; stop the server in order at the end.

    Args:
        book: The cache and feed to serve, and the store unless one is given.
        stored: Whether the server has a store at all.
        settings: The server's settings; by default any free port of loopback.
        store: A real store, in place of the book.
        refresh: The function behind RefreshEvent, if there is one.
        http: The settings of an HTTP door beside the gRPC door; its address is the second.
    """
    async with trio.open_nursery() as nursery:
        parts = ServingParts(
            cache=book.cache,
            feed=book.feed,
            gate=TrioGate(nursery),
            settings=settings or ServerSettings(listen="127.0.0.1:0"),
            status=book.status,
            refresh=refresh,
            store=(store or book) if stored else None,
            now=lambda: book.now,
            market_types=book.market_types,
            unmapped=lambda: book.unmapped,
        )
        opens: list[Opens] = [GrpcDoor] if http is None else [GrpcDoor, open_http(http)]
        server = await nursery.start(serve, parts, opens)
        assert isinstance(server, Server)
        await server.set_serving(True)
        yield server
        await server.stop(2.0)


def random_observations(rng: random.Random, count: int) -> Iterator[Observation]:
    """Yield polls a minute apart, with any change that a payload can show.

    Events come, move, start, vanish and come back; bookmakers and lines come and go; prices move
    and are suspended.
    """
    start_minutes = {f"e{n}": rng.choice([-30, 5, 20, 60, 600]) for n in range(4)}
    for minute in range(count):
        shown = []
        for event_id in rng.sample(sorted(start_minutes), rng.randint(1, len(start_minutes))):
            if rng.random() < 0.2:
                start_minutes[event_id] += rng.choice([-40, -10, 10, 40])
            shown.append(
                observed_event(
                    event_id,
                    _random_bookmakers(rng),
                    start_time=NOON + timedelta(minutes=start_minutes[event_id]),
                )
            )
        yield observe(shown, minute)


def _random_bookmakers(rng: random.Random) -> dict[str, dict[MarketKey, Prices]]:
    bookmakers: dict[str, dict[MarketKey, Prices]] = {}
    for name in rng.sample(["b1", "b2"], rng.randint(1, 2)):
        markets: dict[MarketKey, Prices] = {}
        if rng.random() < 0.9:
            prices = rng.choice([(1.5, 2.5), (1.6, 2.4), (1.7, 2.2)])
            markets[MarketKey("h2h")] = dict(zip(("home", "away"), prices, strict=True))
        for line in rng.sample(["1.5", "2.5", "3.5"], rng.randint(0, 2)):
            price = rng.choice([1.8, 1.9, None])
            markets[MarketKey("totals", line)] = {"over": price, "under": price}
        bookmakers[name] = markets
    return bookmakers


class Client:
    """A synchronous client whose calls run in threads, beside the test's own Trio tasks."""

    def __init__(self, channel: grpc.Channel, metadata: Sequence[tuple[str, str]] = ()) -> None:
        self.channel = channel
        self.stub = pb_grpc.OddsServiceStub(channel)
        self._metadata = metadata

    async def call(self, name: str, request: Message, timeout_s: float = 20.0) -> Any:
        """Make a unary call and return its reply. Raises grpc.RpcError."""
        method = getattr(self.stub, name)
        return await trio.to_thread.run_sync(
            lambda: method(request, timeout=timeout_s, metadata=self._metadata)
        )

    @contextmanager
    def stream(self, name: str, request: Message) -> Iterator["Stream"]:
        """Open a server stream; cancel it at the end."""
        call = getattr(self.stub, name)(request, metadata=self._metadata)
        try:
            yield Stream(call)
        finally:
            call.cancel()

    def watch(self, **fields: Any) -> AbstractContextManager["Stream"]:
        return self.stream("WatchChanges", pb.WatchChangesRequest(**fields))


async def refusal(client: Client, name: str, request: Message) -> grpc.RpcError:
    """Return the error of a call that must fail."""
    with pytest.raises(grpc.RpcError) as refused:
        await client.call(name, request)
    return refused.value


class Stream:
    """A server stream, read one message at a time."""

    def __init__(self, call: Any) -> None:
        self._call = call

    async def next(self, within_s: float = 20.0) -> Any:
        """Return the next message. Raises grpc.RpcError, and EOFError at the end of the stream."""

        def read() -> Any:
            return next(self._call, None)

        with trio.fail_after(within_s):
            message = await trio.to_thread.run_sync(read, abandon_on_cancel=True)
        if message is None:
            raise EOFError
        return message

    async def until(self, kind: str) -> list[pb.WatchChangesResponse]:
        """Return the messages up to the first of a kind, that one included."""
        messages: list[pb.WatchChangesResponse] = []
        while not messages or messages[-1].WhichOneof("message") != kind:
            messages.append(await self.next())
        return messages

    async def error(self) -> grpc.RpcError:
        """Read to the end of the stream, and return the error that ends it."""
        try:
            while True:
                await self.next()
        except grpc.RpcError as error:
            return error


@contextmanager
def connected(address: str, **metadata: str) -> Iterator[Client]:
    """Yield a client with a connection of its own."""
    with grpc.insecure_channel(address, _OWN_CONNECTION) as channel:
        yield Client(channel, tuple(metadata.items()))


def changes_of(messages: Iterable[pb.WatchChangesResponse]) -> list[pb.Change]:
    return [change for message in messages for change in message.changes.changes]


def assert_unbroken(messages: Sequence[pb.WatchChangesResponse]) -> None:
    """Assert that each message names the revision of the one before, so that none is missing."""
    held: int | None = None
    for message in messages:
        kind = message.WhichOneof("message")
        assert kind is not None
        body = getattr(message, kind)
        if held is not None:
            assert body.prev_revision == held
        held = body.cursor.revision
