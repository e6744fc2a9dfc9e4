"""The wheel without extras is a working client, with protobuf 6 and 7 and warnings as errors.

Each test environment is fresh and downloads its packages: one has the lower bounds of
pyproject.toml with protobuf 6, the other the versions of constraints.txt with protobuf 7. Without a
package index these tests fail; they are never skipped.
"""

import json
import re
import subprocess
import sys
import venv
from email.parser import HeaderParser
from functools import partial
from pathlib import Path
from typing import Final
from zipfile import ZipFile

import pytest
import trio

from odds_service import cli
from odds_service.model.market import MarketKey
from tests.support.command_line import ENVIRONMENT, complaint
from tests.support.observations import observe, observed_event
from tests.support.odds_builders import Bookkeeping, serving

ROOT: Final = Path(__file__).resolve().parents[2]
CONSTRAINTS: Final = ROOT / "constraints.txt"
PROGRAM: Final = Path(__file__).with_name("wheel_client.py")
WITHIN_S: Final = 240.0
PIP: Final = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
LINES: Final = {"lower bounds": "6", "constraints": "7"}  # environment -> major of protobuf
BARE: Final = {name: value for name, value in ENVIRONMENT.items() if name != "PYTHONPATH"}

pytestmark = pytest.mark.slow


def ran(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a command outside the source tree, where only installed packages can be imported."""
    return subprocess.run(
        [str(part) for part in command],
        cwd="/",
        env=BARE,
        capture_output=True,
        text=True,
        check=False,
        timeout=WITHIN_S,
    )


def succeeded(*command: str | Path) -> str:
    done = ran(*command)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def requirements(wheel: Path) -> list[str]:
    """Return the requirements of a wheel without its extras."""
    with ZipFile(wheel) as opened:
        (name,) = (name for name in opened.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = HeaderParser().parsestr(opened.read(name).decode())
    return [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    succeeded(*PIP, "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", folder, ROOT)
    (built,) = folder.glob("odds_service-*.whl")
    return built


@pytest.fixture(scope="module", params=LINES)
def python(
    request: pytest.FixtureRequest, wheel: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Return the interpreter of an environment with the wheel and its requirements."""
    folder = tmp_path_factory.mktemp("environment")
    constraints = CONSTRAINTS
    if request.param == "lower bounds":
        constraints = folder / "lower-bounds.txt"
        found = [re.match(r"([\w-]+).*?>=([\w.]+)", line) for line in requirements(wheel)]
        pins = [f"{match[1]}=={match[2]}\n" for match in found if match is not None]
        assert len(pins) == len(found)
        constraints.write_text("".join(pins), "utf-8")
    venv.create(folder / "venv", with_pip=False)
    python = folder / "venv" / "bin" / "python"
    succeeded(*PIP, "--python", python, "install", "-q", "-c", constraints, wheel)
    version = succeeded(python, "-c", "import google.protobuf as p; print(p.__version__)")
    assert version.split(".")[0] == LINES[request.param]
    return python


def book_of_two_prices() -> Bookkeeping:
    book = Bookkeeping()
    for minute, home in enumerate((1.5, 1.6)):
        offer = {"b1": {MarketKey("h2h"): {"home": home, "away": 2.5}}}
        book.see(observe([observed_event("e", offer)], minute))
    return book


async def test_both_faces_read_watch_and_replay(python: Path) -> None:
    book = book_of_two_prices()
    head = book.feed.head_revision
    async with serving(book) as server:
        run = partial(succeeded, python, "-W", "error", PROGRAM, server.address, str(head))
        seen = json.loads(await trio.to_thread.run_sync(run))
    expected = {
        "prices": [1.6, 2.5],
        "watched": list(range(1, head + 1)),
        "image": True,
        "stored": list(range(1, head + 1)),
        "events": ["e"],
    }
    assert seen["synchronous"] == expected
    assert seen["asynchronous"] == expected
    absent = {"trio", "trio-asyncio", "sqlalchemy", "pydantic-settings", "httpx", "asyncpg"}
    assert not absent & {name.replace("_", "-") for name in seen["installed"]}


async def test_client_commands_work_and_those_of_the_service_name_their_extra(python: Path) -> None:
    command = (python, "-W", "error", "-m", "odds_service")
    async with serving(book_of_two_prices()) as server:
        run = partial(succeeded, *command, "get", "e", "--server", server.address)
        assert "1.60" in await trio.to_thread.run_sync(run)
    for name in sorted(cli.COMMANDS):
        ended = ran(*command, name, "--help")
        if name not in cli.SERVER_COMMANDS:
            assert ended.returncode == 0, ended
            continue
        assert complaint(ended) == (
            f"error: `odds-service {name}` needs an extra: pip install 'odds-service[server]'"
        )


def test_it_requires_at_most_ten_packages(wheel: Path) -> None:
    names = {re.split(r"[^\w-]", line)[0] for line in requirements(wheel)}
    assert {"grpcio", "protobuf", "msgspec", "typer", "rich"} <= names
    assert len(names) <= 10
