"""Instructions that the hot paths take, for comparing two checkouts on a noisy machine.

`python -m tools.instructions --base PATH` counts this checkout and another one under valgrind and
prints their ratio for each workload. Start-up is taken out: each count is the difference of two
runs. Each checkout runs its own tools/benchmarks/counted.py, both with this interpreter; a checkout
from before that file needs a copy of it with its own imports.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

ROOT: Final = Path(__file__).resolve().parent.parent
SCRIPT: Final = Path("tools") / "benchmarks" / "counted.py"  # each checkout runs its own
LIMIT_S: Final = 1_200.0  # of one run; the emulator is some fifty times slower than the machine
FEW: Final = 3  # rounds of the run that is taken off: caches are warm after them
COUNTED: Final = re.compile(r"I\s+refs:\s+([\d,]+)")
WORKLOADS: Final = ("detect", "write", "get", "watch", "watch-conflated")


def instructions(checkout: Path, workload: str, rounds: int) -> int:
    """Return the instructions of one run. Raises SystemExit with its output when it fails."""
    command = [
        "valgrind",
        "--tool=cachegrind",
        "--cache-sim=no",
        "--cachegrind-out-file=/dev/null",
        sys.executable,
        str(checkout / SCRIPT),
        workload,
        str(rounds),
    ]
    # Hashes in one order, and no bytecode to compile in one of the two runs alone.
    environment = os.environ | {"PYTHONPATH": str(checkout), "PYTHONHASHSEED": "0"}
    done = subprocess.run(
        command,
        cwd=checkout,
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    found = COUNTED.search(done.stderr)
    if done.returncode or found is None:
        raise SystemExit(f"{workload} in {checkout} failed:\n{done.stdout}{done.stderr}")
    return int(found[1].replace(",", ""))


def a_round(checkout: Path, workload: str, rounds: int) -> float:
    """Return the instructions of one round of a workload, in millions."""
    many = instructions(checkout, workload, FEW + rounds)
    return (many - instructions(checkout, workload, FEW)) / rounds / 1e6


def main(
    *,
    base: Annotated[Path | None, typer.Option(help="Another checkout to compare with.")] = None,
    only: Annotated[list[str] | None, typer.Option(help="A workload; all without.")] = None,
    rounds: Annotated[int, typer.Option(help="Rounds that are counted.", min=1)] = 20,
) -> None:
    """Count the instructions of a round of each workload, here and in another checkout."""
    if shutil.which("valgrind") is None:
        raise SystemExit("valgrind is not installed (Debian: apt-get install valgrind)")
    table = Table("workload", "base, million", "here, million", "ratio")
    for workload in only or WORKLOADS:
        here = a_round(ROOT, workload, rounds)
        if base is None:
            table.add_row(workload, "", f"{here:.2f}", "")
        else:
            there = a_round(base.resolve(), workload, rounds)
            table.add_row(workload, f"{there:.2f}", f"{here:.2f}", f"{here / there:.3f}")
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
