"""The benchmark judges by medians and stays within its bounds, and every part reports."""

import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from tools.bench import MEASURED
from tools.benchmarks import scale as scaling
from tools.benchmarks.everything import BEGIN, END, ROOT, renew
from tools.benchmarks.figures import (
    LEAST_TURNS,
    Bounds,
    Figure,
    Measured,
    Report,
    at_least,
    at_most,
    short,
)
from tools.benchmarks.part import Part
from tools.benchmarks.showing import markdown, tables

# Options with which a part runs in seconds; a new part needs its own.
SMALL = {
    "pipeline": ["--events", "6", "--markets", "10"],
    "storage": ["--events", "12", "--bookmakers", "2", "--markets", "5"],
    "history": ["--changes", "1000"],
    "cycle": ["--events", "6", "--markets", "10", "--sports", "2"],
    "start": ["--markets", "500"],
    "letters": ["--markets", "4000", "--letters", "500"],
    "memory": ["--markets", "1000", "--cycles", "2"],
    "watch": ["--stretch", "1", "--most", "1"],
    "replay": ["--changes", "3000"],
    "sse": ["--streams", "2", "--stretch", "0.5"],
    "board": [
        "--events",
        "20",
        "--markets",
        "20",
        "--sports",
        "2",
        "--soon",
        "5",
        "--streams",
        "8",
        "--stretch",
        "2",
    ],
    "cluster": ["--only", "apply"],  # tests/tools/test_cluster_bench.py has the other rows
    "read": ["--events", "6", "--markets", "10", "--leagues", "2", "--ingest", "2000"],
}


def figure(*samples: float) -> Figure:
    return Figure("figure", "ms", list(samples))


@pytest.mark.parametrize(
    ("samples", "aim", "verdict"),
    [
        ((1.0, 2.0, 3.0), at_most(3.0), "met"),
        ((1.0, 2.0, 3.0), at_most(2.5), "met?"),
        ((1.0, 2.0, 3.0), at_most(1.5), "missed?"),
        ((1.0, 2.0, 3.0), at_most(0.5), "missed"),
        ((1.0, 2.0, 3.0), at_least(1.0), "met"),
        ((1.0, 2.0, 3.0), at_least(2.5), "missed?"),
        ((1.0, 2.0, 3.0), at_least(4.0), "missed"),
    ],
)
def test_the_median_is_judged(samples: tuple[float, ...], aim: object, verdict: str) -> None:
    judged = figure(*samples)
    judged.aim = aim  # type: ignore[assignment]  # parametrize hides the type
    assert judged.verdict == verdict


def test_ratios_are_taken_turn_by_turn() -> None:
    found = Measured("part", "title")
    for ours, ceiling in ((10.0, 5.0), (40.0, 10.0), (90.0, 30.0)):
        found.add("ours", ours, "ms")
        found.add("ceiling", ceiling, "ms")
    found.ratio("of the ceiling", "ours", "ceiling", at_most(4))
    ratio = found.report().figure("of the ceiling")
    assert ratio.samples == [2.0, 4.0, 3.0]
    assert (ratio.median, ratio.least, ratio.greatest) == (3.0, 2.0, 4.0)
    found.add("ours", 1.0, "ms")
    with pytest.raises(ValueError, match="shorter"):
        found.ratio("of the ceiling", "ours", "ceiling")


def test_turns_end_with_the_time_but_not_before_a_spread() -> None:
    assert list(Bounds(repeats=7, seconds=3_600.0).turns()) == list(range(7))
    assert list(Bounds(repeats=7, seconds=0.0).turns()) == list(range(LEAST_TURNS))


def test_the_written_report_is_renewed_between_its_marks(tmp_path: Path) -> None:
    path = tmp_path / "performance.md"
    path.write_text(f"above\n{BEGIN}\nold\n{END}\nbelow\n", "utf-8")
    renew(path, "new")
    renew(path, "newer")
    assert path.read_text("utf-8") == f"above\n{BEGIN}\n\nnewer\n{END}\nbelow\n"
    fresh = tmp_path / "fresh.md"
    renew(fresh, "new")
    assert fresh.read_text("utf-8") == f"{BEGIN}\n\nnew\n{END}\n"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (39.0, "39"), (0.012_34, "0.012"), (0.5, "0.50"), (1.234, "1.23"), (12.34, "12.3"),
     (390_000, "390,000")],
)  # fmt: skip
def test_numbers_are_short(value: float, text: str) -> None:
    assert short(value) == text


QUICK = {
    "pipeline",
    "cluster",
}  # the others start databases, servers and clients: up to a minute each
NEEDS = {"read": "h2load", "board": "chromium"}  # no wheel has these programs


@pytest.mark.parametrize(
    "part",
    [
        pytest.param(part.name, marks=() if part.name in QUICK else pytest.mark.long)
        for part in MEASURED
    ],
)
def test_every_part_gives_a_report_and_a_plot(part: str, tmp_path: Path) -> None:
    if part in NEEDS and shutil.which(NEEDS[part]) is None:
        pytest.skip(f"{NEEDS[part]} is not installed")
    arguments = [*SMALL[part], "--seconds", "0", "--json", "--plots", str(tmp_path)]
    ran = subprocess.run(
        [sys.executable, "-m", "tools.bench", part, *arguments],
        cwd=ROOT, capture_output=True, check=False, timeout=300,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr.decode()
    report = msgspec.json.decode(ran.stdout, type=Report)
    assert report.part == part
    assert report.figures
    costs = next(each.costs for each in MEASURED if each.name == part)
    for name, fact in costs.items():
        assert report.figure(name).unit.startswith("ms" if fact else "µs/")
    assert set(costs.values()) <= report.facts.keys() | {""}
    assert all(table.row_count for table in tables(report))
    assert all(figure.name in markdown(report) for figure in report.figures)
    assert (tmp_path / f"{part}.png").read_bytes().startswith(b"\x89PNG")


def test_scale_runs_a_part_at_three_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def run(name: str, arguments: list[str], limit_s: float) -> Report:
        asked.append(arguments)
        size = int(arguments[0].partition("=")[2])
        found = Measured(name, "")
        found.add("work", size * (2.0 if size > 100 else 1.0), "ms")  # dearer when it is large
        return found.report(markets=size)

    def measure(bounds: Bounds, *, events: int = 100) -> Report:
        raise AssertionError("it runs in a process of its own")

    monkeypatch.setattr(scaling, "run_part", run)
    part = Part("made up", measure, sized="events", costs={"work": "markets"})
    report = scaling.scale([part]).measure(Bounds(1, 0.0))
    assert [arguments[0] for arguments in asked] == ["--events=10", "--events=100", "--events=300"]
    verdicts = {f.name: f.verdict for f in report.figures if f.aim}
    assert verdicts == {
        "made up: work, 0.1 times, of once": "met",
        "made up: work, 3 times, of once": "missed",
    }


def test_an_unknown_option_is_named() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "tools.bench", "pipeline", "--evens", "6"],
        cwd=ROOT, capture_output=True, check=False, timeout=120,
    )  # fmt: skip
    assert ran.returncode == 2
    assert b"--evens" in ran.stderr
