"""A command names the extra that it lacks."""

import subprocess
import sys
from pathlib import Path

import pytest
import trio

from tests.commands.books import moving, names
from tests.support.command_line import ENVIRONMENT, WITHIN_S, complaint
from tests.support.odds_builders import serving


@pytest.mark.parametrize(
    ("library", "arguments", "extra"),
    [
        ("pyarrow", ["--export", "x.parquet"], "odds-service[parquet]"),
        ("matplotlib", ["--chart", "x.png", "--event", "e", "--market", "h2h"], "[plots]"),
    ],
)
async def test_without_its_extra_it_says_which(
    library: str, arguments: list[str], extra: str, tmp_path: Path
) -> None:
    script = (
        f"import sys; sys.modules[{library!r}] = None\n"
        "from odds_service.cli import main; main()"
    )  # fmt: skip

    def run(address: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", script, "history", *arguments, "--server", address],
            capture_output=True, text=True, check=False, timeout=WITHIN_S, env=ENVIRONMENT,
            cwd=tmp_path,
        )  # fmt: skip

    async with serving(moving()) as server:
        ended = await trio.to_thread.run_sync(run, server.address)
    assert extra in complaint(ended)
    assert names(tmp_path) == []
