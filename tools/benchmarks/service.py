"""The service as `serve` runs it, with counters that a benchmark reads.

Prints `{"address": "host:port", "http": "host:port"}`, and then answers lines: `{"applied": N}`
waits until so many fetches were applied and all of their changes are stored. An answer has the head
revision, when that was (CLOCK_MONOTONIC), processor seconds so far by stage, of the process and of
its workers, and the peak of memory in MB.
"""

import gc
import os
import resource
import time
from collections import defaultdict
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import psutil
import trio
import typer

from odds_service.config import Settings, load_settings
from odds_service.errors import OddsServiceError, first_in
from odds_service.logs import configure_logs
from odds_service.model.scrape_run import ScrapeRun
from odds_service.pipeline.channels import WriteQueue
from odds_service.service import Running, run_service
from odds_service.signals import stop_on_signals
from odds_service.sources.odds_api_body import BodyReader
from tools.benchmarks.processes import tell

READ: Final = "decode + normalise"
OTHERS: Final = "other threads"  # gRPC's, and the one of aiosqlite
# A Trio task's name -> its stage; the first that it contains.
_STAGES: Final = {
    "Scraper": "fetch",
    "detect_observations": "detect",
    "Writer": "write",
    "_write": "write",
    "trio_asyncio": "write",  # the database's loop
    "aio": "write",
}


class StageTimes(trio.abc.Instrument):
    """Processor time of the Trio thread by stage; reading and fetching bodies are separate."""

    def __init__(self) -> None:
        self.cpu_s: defaultdict[str, float] = defaultdict(float)
        self._began = 0.0
        self._read_s = 0.0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self._began = time.thread_time()
        self._read_s = 0.0

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        took_s = time.thread_time() - self._began
        stage = next((stage for part, stage in _STAGES.items() if part in task.name), "other")
        self.cpu_s[stage] += took_s - self._read_s
        self.cpu_s[READ] += self._read_s

    def reading(self, read: Any) -> Any:
        """Wrap a function of the reader, so that its time is not counted for the calling task."""

        def timed(*args: Any) -> Any:
            began = time.thread_time()
            try:
                return read(*args)
            finally:
                self._read_s += time.thread_time() - began

        return timed


class Applied:
    """A counter of applied fetches, based on the records that detect makes."""

    def __init__(self, queue: WriteQueue) -> None:
        self.fetches = 0
        self._wanted = 0
        self._reached = trio.Event()
        self._record = queue.record
        queue.record = self._count  # type: ignore[method-assign]  # a look from outside

    def _count(self, run: ScrapeRun) -> None:
        self._record(run)
        self.fetches += 1
        if self.fetches == self._wanted:  # to wake for each would be a part of what is measured
            self._reached.set()

    async def reach(self, fetches: int) -> None:
        """Wait until this many fetches were applied; one task at a time may."""
        if self.fetches < fetches:
            self._wanted, self._reached = fetches, trio.Event()
            await self._reached.wait()


