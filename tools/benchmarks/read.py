"""`read`: GetOdds under a load generator, idle and beside an ingest, and an echo of its bytes."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import grpc
import typer
from msgspec import Struct

from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from odds_service.wire.pb.odds.v1 import odds_pb2_grpc as pb_grpc
from tools.benchmarks.figures import Bounds, Measured, Report, at_least, at_most
from tools.benchmarks.h2load import Calls, call, need_h2load
from tools.benchmarks.part import Part
from tools.benchmarks.processes import Helper, helper
from tools.benchmarks.service import settings_file

SMALL_MARKETS: Final = 40  # of the small event, of all bookmakers together
RUN_S: Final = 1.0  # of one run of the load generator; less where the time is short
LEAST_RUN_S: Final = 0.2
RUNS: Final = 60  # of all kinds in the turns that there must be
CALLERS: Final = 8  # keep one processor busy
SETTLE_S: Final = 1.0  # until an ingest has got going
PAGES: Final = ("page", "filtered page")
METHOD: Final = "odds.v1.OddsService/GetOdds"


class Query(Struct, frozen=True):
    """A request, and the approximate size of its reply in bytes."""

    name: str
    request: bytes
    reply: bytes
    markets: int


def measure(
    bounds: Bounds,
    *,
    events: Annotated[int, typer.Option(help="Events in all.")] = 300,
    bookmakers: Annotated[int, typer.Option(help="Bookmakers on each.")] = 3,
    markets: Annotated[int, typer.Option(help="Markets of each.")] = 100,
    leagues: Annotated[int, typer.Option(help="Leagues that the events are in.")] = 15,
    ingest: Annotated[int, typer.Option(help="Markets a second that are ingested.")] = 50_000,
) -> Report:
    """GetOdds of one event, a league and a filter; beside a bare echo, and beside an ingest."""
    need_h2load()
    run_s = min(RUN_S, max(LEAST_RUN_S, bounds.seconds / RUNS))
    found = Measured(
        "read", f"GetOdds by {CALLERS} callers (latency: by one), idle and beside an ingest"
    )
    with (
        tempfile.TemporaryDirectory() as name,
        helper(
            "tools.benchmarks.bookmaker",
            f"--events={events}", f"--bookmakers={bookmakers}", f"--markets={markets}",
            f"--sports={leagues}", f"--small={max(1, SMALL_MARKETS // bookmakers)}",
        ) as bookmaker,
    ):  # fmt: skip
        folder = Path(name)
        config = settings_file(folder, bookmaker.ready, bookmaker.ready["shown"] / ingest)
        with helper("tools.benchmarks.service", config) as service:
            sports = len(bookmaker.ready["sports"])
            bookmaker.ask(1)
            service.ask({"applied": sports})
            queries = list(_queries(service.ready["address"], bookmaker.ready["sports"]))
            files = [folder / str(place) for place in range(len(queries))]
            for file, query in zip(files, queries, strict=True):
                file.write_bytes(query.reply)
            with (
                helper("tools.benchmarks.echo", *files) as echo,
                helper("tools.benchmarks.page_server", events, bookmakers, markets) as pages,
            ):
                urls = f"http://127.0.0.1:{echo.ready['port']}/echo"
                for _ in bounds.turns():
                    _pages(found, pages, run_s)
                    for place, query in enumerate(queries):
                        _idle(found, query, echo, f"{urls}/{place}", service, run_s)
                    with _ingesting(found, bookmaker, service):
                        for query in queries:
                            calm = _calm(query, service, run_s)
                            found.add(
                                f"{query.name}: p50 beside the ingest", calm.percentile(0.5), "ms"
                            )
                            found.add(
                                f"{query.name}: p99 beside the ingest", calm.percentile(0.99), "ms"
                            )
    for name in PAGES:
        anew, repeated = f"{name} anew", f"{name} repeated"
        found.ratio(f"{anew}, of the {name} repeated", anew, repeated, at_most(2.0))
        found.ratio(f"{name} repeated, of the echo", repeated, f"{name}: echo")
    for query in queries:
        name = query.name
        found.ratio(f"{name}, of the echo", f"{name}: calls", f"{name}: echo", at_least(0.85))
        found.ratio(
            f"{name}, CPU of the echo's", f"{name}: CPU of the echo", f"{name}: CPU of the calls"
        )
        found.ratio(
            f"{name}, p99 beside the ingest, of idle",
            f"{name}: p99 beside the ingest", f"{name}: p99", at_most(10.0),
        )  # fmt: skip
    return found.report(
        markets=bookmaker.ready["shown"],
        **{f"markets of the {query.name}": query.markets for query in queries},
        **{f"bytes of the {query.name}": len(query.reply) for query in queries},
    )


def _queries(address: str, leagues: list[str]) -> Iterator[Query]:
    """Yield the queries, with their present replies."""
    with grpc.insecure_channel(address) as channel:
        stub = pb_grpc.OddsServiceStub(channel)

        def query(name: str, only: pb.Filter, reached: pb.Cursor | None = None) -> Query:
            request = pb.GetOddsRequest(filter=only, min_cursor=reached)
            reply = stub.GetOdds(request, timeout=60)
            markets = sum(len(b.markets) for e in reply.events for b in e.bookmakers)
            return Query(name, request.SerializeToString(), reply.SerializeToString(), markets)

        def event(league: str) -> str:
            listed = stub.ListEvents(
                pb.ListEventsRequest(filter=pb.Filter(competitions=[league]), page_size=1),
                timeout=60,
            )
            return str(listed.events[0].event.id)

        small = pb.Filter(event_ids=[event(leagues[-1])])
        yield query("small event", small)
        # A call that waits for a cursor gets no cached reply, like a first call.
        cursor = stub.GetOdds(pb.GetOddsRequest(filter=small), timeout=60).cursor
        yield query("small event, anew", small, cursor)
        yield query("event", pb.Filter(event_ids=[event(leagues[0])]))
        yield query("league", pb.Filter(competitions=[leagues[0]]))
        yield query(
            "filtered league", pb.Filter(competitions=[leagues[0]], markets=["h2h", "totals"])
        )


def _pages(found: Measured, pages: Helper, run_s: float) -> None:
    """Measure pages of events: repeated, anew after each fetch, and as an echo of their bytes."""
    for place, name in enumerate(PAGES):
        request = bytes.fromhex(pages.ready["requests"][place])
        size = pages.ready["sizes"][place]
        figures = {"echo": f"{name}: echo", "repeated": f"{name} repeated", "anew": f"{name} anew"}
        for kind, figure in figures.items():
            url = f"http://127.0.0.1:{pages.ready['port']}/page/{kind}-{place}"
            before_s = pages.ask()
            calls = call(url, request, size, seconds=run_s, callers=CALLERS)
            cpu_us = (pages.ask() - before_s) / len(calls.took_ms) * 1e6
            found.add(figure, cpu_us, "µs of CPU a call")


def _idle(
    found: Measured, query: Query, echo: Helper, url: str, service: Helper, run_s: float
) -> None:
    """Measure the echo, the service, and the latencies of a service with little to do."""
    for name, server, where in (("echo", echo, url), ("calls", service, _url(service))):
        before_s = server.cpu_s()
        calls = call(where, query.request, len(query.reply), seconds=run_s, callers=CALLERS)
        cpu_us = (server.cpu_s() - before_s) / len(calls.took_ms) * 1e6
        found.add(f"{query.name}: {name}", calls.per_s, "calls/s")
        found.add(f"{query.name}: CPU of the {name}", cpu_us, "µs a call")
    calm = _calm(query, service, run_s)
    found.add(f"{query.name}: p50", calm.percentile(0.5), "ms")
    found.add(f"{query.name}: p99", calm.percentile(0.99), "ms")


def _calm(query: Query, service: Helper, run_s: float) -> Calls:
    """Measure a single caller, whose latencies include no queueing."""
    size = len(query.reply)
    return call(_url(service), query.request, size, seconds=2 * run_s, callers=1)


@contextmanager
def _ingesting(found: Measured, bookmaker: Helper, service: Helper) -> Iterator[None]:
    """Measure while the service scrapes continuously; the rate of ingest is a figure too."""
    bookmaker.ask(None)
    time.sleep(SETTLE_S)
    began, before = time.monotonic(), bookmaker.ask(None)["served"]
    yield
    served, took_s = bookmaker.ask(None)["served"] - before, time.monotonic() - began
    a_body = bookmaker.ready["shown"] / len(bookmaker.ready["sports"])
    found.add("ingested", served * a_body / took_s, "markets/s")
    service.ask({"applied": bookmaker.ask(0)["until"]})


def _url(service: Helper) -> str:
    return f"http://{service.ready['address']}/{METHOD}"


PART: Final = Part(
    "read", measure, repeats=5, seconds=120.0, sized="events",
    costs={"event: p50": "markets of the event"},
)  # fmt: skip
