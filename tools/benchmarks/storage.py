"""`storage`: changes through the writer into both databases, beside the same statements bare."""

import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import psutil
import trio
import typer
from msgspec import Struct

from odds_service.bridge import open_bridge
from odds_service.cache import OddsCache
from odds_service.clock import DrivenClock
from odds_service.feed import ChangeFeed
from odds_service.model.change import Commit, MarketChange
from odds_service.model.source import SourceState
from odds_service.pipeline.channels import WriteQueue
from odds_service.pipeline.detect import Detector
from odds_service.pipeline.write import GROUP_CHANGES, Writer
from odds_service.reconcile import Reconciler
from odds_service.storage import open_store
from odds_service.storage.log.epochs import groups
from odds_service.storage.rows.odds import whole
from odds_service.storage.schema import microseconds
from odds_service.store import Store, WriteGroup
from tests.support.postgres import PostgresServer, postgres_server
from tools.benchmarks.bare import Bare, BarePostgres, BareSqlite, Group, Obvious, group_of
from tools.benchmarks.figures import Bounds, Measured, Report, at_least, settle
from tools.benchmarks.load import SOURCE, Load, settings_of
from tools.benchmarks.part import Part

OBVIOUS_CHANGES: Final = 400  # of a turn by the obvious way: about a second's worth
CPU, BARE_CPU, ROWS_CPU = (
    "CPU of the writer", "CPU of the bare statements", "CPU of making the rows",
)  # fmt: skip
ENCODING: Final = "msgspec alone on the odds"
LIMIT: Final = (
    "the bare statements find their rows made; making them (odds before and after as JSON) is "
    f"ours, see `{ROWS_CPU}`; `{ENCODING}` is the part that every way of making them pays"
)
DAY_SHARE: Final = 0.05  # of the markets changes in a minute of the day that sizes are told for
PACED_BATCHES: Final = 40  # batches of a turn, one every PACED_S, whose lag is measured
PACED_S: Final = 0.05


class Engine(Struct):
    """A database engine, and three databases of it: for ours, the bare driver, the obvious way.

    stored_time: converts a time for the driver. cpu_s: seconds of CPU that this process and the
    server have used. size: bytes of ours.
    """

    name: str
    urls: list[str]
    stored_time: Callable[[datetime], Any]
    cpu_s: Callable[[], float]
    size: Callable[[], int]


class Ours:
    """A store with its writer, and the feed that knows the durable revision."""

    def __init__(self, store: Store, epoch: str, revision: int) -> None:
        self.store = store
        self.feed = ChangeFeed(epoch, revision)
        self.queue = WriteQueue(10_000_000)
        self.writer = Writer(store, self.queue, self.feed)

    def put(self, batch: Commit) -> None:
        with self.feed.lock:
            self.feed.append_locked(batch, batch.changes[-1].detected_at)
        self.queue.put(batch)

    async def write(self, batches: Sequence[Commit]) -> None:
        """Write, and wait until everything is durable."""
        for batch in batches:
            self.put(batch)
        await self.writer.committed(self.feed.head_revision)


