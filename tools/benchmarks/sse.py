"""`sse`: what a message costs the server as an event, by gRPC, and in a bare server of events."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Annotated, Final

import typer

from tools.benchmarks.figures import Bounds, Measured, Report, at_most
from tools.benchmarks.part import Part
from tools.benchmarks.processes import helper
from tools.benchmarks.watch import Bench, paced

KINDS: Final = ("events", "gRPC", "bare events")


@contextmanager
def running(kind: str) -> Iterator[Bench]:
    """Run the server of a kind, and idle clients of the door that it is about."""
    server_kind = "bare" if kind == "bare events" else "ours"
    with ExitStack() as stack:
        server = stack.enter_context(helper("tools.benchmarks.sse_server", server_kind))
        if kind == "gRPC":
            who = ["tools.benchmarks.watch_clients", server.ready["grpc"], "ours"]
        else:
            who = ["tools.benchmarks.sse_clients", server.ready["http"]]
        clients, late = (stack.enter_context(helper(*who)) for _ in range(2))
        yield Bench(server, clients, late, who[1])


def measure(
    bounds: Bounds,
    *,
    streams: Annotated[int, typer.Option(help="Open streams.")] = 100,
    rate: Annotated[float, typer.Option(help="Changes a second, ten in a message.")] = 300.0,
    stretch: Annotated[float, typer.Option(help="Seconds of each measurement.")] = 5.0,
) -> Report:
    """Server-Sent Events beside gRPC, and beside bare Starlette on hypercorn with ready bytes."""
    found = Measured("sse", f"{streams} streams at {rate:,.0f} changes a second")
    for turn in bounds.turns():
        for kind in KINDS[turn % 3 :] + KINDS[: turn % 3]:  # each is the first one in its turn
            with running(kind) as bench:
                bench.attach(streams, filtered=False)
                seen = paced(bench, rate, stretch)
            found.add(f"server CPU a message: {kind}", seen.cpu_us, "µs")
            found.add(f"messages: {kind}", seen.seen.messages / seen.seconds, "messages/s")
            found.add(f"a message: {kind}", seen.seen.bytes / seen.seen.messages, "B")
            if kind != "bare events":  # whose texts are old
                found.add(f"p50: {kind}", seen.p50_ms, "ms")
                found.add(f"p99: {kind}", seen.p99_ms, "ms")
    cost = "server CPU a message: "
    found.ratio(
        "server CPU, of the bare server", f"{cost}events", f"{cost}bare events", at_most(1.3)
    )
    found.ratio("server CPU, of gRPC", f"{cost}events", f"{cost}gRPC")
    return found.report(streams=streams, rate=rate)


PART: Final = Part("sse", measure, repeats=5, seconds=100.0)
