"""`odds-service health`: the exit code that a container's probe needs, at little cost."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from odds_service.config import ServerSettings
from tests.commands.books import book_of
from tests.support.certificates import make_certificates
from tests.support.command_line import complaint, output_of, ran, run
from tests.support.odds_builders import serving


@pytest.fixture
def silent() -> Iterator[str]:
    """Return the address of a port that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


async def test_a_server_that_serves_and_one_that_does_not() -> None:
    async with serving(book_of()) as server:
        await server.set_serving(True)
        well = await ran("health", "--server", server.address)
        assert (well.returncode, well.stdout) == (0, "serving\n"), well
        assert (await ran("health", ODDS_SERVER=server.address)).returncode == 0
        await server.set_serving(False)
        assert "not serving" in complaint(await ran("health", "--server", server.address))


async def test_it_speaks_tls_and_needs_no_token(tmp_path: Path) -> None:
    make_certificates(tmp_path)
    guarded = ServerSettings(
        listen="127.0.0.1:0",
        tls_certificate=tmp_path / "server.pem",
        tls_key=tmp_path / "server.key",
        tokens=[SecretStr("open-sesame")],
    )
    async with serving(book_of(), settings=guarded) as server:
        await server.set_serving(True)
        ca = str(tmp_path / "ca.pem")
        trusting = await ran("health", "--server", server.address, "--ca", ca)
        assert trusting.returncode == 0, trusting
        complaint(await ran("health", "--server", server.address, "--tls"))


def test_no_server_and_a_silent_one_are_one_line(silent: str) -> None:
    assert "no server answers" in complaint(run("health", "--server", "127.0.0.1:1"))
    complaint(run("health", "--server", silent, "--within", "0.3"))
    assert "is not host:port" in complaint(run("health", "--server", "nowhere"))
    assert "belong together" in complaint(run("health", "--cert", os.devnull))


def test_it_imports_neither_the_client_nor_protobuf_nor_the_command_line() -> None:
    script = (
        "import sys\n"
        "from odds_service.__main__ import main\n"
        "sys.argv[1:] = ['health', '--server', 'nowhere']\n"
        "try: main()\n"
        "except SystemExit as end: print(end)\n"
        "heavy = {'google.protobuf', 'odds_service.client', 'pydantic', 'trio', 'typer', 'rich'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    assert output_of(script).splitlines() == ["error: 'nowhere' is not host:port", "[]"]


def test_its_options_are_those_of_its_help_and_wrong_ones_are_named() -> None:
    shown = run("health", "--help")
    assert shown.returncode == 0
    assert "--within" in shown.stdout
    for arguments in (["--within", "0"], ["--withn", "3"]):
        wrong = run("health", *arguments)
        assert wrong.returncode == 2
        assert "--within" in wrong.stderr
