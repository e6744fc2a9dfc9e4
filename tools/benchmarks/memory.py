"""`memory`: what the odds and the log take in a fresh process, here and in another checkout."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Final

import trio
import typer

from odds_service.bridge import open_bridge
from odds_service.storage import open_store
from odds_service.store import WriteGroup
from tools.benchmarks.figures import Bounds, Measured, Report, at_most
from tools.benchmarks.load import MOST_SPORTS, Load, settings_of
from tools.benchmarks.part import Part
from tools.benchmarks.processes import ROOT
from tools.benchmarks.start import BOOKMAKERS, MARKETS, batches_of

SCRIPT: Final = Path(__file__).with_name("memory_process.py")
LIMIT_S: Final = 1_200.0  # of one process, on a busy machine
LINES: Final = 30  # markets of a bookmaker on an event, in the bodies
CHANGED: Final = 0.2  # share of the prices that move in a cycle

# The argument of the script -> the name of the figure.
KINDS: Final = {
    "sharing": "sharing source",
    "sharing-watched": "sharing source, read and watched",
    "anew": "every value anew",
    "anew-watched": "every value anew, read and watched",
    "start": "after a start",
}


def measure(
    bounds: Bounds,
    *,
    markets: Annotated[int, typer.Option(help="Markets with odds.")] = 90_000,
    cycles: Annotated[int, typer.Option(help="Cycles; the log in memory is full after 8.")] = 8,
    base: Annotated[Path | None, typer.Option(help="Another checkout to weigh beside.")] = None,
) -> Report:
    """Resident memory with odds and log, from sources that share values and that do not."""
    found = Measured("memory", "a process that has just detected, or loaded, all odds")
    facts: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        bodies, url = Path(folder) / "bodies", f"sqlite:///{Path(folder) / 'odds.db'}"
        trio.run(_write_bodies, bodies, markets, cycles)
        trio.run(_fill, url, markets)
        for _ in range(bounds.repeats):  # memory varies too little for more turns than asked for
            for kind, name in KINDS.items():
                where = url if kind == "start" else str(bodies)
                figures = _weighed(ROOT, where, kind)
                found.add(f"{name}: process", figures["with"], "MB")
                found.add(name, figures["with"] - figures["before"], "MB")
                facts["markets"] = figures["markets"] if kind != "start" else facts["markets"]
                facts["changes"] = max(figures["changes"], facts.get("changes", 0))
                if base is not None:
                    former = _weighed(base.resolve(), where, kind)
                    if former["markets"] != figures["markets"]:
                        raise RuntimeError(f"{kind}: {former} in {base}, {figures} here")
                    found.add(f"{name}, base", former["with"] - former["before"], "MB")
    if base is not None:
        for name in KINDS.values():
            found.ratio(f"{name}, of the base", name, f"{name}, base", at_most(1.02))
    return found.report(**facts)


def _weighed(checkout: Path, where: str, kind: str) -> dict[str, float]:
    """Return the figures of one process. Raises RuntimeError with its output when it fails."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT), where, kind],
        cwd=checkout,
        env=os.environ | {"PYTHONPATH": str(checkout)},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{kind} in {checkout} failed:\n{done.stdout}{done.stderr}")
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


async def _write_bodies(folder: Path, markets: int, cycles: int) -> None:
    """Write the bodies of each cycle into a folder of their time, a file for each sport."""
    events = max(1, markets // (BOOKMAKERS * LINES))
    load = Load(settings_of(events, BOOKMAKERS, LINES, CHANGED, sports=MOST_SPORTS))
    for _ in range(cycles):
        bodies = await load.bodies()
        cycle = folder / load.now.isoformat().replace(":", "_")
        cycle.mkdir(parents=True)
        for sport, body in bodies.items():
            (cycle / f"{sport}.json").write_bytes(body)


async def _fill(url: str, markets: int) -> None:
    async with open_bridge(), open_store(url, migrate=True) as store:
        await store.begin()
        for batch in batches_of(max(1, markets // (BOOKMAKERS * MARKETS))):
            await store.write(WriteGroup([batch]))


PART: Final = Part("memory", measure, repeats=1, seconds=600)
