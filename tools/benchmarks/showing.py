"""Reports as tables, in the terminal and in Markdown."""

from collections.abc import Iterable, Iterator

from rich.table import Table

from tools.benchmarks.figures import RATIO, Figure, Report, short


def tables(report: Report) -> Iterator[Table]:
    """Yield a table of the plain figures, and one of ratios and figures with an aim."""
    plain, judged = parted(report)
    if plain:
        table = Table("figure", title=heading(report), title_justify="left")
        for column in ("median", "least–greatest", "unit"):
            table.add_column(column, justify="left" if column == "unit" else "right")
        for figure in plain:
            table.add_row(
                figure.name, short(figure.median), _range(figure), figure.unit
            )  # fmt: skip
        yield table
    if judged:
        table = Table("figure", title=None if plain else heading(report))
        for column in ("median", "least–greatest", "unit", "aim", "verdict"):
            table.add_column(column, justify="left" if column in {"unit", "verdict"} else "right")
        for figure in judged:
            table.add_row(*_judged(figure))
        yield table


def markdown(report: Report) -> str:
    """Return a section of the written report."""
    plain, judged = parted(report)
    lines = [f"### {report.part}", "", f"{heading(report)}.", ""]
    if judged:
        lines += _rows("figure", "median", "least–greatest", "", "aim", "verdict")
        lines += [_row(_judged(figure)) for figure in judged]
        lines.append("")
    if plain:
        lines += _rows("figure", "median", "least–greatest", "unit")
        lines += [
            _row((figure.name, short(figure.median), _range(figure), figure.unit))
            for figure in plain
        ]
        lines.append("")
    limits = [figure for figure in report.figures if figure.limit]
    lines += [f"- *{figure.name}* is limited by {figure.limit}." for figure in limits]
    return "\n".join([*lines, ""] if limits else lines)


def parted(report: Report) -> tuple[list[Figure], list[Figure]]:
    """Separate the plain figures from those that are ratios or have an aim."""
    judged = [figure for figure in report.figures if figure.aim or figure.unit == RATIO]
    return [figure for figure in report.figures if figure not in judged], judged


def heading(report: Report) -> str:
    """Return the heading: what was measured, its sizes, time and the machine's load."""
    facts = ", ".join(f"{short(value)} {name}" for name, value in report.facts.items())
    before, after = report.load
    return (
        f"{report.part}: {report.title} ({facts}; {report.seconds:.0f} s,"
        f" load average {before:.1f} before and {after:.1f} after)"
    )


def _judged(figure: Figure) -> tuple[str, ...]:
    aim = "" if figure.aim is None else str(figure.aim)
    return figure.name, short(figure.median), _range(figure), figure.unit, aim, figure.verdict


def _range(figure: Figure) -> str:
    if len(figure.samples) == 1:
        return ""
    return f"{short(figure.least)}–{short(figure.greatest)}"


def _rows(*columns: str) -> list[str]:
    return [_row(columns), _row(["---"] + ["---:"] * (len(columns) - 1))]


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
