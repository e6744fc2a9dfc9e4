"""`watch`: change to client, beside a bare feed: 1, 50, 200 and 1,000 subscribers."""

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Final

import msgspec
import typer

from odds_service.feed import RING_CHANGES
from tools.benchmarks.figures import Bounds, Measured, Report, at_least, at_most
from tools.benchmarks.part import Part
from tools.benchmarks.processes import Helper, helper
from tools.benchmarks.watch_wire import Answer, Ask, Do, Done

SIZES: Final = (1, 50, 200, 1_000)
BATCH: Final = 10  # changes published at once: a hundred batches a second
LOCK_STEP: Final = 40  # rounds of publishing a batch and waiting until all have it
WARM_S: Final = 1.0
KINDS: Final = ("ours", "bare")
FILTERED: Final = 200


class Bench:
    """A server, its clients and its late clients, each in its own process.

    Attributes:
        address: The server's, where the clients call.
    """

    def __init__(self, server: Helper, clients: Helper, late: Helper, address: str) -> None:
        self.address = address
        self._server = server
        self._clients = clients
        self._late = late

    def do(self, **fields: Any) -> Done:
        """Send the server a command, and return its state."""
        return msgspec.convert(self._server.ask(Do(**fields)), Done)

    def clients(self, **fields: Any) -> Answer:
        """Send all clients a command, the late ones last, and return the sum of their answers."""
        first, late = (_asked(each, **fields) for each in (self._clients, self._late))
        for name in first.__struct_fields__:
            setattr(first, name, getattr(first, name) + getattr(late, name))
        return first

    def attach(self, count: int, *, filtered: bool, late: bool = False) -> Answer:
        """Open streams. Raises RuntimeError unless the server counts exactly as many."""
        before = self.do().subscribers
        clients = self._late if late else self._clients
        seen = _asked(clients, attach=count, filtered=filtered, reset=True)
        there = self.do().subscribers - before
        if there != count or seen.lost:
            raise RuntimeError(f"{there} of {count} streams are there, {seen.lost} were lost")
        return seen


@contextmanager
def running(kind: str, capacity: int = RING_CHANGES) -> Iterator[Bench]:
    """Run a server (`ours`, with a ring of that capacity, or `bare`) and idle clients."""
    with helper("tools.benchmarks.watch_server", kind, capacity) as server:
        who = "tools.benchmarks.watch_clients", server.ready["address"], kind
        with helper(*who) as clients, helper(*who) as late:
            yield Bench(server, clients, late, server.ready["address"])


def _asked(clients: Helper, **fields: Any) -> Answer:
    return msgspec.convert(clients.ask(Ask(**fields)), Answer)


class Paced(msgspec.Struct):
    """The result of publishing at a constant pace for a while."""

    seen: Answer
    p50_ms: float
    p99_ms: float
    max_ms: float
    cpu_us: float  # of the server, for each message
    clients_cpu: float  # of a core
    rss: int
    seconds: float


def paced(bench: Bench, rate: float, seconds: float) -> Paced:
    """Publish for a while. Raises RuntimeError when a stream is lost, or behind at the end."""
    bench.do(stop=True)
    # Catch up after attaching; the bare feed sends a cursor only with a change.
    bench.clients(reach=bench.do(burst=BATCH).head)
    bench.do(publish=rate, batch=BATCH)
    time.sleep(WARM_S)
    begin = bench.do()
    clients_began = bench.clients(reset=True).cpu_s
    time.sleep(seconds)
    end = bench.do(stop=True)
    seen = bench.clients(reach=end.head)
    if seen.lost or seen.behind:
        raise RuntimeError(f"{seen.lost} streams were lost, {seen.behind} are behind")
    latencies = sorted(seen.latency_ms)
    return Paced(
        seen=seen,
        p50_ms=statistics.median(latencies),
        p99_ms=latencies[int(len(latencies) * 0.99)],
        max_ms=latencies[-1],
        cpu_us=(end.cpu_s - begin.cpu_s) / max(1, seen.messages) * 1e6,
        clients_cpu=(seen.cpu_s - clients_began) / seconds,
        rss=end.rss,
        seconds=seconds,
    )


