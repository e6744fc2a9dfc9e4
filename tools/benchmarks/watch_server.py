"""The server of the benchmark `watch`, in a process of its own: ours, or a bare feed.

`python -m tools.benchmarks.watch_server ours|bare CAPACITY` prints `{"address": …}`, then takes
commands as lines of JSON and answers each with one. Both publish the same changes at the same pace.
"""

import asyncio
import contextlib
import os
import resource
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Final, Protocol

import grpc
import msgspec
import trio
from msgspec.structs import replace

from odds_service.bridge import TrioGate
from odds_service.cache import OddsCache
from odds_service.feed import RING_CHANGES, ChangeFeed
from odds_service.logs import configure_logs
from odds_service.loop_thread import SWITCH_INTERVAL_S
from odds_service.model.change import Change, ChangeKind, Commit, MarketChange, Timing
from odds_service.model.event import Event
from odds_service.model.market import Market, MarketKey, Markets, MarketStatus, Outcome
from odds_service.model.snapshot import BookmakerOdds, EventOdds, EventSource
from odds_service.model.source import SourceState, SourceStatus
from odds_service.rpc.server import GrpcDoor, channel_options
from odds_service.serving.parts import ServingParts
from odds_service.serving.server import Door, Room, serve
from odds_service.status import ServiceStatus
from odds_service.wire.encode import change_wire
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from odds_service.wire.wire_fields import bytes_tag, varint
from tools.benchmarks.processes import tell
from tools.benchmarks.watch_wire import BOOKMAKERS, EPOCH, SETTINGS, Do, Done

EVENTS: Final = 20
LINES: Final = 4  # markets of a bookmaker
MOST_JOINED: Final = 64  # batches in one message of the bare feed, as ours reads
_KEPT: Final = 20_000  # pieces for streams that are behind
_NOON: Final = datetime(2026, 8, 4, 12, tzinfo=UTC)
_OUTCOMES: Final = (Outcome("over", "Over", 1.9, True),)  # one-sided: a change of some 160 bytes
_CHANGES: Final = bytes_tag(pb.WatchChangesResponse.CHANGES_FIELD_NUMBER)


