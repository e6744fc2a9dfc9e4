"""A whole service in a thread, fed with bodies one by one, and clients that can be cut.

The bookmaker holds each request until the test gives it a body, so the test knows the order of the
bodies and an oracle can follow it. A restart keeps the database, or puts back an older copy of it,
as after a crash that lost the tail.
"""

import gc
import shutil
import sqlite3
import threading
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import trio
from google.protobuf.duration_pb2 import Duration
from starlette.requests import Request
from starlette.responses import Response

from odds_service.client import OddsMap, Step
from odds_service.client.requests import cursor_message
from odds_service.client.values import Changes, Heartbeat, ImageLoaded, Lagged, Opened
from odds_service.config import Settings
from odds_service.errors import StorageUnavailable
from odds_service.model.cursor import Cursor
from odds_service.service import Running, run_service
from odds_service.store import Retention
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from odds_service.wire.pb.odds.v1 import odds_pb2_grpc as pb_grpc
from tests.support.offer import SPORT
from tests.support.oracle import Identity
from tests.support.serving import settings_for
from tests.support.sites import serve_site
from tests.support.watching import odds_in, place_of, shown

WAIT_S = 60.0
HEARTBEAT = Duration(nanos=50_000_000)
SOURCE = "the-odds-api"
# A connection of its own that hardly reads ahead, so that the server soon notices a stalled reader.
CHANNEL = [
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.http2.lookahead_bytes", 1_024),
    ("grpc.http2.bdp_probe", 0),
]

Plain = dict[Identity, tuple[tuple[str, float | None], ...]]


def wait_for(
    condition: Callable[[], bool], what: str, instead: Callable[[], object] = lambda: ""
) -> None:
    until = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < until, f"not within {WAIT_S} s: {what} {instead()}"
        time.sleep(0.002)


class _Held:
    """A request that waits for its answer."""

    def __init__(self) -> None:
        self.answered = trio.Event()
        self.body: bytes | None = None


class Bookmaker:
    """A site that answers each request for odds with the next given body; for the Trio thread."""

    def __init__(self) -> None:
        self._held: deque[_Held] = deque()
        self._came = trio.Event()

    async def __call__(self, request: Request) -> Response:
        if request.url.path != f"/v4/sports/{SPORT}/odds":
            return Response(status_code=404)
        held = _Held()
        self._held.append(held)
        self._came.set()
        await held.answered.wait()
        return Response(status_code=503) if held.body is None else Response(held.body)

    async def give(self, body: bytes) -> None:
        while not self._held:
            self._came = trio.Event()
            await self._came.wait()
        held = self._held.popleft()
        held.body = body
        held.answered.set()

    def forget(self) -> None:
        """Answer all held requests with 503: their client, a stopped service, is gone."""
        while self._held:
            self._held.popleft().answered.set()