def lock_step(bench: Bench) -> float:
    """Return messages per second when each batch waits only for all to have the last."""
    bench.clients(reset=True)
    began = time.perf_counter()
    for _ in range(LOCK_STEP):
        head = bench.do(burst=BATCH).head
        seen = bench.clients(reach=head)
        if seen.behind or seen.lost:
            raise RuntimeError(f"{seen.lost} streams were lost, {seen.behind} are behind")
    return seen.messages / (time.perf_counter() - began)


def measure(
    bounds: Bounds,
    *,
    rate: Annotated[float, typer.Option(help="Changes a second.")] = 1_000.0,
    stretch: Annotated[float, typer.Option(help="Seconds of each measurement.")] = 4.0,
    most: Annotated[int, typer.Option(help="Sizes above it are left out.")] = SIZES[-1],
) -> Report:
    """Change to client at a pace, with each number of subscribers, beside a bare feed."""
    measured = Measured("watch", f"change to client at {rate:,.0f} changes a second")
    sizes = [size for size in SIZES if size <= most]
    for turn in bounds.turns():
        kinds = KINDS if turn % 2 else KINDS[::-1]  # neither is always the first
        for size in sizes:
            for kind in kinds:
                _one(measured, kind, size, rate, stretch)
        _one(measured, "ours", min(FILTERED, most), rate, stretch, filtered=True)
    for size in sizes:
        _ratios(measured, size)
    return measured.report(rate=rate, batch=BATCH, most=sizes[-1])


def _one(
    measured: Measured, kind: str, size: int, rate: float, stretch: float, *, filtered: bool = False
) -> None:
    name = f"{kind}, {size:,}" + (" filtered" if filtered else "")
    with running(kind) as bench:
        before = bench.do().rss
        bench.attach(size // 2, filtered=filtered)
        idle = bench.do().rss
        bench.do(publish=rate, batch=BATCH)
        opened = sorted(bench.attach(size - size // 2, filtered=filtered, late=True).opened_ms)
        found = paced(bench, rate, stretch)
        measured.add(f"p50: {name}", found.p50_ms, "ms")
        measured.add(f"p99: {name}", found.p99_ms, "ms")
        measured.add(f"max: {name}", found.max_ms, "ms")
        measured.add(f"messages: {name}", found.seen.messages / found.seconds, "messages/s")
        measured.add(f"changes: {name}", found.seen.changes / found.seconds, "changes/s")
        measured.add(f"server CPU a message: {name}", found.cpu_us, "µs")
        measured.add(f"CPU of all clients: {name}", found.clients_cpu, "cores")
        measured.add(f"call to opened p99: {name}", opened[int(len(opened) * 0.99)], "ms")
        if size > 1:
            each = (idle - before) / (size // 2) / 1_000
            measured.add(f"memory a subscriber: {name}", each, "kB")
            measured.add(f"memory in all, under load: {name}", found.rss / 1e6, "MB")
        if size == FILTERED and not filtered:
            measured.add(f"in lock step: {name}", lock_step(bench), "messages/s")


def _ratios(measured: Measured, size: int) -> None:
    ours, bare = f"ours, {size:,}", f"bare, {size:,}"
    large = size >= FILTERED
    p99 = f"p99 beside the bare feed: {size:,}"
    measured.ratio(p99, f"p99: {ours}", f"p99: {bare}", at_most(1.5) if large else None)
    if size == FILTERED:
        of_it = f"messages beside the bare feed, in lock step: {size:,}"
        measured.ratio(of_it, f"in lock step: {ours}", f"in lock step: {bare}", at_least(0.8))
    if large:
        measured.aim(f"call to opened p99: {ours}", at_most(2_000.0))
        measured.aim(f"memory a subscriber: {ours}", at_most(50.0))


PART: Final = Part(name="watch", measure=measure, repeats=3, seconds=150.0)