def settings_file(
    folder: Path,
    bookmaker: dict[str, Any],
    interval_s: float,
    database: str | None = None,
    *,
    by_event: int = 0,
    workers: int = 0,
    soon_s: float | None = None,
) -> Path:
    """Write settings with every optional feature enabled, and return the file.

    bookmaker: what benchmarks.bookmaker said of itself. database: its URL, None for a new SQLite
    file. by_event: a source for each bookmaker that fetches so many events at once, one by one; 0
    for one source that fetches whole sports. workers: worker processes for the sources. soon_s: the
    interval of events that start within an hour, if it is another.
    """
    patient_s, most_bytes = 3_600, 2**30  # requests are held on purpose, and may be large
    tables: list[tuple[str, dict[str, object]]] = [
        (
            "[server]",
            {
                "listen": "127.0.0.1:0",
                "max_requests_per_s": 1_000_000,
                "max_streams": 5_000,
                "max_streams_per_client": 5_000,
            },
        ),
        ("[http]", {"listen": "127.0.0.1:0"}),
        ("[metrics]", {"listen": "127.0.0.1:0"}),
        ("[workers]", {"count": workers}),
        (
            "[database]",
            {
                "url": database or f"sqlite:///{folder / 'odds.db'}",
                "migrate": True,
                "spill_folder": str(folder),
            },
        ),
    ]
    for name in bookmaker["names"] if by_event else ["all"]:
        source: dict[str, object] = {
            "kind": "the-odds-api",
            "name": name,
            "url": f"http://127.0.0.1:{bookmaker['port']}",
            "api_key": "benchmark",
            "sports": bookmaker["sports"],
            "markets": bookmaker["markets"],
            "interval_s": interval_s,
            "bookmakers": [name] if by_event else [],
            "by_event": bool(by_event),
            "discovery_s": 86_400,
        }
        http: dict[str, object] = {
            # Of each sport one request may be held; it must not be in the way of another's.
            "concurrency": by_event or len(bookmaker["sports"]),
            "read_s": patient_s,
            "total_s": patient_s,
            "max_body_bytes": most_bytes,
            "max_decompressed_bytes": most_bytes,
        }
        tier: dict[str, object] = {"name": "all", "interval_s": interval_s, "target_s": patient_s}
        tables += [("[[sources]]", source), ("[sources.http]", http)]
        if soon_s is not None:
            soon = tier | {"name": "soon", "within_s": 3_600, "interval_s": soon_s}
            tables.append(("[[sources.tiers]]", soon))
        tables.append(("[[sources.tiers]]", tier))
    lines = []
    for table, keys in tables:
        lines.append(table)
        # These values are written alike in JSON and in TOML.
        lines += [f"{key} = {msgspec.json.encode(value).decode()}" for key, value in keys.items()]
    path = folder / "odds.toml"
    path.write_text("\n".join(lines), "utf-8")
    return path


def serve(
    config: Annotated[Path, typer.Argument()],
    *,
    stages: Annotated[bool, typer.Option(help="Take the time of each stage.")] = False,
) -> None:
    """Run until SIGTERM."""
    settings = load_settings(config)
    configure_logs("warning", "json")
    gc.freeze()  # as `serve` does after its imports
    trio.run(_serve, settings, stages)


async def _serve(settings: Settings, stages: bool) -> None:
    times = StageTimes()
    if stages:
        trio.lowlevel.add_instrument(times)
        BodyReader.read_event = times.reading(BodyReader.read_event)  # type: ignore[method-assign]
    stop = trio.Event()
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stop_on_signals, stop, nursery.cancel_scope)
            async with trio.open_nursery() as serving:
                running: Running = await serving.start(run_service, settings, stop)
                nursery.start_soon(_answer, running, times, stop)
                tell({"address": running.address, "http": running.server.addresses[1]})
            nursery.cancel_scope.cancel()
    except* OddsServiceError as group:
        raise first_in(group) from group


async def _answer(running: Running, times: StageTimes, stop: trio.Event) -> None:
    parts = running.parts
    applied = Applied(parts.queue)
    async for lines in trio.lowlevel.FdStream(os.dup(0)):  # standard input
        for line in lines.splitlines():
            await applied.reach(msgspec.json.decode(line, type=dict[str, int])["applied"])
            head = parts.feed.head_revision
            await parts.writer.committed(head)
            tell(
                {
                    "at": time.monotonic(),
                    "head": head,
                    "applied": applied.fetches,
                    "cpu_s": times.cpu_s | {OTHERS: time.process_time() - time.thread_time()},
                    "process_s": time.process_time(),
                    "workers_s": sum(map(_cpu_s, psutil.Process().children())),
                    "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                }
            )
    stop.set()


def _cpu_s(process: psutil.Process) -> float:
    used = process.cpu_times()
    return float(used.user + used.system)


if __name__ == "__main__":
    typer.run(serve)
