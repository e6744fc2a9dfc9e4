"""`scale`: parts at a tenth, once and three times their size; a market's cost should not move."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Annotated, Final

import typer

from tools.benchmarks.everything import SLACK_S, run_part
from tools.benchmarks.figures import Bounds, Measured, Report, at_most
from tools.benchmarks.part import Part

FACTORS: Final = (0.1, 1.0, 3.0)
FLAT: Final = 0.2  # a cost may move by so much of itself


def scale(parts: Sequence[Part]) -> Part:
    """Return the part that runs all sized parts."""
    sized = {part.name: part for part in parts if part.sized and part.costs}

    def measure(
        bounds: Bounds,
        *,
        only: Annotated[list[str], typer.Option(help=f"Of {', '.join(sized)}.")] = [],  # noqa: B006  # typer's
    ) -> Report:
        """Cost per market of the other parts at 1/10, 1 and 3 times their size."""
        found = Measured("scale", "what one market, or change, costs at three sizes")
        chosen = [part for part in sized.values() if not only or part.name in only]
        for part in chosen:
            _one(found, part, bounds.seconds / len(chosen) / len(FACTORS))
        return found.report(parts=len(chosen))

    return Part("scale", measure, repeats=1, seconds=360.0)


def _one(found: Measured, part: Part, seconds: float) -> None:
    """Run a part at each size; add its median cost and its ratio as samples."""
    whole = inspect.signature(part.measure).parameters[part.sized].default
    costs: dict[float, Mapping[str, float]] = {}
    for factor in FACTORS:
        size = max(1, round(whole * factor))
        arguments = [f"--{part.sized}={size}", f"--seconds={seconds}"]
        costs[factor] = costs_of(part, run_part(part.name, arguments, seconds + SLACK_S))
    for name in part.costs:
        label = f"{part.name}: {name}"
        for factor in FACTORS:
            found.add(f"{label}, {factor:g} times", costs[factor][name], "µs each")
        for factor in (FACTORS[0], FACTORS[-1]):
            found.ratio(
                f"{label}, {factor:g} times, of once",
                f"{label}, {factor:g} times", f"{label}, 1 times", at_most(1 + FLAT),
            )  # fmt: skip


def costs_of(part: Part, report: Report) -> dict[str, float]:
    """Return each cost of the part, in microseconds per market (or change)."""
    return {
        name: report.figure(name).median * (1000 / report.facts[fact] if fact else 1)
        for name, fact in part.costs.items()
    }
