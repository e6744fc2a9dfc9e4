"""The command line, run as a process."""

import os
import subprocess
import sys
from pathlib import Path

import trio

ROOT = Path(__file__).resolve().parent.parent.parent
WITHIN_S = 60.0
COMMAND = [sys.executable, "-m", "odds_service"]
ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith(("ODDS_", "MAKELEVEL"))} | {
    "PYTHONPATH": str(ROOT),
    "COLUMNS": "200",
    "NO_COLOR": "1",
}


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=WITHIN_S,
        env=ENVIRONMENT | environment,
    )


def output_of(script: str) -> str:
    """Run a Python script in a fresh interpreter; return its output."""
    return subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        timeout=WITHIN_S,
        env=ENVIRONMENT,
    ).stdout


async def ran(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return await trio.to_thread.run_sync(lambda: run(*arguments, **environment))


def complaint(ended: subprocess.CompletedProcess[str]) -> str:
    """Return the one line that a failed command prints."""
    assert ended.returncode == 1, ended
    (line,) = ended.stderr.splitlines()
    assert "Traceback" not in line
    return line
