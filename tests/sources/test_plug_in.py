"""The plug-in of docs/sources.md, verbatim: built, installed beside the service, and run.

The fresh environment borrows this one's libraries, so nothing is downloaded. The test sees that the
*installed wheels* find each other by entry point.
"""

import json
import os
import re
import subprocess
import sys
import sysconfig
import venv
from functools import partial
from pathlib import Path
from typing import Final

import pytest
import trio

from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.sources.serving import Scripted, json_of, listening
from tests.support.serving import call

ROOT: Final = Path(__file__).resolve().parents[2]
WITHIN_S: Final = 180.0
MATCH: Final = {
    "id": "m1",
    "home": "Acme United",
    "away": "Coyotes",
    "start": "2099-01-01T12:00:00Z",
    "prices": {"home": 2.1, "draw": 3.3, "away": 3.6, "nonsense": 0.5},
}
# The wheel is built in this process's environment: the build backend is not fetched anew.
BUILD: Final = [
    sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
    "--disable-pip-version-check",
]  # fmt: skip

pytest.importorskip("hatchling", reason="the wheel's build backend is not installed")


def blocks(text: str, language: str) -> dict[str, str]:
    """Return the document's code blocks whose first line names a file, by that name."""
    found = re.findall(rf"```{language}\n# (\S+)\n(.*?)```", text, flags=re.DOTALL)
    return dict(found)


def quietly(*command: str | Path, cwd: Path | None = None) -> None:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=WITHIN_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def environment_with(folder: Path, *wheels: Path) -> Path:
    """Make a fresh environment with the wheels in it, and return its Python."""
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    site = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    quietly(
        sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps",
        "--no-index", "--disable-pip-version-check", *wheels,
    )  # fmt: skip
    # After its own packages: what the service needs, but not the service from this tree.
    borrowed = [path for path in sys.path if path.endswith("site-packages")]
    (site / "borrowed.pth").write_text("".join(f"{path}\n" for path in borrowed))
    return python


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plug_in")
    text = (ROOT / "docs" / "sources.md").read_text("utf-8")
    files = blocks(text, "python") | blocks(text, "toml")
    assert files.keys() == {"acme_odds.py", "pyproject.toml"}
    project = folder / "acme"
    project.mkdir()
    for name, content in files.items():
        (project / name).write_text(content)
    wheels = folder / "wheels"
    quietly(*BUILD, "--wheel-dir", wheels, project, ROOT)
    return environment_with(folder / "env", *sorted(wheels.glob("*.whl")))


async def test_the_example_runs_from_an_installed_wheel(installed: Path, tmp_path: Path) -> None:
    app = Scripted(json_of([MATCH]))
    async with listening(app) as url:
        (tmp_path / "odds.toml").write_text(
            '[server]\nlisten = "127.0.0.1:0"\n'
            f'[database]\nurl = "sqlite:///{tmp_path / "odds.db"}"\n'
            '[log]\nformat = "json"\n'
            f'[[sources]]\nkind = "acme"\nurl = "{url}"\ninterval_s = 0.2\n'
        )
        command = [installed, "-m", "odds_service", "serve", "--config", tmp_path / "odds.toml"]
        with trio.fail_after(WITHIN_S):
            async with trio.open_nursery() as nursery:
                process: trio.Process = await nursery.start(
                    partial(
                        trio.run_process,
                        command,
                        stdout=subprocess.PIPE,
                        cwd=tmp_path,
                        env=clean_environment(),
                        stderr=subprocess.STDOUT,
                    )
                )
                assert process.stdout is not None
                address = await told_address(process.stdout)
                nursery.start_soon(drain, process.stdout)
                odds = await first_odds(address)
                process.terminate()
            assert process.returncode == 0
    (entry,) = odds.events
    assert entry.event.name == "Acme United – Coyotes"
    (shown,) = entry.bookmakers
    (market,) = shown.markets
    assert [(each.key, each.price) for each in market.outcomes] == [
        ("home", 2.1), ("draw", 3.3), ("away", 3.6)
    ]  # fmt: skip


def clean_environment() -> dict[str, str]:
    """Return this process's environment without variables that lead to the package in this tree."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("ODDS_", "PYTHON"))}


async def told_address(output: trio.abc.ReceiveStream) -> str:
    """Return the address that the log announces."""
    told = b""
    while True:
        received = await output.receive_some()
        assert received, told.decode()
        told += received
        for line in told.splitlines():
            if b'"serving"' in line and line.endswith(b"}"):
                return str(json.loads(line)["address"])


async def drain(output: trio.abc.ReceiveStream) -> None:
    async for _ in output:
        pass


async def first_odds(address: str) -> pb.GetOddsResponse:
    while True:
        reply = await call(address, lambda stub: stub.GetOdds(pb.GetOddsRequest(), timeout=30))
        assert isinstance(reply, pb.GetOddsResponse)
        if reply.events:
            return reply
        await trio.sleep(0.1)


def test_both_wheels_stand_in_their_own_environment(installed: Path) -> None:
    asked = (
        "import acme_odds, odds_service, json; "
        "print(json.dumps([acme_odds.__file__, odds_service.__file__]))"
    )
    done = subprocess.run(
        [installed, "-c", asked], capture_output=True, text=True, check=True, timeout=60,
        cwd=installed.parent, env=clean_environment(),
    )  # fmt: skip
    for file in json.loads(done.stdout):
        assert Path(file).is_relative_to(installed.parents[1])