class Changes:
    """The changes of the simulation, cycle by cycle, in the batches that detect makes."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._feed = ChangeFeed("benchmark", 0, capacity=10_000_000)
        self._cache = OddsCache(self._feed, sources=[SourceState(source=SOURCE, interval_s=60)])
        queue = WriteQueue(1_000_000_000)
        self._detector = Detector(
            self._cache, self._feed, queue, Reconciler(), DrivenClock(lambda: load.now)
        )
        self._queue = queue

    async def cycle(self) -> list[Commit]:
        for observation in await self._load.observations():
            await self._detector.observe(observation)
        batches = []
        while self._queue.receive.statistics().current_buffer_used:
            batches.append(self._queue.receive.receive_nowait())
        return batches


async def filled(path: Path, wanted: int) -> int:
    """Store at least so many changes in a new SQLite database; return their number."""
    made = Changes(Load(settings_of(60, 4, 20, 0.4)))
    stored = 0
    async with open_bridge(), open_store(f"sqlite:///{path}") as store:
        await store.begin()
        while stored < wanted:
            for group in groups(await made.cycle(), GROUP_CHANGES):
                await store.write(WriteGroup(group))
                stored = group[-1].last_revision
    return stored


@contextmanager
def engines(folder: Path) -> Iterator[list[Engine]]:
    """Yield both engines; the server flushes as in production."""
    with postgres_server(fsync=True) as server:
        yield [_sqlite(folder), _postgres(server)]


def _sqlite(folder: Path) -> Engine:
    urls = [f"sqlite:///{folder / name}.db" for name in ("ours", "bare", "obvious")]

    def size() -> int:
        with closing(sqlite3.connect(folder / "ours.db")) as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return (folder / "ours.db").stat().st_size

    return Engine("SQLite", urls, microseconds, time.process_time, size)


def _postgres(server: PostgresServer) -> Engine:
    names = ["ours", "bare", "obvious"]
    for name in names:
        server.psql(f"CREATE DATABASE {name}")

    def cpu_s() -> float:
        first = psutil.Process(server.pid)
        spent = [each.cpu_times() for each in (first, *first.children(recursive=True))]
        return float(time.process_time() + sum(each.user + each.system for each in spent))

    def size() -> int:
        return int(server.psql("SELECT pg_database_size('ours')"))

    return Engine("PostgreSQL", [server.url(name) for name in names], lambda at: at, cpu_s, size)


def bare_of(url: str) -> Bare:
    """Return the bare driver for a database that the store made."""
    return BareSqlite(url.removeprefix("sqlite:///")) if url[0] == "s" else BarePostgres(url)


def obvious_of(engine: Engine) -> Obvious:
    driver = "sqlite+aiosqlite" if engine.name == "SQLite" else "postgresql+asyncpg"
    return Obvious(f"{driver}:{engine.urls[2].partition(':')[2]}")


def measure(
    bounds: Bounds,
    *,
    events: Annotated[int, typer.Option(help="Events in all.")] = 240,
    bookmakers: Annotated[int, typer.Option(help="Bookmakers on each.")] = 4,
    markets: Annotated[int, typer.Option(help="Markets of each.")] = 50,
    changed: Annotated[float, typer.Option(help="Share that changes in a turn.")] = 0.4,
) -> Report:
    """One cycle's changes into SQLite and PostgreSQL: ours, bare drivers, the obvious way."""
    found = Measured("storage", "one cycle's changes into each database")
    load = Load(settings_of(events, bookmakers, markets, changed))
    with tempfile.TemporaryDirectory() as folder, engines(Path(folder)) as both:
        changes = trio.run(_measure, bounds, found, load, both)
    for name, least in (("SQLite", 0.8), ("PostgreSQL", 0.8)):
        found.ratio(f"{name}: writer, of the bare statements", f"{name}: writer",
                    f"{name}: bare statements", at_least(least))  # fmt: skip
        found.ratio(f"{name}: bare statements' CPU, of the writer's", f"{name}: {BARE_CPU}",
                    f"{name}: {CPU}", at_least(0.8))  # fmt: skip
        for size in found.figures[f"{name}: a change"].samples:
            a_day = events * bookmakers * markets * DAY_SHARE * 1440
            found.add(f"{name}: a day, 5 % changing a minute", size * a_day / 1e9, "GB")
        found.ratio(f"{name}: writer, of the bulk alone", f"{name}: writer", f"{name}: bulk alone")
        aim = at_least(10.0) if name == "PostgreSQL" else None
        found.ratio(f"{name}: writer, of the obvious way", f"{name}: writer",
                    f"{name}: obvious way", aim)  # fmt: skip
        found.limits(f"{name}: writer, of the bare statements", LIMIT)
        found.limits(f"{name}: bare statements' CPU, of the writer's", LIMIT)
    return found.report(markets=events * bookmakers * markets, changes=changes)


async def _measure(bounds: Bounds, found: Measured, load: Load, both: list[Engine]) -> int:
    changes = Changes(load)
    first = await changes.cycle()
    async with open_bridge(), trio.open_nursery() as nursery:
        ours: dict[str, Ours] = {}
        bare: dict[str, Bare] = {}
        obvious: dict[str, Obvious] = {}
        for engine in both:
            for url in engine.urls[1:]:  # the first cycle is all new, and no part of the figures
                async with open_store(url, migrate=True) as store:
                    await store.begin()
                    for group in groups(first, GROUP_CHANGES):
                        await store.write(WriteGroup(group))
            ours[engine.name] = await nursery.start(_open, engine.urls[0])
            await ours[engine.name].write(first)
            bare[engine.name] = await trio.to_thread.run_sync(bare_of, engine.urls[1])
            obvious[engine.name] = await trio.to_thread.run_sync(obvious_of, engine)
        for _ in bounds.turns():
            batches = await changes.cycle()
            count = sum(len(batch.changes) for batch in batches)
            _encode(found, batches, count)
            for engine in both:
                settle()
                with _cpu(found, engine, ROWS_CPU, count):
                    rows = _rows(engine, batches)
                await _turn(found, engine, ours[engine.name], bare[engine.name],
                            obvious[engine.name], batches, rows)  # fmt: skip
            paced = await changes.cycle()
            for engine in both:
                await _paced(found, engine.name, ours[engine.name], paced)
                same = _rows(engine, paced)
                await trio.to_thread.run_sync(bare[engine.name].write, same)
        for engine in both:
            await trio.to_thread.run_sync(bare[engine.name].close)
            await trio.to_thread.run_sync(obvious[engine.name].close)
        nursery.cancel_scope.cancel()
    return count


