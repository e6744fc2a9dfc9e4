"""`cycle`: whole scrapes over HTTP into PostgreSQL, beside a bare fetch of the same bodies.

In two forms: one event of one bookmaker a request, as bookmakers' own sites answer, and listings of
whole sports, in which the bare fetch is next to nothing and what is left is ours. Each form runs
without workers and, in turns with it, with them. The time of each stage comes from a third service,
since to take it costs a sixth more. Loops of the lowest priority keep the neighbours of all
processors busy, for all sides alike.
"""

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import httpx
import trio
import typer
from msgspec import Struct

from tests.support.postgres import postgres_server
from tools.benchmarks.bookmaker import BARE
from tools.benchmarks.figures import Bounds, Measured, Report, at_most
from tools.benchmarks.part import Part
from tools.benchmarks.processes import READY_S, Helper, busy_neighbours, helper
from tools.benchmarks.service import settings_file

INTERVAL_S: Final = 0.2  # everything is due again at once: the bookmaker holds it until its turn
AT_ONCE: Final = 6  # requests of each source, where it fetches event by event


class Form(Struct, frozen=True):
    """A form of fetching. at_once: concurrent requests of a source; 0: one for each sport."""

    name: str
    at_once: int = 0


FORMS: Final = (Form("by event", AT_ONCE), Form("listings"))


def measure(
    bounds: Bounds,
    *,
    events: Annotated[int, typer.Option(help="Events in all.")] = 1_300,
    bookmakers: Annotated[int, typer.Option(help="Bookmakers on each.")] = 3,
    markets: Annotated[int, typer.Option(help="Markets of each.")] = 100,
    sports: Annotated[int, typer.Option(help="Sports, each of them one listing.")] = 20,
    changed: Annotated[float, typer.Option(help="Share that changes in a cycle.")] = 0.05,
    workers: Annotated[int, typer.Option(help="Worker processes of the form with them.")] = 2,
) -> Report:
    """Whole scrapes over HTTP into PostgreSQL: the first, and steady ones."""
    found = Measured("cycle", "scraped over HTTP, detected, committed in PostgreSQL")
    sports = min(sports, events)
    size = (
        f"--events={events}", f"--bookmakers={bookmakers}", f"--markets={markets}",
        f"--sports={sports}", f"--changed={changed}",
    )  # fmt: skip
    facts: dict[str, float] = {}
    for form in FORMS:
        single = ["--by-event"] if form.at_once else []
        with ExitStack() as stack:
            stack.enter_context(busy_neighbours())
            sides = []
            for number, options in ((0, []), (workers, []), (0, ["--stages"])):
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
                postgres = stack.enter_context(postgres_server(fsync=True))
                bookmaker = stack.enter_context(
                    helper("tools.benchmarks.bookmaker", *size, *single)
                )
                service = stack.enter_context(
                    _service(folder, bookmaker, postgres.url(), form, number, options)
                )
                sides.append(Side(bookmaker, service))
            plain, divided, staged = sides
            _cycles(found, Bounds(bounds.repeats, bounds.seconds / 2), form, plain, divided, staged)
            facts["markets"] = plain.bookmaker.ready["shown"]
            facts[f"requests, {form.name}"] = len(plain.bookmaker.ready["bodies"])
            facts[f"bytes, {form.name}"] = plain.bookmaker.ready["bytes"]
    return found.report(**facts, workers=workers)


class Side(Struct):
    """A service and its bookmaker; all sides fetch the same bodies.

    Attributes:
        last: the last answer of the service.
        cycles: the cycles so far.
    """

    bookmaker: Helper
    service: Helper
    last: dict[str, Any] = {}
    cycles: int = 0

    def cycle(self) -> tuple[float, dict[str, Any]]:
        """Make a cycle; return its seconds, and the service's answer before it."""
        before = self.last or self.service.ask({"applied": 0})
        began = time.monotonic()
        self.bookmaker.ask(1)
        self.cycles += 1
        fetches = self.cycles * len(self.bookmaker.ready["bodies"])
        self.last = self.service.ask({"applied": fetches}, within_s=READY_S)
        return self.last["at"] - began, before


