"""`board`: first paint, change to pixel, and the streams of many browsers, in headless Chromium."""

import statistics
import tempfile
import time
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import quote

import httpx
import msgspec
import typer

from tools.benchmarks.board_page import (
    events_of,
    open_list,
    open_match,
    prices_seen,
    streams_of,
    visitor,
)
from tools.benchmarks.figures import Bounds, Measured, Report, at_most
from tools.benchmarks.part import Part
from tools.benchmarks.processes import READY_S, Helper, helper
from tools.benchmarks.service import settings_file
from tools.benchmarks.watch_wire import Answer, Ask
from tools.chromium import chromium

AT_ONCE: Final = 6  # requests of each source
SOON_S: Final = 0.5  # between two fetches of the odds of an event that starts soon
HEARTBEAT_S: Final = 5.0  # of the board's streams: the ids of quiet ones move as often
WARM_S: Final = 2.0

Prices = list[tuple[int, float]]


@contextmanager
def running(size: Iterable[str], interval_s: float) -> Iterator[tuple[Helper, Helper]]:
    """Run the bookmakers and the service, and wait until it serves all of their odds."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        bookmaker = stack.enter_context(helper("tools.benchmarks.moving_bookmaker", *size))
        settings = settings_file(
            folder, bookmaker.ready, interval_s, by_event=AT_ONCE, soon_s=SOON_S
        )
        service = stack.enter_context(helper("tools.benchmarks.service", settings))
        until = time.monotonic() + READY_S
        with httpx.Client(base_url=f"http://{service.ready['http']}", timeout=60) as http:
            while _markets(http) < bookmaker.ready["shown"]:
                if time.monotonic() > until:
                    raise RuntimeError(f"{_markets(http)} markets are served after {READY_S} s")
                time.sleep(1)
        yield bookmaker, service


def _markets(http: httpx.Client) -> int:
    found: dict[str, Any] = http.get("/v1/coverage").raise_for_status().json()
    return sum(
        bookmaker.get("markets", 0)
        for competition in found.get("competitions", [])
        for bookmaker in competition["bookmakers"]
    )


def measure(
    bounds: Bounds,
    *,
    events: Annotated[int, typer.Option(help="Events in all.")] = 1_300,
    bookmakers: Annotated[int, typer.Option(help="Bookmakers on each.")] = 3,
    markets: Annotated[int, typer.Option(help="Markets of each.")] = 100,
    sports: Annotated[int, typer.Option(help="Sports.")] = 20,
    soon: Annotated[int, typer.Option(help="Events that are fetched twice a second.")] = 20,
    moved: Annotated[int, typer.Option(help="Prices that move in each answer.")] = 5,
    interval: Annotated[float, typer.Option(help="Seconds between two fetches of others.")] = 120.0,
    stretch: Annotated[float, typer.Option(help="Seconds of each measurement.")] = 10.0,
    streams: Annotated[int, typer.Option(help="Streams of other browsers' boards.")] = 500,
) -> Report:
    """First paint, change to pixel, and hundreds of other boards, in headless Chromium."""
    found = Measured("board", "the board in Chromium, beside a subscriber over gRPC")
    size = (
        f"--events={events}", f"--bookmakers={bookmakers}", f"--markets={markets}",
        f"--sports={min(sports, events)}", f"--soon={soon}", f"--moved={moved}",
    )  # fmt: skip
    with running(size, interval) as (bookmaker, service), chromium() as browser:
        address = service.ready["http"]
        for _ in bounds.turns():
            _visit(found, browser, bookmaker, service, stretch, "alone")
        asked = streams_of(browser, address)
        with helper("tools.benchmarks.sse_clients", address) as clients:
            _attach(found, clients, _paths(asked, browser, address, streams))
            with httpx.Client(base_url=f"http://{address}", timeout=60) as http:
                for _ in bounds.turns():
                    _visit(
                        found, browser, bookmaker, service, stretch, f"beside {streams}", clients
                    )
                    found.add("streams behind at the end", _behind(clients, http), "streams")
        shown = bookmaker.ready["shown"]
    for name in ("alone", f"beside {streams}"):
        found.aim(f"list with prices, {name}", at_most(1_000.0))
        found.aim(f"change to pixel p99, {name}", at_most(100.0))
        found.ratio(
            f"change to pixel, of change to gRPC, p99, {name}",
            f"change to pixel p99, {name}", f"change to gRPC p99, {name}",
        )  # fmt: skip
    found.aim("streams behind at the end", at_most(0))
    return found.report(markets=shown, streams=streams)


def _visit(
    found: Measured, browser: Any, bookmaker: Helper, service: Helper, stretch: float, name: str,
    clients: Helper | None = None,
) -> None:  # fmt: skip
    """Open the board as a newcomer, look at one match for a while, and add the figures."""
    with visitor(browser) as context:
        page, first_ms, listed_ms = open_list(context, service.ready["http"])
        found.add(f"first contentful paint, {name}", first_ms, "ms")
        found.add(f"list with prices, {name}", listed_ms, "ms")
        event = events_of(page)[0]
        open_match(page, event)
        with helper("tools.benchmarks.price_watch", service.ready["address"], event) as watch:
            page.wait_for_timeout(WARM_S * 1_000)
            watch.ask(), prices_seen(page)
            if clients is not None:
                clients.ask(Ask(reset=True))
            cpu_s, began = service.cpu_s(), time.monotonic()
            page.wait_for_timeout(stretch * 1_000)
            took_s = time.monotonic() - began
            cpu_s = service.cpu_s() - cpu_s
            by_grpc, by_board = watch.ask(), prices_seen(page)
        moves = bookmaker.ask(event.partition(":")[2])
    found.add(f"CPU of the service, {name}", cpu_s / took_s, "cores")
    found.add(f"changes to the page, {name}", len(by_board) / took_s, "changes/s")
    for way, seen in (("gRPC", by_grpc), ("pixel", by_board)):
        p50, p99, most = delays_ms(moves, seen)
        found.add(f"change to {way} p50, {name}", p50, "ms")
        found.add(f"change to {way} p99, {name}", p99, "ms")
        found.add(f"change to {way} max, {name}", most, "ms")
    if clients is not None:
        told = msgspec.convert(clients.ask(Ask()), Answer)
        late = sorted(told.latency_ms)
        found.add("messages to other boards", told.messages / took_s, "messages/s")
        found.add("delay at other boards p99", late[int(len(late) * 0.99)], "ms")


def delays_ms(moves: Prices, seen: Prices) -> tuple[float, float, float]:
    """Return p50, p99 and the greatest delay from a move to its sight. Raises RuntimeError."""
    made: defaultdict[int, list[float]] = defaultdict(list)
    for number, at in moves:
        made[number].append(at)
    delays = []
    for number, at in seen:
        place = bisect_right(made[number], at)
        if place:  # else it was the price before the first move
            delays.append((at - made[number][place - 1]) * 1_000)
    if not delays:
        raise RuntimeError("none of the moves has been seen")
    delays.sort()
    return statistics.median(delays), delays[int(len(delays) * 0.99)], delays[-1]


def _paths(asked: list[str], browser: Any, address: str, streams: int) -> list[str]:
    """Return the paths of many boards: all have the index, half show the list, half a match."""
    with visitor(browser) as context:
        shown = events_of(open_list(context, address)[0])
    index = next(path for path in asked if "eventIds" not in path)
    rows = next(path for path in asked if "eventIds" in path and "markets" in path)
    match = next(path for path in asked if "eventIds" in path and "markets" not in path)
    mine = f"eventIds={quote(shown[0], safe='')}"
    paths = []
    for number in range(streams // 2):
        other = match.replace(mine, f"eventIds={quote(shown[number % len(shown)], safe='')}")
        paths += [index, rows if number % 2 else other]
    return paths


def _attach(found: Measured, clients: Helper, paths: list[str]) -> None:
    began = time.monotonic()
    told = msgspec.convert(clients.ask(Ask(paths=paths)), Answer)
    if told.lost or told.streams != len(paths):
        raise RuntimeError(f"{told.streams} of {len(paths)} streams are there")
    found.add("all other boards opened", time.monotonic() - began, "s")


def _behind(clients: Helper, http: httpx.Client) -> float:
    """Return the number of streams that lack what the service had a moment ago."""
    head = int(http.get("/v1/status").raise_for_status().json()["headRevision"])
    ask = Ask(reach=head, within_s=2 * HEARTBEAT_S)
    told = msgspec.convert(clients.ask(ask), Answer)
    if told.lost:
        raise RuntimeError(f"{told.lost} streams were lost")
    return told.behind


PART: Final = Part("board", measure, repeats=3, seconds=60.0)