def _rows(engine: Engine, batches: Sequence[Commit]) -> list[Group]:
    """Return the rows of changes in the groups that the writer makes of its queue."""
    return [group_of(group, engine.stored_time) for group in groups(batches, GROUP_CHANGES)]


async def _open(url: str, *, task_status: trio.TaskStatus[Ours]) -> None:
    """Open a store and run its writer until cancelled."""
    async with open_store(url, migrate=True, spill_folder=Path(tempfile.gettempdir())) as store:
        stored = await store.begin()
        ours = Ours(store, stored.epoch, stored.revision)
        task_status.started(ours)
        await ours.writer.run()


async def _turn(
    found: Measured,
    engine: Engine,
    ours: Ours,
    bare: Bare,
    obvious: Obvious,
    batches: Sequence[Commit],
    rows: Sequence[Group],
) -> None:
    """Write the same changes each way; the obvious way writes only OBVIOUS_CHANGES of them."""
    name = engine.name
    count = sum(len(batch.changes) for batch in batches)
    settle()
    with _rated(found, f"{name}: bare statements", count), _cpu(found, engine, BARE_CPU, count):
        await trio.to_thread.run_sync(bare.write, rows)
    with _rated(found, f"{name}: bulk alone", count):
        await trio.to_thread.run_sync(bare.bulk, rows)
    before = await trio.to_thread.run_sync(engine.size)
    settle()
    with _rated(found, f"{name}: writer", count), _cpu(found, engine, CPU, count):
        await ours.write(batches)
    grown = await trio.to_thread.run_sync(engine.size) - before
    found.add(f"{name}: a change", grown / count, "bytes")
    with _rated(found, f"{name}: obvious way", OBVIOUS_CHANGES):
        await trio.to_thread.run_sync(obvious.write, batches, OBVIOUS_CHANGES)


def _encode(found: Measured, batches: Sequence[Commit], count: int) -> None:
    """Time the encoder for two texts a change, with everything around its calls left out."""
    odds = [
        whole(market)
        for batch in batches
        for change in batch.changes
        if isinstance(change, MarketChange)
        for market in (change.before, change.after)
        if market is not None
    ]
    encode = msgspec.json.Encoder().encode
    settle()
    began = time.process_time()
    for each in odds:
        encode(each)
    found.add(ENCODING, (time.process_time() - began) / count * 1e6, "µs/change")


@contextmanager
def _rated(found: Measured, name: str, changes: int) -> Iterator[None]:
    began = time.perf_counter()
    yield
    found.add(name, changes / (time.perf_counter() - began), "changes/s")


@contextmanager
def _cpu(found: Measured, engine: Engine, name: str, changes: int) -> Iterator[None]:
    """Add the CPU time per change, which other load on the machine hardly affects."""
    began = engine.cpu_s()
    yield
    found.add(f"{engine.name}: {name}", (engine.cpu_s() - began) / changes * 1e6, "µs/change")


async def _paced(found: Measured, name: str, ours: Ours, batches: Sequence[Commit]) -> None:
    """Write batches at the pace of scrapes; measure the time until each is durable."""
    put_at: dict[int, float] = {}
    lags: list[float] = []

    def note() -> None:
        now = time.perf_counter()
        stored = [each for each in put_at if each <= ours.feed.durable_revision]
        lags.extend(now - put_at.pop(revision) for revision in stored)

    unlisten = ours.feed.listen(note)
    for batch in batches[:PACED_BATCHES]:
        put_at[batch.last_revision] = time.perf_counter()
        ours.put(batch)
        await trio.sleep(PACED_S)
    await ours.write(batches[PACED_BATCHES:])
    unlisten()
    lags.sort()
    found.add(f"{name}: lag of a batch, median", lags[len(lags) // 2] * 1000, "ms")
    found.add(f"{name}: lag of a batch, longest", lags[-1] * 1000, "ms")


PART: Final = Part(
    "storage", measure, repeats=7, seconds=90, sized="events",
    costs={"SQLite: CPU of the writer": "", "PostgreSQL: CPU of the writer": ""},
)  # fmt: skip
