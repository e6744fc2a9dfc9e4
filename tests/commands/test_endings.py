"""The ways a command ends before its work does: its reader leaves, or somebody presses ^C."""

import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest
import trio

from tests.commands.books import book_of, moving
from tests.commands.test_replay import series
from tests.e2e.test_life import STILL, bookmaker
from tests.support.command_line import COMMAND, ENVIRONMENT, WITHIN_S
from tests.support.odds_builders import serving
from tests.support.serving import service, settings_for, wait_until
from tests.support.terminal import at_terminal


def into_a_closed_pipe(arguments: list[str], **environment: str) -> tuple[int, str]:
    """Run a command whose reader has left; return its exit code and its complaints."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        ended = subprocess.run(
            [*COMMAND, *arguments], stdout=writing, stderr=subprocess.PIPE, check=False,
            text=True, env=ENVIRONMENT | environment, timeout=WITHIN_S,
        )  # fmt: skip
    finally:
        os.close(writing)
    return ended.returncode, ended.stderr


@pytest.mark.parametrize(
    "command",
    [
        ["watch"],
        ["watch", "--json"],
        ["history"],
        ["history", "--json"],
        ["status"],
        ["status", "--json"],
    ],
    ids=" ".join,
)
async def test_a_call_ends_quietly_when_its_reader_has_gone(command: list[str]) -> None:
    async with serving(moving()) as server:
        ended = await trio.to_thread.run_sync(
            lambda: into_a_closed_pipe(command, ODDS_SERVER=server.address)
        )
    code, said = ended
    assert code == 1
    assert said in ("", "times in UTC\n")


async def test_a_refresh_and_a_reload_end_quietly_when_their_reader_has_gone(
    tmp_path: Path,
) -> None:
    async with bookmaker(STILL) as (port, table):
        settings = settings_for(tmp_path, port, **table)  # type: ignore[arg-type]  # a table
        async with service(settings) as running:
            await wait_until(lambda: bool(running.parts.cache.events), "some odds")
            event_id = min(running.parts.cache.events)
            for command in (["refresh", event_id], ["refresh", event_id, "--json"]):
                asked = [*command, "--server", running.address]
                assert await trio.to_thread.run_sync(into_a_closed_pipe, asked) == (1, "")
            # This service was started without a file to read again, and says so on stderr.
            code, said = await trio.to_thread.run_sync(
                into_a_closed_pipe, ["reload", "--server", running.address]
            )
            assert (code, len(said.splitlines())) == (1, 1)


async def test_a_try_ends_quietly_when_its_reader_has_gone(tmp_path: Path) -> None:
    async with bookmaker(STILL) as (port, table):
        config = tmp_path / "odds.toml"
        sports = str(table["sports"]).replace("'", '"')
        config.write_text(
            f'[[sources]]\nkind = "the-odds-api"\nname = "mine"\nsports = {sports}\n'
            f'url = "http://127.0.0.1:{port}"\napi_key = "simulated"\n'
        )
        asked = ["try", "mine", "--config", str(config)]
        assert await trio.to_thread.run_sync(into_a_closed_pipe, asked) == (1, "")


def test_a_replay_ends_quietly_when_its_reader_has_gone(tmp_path: Path) -> None:
    asked = ["replay", str(series(tmp_path)), "--port", "0"]
    assert into_a_closed_pipe(asked) == (1, "")


@pytest.mark.parametrize("command", [["verify"], ["upgrade"], ["dead-letters", "list"]])
def test_an_interrupt_ends_a_command_on_the_database_at_once(command: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(WITHIN_S)
        url = f"postgresql://odds@127.0.0.1:{silent.getsockname()[1]}/odds"
        process = subprocess.Popen(
            [*COMMAND, "db", *command, "--database", url], start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT,
        )  # fmt: skip
        try:
            connection, _ = silent.accept()  # the command waits for a greeting
            process.send_signal(signal.SIGINT)
            said, complaints = process.communicate(timeout=WITHIN_S)
            connection.close()
        finally:
            process.kill()
    assert process.returncode == 128 + signal.SIGINT
    assert said == ""
    assert "Traceback" not in complaints
    assert complaints.strip() == ""


@pytest.mark.parametrize("width", [80, 100, 160])
async def test_an_interrupt_leaves_a_clean_line_at_every_width(width: int) -> None:
    async with serving(book_of()) as server:
        ended = await trio.to_thread.run_sync(
            lambda: at_terminal(
                "watch", "--table",
                width=width,
                interrupt_when=lambda raw: "connected at revision" in raw,
                environment={"ODDS_SERVER": server.address},
            )
        )  # fmt: skip
    assert ended.code in (0, 128 + signal.SIGINT)
    assert ended.raw.endswith("\n") or ended.raw.endswith("\x1b[?25h")
    assert "Traceback" not in ended.raw
