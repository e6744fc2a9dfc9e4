"""A part as a command, with its own options and the common ones."""

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer
from msgspec import Struct
from rich.console import Console

from odds_service.logs import configure_logs
from tools.benchmarks.figures import Bounds, Report
from tools.benchmarks.plotting import plot
from tools.benchmarks.showing import tables

WIDTH: Final = 120  # of tables that go into a file


class Part(Struct, frozen=True):
    """One part of the benchmark; see the package for how it is written.

    seconds: what it measures for unless it is told otherwise; it may end a turn later. sized: the
    option that `scale` multiplies, empty for none. costs: figure in ms -> the fact that it is
    divided by, empty where the figure is in µs of each already.
    """

    name: str
    measure: Callable[..., Report]
    repeats: int = 7
    seconds: float = 60.0
    sized: str = ""
    costs: Mapping[str, str] = {}


_AS_JSON: Final = Annotated[bool, typer.Option("--json", help="One JSON object.")]
_PLOTS: Final = Annotated[Path | None, typer.Option(help="A folder for a plot of each part.")]


def command(part: Part) -> Callable[..., None]:
    """Return the function that typer turns into a command."""
    shared = {
        "repeats": (Annotated[int, typer.Option(help="Turns at most.")], part.repeats),
        "seconds": (Annotated[float, typer.Option(help="No turn begins later.")], part.seconds),
        "as_json": (_AS_JSON, False),
        "plots": (_PLOTS, None),
    }

    def run(**options: Any) -> None:
        repeats, seconds, as_json, plots = (options.pop(name) for name in shared)
        configure_logs("warning", "auto")
        report = part.measure(Bounds(repeats, seconds), **options)
        if as_json:
            typer.echo(msgspec.json.encode(report))
        else:
            show(report)
        if plots is not None:
            plot(report, plots)

    own = list(inspect.signature(part.measure).parameters.values())[1:]
    common = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=kind, default=default)
        for name, (kind, default) in shared.items()
    ]
    signature = inspect.Signature([*own, *common])
    run.__signature__ = signature  # type: ignore[attr-defined]  # typer reads it
    run.__annotations__ = {name: each.annotation for name, each in signature.parameters.items()}
    run.__doc__ = part.measure.__doc__
    return run


def show(report: Report) -> None:
    """Print a report's tables."""
    console = Console()
    if not console.is_terminal:
        console.width = WIDTH
    for table in tables(report):
        console.print(table)
