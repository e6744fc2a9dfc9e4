"""`cluster`: several nodes over NATS JetStream, beside the single process in the same run.

Each row of the aims is a function here. All processes share one machine: the nodes of the bus have
to share its cores with each other and with the clients, which the single process does not.
"""

import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, Final

import trio
import typer
from msgspec import Struct

from odds_service.bridge import open_bridge
from odds_service.demo.bookmaker import SimulatedBookmaker
from odds_service.demo.settings import SimulationSettings
from odds_service.storage import open_store
from odds_service.store import WriteGroup
from tests.support.ports import free_port
from tools.benchmarks.cluster_apply import measure_apply
from tools.benchmarks.cluster_nodes import HOST, Node, Servers, Table, listens, servers
from tools.benchmarks.cluster_watcher import Watcher
from tools.benchmarks.figures import Bounds, Measured, Report, at_most
from tools.benchmarks.part import Part
from tools.benchmarks.processes import Helper, helper
from tools.benchmarks.start import BOOKMAKERS, EVENTS_A_BATCH, MARKETS, batches_of
from tools.benchmarks.watch import BATCH, Bench, paced, running
from tools.benchmarks.watch_wire import Done
from tools.cluster.programs import Program, Spec

SINGLE, BUS = "single process", "through the bus"
APPLIED: Final = 3_000  # changes of a turn of `apply`
OUTAGE_S: Final = 1.0  # between the end of the bus and its start
BEFORE_S: Final = 1.0  # changes that come before something is killed
CAUGHT_UP_S: Final = 60.0
SIMULATED: Final = SimulationSettings(sports=2, events=20, bookmakers=4, change_share=0.3)
SHARED: Final = (
    "this machine's cores, which publisher, bus and read node share with the clients, and by the"
    " flush of each message to the disk before a reader gets it"
)
WHOLE_NODE: Final = (
    "the rest of a node (database, watchdog, status), which the single process here lacks, and by"
    " cores that others use: whoever waits for one joins more changes in a message, which then"
    " costs more"
)
TAKE_OVER: Final = "a standby's looks at the lock, 0.5 s apart, its loading, and its first fetch"


class Load(Struct, frozen=True):
    """The options of the rows.

    Attributes:
        subscribers: Streams.
        rate: Changes a second.
        stretch: Seconds of each measurement.
        markets: Live markets of a start.
    """

    subscribers: int
    rate: float
    stretch: float
    markets: int


class NodeBench(Bench):
    """The clients of `watch` at a read node, which gets its changes from a publisher."""

    def __init__(self, publisher: Helper, clients: Helper, late: Helper, node: Node) -> None:
        super().__init__(publisher, clients, late, node.address)
        self._node = node

    def do(self, **fields: Any) -> Done:
        """Send the publisher a command; return its head, and the rest of the read node."""
        done = super().do(**fields)
        return Done(
            self._node.status().subscriber_count, done.head, self._node.cpu_s(),
            self._node.rss_bytes(),
        )  # fmt: skip


@contextmanager
def publishing(on: Servers) -> Iterator[tuple[Helper, dict[str, Table]]]:
    """Run a publisher on a new log; yield it with the settings of its nodes."""
    tables = on.place()
    with helper("tools.benchmarks.cluster_publisher", on.settings(tables)) as publisher:
        yield publisher, tables


@contextmanager
def through_bus(on: Servers) -> Iterator[Bench]:
    """Run a publisher, a read node that serves, and idle clients."""
    with publishing(on) as (publisher, tables), on.node("read", tables) as node:
        node.wait_serving()
        who = "tools.benchmarks.watch_clients", node.address, "ours"
        with helper(*who) as clients, helper(*who) as late:
            yield NodeBench(publisher, clients, late, node)


