"""`cycle`: whole scrapes over HTTP into PostgreSQL, beside the same bodies fetched for nothing."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import httpx
import trio
import typer

from tests.support.postgres import postgres_server
from tools.benchmarks.bookmaker import BARE
from tools.benchmarks.figures import Bounds, Measured, Report, at_most
from tools.benchmarks.part import Part
from tools.benchmarks.processes import READY_S, Helper, helper
from tools.benchmarks.service import settings_file

FIRST: Final = "first cycle"
STEADY: Final = "steady cycle"
FETCH: Final = "bare fetch of the same bodies"
FETCH_CPU: Final = "bare fetch, CPU"
STEADY_CPU: Final = "steady, CPU of all stages"
PEAK: Final = "peak memory"
INTERVAL_S: Final = 0.2  # every sport is due again at once: the bookmaker holds it until its turn


def measure(
    bounds: Bounds,
    *,
    events: Annotated[int, typer.Option(help="Events in all.")] = 1_300,
    bookmakers: Annotated[int, typer.Option(help="Bookmakers on each.")] = 3,
    markets: Annotated[int, typer.Option(help="Markets of each.")] = 100,
    sports: Annotated[int, typer.Option(help="Sports, each of them one body.")] = 20,
    changed: Annotated[float, typer.Option(help="Share that changes in a cycle.")] = 0.05,
) -> Report:
    """Whole scrapes over HTTP into PostgreSQL: the first, and steady ones."""
    found = Measured("cycle", "scraped over HTTP, detected, committed in PostgreSQL")
    sports = min(sports, events)
    with (
        tempfile.TemporaryDirectory() as folder,
        postgres_server(fsync=True) as postgres,
        helper(
            "tools.benchmarks.bookmaker", f"--events={events}", f"--bookmakers={bookmakers}",
            f"--markets={markets}", f"--sports={sports}", f"--changed={changed}",
        ) as bookmaker,
        _service(Path(folder), bookmaker, postgres.url()) as service,
    ):  # fmt: skip
        began, before = time.monotonic(), service.ask({"applied": 0})
        bookmaker.ask(1)
        last = service.ask({"applied": sports}, within_s=READY_S)
        found.add(FIRST, (last["at"] - began) * 1000, "ms")
        for stage, cpu_s in _spent(before, last):
            found.add(f"first, CPU: {stage}", cpu_s * 1000, "ms")
        for turn in bounds.turns():
            _wait_all_held(bookmaker, sports)
            cpu_began = time.process_time()
            with found.timed(FETCH):
                trio.run(_fetch, bookmaker.ready["port"], bookmaker.ready["sports"])
            found.add(FETCH_CPU, (time.process_time() - cpu_began) * 1000, "ms")
            began, before = time.monotonic(), last
            bookmaker.ask(1)
            last = service.ask({"applied": sports * (turn + 2)})
            found.add(STEADY, (last["at"] - began) * 1000, "ms")
            for stage, cpu_s in _spent(before, last):
                found.add(f"steady, CPU: {stage}", cpu_s * 1000, "ms")
            found.add(STEADY_CPU, sum(cpu_s for _, cpu_s in _spent(before, last)) * 1000, "ms")
            found.add("steady, changes", last["head"] - before["head"], "changes")
        found.add(PEAK, last["peak_mb"], "MB")
    found.ratio("steady cycle, of the bare fetch", STEADY, FETCH, at_most(2.0))
    found.ratio("CPU of the steady cycle, of the bare fetch", STEADY_CPU, FETCH_CPU)
    found.aim(PEAK, at_most(600.0))
    shown = bookmaker.ready["shown"]
    return found.report(markets=shown, bytes=bookmaker.ready["bytes"])


@contextmanager
def _service(folder: Path, bookmaker: Helper, database: str) -> Iterator[Helper]:
    settings = settings_file(folder, bookmaker.ready, INTERVAL_S, database)
    with helper("tools.benchmarks.service", settings, "--stages") as service:
        yield service


def _spent(before: dict[str, Any], after: dict[str, Any]) -> Iterator[tuple[str, float]]:
    for stage, cpu_s in after["cpu_s"].items():
        yield stage, cpu_s - before["cpu_s"].get(stage, 0.0)


def _wait_all_held(bookmaker: Helper, sports: int) -> None:
    """Until the service asks for every sport again, so that no wait is measured."""
    while bookmaker.ask(0)["waiting"] < sports:
        time.sleep(0.01)


async def _fetch(port: int, sports: list[str]) -> None:
    """The ceiling: all bodies that come next by a bare client, as many at once, and thrown away."""
    limits = httpx.Limits(max_connections=len(sports))
    url = f"http://127.0.0.1:{port}"
    async with httpx.AsyncClient(base_url=url, limits=limits, timeout=READY_S) as client:

        async def get(sport: str) -> None:
            answer = await client.get(f"/v4/sports/{sport}/odds", params={BARE: "1"})
            answer.raise_for_status()

        async with trio.open_nursery() as nursery:
            for sport in sports:
                nursery.start_soon(get, sport)


PART: Final = Part(
    "cycle", measure, repeats=5, seconds=120.0, sized="events", costs={STEADY: "markets"}
)
