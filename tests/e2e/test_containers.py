"""The settings of compose.yaml on real parts, and the image where there is a Docker."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.support.command_line import ran
from tests.support.databases import PostgresPlace
from tests.support.programs import WITH_PROGRAMS

ROOT: Final = Path(__file__).resolve().parent.parent.parent


@pytest.mark.parametrize("place", ["postgresql"], indirect=True)
async def test_a_service_can_start_with_compose_s_settings(place: PostgresPlace) -> None:
    settings = str(ROOT / "deploy" / "compose" / "odds.toml")
    listen = {"ODDS_SERVER__LISTEN": "0.0.0.0:0", "ODDS_METRICS__LISTEN": "0.0.0.0:0"}
    found = await ran(
        "serve", "--check", "--config", settings, "--migrate",
        ODDS_DATABASE__URL=place.url, PATH=WITH_PROGRAMS, **listen,
    )  # fmt: skip
    assert found.returncode == 0, found
    assert found.stdout.splitlines()[-1] == "ready to start"


def docker_answers() -> bool:
    if shutil.which("docker") is None:
        return False
    asked = subprocess.run(["docker", "info"], capture_output=True, check=False)
    return asked.returncode == 0


@pytest.mark.timeout(1_200)  # it installs everything
def test_the_image_is_built_and_runs() -> None:
    if not docker_answers():
        pytest.skip("no Docker answers")
    name = f"odds-service-test-{os.getpid()}"
    subprocess.run(["docker", "build", "--tag", name, str(ROOT)], check=True)
    try:
        for command, says in ((["--version"], "odds-service"), (["db", "--help"], "backup")):
            shown = subprocess.run(
                ["docker", "run", "--rm", "--read-only", name, *command],
                check=True, capture_output=True, text=True,
            )  # fmt: skip
            assert says in shown.stdout
        subprocess.run(["docker", "run", "--rm", "--entrypoint", "pg_dump", name, "-V"], check=True)
    finally:
        subprocess.run(["docker", "rmi", name], check=True)
