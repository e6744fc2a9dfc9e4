"""Price charts as images: one panel per outcome, one step line per bookmaker.

A gap means that the outcome was suspended or not offered.
"""

import math
from datetime import UTC
from typing import IO, Any, Final

from odds_service.commands.price_series import PriceHistory, Steps
from odds_service.errors import missing_extra

WIDTH_IN: Final = 12.0
PANEL_IN: Final = 2.9  # height of one outcome
DPI: Final = 120
_FEW_COLOURS: Final = 10  # the number of colours of tab10; tab20 has twice as many


def draw(history: PriceHistory, file: IO[bytes]) -> None:
    """Write the chart of a price history as PNG.

    Raises:
        SettingsError: The extra is not installed.
    """
    try:
        from matplotlib import colormaps
        from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
        from matplotlib.figure import Figure
        from matplotlib.ticker import FormatStrFormatter
    except ImportError:
        raise missing_extra("a chart as an image", "plots") from None
    names = history.bookmakers
    colours = colormaps["tab10" if len(names) <= _FEW_COLOURS else "tab20"]
    figure = Figure(
        figsize=(WIDTH_IN, 1.3 + PANEL_IN * len(history.steps)), layout="constrained", dpi=DPI
    )
    panels: Any = figure.subplots(len(history.steps), 1, sharex=True, squeeze=False)
    drawn: dict[str, Any] = {}
    for (panel,), (outcome, lines) in zip(panels, history.steps.items(), strict=True):
        for name, steps in lines.items():
            times, prices = points(steps, history)
            place = names.index(name)
            (drawn[name],) = panel.step(
                times, prices, where="post", label=name, linewidth=1.6,
                color=colours(place % colours.N), linestyle="-" if place < colours.N else "--",
            )  # fmt: skip
        start_time = history.start_time
        if start_time is not None and history.begin <= start_time <= history.end:
            panel.axvline(start_time, color="0.35", linewidth=1.0, linestyle=":")
            panel.annotate(
                "start", (start_time, 1.0), xycoords=("data", "axes fraction"),
                xytext=(3, -11), textcoords="offset points", color="0.35", fontsize=8,
            )  # fmt: skip
        panel.set_ylabel(outcome, fontsize=11)
        panel.yaxis.set_major_formatter(FormatStrFormatter("%.2f"))
        panel.grid(visible=True, color="0.9", linewidth=0.8)
        panel.set_axisbelow(True)
        for side in ("top", "right"):
            panel.spines[side].set_visible(False)
        panel.margins(x=0.01, y=0.12)
    locator = AutoDateLocator(tz=UTC)  # type: ignore[no-untyped-call]  # matplotlib's are bare
    panels[-1][0].xaxis.set_major_locator(locator)
    formatter = ConciseDateFormatter(locator, tz=UTC)  # type: ignore[no-untyped-call]  # as above
    panels[-1][0].xaxis.set_major_formatter(formatter)
    figure.suptitle(
        f"{history.title}\ndecimal odds, times in UTC; a gap: suspended or not offered",
        fontsize=12, x=0.02, ha="left",
    )  # fmt: skip
    figure.legend(
        [drawn[name] for name in names if name in drawn], [name for name in names if name in drawn],
        loc="outside right upper", frameon=False, fontsize=9, title="bookmaker",
        alignment="left", ncols=1 + (len(names) - 1) // 30,
    )  # fmt: skip
    figure.savefig(file, format="png")


def points(steps: Steps, history: PriceHistory) -> tuple[list[Any], list[float]]:
    """Return the points of a line; the last price holds until the end, and NaN makes a gap."""
    times = [at for at, _ in steps] + [history.end]
    prices = [math.nan if price is None else price for _, price in steps]
    return times, [*prices, prices[-1]]
