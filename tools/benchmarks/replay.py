"""`replay`: the CPU time of a change replayed at full speed, at the server and in the client."""

import gc
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Final

import trio
import typer

from odds_service.client import connect, open_sync_client
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tools.benchmarks.figures import Bounds, Measured, Report, at_most, settle
from tools.benchmarks.part import Part
from tools.benchmarks.processes import helper
from tools.benchmarks.storage import filled

SERVER, HISTORY = "CPU of the server, a change", "CPU of the server for GetHistory, a change"
STUB, CLIENT = "CPU of the bare stub, a change", "CPU of the client with its map, a change"
_MOST_US: Final = 20.0  # 50,000 changes a second on a core


def measure(
    bounds: Bounds,
    *,
    changes: Annotated[int, typer.Option(help="Changes in the history.")] = 40_000,
) -> Report:
    """Replay a whole history through the bare stub and through the client library."""
    found = Measured("replay", "a whole history from SQLite, replayed over gRPC")
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "odds.db"
        stored = trio.run(filled, database, changes)
        settle()
        with helper("tools.benchmarks.stored_server", database) as server:
            address = server.ready["address"]
            with connect(address) as stub, open_sync_client(address) as client:

                def bare() -> Iterator[object]:
                    for message in stub.Replay(pb.ReplayRequest()):
                        yield from message.changes.changes

                def history() -> Iterator[object]:
                    for page in stub.GetHistory(pb.GetHistoryRequest()):
                        yield from page.changes

                for _ in bounds.turns():
                    for ours, theirs, work in (
                        (STUB, SERVER, bare),
                        (CLIENT, "", client.replay),
                        ("", HISTORY, history),
                    ):
                        before_s = server.cpu_s()
                        spent_us = _cpu_us(work, stored)
                        if theirs:
                            found.add(theirs, (server.cpu_s() - before_s) * 1e6 / stored, "µs")
                        if ours:
                            found.add(ours, spent_us, "µs")
    found.ratio("Replay, of GetHistory at the server", SERVER, HISTORY, at_most(1.2))
    found.aim(SERVER, at_most(_MOST_US))
    found.aim(CLIENT, at_most(_MOST_US))
    return found.report(changes=stored)


def _cpu_us(work: "Callable[[], Iterator[object]]", changes: int) -> float:
    """Return the CPU time of this process for each change, in µs."""
    gc.collect()
    began = time.process_time()
    count = sum(1 for _ in work())
    if count != changes:
        raise RuntimeError(f"{count} changes of {changes} came")
    return (time.process_time() - began) * 1e6 / changes


PART: Final = Part("replay", measure, sized="changes", costs={})
