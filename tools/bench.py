"""Benchmarks of the service, beside a ceiling and a baseline of the same run.

`python -m tools.bench PART` measures one part, `all` every one. Times on shared machines wander;
read the ratios, which are taken turn by turn. docs/performance.md holds the last full report.
"""

from pathlib import Path
from typing import Annotated, Final

import typer

from tools.benchmarks import (
    board,
    cluster,
    cycle,
    history,
    letters,
    memory,
    pipeline,
    read,
    replay,
    sse,
    start,
    storage,
    watch,
)
from tools.benchmarks.everything import run_all
from tools.benchmarks.part import Part, command
from tools.benchmarks.scale import scale

MEASURED: Final[tuple[Part, ...]] = (
    pipeline.PART,
    storage.PART,
    start.PART,
    letters.PART,
    memory.PART,
    read.PART,
    replay.PART,
    watch.PART,
    history.PART,
    sse.PART,
    board.PART,
    cycle.PART,
    cluster.PART,
)
PARTS: Final[tuple[Part, ...]] = (*MEASURED, scale(MEASURED))

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False)
for part in PARTS:
    app.command(part.name)(command(part))


@app.command("all")
def everything(
    *,
    seconds: Annotated[
        float | None, typer.Option(help="For each part, in place of its own.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    plots: Annotated[Path | None, typer.Option(help="A folder for a plot of each part.")] = None,
    write: Annotated[
        Path | None, typer.Option(help="A Markdown file to renew the report in.")
    ] = None,
) -> None:
    """Run every part in a process of its own, and write one report."""
    run_all(PARTS, seconds=seconds, as_json=as_json, plots=plots, write=write)


if __name__ == "__main__":
    app()