def _cycles(
    found: Measured, bounds: Bounds, form: Form, plain: Side, divided: Side, staged: Side
) -> None:
    bookmaker = plain.bookmaker
    bodies = bookmaker.ready["bodies"]
    at_once = form.at_once * len(bookmaker.ready["names"]) or len(bodies)

    def named(figure: str) -> str:
        return f"{form.name}: {figure}"

    divided.cycle()
    found.add(named("first cycle"), plain.cycle()[0] * 1000, "ms")
    for stage, cpu_s in _spent(staged.cycle()[1], staged.last):
        found.add(named(f"first, CPU: {stage}"), cpu_s * 1000, "ms")
    for _ in bounds.turns():
        _wait_all_held(bookmaker, at_once)
        cpu_began = time.process_time()
        with found.timed(named("bare fetch")):
            trio.run(_fetch, bookmaker.ready["port"], bodies, at_once)
        found.add(named("bare fetch, CPU"), (time.process_time() - cpu_began) * 1000, "ms")
        took_s, before = plain.cycle()
        process_s = plain.last["process_s"] - before["process_s"]
        found.add(named("steady cycle"), took_s * 1000, "ms")
        found.add(named("steady, CPU"), process_s * 1000, "ms")
        found.add(named("steady, changes"), plain.last["head"] - before["head"], "changes")
        _wait_all_held(divided.bookmaker, at_once)
        took_s, before = divided.cycle()
        process_s, workers_s = (
            divided.last[name] - before[name] for name in ("process_s", "workers_s")
        )
        found.add(named("with workers: steady cycle"), took_s * 1000, "ms")
        found.add(named("with workers: CPU of the process"), process_s * 1000, "ms")
        found.add(named("with workers: CPU of all"), (process_s + workers_s) * 1000, "ms")
        _wait_all_held(staged.bookmaker, at_once)
        for stage, cpu_s in _spent(staged.cycle()[1], staged.last):
            found.add(named(f"steady, CPU: {stage}"), cpu_s * 1000, "ms")
    found.add(named("peak memory"), plain.last["peak_mb"], "MB")
    found.aim(named("peak memory"), at_most(600.0))
    found.ratio(
        named("steady cycle, of the bare fetch"),
        named("steady cycle"), named("bare fetch"), at_most(2.0),
    )  # fmt: skip
    found.ratio(
        named("CPU of the steady cycle, of the bare fetch"),
        named("steady, CPU"), named("bare fetch, CPU"),
    )  # fmt: skip
    found.ratio(
        named("with workers: the service's process, of one without"),
        named("with workers: CPU of the process"), named("steady, CPU"),
        at_most(0.3),
    )  # fmt: skip
    found.ratio(
        named("with workers: all processes, of one without"),
        named("with workers: CPU of all"), named("steady, CPU"), at_most(1.2),
    )  # fmt: skip
    found.ratio(
        named("with workers: time of the cycle, of one without"),
        named("with workers: steady cycle"), named("steady cycle"),
    )  # fmt: skip


@contextmanager
def _service(
    folder: Path,
    bookmaker: Helper,
    database: str,
    form: Form,
    workers: int,
    options: Sequence[str],
) -> Iterator[Helper]:
    settings = settings_file(
        folder, bookmaker.ready, INTERVAL_S, database, by_event=form.at_once, workers=workers
    )
    with helper("tools.benchmarks.service", settings, *options) as service:
        yield service


def _spent(before: dict[str, Any], after: dict[str, Any]) -> Iterator[tuple[str, float]]:
    for stage, cpu_s in after["cpu_s"].items():
        yield stage, cpu_s - before["cpu_s"].get(stage, 0.0)


def _wait_all_held(bookmaker: Helper, at_once: int) -> None:
    """Wait until the service has all its concurrent requests open, so that no wait is measured."""
    while bookmaker.ask(0)["waiting"] < at_once:
        time.sleep(0.01)


async def _fetch(port: int, bodies: list[str], at_once: int) -> None:
    """Fetch the next bodies with a bare client and discard them; this is the ceiling."""
    limits = httpx.Limits(max_connections=at_once)
    url = f"http://127.0.0.1:{port}"
    wanted = iter(bodies)
    async with httpx.AsyncClient(base_url=url, limits=limits, timeout=READY_S) as client:

        async def get() -> None:
            for body in wanted:
                path, _, of_one = body.partition(" ")
                only = {"bookmakers": of_one} if of_one else {}
                answer = await client.get(path, params={BARE: "1"} | only)
                answer.raise_for_status()

        async with trio.open_nursery() as nursery:
            for _ in range(at_once):
                nursery.start_soon(get)


PART: Final = Part(
    "cycle", measure, repeats=5, seconds=120.0, sized="events",
    costs={f"{form.name}: steady cycle": "markets" for form in FORMS},
)  # fmt: skip