class Odds:
    """A few events whose prices move in turn.

    Args:
        events: Their present odds, if they were stored; else they are made.
    """

    def __init__(self, events: Iterable[EventOdds] | None = None) -> None:
        made = made_events() if events is None else events
        self.entries = {event.event.id: event for event in made}
        self._turn = 0

    def move(self, count: int, first_revision: int) -> tuple[dict[str, EventOdds], list[Change]]:
        """Return the next changes, stamped with the present time, and the resulting entries."""
        now = datetime.now(UTC)
        changes: list[Change] = []
        touched: dict[str, EventOdds] = {}
        for revision in range(first_revision, first_revision + count):
            turn, self._turn = self._turn, self._turn + 1
            event_id = f"sim:{turn % EVENTS:06}"
            entry = self.entries[event_id]
            bookmaker = BOOKMAKERS[turn // EVENTS % len(BOOKMAKERS)]
            odds = entry.bookmakers["sim", bookmaker]
            key = list(odds.markets)[turn // 7 % LINES]
            before = odds.markets[key]
            after = Market(
                key,
                MarketStatus.OPEN,
                tuple(replace(each, price=1.5 + turn % 89 / 100) for each in before.outcomes),
                revision,
                now,
            )
            markets = Markets(odds.markets)
            markets[key] = after
            bookmakers = dict(entry.bookmakers)
            bookmakers["sim", bookmaker] = replace(
                odds,
                snapshot_id=revision,
                markets=markets,
                observed_at=now,
                confirmed_at=now,
            )
            touched[event_id] = self.entries[event_id] = replace(entry, bookmakers=bookmakers)
            changes.append(
                MarketChange(
                    revision, ChangeKind.PRICES, "", event_id, "sim", bookmaker, revision, now, now,
                    before, after,
                )
            )  # fmt: skip
        return touched, changes


def made_events() -> Iterable[EventOdds]:
    """Yield the events of the benchmark with all their odds."""
    for number in range(EVENTS):
        event = Event(
            id=f"sim:{number:06}", sport="soccer", competition="soccer_epl",
            home=f"Home {number}", away=f"Away {number}", start_time=_NOON + timedelta(days=900),
            source_ids={"sim": str(number)},
        )  # fmt: skip
        bookmakers = {}
        for bookmaker in BOOKMAKERS:
            markets = Markets()
            for line in range(LINES):
                key = MarketKey("totals", f"{line}.5")
                outcomes = (
                    Outcome("over", "Over", 1.9, True),
                    Outcome("under", "Under", 1.9, True),
                )
                markets[key] = Market(key, MarketStatus.OPEN, outcomes, 1, _NOON)
            odds = BookmakerOdds(0, event.id, "sim", bookmaker, _NOON, _NOON, None, markets)
            bookmakers["sim", bookmaker] = odds
        carried = {"sim": EventSource("sim", str(number), "soccer_epl", None, tier="all")}
        yield EventOdds(event, carried, bookmakers)


class Served(Protocol):
    """A server that publishes changes and counts its subscribers."""

    address: str

    def publish(self, count: int) -> None: ...
    def subscribers(self) -> int: ...
    def head(self) -> int: ...


class Ours:
    """The service's cache, feed and doors alone. `addresses` has one of each door."""

    def __init__(
        self, capacity: int = RING_CHANGES, doors: Sequence[Callable[[Room], Door]] = (GrpcDoor,)
    ) -> None:
        self._doors = doors
        self.odds = Odds()
        self.feed = ChangeFeed(EPOCH, 1, capacity=capacity)
        up = SourceState(
            source="sim", interval_s=1e6, status=SourceStatus.UP, announced=SourceStatus.UP,
            last_success_at=datetime.now(UTC),
        )  # fmt: skip
        self.cache = OddsCache(self.feed, events=self.odds.entries.values(), sources=[up])
        self.address = ""
        self.addresses: list[str] = []

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with trio.open_nursery() as nursery:
            parts = ServingParts(
                cache=self.cache, feed=self.feed, gate=TrioGate(nursery), settings=SETTINGS,
                status=_no_status,
            )  # fmt: skip
            self._server = await nursery.start(serve, parts, self._doors)
            await self._server.set_serving(True)
            self.address = self._server.address
            self.addresses = list(self._server.addresses)
            yield
            await self._server.stop(1.0)

    def publish(self, count: int) -> None:
        entries, changes = self.odds.move(count, self.feed.head_revision + 1)
        now_s = time.monotonic()
        commit = Commit(changes, timing=Timing("sim", "all", now_s, now_s))
        self.cache.swap(entries, {}, commit, changes[-1].detected_at)
        self.feed.advance_durable(self.feed.head_revision)

    def subscribers(self) -> int:
        return int(self._server.subscribers)

    def head(self) -> int:
        return self.feed.head_revision


def _no_status() -> ServiceStatus:
    raise NotImplementedError


class BareFeed(ABC):
    """A feed of ready pieces in a thread of its own, which wakes each stream once a piece.

    Attributes:
        address: Where it serves, once it runs.
    """

    def __init__(self) -> None:
        self.odds = Odds()
        self.address = ""
        self._head = 1
        self._pieces: deque[bytes] = deque(maxlen=_KEPT)
        self._made = 0
        self._subscribers = 0
        self._ready = threading.Event()
        self._waiting: set[asyncio.Future[None]] = set()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        thread = threading.Thread(target=self._serve, daemon=True)
        thread.start()
        await trio.to_thread.run_sync(self._ready.wait)
        yield

    def _serve(self) -> None:
        self._loop = loop = asyncio.SelectorEventLoop()
        asyncio.set_event_loop(loop)
        loop.run_until_complete(self._main())

    @abstractmethod
    async def _main(self) -> None:
        """Serve for ever; set `address`, then `_ready`."""

    @abstractmethod
    def publish(self, count: int) -> None:
        """Publish so many changes in one piece."""

    def _publish(self, piece: bytes) -> None:
        self._loop.call_soon_threadsafe(self._wake, piece)

    def _wake(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._made += 1
        waiting, self._waiting = self._waiting, set()
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def _next(self) -> "asyncio.Future[None]":
        """Return what is done with the next piece."""
        future = self._loop.create_future()
        self._waiting.add(future)
        return future

    def subscribers(self) -> int:
        return self._subscribers

    def head(self) -> int:
        return self._head


class Bare(BareFeed):
    """The ceiling: a deque of encoded batches, a cursor per subscriber, one wake-up a batch."""

    def __init__(self) -> None:
        super().__init__()
        self._joined: tuple[int, int, bytes] = (0, 0, b"")

    async def _main(self) -> None:
        handler = grpc.unary_stream_rpc_method_handler(self._watch)
        server = grpc.aio.server(options=channel_options(SETTINGS))
        server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler("odds.v1.OddsService", {"WatchChanges": handler})]
        )
        self.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        await server.start()
        self._ready.set()
        await server.wait_for_termination()

    async def _watch(self, _request: bytes, context: Any) -> None:
        self._subscribers += 1
        try:
            opened = pb.WatchChangesResponse(opened=pb.Opened(cursor=pb.Cursor(epoch=EPOCH)))
            await context.write(opened.SerializeToString())
            cursor = self._made
            while True:
                while cursor < self._made:
                    upto = min(self._made, cursor + MOST_JOINED)
                    message = self._message(cursor, upto)
                    cursor = upto
                    await context.write(message)
                await self._next()
        finally:
            self._subscribers -= 1

    def _message(self, cursor: int, upto: int) -> bytes:
        """Return the batches after a cursor, joined once for all subscribers at that cursor."""
        if self._joined[:2] != (cursor, upto):
            first = len(self._pieces) - (self._made - cursor)
            some = islice(self._pieces, first, first + upto - cursor)
            body = b"".join(some)
            self._joined = cursor, upto, _CHANGES + varint(len(body)) + body
        return self._joined[2]

    def publish(self, count: int) -> None:
        _entries, changes = self.odds.move(count, self._head + 1)
        self._head += count
        # Encoded messages may be joined: of a repeated field, the last value wins.
        tail = pb.Changes(
            cursor=pb.Cursor(epoch=EPOCH, revision=self._head), durable_revision=self._head
        ).SerializeToString()
        batch = b"".join([*map(change_wire, changes), tail])
        self._publish(batch)


def cpu_s() -> float:
    """Return the CPU time of this process in seconds."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def rss_bytes() -> int:
    """Return the resident memory of this process in bytes."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def obey(served: Served) -> None:
    """Take commands from stdin until it ends."""
    stop = threading.Event()
    publisher: threading.Thread | None = None
    for line in iter(sys.stdin.readline, ""):
        do = msgspec.json.decode(line, type=Do)
        if do.publish:
            stop.clear()
            interval_s = do.batch / do.publish
            publisher = threading.Thread(target=_publish, args=(served, do.batch, interval_s, stop))
            publisher.start()
        if do.burst:
            served.publish(do.burst)
        if do.stop and publisher is not None:
            stop.set()
            publisher.join()
        done = Done(
            subscribers=served.subscribers(), head=served.head(), cpu_s=cpu_s(), rss=rss_bytes()
        )  # fmt: skip
        tell(done)


def _publish(served: Served, batch: int, interval_s: float, stop: threading.Event) -> None:
    """Publish at a constant pace; a late batch does not delay the next."""
    at = time.monotonic()
    while not stop.is_set():
        served.publish(batch)
        at += interval_s
        if (left_s := at - time.monotonic()) > 0:
            stop.wait(left_s)


async def main(kind: str, capacity: int) -> None:
    """Serve until stdin ends."""
    served = Ours(capacity) if kind == "ours" else Bare()
    async with served.running():
        tell({"address": served.address})
        await trio.to_thread.run_sync(obey, served)
    os._exit(0)  # the bare feed's thread has no end


if __name__ == "__main__":
    configure_logs("warning", "auto")
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    trio.run(main, sys.argv[1], int(sys.argv[2]))
