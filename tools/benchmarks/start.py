"""`start`: a warm start beside a raw read of the same rows, and the time to the first answer."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final

import grpc
import trio
import typer

from odds_service.bridge import open_bridge
from odds_service.model.change import (
    Change,
    ChangeKind,
    Commit,
    EventChange,
    MarketChange,
)
from odds_service.model.event import Event
from odds_service.model.market import Market, MarketKey, MarketStatus, Outcome
from odds_service.model.snapshot import EventSource, Snapshot
from odds_service.storage import open_store
from odds_service.store import WriteGroup
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from odds_service.wire.pb.odds.v1 import odds_pb2_grpc as pb_grpc
from tools.benchmarks.bare import Bare
from tools.benchmarks.figures import Bounds, Measured, Report, at_most, settle
from tools.benchmarks.load import BEGIN, SOURCE
from tools.benchmarks.part import Part
from tools.benchmarks.storage import Engine, bare_of, engines

ROOT: Final = Path(__file__).resolve().parents[2]
BOOKMAKERS: Final = 10
MARKETS: Final = 40  # of a bookmaker on an event
EVENTS_A_BATCH: Final = 20
ANSWER_S: Final = 120.0

# The columns that a start reads for each live market.
_RAW: Final = (
    "SELECT c.event_id, c.source, c.bookmaker, c.market, c.line, c.participant, c.odds, "
    "c.revision, c.changed_at FROM odds_current c JOIN events e ON e.event_id = c.event_id "
    "WHERE e.status <> 3 AND c.revision > e.ended_revision AND c.status <> 3"
)


def batches_of(events: int) -> Iterator[Commit]:
    """Yield batches of new events with all their markets."""
    revision = 0
    for first in range(0, events, EVENTS_A_BATCH):
        changes: list[Change] = []
        snapshots: list[Snapshot] = []
        carried: list[tuple[str, EventSource]] = []
        for number in range(first, min(first + EVENTS_A_BATCH, events)):
            event = Event(
                id=f"event-{number:032}", sport="soccer", competition="soccer_league",
                home=f"Home {number}", away=f"Away {number}", start_time=BEGIN + timedelta(days=9),
                source_ids={SOURCE: str(number)},
            )  # fmt: skip
            revision += 1
            changes.append(EventChange(revision, ChangeKind.EVENT_ADDED, "", event.id, SOURCE,
                                       BEGIN, BEGIN, None, event))  # fmt: skip
            carried.append((event.id, EventSource(SOURCE, str(number), "soccer_league", None)))
            for bookmaker in range(BOOKMAKERS):
                name, snapshot_id = f"bookmaker{bookmaker}", revision + 1
                snapshots.append(Snapshot(snapshot_id, event.id, SOURCE, name, BEGIN, BEGIN, BEGIN))
                for place in range(MARKETS):
                    revision += 1
                    market = Market(
                        MarketKey("alternate_totals", str(place / 2)), MarketStatus.OPEN,
                        (Outcome("over", "Over", 1.9 + place / 100),
                         Outcome("under", "Under", 2.1 - place / 100)),
                        revision, BEGIN, BEGIN,
                    )  # fmt: skip
                    changes.append(MarketChange(revision, ChangeKind.ADDED, "", event.id, SOURCE,
                                                name, snapshot_id, BEGIN, BEGIN, None,
                                                market))  # fmt: skip
        yield Commit(changes, snapshots, carried)


def measure(
    bounds: Bounds,
    *,
    markets: Annotated[int, typer.Option(help="Live markets in the database.")] = 400_000,
) -> Report:
    """Warm start from SQLite and PostgreSQL; from the process's start to the first answer."""
    found = Measured("start", "one start from a full database")
    events = max(1, markets // (BOOKMAKERS * MARKETS))
    with tempfile.TemporaryDirectory() as folder, engines(Path(folder)) as both:
        for engine in both:
            trio.run(_fill, engine, events, Path(folder))
        for _ in bounds.turns():
            for engine in both:
                _turn(found, engine, events, Path(folder))
    for name in ("SQLite", "PostgreSQL"):
        aim = at_most(3.0) if name == "PostgreSQL" else None
        found.ratio(f"{name}: warm start, of a raw read", f"{name}: warm start",
                    f"{name}: raw read of the rows", aim)  # fmt: skip
        found.ratio(f"{name}: first answer, of a raw read", f"{name}: first answer",
                    f"{name}: raw read of the rows")  # fmt: skip
    return found.report(markets=events * BOOKMAKERS * MARKETS, events=events)


async def _fill(engine: Engine, events: int, folder: Path) -> None:
    async with open_bridge(), open_store(
        engine.urls[0], migrate=True, spill_folder=folder
    ) as store:  # fmt: skip
        await store.begin()
        for batch in batches_of(events):
            await store.write(WriteGroup([batch]))


def _turn(found: Measured, engine: Engine, events: int, folder: Path) -> None:
    count = events * BOOKMAKERS * MARKETS
    bare: Bare = bare_of(engine.urls[0])
    settle()
    with found.timed(f"{engine.name}: raw read of the rows"):
        rows = bare.read(_RAW)
    bare.close()
    if rows != count:
        raise RuntimeError(f"{rows} rows read, {count} written")
    trio.run(_warm, found, engine, count, folder)
    _answer(found, engine, count, folder)


async def _warm(found: Measured, engine: Engine, count: int, folder: Path) -> None:
    async with open_bridge(), open_store(engine.urls[0], spill_folder=folder) as store:
        settle()
        with found.timed(f"{engine.name}: warm start"):
            stored = await store.begin()
    markets = sum(len(o.markets) for e in stored.events for o in e.bookmakers.values())
    if markets != count:
        raise RuntimeError(f"{markets} markets are warm, {count} written")


def _answer(found: Measured, engine: Engine, count: int, folder: Path) -> None:
    """Measure from the start of the process to an answer that has all markets."""
    command = [sys.executable, "-m", "odds_service", "serve", "--listen", "127.0.0.1:0",
               "--database", engine.urls[0], "--log-format", "json"]  # fmt: skip
    with found.timed(f"{engine.name}: first answer"):
        process = subprocess.Popen(
            command, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)},
            cwd=folder,
        )  # fmt: skip
        try:
            address = _address(process)
            with grpc.insecure_channel(address) as channel:
                stub = pb_grpc.OddsServiceStub(channel)
                status = stub.GetStatus(
                    pb.GetStatusRequest(), timeout=ANSWER_S, wait_for_ready=True
                )
        except BaseException:
            process.kill()
            raise
    process.terminate()
    process.communicate(timeout=ANSWER_S)
    if status.markets != count:
        raise RuntimeError(f"{status.markets} markets are served, {count} written")


def _address(process: subprocess.Popen[str]) -> str:
    """Return the address that its log announces. Raises RuntimeError if it ends instead."""
    last = ""
    for line in process.stderr or ():
        last = line
        with suppress(json.JSONDecodeError):
            entry = json.loads(line)
            if entry.get("event") == "serving":
                return str(entry["address"])
    raise RuntimeError(f"the service did not start: {last}")


PART: Final = Part("start", measure, repeats=5, seconds=90, sized="markets",
                   costs={"PostgreSQL: warm start": "markets"})  # fmt: skip
