"""One plot a part: its ratios beside their aims, and its figures unit by unit."""

from pathlib import Path
from textwrap import wrap
from typing import Any

import typer

from tools.benchmarks.figures import Figure, Report, short
from tools.benchmarks.showing import heading, parted

TITLE_CHARS = 130  # of a line
_MET, _MISSED, _PLAIN = "#2a7f4f", "#b3382c", "#44546a"


def plot(report: Report, folder: Path) -> None:
    """Write PART.png into the folder. Exits with a line of advice where matplotlib is not there."""
    try:
        from matplotlib.figure import Figure as Canvas
        from matplotlib.ticker import FuncFormatter
    except ImportError:
        typer.echo("--plots needs matplotlib: pip install 'odds-service[plots]'", err=True)
        raise typer.Exit(1) from None
    folder.mkdir(parents=True, exist_ok=True)
    plain, judged = parted(report)
    panels: dict[str, list[Figure]] = {}
    for figure in judged + plain:
        panels.setdefault(figure.unit, []).append(figure)
    heights = [len(figures) for figures in panels.values()]
    size = (9, 1.5 + 0.34 * sum(heights) + 0.75 * len(heights))
    canvas = Canvas(figsize=size, layout="constrained")
    canvas.suptitle("\n".join(wrap(heading(report), TITLE_CHARS)), fontsize=8)
    axes = canvas.subplots(len(panels), 1, height_ratios=heights, squeeze=False)[:, 0]
    for panel, (unit, figures) in zip(axes, panels.items(), strict=True):
        _draw(panel, unit, figures)
        panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
    canvas.savefig(folder / f"{report.part}.png", dpi=120)


def _draw(axes: Any, unit: str, figures: list[Figure]) -> None:
    """A line from the least to the greatest, a dot at the median, a bar at the aim."""
    for place, figure in enumerate(figures):
        colour = _PLAIN
        if figure.aim is not None:
            colour = _MET if figure.aim.met(figure.median) else _MISSED
            axes.plot(figure.aim.bound, place, "|", color="black", markersize=14)
        axes.plot([figure.least, figure.greatest], [place, place], color=colour, linewidth=4,
                  alpha=0.4, solid_capstyle="butt")  # fmt: skip
        axes.plot(figure.median, place, "o", color=colour, markersize=5)
    values = [value for each in figures for value in (*each.samples, *_bounds(each))]
    if min(values) > 0 and max(values) / min(values) > 20:
        axes.set_xscale("log")
    else:
        axes.set_xlim(left=min(0.0, *values))
    axes.set_yticks(range(len(figures)), [figure.name for figure in figures], fontsize=8)
    axes.set_ylim(len(figures) - 0.5, -0.5)
    axes.set_xlabel(unit, fontsize=8)
    axes.tick_params(axis="x", labelsize=8)
    axes.grid(axis="x", alpha=0.3)


def _bounds(figure: Figure) -> list[float]:
    return [] if figure.aim is None else [figure.aim.bound]
