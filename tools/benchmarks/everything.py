"""`all`: every part in a process of its own, and one report of them."""

import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

import msgspec
import typer
from msgspec import Struct

from odds_service import __version__
from tools.benchmarks.figures import Report
from tools.benchmarks.part import Part, show
from tools.benchmarks.plotting import plot
from tools.benchmarks.showing import markdown

ROOT: Final = Path(__file__).resolve().parents[2]
SLACK_S: Final = 900.0  # beyond a part's measuring time: its set-up, and the turn in progress
BEGIN, END = "<!-- report: written by tools.bench -->", "<!-- end of the report -->"
_NAMED: Final = ("trio", "grpcio", "msgspec", "sqlalchemy", "asyncpg", "protobuf")


class Machine(Struct):
    """The machine that the figures were taken on."""

    cpu: str
    cpus: int
    system: str
    python: str
    packages: dict[str, str]
    taken_at: datetime


class Everything(Struct):
    """The reports of all parts. failed: parts without a report, and their last output."""

    machine: Machine
    reports: list[Report]
    failed: dict[str, str]


def run_all(
    parts: Sequence[Part],
    *,
    seconds: float | None,
    as_json: bool,
    plots: Path | None,
    write: Path | None,
) -> None:
    """Run the parts one after the other; a part that fails does not stop the rest.

    seconds: for each part, in place of its own. write: the Markdown file whose report is renewed.
    """
    everything = Everything(machine(), [], {})
    for part in parts:
        typer.echo(f"── {part.name}", err=True)
        budget = part.seconds if seconds is None else seconds
        try:
            report = run_part(part.name, ["--seconds", str(budget)], budget + SLACK_S)
        except RuntimeError as error:
            everything.failed[part.name] = str(error)
            typer.echo(f"{part.name} failed: {error}", err=True)
            continue
        everything.reports.append(report)
        if write is not None:
            renew(write, written(everything))  # so that results survive an interruption
        if not as_json:
            show(report)
        if plots is not None:
            plot(report, plots)
    if as_json:
        typer.echo(msgspec.json.encode(everything))
    if write is not None:
        renew(write, written(everything))
    if everything.failed:
        raise typer.Exit(1)


def run_part(name: str, arguments: Sequence[str], limit_s: float) -> Report:
    """Run a part in a process of its own. Raises RuntimeError with its last output."""
    command = [sys.executable, "-m", "tools.bench", name, "--json", *arguments]
    # In a session of its own, so that its child processes can be ended too.
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    try:
        out, err = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"it took over {limit_s:.0f} s") from None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, 9)
            process.wait()
    if process.returncode != 0:
        words = err.decode(errors="replace").strip().splitlines() or ["it said nothing"]
        raise RuntimeError(words[-1])
    return msgspec.json.decode(out, type=Report)


def machine() -> Machine:
    """Describe this machine, without anything that identifies it."""
    cpu = platform.processor() or platform.machine()
    for line in _lines("/proc/cpuinfo"):
        if line.startswith("model name"):
            cpu = line.partition(":")[2].strip()
            break
    return Machine(
        cpu=cpu,
        cpus=os.cpu_count() or 1,
        system=platform.system(),
        python=platform.python_version(),
        packages={"odds-service": __version__} | {name: version(name) for name in _NAMED},
        taken_at=datetime.now(UTC),
    )


def written(everything: Everything) -> str:
    """Return the report in Markdown."""
    on = everything.machine
    packages = ", ".join(f"{name} {number}" for name, number in on.packages.items())
    taken = f"Taken at {on.taken_at:%Y-%m-%d %H:%M} UTC with `python -m tools.bench all`"
    lines = [
        f"{taken}, on {on.cpus} CPUs ({on.cpu}), {on.system}, Python {on.python}; {packages}.",
        "",
        *(markdown(report) for report in everything.reports),
        *(f"`{name}` gave no report: {why}\n" for name, why in everything.failed.items()),
    ]
    return "\n".join(lines)


def renew(path: Path, report: str) -> None:
    """Replace the report between its marks in the file, or append it if there are none."""
    text = path.read_text("utf-8") if path.exists() else ""
    before, mark, rest = text.partition(BEGIN)
    after = rest.partition(END)[2] if mark else ""
    path.write_text(f"{before}{BEGIN}\n\n{report}\n{END}{after or chr(10)}", "utf-8")


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text("utf-8").splitlines()
    except OSError:
        return []
