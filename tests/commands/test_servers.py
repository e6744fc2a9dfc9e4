"""Commands that are given several servers: they go on at another, and say so in one line."""

import signal

import pytest
import trio

from tests.commands.books import book_of, see
from tests.commands.test_watch import Watch
from tests.support.command_line import complaint, ran, run
from tests.support.gate import gates
from tests.support.odds_builders import serving

NOBODY = "127.0.0.1:1"  # nothing listens there


@pytest.mark.parametrize(
    "command", [("status",), ("get",), ("events", "--json"), ("history", "--closing")]
)
async def test_a_command_says_in_one_line_that_it_changed_over(command: tuple[str, ...]) -> None:
    async with serving(book_of()) as server:
        done = await ran(*command, "--server", f"{NOBODY}, {server.address}")
        told = [line for line in done.stderr.splitlines() if "changing over" in line]
        (line,) = told
        assert line.startswith(f"no server answers at {NOBODY}: ")
        assert line.endswith(f"; changing over to {server.address}")
        alone = await ran(*command, "--server", server.address)
        rest = [line for line in done.stderr.splitlines() if line not in told]
        assert (done.returncode, rest) == (alone.returncode, alone.stderr.splitlines())
        assert "changing over" not in done.stdout


async def test_the_environment_names_several_servers() -> None:
    async with serving(book_of()) as server:
        done = await ran("events", ODDS_SERVER=f"{server.address},{NOBODY}")
        assert (done.returncode, done.stderr) == (0, "2 events\n")
        assert "Reds – Blues" in done.stdout


def test_servers_that_are_all_away_are_named() -> None:
    ended = run("status", "--server", f"{NOBODY},127.0.0.1:2")
    *_, line = ended.stderr.splitlines()
    assert ended.returncode == 1
    assert line.startswith("error: none of 2 servers serves: ")
    assert f"at {NOBODY}: " in line
    assert "at 127.0.0.1:2: " in line
    assert "'nowhere' is not host:port" in complaint(run("get", "--server", f"{NOBODY},nowhere"))


async def test_watch_goes_on_at_another_server() -> None:
    book = book_of()
    async with serving(book) as server, gates(*[server.address] * 2) as doors:
        place = f"{doors[0].address},{doors[1].address}"
        watch = Watch("--json", "--event", "e1", "--server", place)
        await watch.until("image_end")
        doors[0].kill()
        opened = await watch.until("opened")
        assert opened.opened.cursor.revision == book.feed.head_revision
        see(book, 1.7, 1)
        changes = await watch.until("changes")
        assert changes.changes.cursor.revision == book.feed.head_revision
        code, complaints = await watch.end(signal.SIGINT)
    assert code == 130
    (line,) = complaints.splitlines()
    assert line.startswith(f"{doors[0].address}: ")
    assert line.endswith(f"; changing over to {doors[1].address}")


async def test_watch_says_when_it_waits_for_any_of_them() -> None:
    book = book_of()
    async with serving(book) as server, gates(*[server.address] * 2) as doors:
        watch = Watch("--json", "--server", ",".join(door.address for door in doors))
        await watch.until("image_end")
        for door in doors:
            door.kill()
        await trio.sleep(0.5)
        doors[0].open()
        await watch.until("opened")
        _, complaints = await watch.end(signal.SIGINT)
    lines = complaints.splitlines()
    assert lines[0].endswith(f"; changing over to {doors[1].address}")
    assert lines[1].startswith("none of 2 servers serves: ")
    assert "; trying again in 0." in lines[1]


async def test_health_takes_the_first_server_that_serves() -> None:
    async with serving(book_of()) as server:
        well = await ran("health", "--server", f"{NOBODY},{server.address}")
        assert (well.returncode, well.stdout, well.stderr) == (0, "serving\n", "")
        await server.set_serving(False)
        line = complaint(await ran("health", "--server", f"{NOBODY},{server.address}"))
        assert line == f"error: {NOBODY}: no server answers there; {server.address}: not serving"
