"""Linters, types, generated code and contract: `python -m tools.check`, or `make check`.

All checks run, even after a failure; the exit code is 1 if any failed.
"""

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
PACKAGES: Final = ("odds_service", "tests", "tools", "examples")
GENERATED: Final = ROOT / "odds_service" / "wire" / "pb" / "odds"
_LOOPS: Final = re.compile("async|await|trio")
NOT_ASKED: Final = (
    "ASYNC9",  # checkpoints on every path: a library's promise, and off by default too
    "ASYNC100",  # ruff has it, and is a thousand times faster
    "ASYNC300",  # ruff's RUF006
    "ASYNC114",  # wants the name of every function with a task_status in a list
    "ASYNC124",  # routes, steps and replies are async by their type, also where none awaits
    "ASYNC127",  # wants another library in httpx's place
    "ASYNC128",  # does not see a task_status that is handed on
)


def sources() -> list[str]:
    """Return the modules for flake8-async, relative to the root: it takes files, not folders.

    It is slow, and finds nothing in a module that speaks of no loop. Tests have ruff's rules alone:
    with them it took longer than all other checks together.
    """
    return [
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        if package != "tests"
        for path in sorted((ROOT / package).rglob("*.py"))
        if GENERATED not in path.parents and _LOOPS.search(path.read_text("utf-8"))
    ]


def checks() -> dict[str, list[str]]:
    """Return the command of each check by its name."""
    # Scripts stand beside the interpreter, which need not be first on the path.
    beside = Path(sys.executable).parent
    return {
        "ruff check": [sys.executable, "-m", "ruff", "check", *PACKAGES],
        "ruff format": [sys.executable, "-m", "ruff", "format", "--check", *PACKAGES],
        "flake8-async": [
            str(beside / "flake8-async"),
            f"--disable={','.join(NOT_ASKED)}",
            *sources(),
        ],
        "mypy --strict": [sys.executable, "-m", "mypy", *PACKAGES],
        "generated code and contract": [sys.executable, "-m", "tools.codegen", "--check"],
    }


def main() -> int:
    """Run the checks in turn, show their output, and name those that failed."""
    failed = []
    for name, command in checks().items():
        print(f"── {name}", flush=True)
        if subprocess.run(command, cwd=ROOT, check=False).returncode != 0:
            failed.append(name)
    print(f"failed: {', '.join(failed)}" if failed else "all checks passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