class Rig:
    """The bookmaker and the service, driven from the test's thread."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ready = threading.Event()
        self._thread = threading.Thread(target=trio.run, args=(self._main,), name="rig")
        self._thread.start()
        assert self._ready.wait(WAIT_S)
        self.start()

    @property
    def database(self) -> Path:
        return self.folder / "odds.db"

    async def _main(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._end = trio.Event()
        self._bookmaker = Bookmaker()
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            port = await nursery.start(serve_site, self._bookmaker)
            self._settings: Settings = settings_for(
                self.folder, port, [SPORT], interval_s=0.01, http={"read_s": 600, "total_s": 600}
            )
            self._ready.set()
            await self._end.wait()
            nursery.cancel_scope.cancel()

    def _do(self, work: Callable[..., Any], *args: object) -> Any:
        return trio.from_thread.run(work, *args, trio_token=self._token)

    async def _hold(self, *, task_status: trio.TaskStatus[Running]) -> None:
        try:
            with self._scope:
                await run_service(self._settings, self._stop, task_status=task_status)
        finally:
            self._ended.set()

    def start(self) -> None:
        """Start the service.

        A connection of a killed service keeps its lock in this process until it is collected, so
        this tries again after each collection.
        """
        for _ in range(5):
            try:
                self._do(self._start)
            except StorageUnavailable:
                gc.collect()
            else:
                return
        self._do(self._start)

    async def _start(self) -> None:
        self._stop, self._ended = trio.Event(), trio.Event()
        self._scope = trio.CancelScope()
        self.running: Running = await self._nursery.start(self._hold)
        self.address = self.running.address
        self._context = _task_named("detect_observations").context

    def stop(self, *, kill: bool = False) -> None:
        """Stop the service in order, or with `kill` by cancelling everything at once."""
        self._do(self._stop_it, kill)

    async def _stop_it(self, kill: bool) -> None:
        if kill:
            self._scope.cancel()
        else:
            self._stop.set()
        await self._ended.wait()
        self._bookmaker.forget()

    def close(self) -> None:
        self.stop(kill=True)
        trio.from_thread.run_sync(self._end.set, trio_token=self._token)
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive()

    @property
    def head(self) -> int:
        return self.running.parts.feed.head_revision

    @property
    def oldest(self) -> int:
        return self.running.parts.feed.oldest_revision

    @property
    def epoch(self) -> str:
        return self.running.parts.feed.epoch

    @property
    def epochs(self) -> list[tuple[str, int]]:
        return list(self.running.parts.stored.epochs)

    def poll(self, body: bytes) -> None:
        """Let the service fetch a body, and wait until it is applied."""
        before = self._last_success()
        self._do(self._bookmaker.give, body)
        wait_for(lambda: self._last_success() != before, "a fetch of the body")

    def _last_success(self) -> datetime | None:
        # In a view: the live mapping is written before the head of the log.
        return self.running.parts.cache.view(()).sources[SOURCE].last_success_at

    def stored(self) -> None:
        """Wait until everything is durable."""
        feed = self.running.parts.feed
        wait_for(lambda: feed.durable_revision == feed.head_revision, "everything durable")

    def trim(self, before: datetime) -> None:
        """Remove history before a time, as retention does."""
        self._do(self._in_service, self._retain, before)

    async def _retain(self, before: datetime) -> None:
        await self.running.parts.store.retain(Retention(history=timedelta(0)), before)

    async def _in_service(self, work: Callable[..., Awaitable[None]], *args: object) -> None:
        """Run work in the context of the service's tasks, where its database can be used."""
        done = trio.Event()

        async def run() -> None:
            await work(*args)
            done.set()

        self._context.copy().run(self._nursery.start_soon, run)
        await done.wait()

    def floor(self) -> int:
        """Return the revision up to which the database has dropped all changes."""
        with sqlite3.connect(self.database) as database:
            ((floor,),) = database.execute("SELECT floor_revision FROM feed_state")
        database.close()
        return int(floor)

    def copy_database(self, to: Path) -> None:
        with sqlite3.connect(self.database) as origin, sqlite3.connect(to) as copy:
            origin.backup(copy)
        origin.close()
        copy.close()

    def put_back(self, copy: Path) -> None:
        """Replace the stopped service's database by a copy, and remove its spill."""
        for path in self.folder.glob("odds.db*"):
            path.unlink()
        shutil.copy(copy, self.database)


def _task_named(name: str) -> trio.lowlevel.Task:
    root = trio.lowlevel.current_root_task()
    waiting = [] if root is None else [root]
    for task in waiting:
        if task.name.endswith(name):
            return task
        waiting += [child for nursery in task.child_nurseries for child in nursery.child_tasks]
    raise LookupError(name)


class Shown(NamedTuple):
    """The odds that a client held when the stream said that it has everything up to a revision."""

    epoch: str
    revision: int
    of_map: Plain
    of_fold: Plain


class Fold:
    """A fold of images and changes into a dict, without the client library."""

    def __init__(self) -> None:
        self.odds: dict[Any, Any] = {}
        self._image: dict[Any, Any] = {}

    def take(self, message: pb.WatchChangesResponse) -> None:
        if message.HasField("image_begin"):
            self._image = {}
        elif message.HasField("image"):
            self._image |= odds_in(iter(message.image.events))
        elif message.HasField("image_end"):
            self.odds = self._image
        elif message.HasField("changes"):
            for change in message.changes.changes:
                self._apply(change)

    def _apply(self, change: pb.Change) -> None:
        if change.kind == pb.CHANGE_KIND_EVENT_ENDED or (
            change.HasField("event") and change.reason == "left_filter"
        ):
            self.odds = {p: o for p, o in self.odds.items() if p[0] != change.event_id}
        if not change.HasField("after"):
            return
        place = place_of(change.event_id, change.source, change.bookmaker, change.after.key)
        had = self.odds.pop(place, None)
        # A window's `before` is the market at its beginning, which is what the client holds.
        assert had == (shown(change.before) if change.HasField("before") else None), change
        if change.after.status != pb.MARKET_STATUS_REMOVED:
            self.odds[place] = shown(change.after)

    def plain(self) -> Plain:
        found: Plain = {}
        for (event, _source, bookmaker, market, line, participant), (
            _,
            prices,
        ) in self.odds.items():
            exact = None if line is None else Fraction(str(line))
            identity = Identity(event.removeprefix("toa:"), bookmaker, market, exact, participant)
            found[identity] = tuple(sorted((k, p) for k, p, _ in prices))
        return found