def measure_streams(bounds: Bounds, found: Measured, load: Load, on: Servers) -> None:
    """Change to subscriber, and CPU of a sent message."""
    for turn in bounds.turns():
        kinds: list[tuple[str, Callable[[], Any]]] = [
            (SINGLE, partial(running, "ours")), (BUS, partial(through_bus, on))
        ]  # fmt: skip
        for kind, runs in kinds if turn % 2 else kinds[::-1]:  # neither is always the first
            with runs() as bench:
                bench.attach(load.subscribers - load.subscribers // 2, filtered=False)
                if load.subscribers > 1:
                    bench.attach(load.subscribers // 2, filtered=False, late=True)
                seen = paced(bench, load.rate, load.stretch)
            found.add(f"change to subscriber p50: {kind}", seen.p50_ms, "ms")
            found.add(f"change to subscriber p99: {kind}", seen.p99_ms, "ms")
            found.add(f"CPU of a sent message: {kind}", seen.cpu_us, "µs")
            shared = seen.cpu_us * seen.seen.messages / seen.seen.changes
            found.add(f"CPU of a sent change: {kind}", shared, "µs")
            found.add(f"messages: {kind}", seen.seen.messages / seen.seconds, "messages/s")
            found.add(f"changes: {kind}", seen.seen.changes / seen.seconds, "changes/s")
    for figure, aim, limit in (
        ("change to subscriber p50", at_most(1.5), SHARED),
        ("change to subscriber p99", None, SHARED),
        ("CPU of a sent message", at_most(1.1), WHOLE_NODE),
        ("CPU of a sent change", None, WHOLE_NODE),
        ("messages", None, SHARED),
    ):
        name = f"{figure}: through the bus, of one process"
        found.ratio(name, f"{figure}: {BUS}", f"{figure}: {SINGLE}", aim)
        found.limits(name, limit)


def measure_outage(bounds: Bounds, found: Measured, load: Load, on: Servers) -> None:
    """The pause of a subscriber when the bus is killed and started again."""
    with publishing(on) as (publisher, tables), on.node("read", tables) as node:
        node.wait_serving()
        watcher = Watcher(node.channel)
        for _ in bounds.turns():
            publisher.ask({"publish": load.rate, "batch": BATCH})
            time.sleep(BEFORE_S)
            began = time.monotonic()
            on.kill_nats()
            time.sleep(OUTAGE_S)
            on.start_nats()
            outage_s = time.monotonic() - began
            time.sleep(BEFORE_S)
            head = publisher.ask({"stop": True})["head"]
            watcher.wait(partial(_reaches, head))
            pause_s = longest_gap(began, watcher.since(began - BEFORE_S))
            found.add("readers' pause at a restart of the bus", pause_s, "s")
            found.add("outage of the bus", outage_s, "s")
            found.add("readers' pause beyond the outage of the bus", pause_s - outage_s, "s")
        watcher.close()
    found.aim("readers' pause beyond the outage of the bus", at_most(0.5))


def _reaches(head: int, _epoch: str, revision: int) -> bool:
    return revision >= head


def _is_of_another(epoch: str, present: str, _revision: int) -> bool:
    return present != epoch


def longest_gap(began: float, arrived: list[float]) -> float:
    """Return the longest time between two arrivals of which the second came after `began`."""
    return max((later - earlier) for earlier, later in pairwise(arrived) if later > began)


def measure_take_over(bounds: Bounds, found: Measured, on: Servers) -> None:
    """From the kill of the active ingest node to the next change at a subscriber."""
    name = "take-over: from kill -9 to the next change at a subscriber"
    with bookmaker(on.folder) as source, ExitStack() as nodes:
        tables = on.place()
        fetching = {**tables, "[[sources]]": source}
        active = nodes.enter_context(on.node("ingest", fetching))
        active.wait_logged("serving")
        reader = nodes.enter_context(on.node("read", tables))
        reader.wait_serving()
        watcher = Watcher(reader.channel)
        for _ in bounds.turns():
            standby = nodes.enter_context(on.node("ingest", fetching))
            standby.wait_logged("standing_by")
            time.sleep(BEFORE_S)
            epoch = watcher.epoch
            killed_at = active.kill()
            came_at = watcher.wait(partial(_is_of_another, epoch), killed_at)
            found.add(name, came_at - killed_at, "s")
            active = standby
        watcher.close()
    found.aim(name, at_most(5.0))
    found.limits(name, TAKE_OVER)


@contextmanager
def bookmaker(folder: Path) -> Iterator[Table]:
    """Run the simulated bookmaker; yield the settings of its source."""
    port = free_port()
    command = [
        sys.executable, "-m", "odds_service.demo", "--port", str(port), "--pace", "poll",
        "--sports", str(SIMULATED.sports), "--events", str(SIMULATED.events),
        "--bookmakers", str(SIMULATED.bookmakers), "--change-share", str(SIMULATED.change_share),
        "--only-prices",
    ]  # fmt: skip
    program = Program(Spec(name="bookmaker", about="", command=command), folder / "bookmaker.log")
    try:
        while not listens(f"{HOST}:{port}"):
            if program.code is not None:
                raise RuntimeError(f"no bookmaker: {program.last_line()}")
            time.sleep(0.05)
        yield {
            "kind": "the-odds-api",
            "url": f"http://{HOST}:{port}",
            "api_key": "benchmark",
            "sports": SimulatedBookmaker(SIMULATED).sport_keys,
            "interval_s": 1,
        }
    finally:
        program.kill()


def measure_start(bounds: Bounds, found: Measured, load: Load, on: Servers) -> None:
    """From the start of the process until it serves all markets: a read node, and one process."""
    events = max(EVENTS_A_BATCH, load.markets // (BOOKMAKERS * MARKETS))
    tables = on.place()
    trio.run(_fill, str(tables["[database]"]["url"]), events, on.folder)
    alone = {"[database]": tables["[database]"]}
    count = events * BOOKMAKERS * MARKETS
    for _ in bounds.turns():
        with on.node("all", alone) as node:
            found.add("start: one process", _start_s(node, count), "s")
        # The log has an owner when a read node comes.
        with on.node("ingest", tables) as owner:
            owner.wait_logged("serving")
            with on.node("read", tables) as node:
                found.add("start: new read node", _start_s(node, count), "s")
    name = "start: new read node, of one process"
    found.ratio(name, "start: new read node", "start: one process", at_most(1.5))


def _start_s(node: Node, markets: int) -> float:
    seconds = node.wait_serving()
    served = node.status().markets
    if served != markets:
        raise RuntimeError(f"{served} markets are served, {markets} written")
    return seconds


async def _fill(url: str, events: int, folder: Path) -> None:
    async with open_bridge(), open_store(url, migrate=True, spill_folder=folder) as store:
        await store.begin()
        for batch in batches_of(events):
            await store.write(WriteGroup([batch]))


ROWS: Final = ("streams", "apply", "outage", "take-over", "start")


def measure(
    bounds: Bounds,
    *,
    subscribers: Annotated[int, typer.Option(help="Streams, for `streams`.")] = 200,
    rate: Annotated[float, typer.Option(help="Changes a second.")] = 1_000.0,
    stretch: Annotated[float, typer.Option(help="Seconds of each measurement.")] = 4.0,
    markets: Annotated[int, typer.Option(help="Live markets, for `start`.")] = 390_000,
    replicas: Annotated[int, typer.Option(help="NATS servers, 1 or 3.")] = 1,
    only: Annotated[list[str], typer.Option(help=f"Of {', '.join(ROWS)}.")] = [],  # noqa: B006  # typer's
) -> Report:
    """Several nodes over a bus: latency, CPU, restart of the bus, take-over, and a new node."""
    unknown = set(only) - set(ROWS)
    if unknown:
        raise typer.BadParameter(f"no such row: {', '.join(sorted(unknown))}", param_hint="--only")
    if replicas not in {1, 3}:
        raise typer.BadParameter("must be 1 or 3", param_hint="--replicas")
    found = Measured("cluster", f"nodes over {replicas} NATS, at {rate:,.0f} changes a second")
    load = Load(subscribers, rate, stretch, markets)
    rows = only or ROWS
    if "apply" in rows:
        measure_apply(bounds, found, APPLIED)
    if set(rows) - {"apply"}:
        with _ended_in_order(), tempfile.TemporaryDirectory(prefix="odds-bench-") as folder:
            with servers(Path(folder), replicas) as on:
                _on_servers(rows, bounds, found, load, on)
    return found.report(
        subscribers=subscribers, rate=rate, batch=BATCH, markets=markets, nats=replicas
    )


def _on_servers(
    rows: "list[str] | tuple[str, ...]",
    bounds: Bounds,
    found: Measured,
    load: Load,
    on: Servers,
) -> None:
    if "streams" in rows:
        measure_streams(bounds, found, load, on)
    if "outage" in rows:
        measure_outage(bounds, found, load, on)
    if "take-over" in rows:
        measure_take_over(bounds, found, on)
    if "start" in rows:
        measure_start(bounds, found, load, on)


@contextmanager
def _ended_in_order() -> Iterator[None]:
    """Let SIGTERM unwind as ^C does, so that it leaves no process behind either."""
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt


PART: Final = Part("cluster", measure, repeats=3, seconds=150.0)
