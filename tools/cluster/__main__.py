"""`make run-cluster`: a cluster of processes on this machine, to be killed at will.

Three NATS servers, PostgreSQL, a simulated bookmaker, two ingest nodes, two read nodes, and a
client of both that prints each change. A program that ends is started again after some seconds. ^C
ends everything.
"""

import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType
from typing import Annotated, Final

import typer

from odds_service.commands.output import Column, Grid, Output
from tools.cluster.layout import Layout
from tools.cluster.programs import Programs

START_S: Final = 120.0
LOOK_S: Final = 0.2


def run_cluster(
    *,
    seconds: Annotated[
        float | None, typer.Option(min=0, help="End after so many seconds; default: at ^C.")
    ] = None,
    again: Annotated[
        float, typer.Option(min=0, help="Seconds until a program that ended is started again.")
    ] = 10.0,
    watch: Annotated[bool, typer.Option(help="Print the changes that a client sees.")] = True,
) -> None:
    """Run a small cluster until ^C, or for some seconds."""
    out = Output()
    # By the same way as ^C, so that a SIGTERM leaves nothing behind either.
    signal.signal(signal.SIGTERM, _interrupt)
    folder = Path(tempfile.mkdtemp(prefix="odds-cluster-"))
    layout = Layout(folder)
    programs = Programs(layout.logs, out.line, again)
    out.line(f"logs: {layout.logs}")
    try:
        _start(layout, programs, out)
        programs.wait_for("a read node", layout.serves, START_S)
        if watch:
            programs.start(layout.client())
        end = float("inf") if seconds is None else time.monotonic() + seconds
        while time.monotonic() < end:
            programs.look()
            time.sleep(LOOK_S)
    except KeyboardInterrupt:
        out.line("")
    except (TimeoutError, subprocess.SubprocessError, OSError) as error:
        out.remark(f"error: {error}")
        sys.exit(1)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second ^C would leave programs behind
        programs.stop()
        for each in folder.iterdir():
            if each != layout.logs:
                shutil.rmtree(each, ignore_errors=True)
    out.line(f"all have ended; their logs are in {layout.logs}")


def _interrupt(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt


def _start(layout: Layout, programs: Programs, out: Output) -> None:
    """Start everything in order, and print what can be done with it."""
    layout.write()
    for spec in layout.servers():
        programs.start(spec)
    programs.wait_for("PostgreSQL and NATS", layout.servers_ready, START_S)
    layout.run("bus", "init", "--config", str(layout.config("admin")))
    layout.run("db", "upgrade", "--database", layout.database)
    for spec in layout.nodes():
        programs.start(spec)
    grid = Grid(
        Column(name="program"), Column(name="what it is", folds=True), Column(name="to kill")
    )
    for program in programs.running:
        grid.add(program.spec.name, program.spec.about, f"kill -9 {program.pid}")
    out.grid(grid)
    out.line("to pause one: kill -STOP PID, and kill -CONT PID some seconds later")
    out.line("in a second terminal:")
    first = next(iter(layout.read_nodes))
    for command in (
        f"bus status --config {layout.config(first)}",
        f"status --server {layout.read_nodes[first]}",
    ):
        out.line(f"  {Path(sys.executable).parent / 'odds-service'} {command}")
    for name, board in layout.boards.items():
        out.line(f"board of {name}: http://{board}")


if __name__ == "__main__":
    typer.run(run_cluster)