def plain_map(odds: OddsMap) -> Plain:
    found: Plain = {}
    for event_id, entry in odds.events.items():
        for (_source, bookmaker), shown_odds in entry.bookmakers.items():
            for key, market in shown_odds.markets.items():
                exact = Fraction(key.line) if key.line else None
                identity = Identity(
                    event_id.removeprefix("toa:"), bookmaker, key.market, exact, key.participant
                )
                found[identity] = tuple(sorted((o.key, o.price) for o in market.outcomes))
    return found


class StreamClient:
    """A watch over any number of streams, folded by the library and by `Fold` side by side.

    Attributes:
        literal: Resume at the cursor of the last message of any type, as the proto says, instead
            of the library's cursor.
        told: The odds held at heartbeats and after images, to be judged.
        since: The revision after which `seen` has every change; None while an image is due.
        seen: The changes since then, over all cuts, each as (revision, bytes).
    """

    def __init__(
        self,
        chosen: pb.Filter,
        *,
        conflate: Duration | None = None,
        policy: pb.SlowReaderPolicy.ValueType = pb.SLOW_READER_POLICY_LOSSLESS,
        start: Cursor | None = None,
        literal: bool = False,
    ) -> None:
        self.filter = chosen
        self.conflated = conflate is not None
        self.policy = policy
        self.literal = literal
        self.map = OddsMap(start)
        self._last: pb.Cursor | None = None
        self._read_only: int | None = None
        self.without_odds = start is not None  # it holds only changes until an image comes
        self.fold = Fold()
        self.told: list[Shown] = []
        self.since: int | None = None
        self.seen: list[tuple[int, bytes]] = []
        self.opened: Opened | None = None
        self.stalled = False
        self.counts: Counter[str] = Counter()
        self.failure: Exception | None = None
        self._request = pb.WatchChangesRequest(
            filter=chosen, heartbeat=HEARTBEAT, conflate=conflate, policy=policy
        )
        self._lock = threading.Lock()
        self._may_read = threading.Event()
        self._may_read.set()
        self._thread: threading.Thread | None = None

    @property
    def connected(self) -> bool:
        return self._thread is not None

    @property
    def resume_at(self) -> Cursor | None:
        if self.literal and self._last is not None:
            return Cursor(self._last.epoch, self._last.revision)
        return self.map.cursor

    def open(self, address: str, *, read_only: int | None = None) -> Opened:
        """Resume where the last stream was cut; return the server's opening.

        With `read_only`, stop reading after that many messages, to be cut there.
        """
        self._read_only = read_only
        resume_at = self.resume_at
        self.map.restart()
        self.opened = None
        request = pb.WatchChangesRequest()
        request.CopyFrom(self._request)
        if resume_at is not None:
            request.resume.CopyFrom(cursor_message(resume_at))
        self._call = self._connect(address, request)
        self._thread = threading.Thread(target=self._read, args=(self._call,))
        self._thread.start()
        wait_for(lambda: self.opened is not None or self.failure is not None, "the opening")
        if read_only is not None:  # without other messages, heartbeats come
            wait_for(
                lambda: self._read_only == 0 or self.failure is not None, "the last message to read"
            )
        self.check()
        assert self.opened is not None
        return self.opened

    def _connect(self, address: str, request: pb.WatchChangesRequest) -> Any:
        """Begin a call: an iterator of messages with cancel(). Other doors replace this."""
        self._channel = grpc.insecure_channel(address, CHANNEL)
        return pb_grpc.OddsServiceStub(self._channel).WatchChanges(request)

    def _disconnect(self) -> None:
        self._channel.close()

    def _read(self, call: Any) -> None:
        try:
            while True:
                self._may_read.wait()
                message = next(call, None)
                if message is None or self._read_only == 0:
                    return
                if self._read_only is not None:
                    self._read_only -= 1
                with self._lock:
                    self._take(message)
        except grpc.RpcError as error:
            if error.code() not in (grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE):
                self.failure = error
        except Exception as error:  # raised by check
            self.failure = error

    def _take(self, message: pb.WatchChangesResponse) -> None:
        assert message.ByteSize() <= 2**20
        kind = message.WhichOneof("message")
        assert kind is not None
        self._last = getattr(message, kind).cursor
        step = self.map.take(message)
        self.without_odds = self.without_odds and not isinstance(step, ImageLoaded)
        if not (self.without_odds and message.HasField("changes")):
            self.fold.take(message)
        self.counts["messages"] += 1
        if isinstance(step, Opened):
            self._begin(step)
        elif isinstance(step, ImageLoaded):
            self.counts["images"] += 1
            self.since, self.seen = step.cursor.revision, []
            self._tell(step)
        elif isinstance(step, Changes):
            self.counts["changes"] += len(step.changes)
            for change in message.changes.changes:
                self.seen.append((change.revision, change.SerializeToString(deterministic=True)))
        elif isinstance(step, Heartbeat):
            self.counts["heartbeats"] += 1
            self._tell(step)
        elif isinstance(step, Lagged):
            self.counts["lagged"] += 1
            self.since, self.seen = None, []

    def _begin(self, step: Opened) -> None:
        if step.image:
            self.since, self.seen = None, []
        elif self.since is None:
            self.since = step.cursor.revision
        self.opened = step

    def _tell(self, step: Step) -> None:
        cursor = self.map.cursor
        assert cursor is not None
        if self.without_odds:
            return
        last = self.told[-1] if self.told else None
        if last is None or (last.epoch, last.revision) != cursor or isinstance(step, ImageLoaded):
            self.told.append(Shown(*cursor, plain_map(self.map), self.fold.plain()))

    def check(self) -> None:
        """Raise the error of the reading thread, if any."""
        if self.failure is not None:
            raise self.failure

    def settle(self, head: int) -> None:
        """Wait until the client has everything up to `head`."""

        def there() -> bool:
            self.check()
            cursor = self.map.cursor
            whole = self.map.whole or self.without_odds
            return whole and cursor is not None and cursor.revision >= head

        wait_for(
            there,
            f"revision {head}",
            lambda: (self.map.cursor, self.map.whole, self.counts, self._request, self._call),
        )

    def judge(self) -> tuple[list[Shown], int | None, list[tuple[int, bytes]], int]:
        """Return the evidence since the last judgement.

        Returns:
            The odds held, `since`, the changes in (since, upto], and `upto`.
        """
        with self._lock:
            told, self.told = self.told, []
            since, seen = self.since, self.seen
            upto = 0 if self.map.cursor is None else self.map.cursor.revision
            if since is not None:
                self.since, self.seen = upto, []
            return told, since, seen, upto

    def stall(self) -> None:
        self.stalled = True
        self._may_read.clear()

    def go_on(self) -> None:
        self.stalled = False
        self._may_read.set()

    def cut(self) -> None:
        """Drop the connection, whatever is on its way."""
        if self._thread is None:
            return
        self._call.cancel()
        self.go_on()
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive()
        self._thread = None
        self._disconnect()
        self.check()


def now() -> datetime:
    return datetime.now(UTC)


def selected(
    chosen: pb.Filter, odds: Mapping[Identity, Any], starts: Mapping[str, datetime]
) -> Plain:
    """Return the part of the oracle's odds that a filter shows."""
    found: Plain = {}
    for identity, outcomes in odds.items():
        start = starts[identity.event]
        if chosen.event_ids and f"toa:{identity.event}" not in chosen.event_ids:
            continue
        if chosen.bookmakers and identity.bookmaker not in chosen.bookmakers:
            continue
        if chosen.markets and identity.market not in chosen.markets:
            continue
        if chosen.HasField("in_play") and (start <= now()) is not chosen.in_play:
            continue
        if chosen.HasField("start_to") and start >= chosen.start_to.ToDatetime(UTC):
            continue
        found[identity] = tuple(sorted((key, p and float(p)) for key, p in outcomes))
    return found
