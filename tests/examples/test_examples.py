"""Each example, run by its documented command against the service and the simulated bookmaker."""

import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pyarrow.parquet as parquet
import pytest
import trio

from odds_service.client import open_sync_client
from odds_service.config import HttpSettings, Settings
from odds_service.demo.bookmaker import SimulatedBookmaker, run_bookmaker
from odds_service.demo.settings import SimulationSettings
from tests.support.gate import gates
from tests.support.serving import service, settings_for, wait_until

ROOT = Path(__file__).resolve().parent.parent.parent
EXAMPLES = ROOT / "examples"
WITHIN_S = 120.0
LIVELY = SimulationSettings(
    sports=1, events=6, bookmakers=3, markets_per_bookmaker=4, change_share=0.5, lead_s=1e5
)


GRPC, HTTP = 0, 1  # the doors, in the order of their addresses


@asynccontextmanager
async def live(folder: Path, door: int = GRPC) -> AsyncIterator[str]:
    """Yield the address of a service whose odds are there and keep moving."""
    offer = SimulatedBookmaker(LIVELY)
    table = {"regions": list(LIVELY.regions), "markets": list(offer.market_keys)}
    async with trio.open_nursery() as nursery:
        port = await nursery.start(partial(run_bookmaker, LIVELY))
        settings = both_doors(settings_for(folder, port, offer.sport_keys, interval_s=0.2, **table))
        async with service(settings) as running:
            await wait_until(lambda: running.parts.cache.events != {}, "odds")
            yield running.server.addresses[door]
        nursery.cancel_scope.cancel()


def both_doors(
    settings: Settings, grpc: str = "127.0.0.1:0", http: str = "127.0.0.1:0"
) -> Settings:
    """Return settings whose doors are at these addresses."""
    return settings.model_copy(
        update={
            "server": settings.server.model_copy(update={"listen": grpc}),
            "http": HttpSettings(listen=http),
        }
    )


async def outlive(folder: Path, *command: str, lines: int, door: int = GRPC) -> tuple[str, int]:
    """Run a program that watches, and restart the service under it.

    The program must say that it resumed, print more after that, and end at ^C.

    Args:
        folder: For the database.
        command: The program and its arguments; the address of the service is added.
        lines: How many lines it prints until it is known to follow the odds.
        door: The door whose address it is.

    Returns:
        Its whole output, and its exit code.
    """
    offer = SimulatedBookmaker(LIVELY)
    table = {"regions": list(LIVELY.regions), "markets": list(offer.market_keys)}
    async with trio.open_nursery() as nursery:
        port = await nursery.start(partial(run_bookmaker, LIVELY))
        settings = both_doors(settings_for(folder, port, offer.sport_keys, interval_s=0.2, **table))
        async with service(settings) as running:
            await wait_until(lambda: running.parts.cache.events != {}, "odds")
            addresses = running.server.addresses
            process = started(*command, addresses[door])
            try:
                text = await read_until(process, lambda text: text.count("\n") >= lines)
            except trio.TooSlowError:
                process.kill()
                raise
        again = both_doors(settings, *addresses)
        try:
            async with service(again):
                text += await read_until(process, lambda text: "— resumed" in text)
                text += await read_until(process, lambda text: text.count("\n") >= lines)
                process.send_signal(signal.SIGINT)
                text += await read_until(process, lambda _: False)
                code = await trio.to_thread.run_sync(process.wait)
        finally:
            process.kill()
            process.wait()
        nursery.cancel_scope.cancel()
    assert process.stdout is not None
    process.stdout.close()
    return text, code


def started(*command: str) -> "subprocess.Popen[str]":
    """Start a program whose errors go where its output goes."""
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


async def read_until(process: "subprocess.Popen[str]", done: Callable[[str], bool]) -> str:
    """Return what a process prints until that is enough, or until it ends."""
    assert process.stdout is not None
    stdout = process.stdout

    def read() -> str:
        text = ""
        while not done(text) and (line := stdout.readline()):
            text += line
        return text

    with trio.fail_after(WITHIN_S):
        return await trio.to_thread.run_sync(read, abandon_on_cancel=True)


PYTHON_EXAMPLES = [
    ("best_prices.py",),
    ("alert_on_move.py", "0.1"),
    ("record_parquet.py", "{file}"),
    ("server_sent_events.py",),
]
DOOR = {"server_sent_events.py": HTTP}


@pytest.mark.parametrize("example", PYTHON_EXAMPLES, ids=lambda example: example[0])
async def test_an_example_outlives_its_server_and_says_that_it_resumed(
    tmp_path: Path, example: tuple[str, ...]
) -> None:
    name, *arguments = example
    file = str(tmp_path / "odds.parquet")
    given = [each.format(file=file) for each in arguments]
    lines = 3 if name == "record_parquet.py" else 6
    program = (sys.executable, "-u", str(EXAMPLES / name), *given)
    text, code = await outlive(tmp_path, *program, lines=lines, door=DOOR.get(name, GRPC))
    assert "; trying again in " in text
    assert text.count("— resumed at revision") == 1
    assert "Traceback" not in text
    assert code == 0
    if name == "server_sent_events.py":
        told = [int(line.split()[0]) for line in text.splitlines() if line[0].isdigit()]
        assert told == sorted(set(told))  # none came twice
    if name == "record_parquet.py":  # ^C closed it
        revisions = parquet.read_table(file)["revision"].to_pylist()
        resumed_at = int(text.partition("— resumed at revision ")[2].split()[0])
        assert min(revisions) <= resumed_at < max(revisions)


@pytest.mark.parametrize("example", PYTHON_EXAMPLES, ids=lambda example: example[0])
async def test_an_example_is_quiet_when_its_reader_leaves(
    tmp_path: Path, example: tuple[str, ...]
) -> None:
    name, *arguments = example
    given = [each.format(file=tmp_path / "odds.parquet") for each in arguments]
    async with live(tmp_path, DOOR.get(name, GRPC)) as address:
        assert await left_alone(sys.executable, str(EXAMPLES / name), *given, address) == ""


async def left_alone(*command: str, cwd: Path | None = None) -> str:
    """Return what a program prints to standard error once the reader of its output has left."""
    process = subprocess.Popen(  # noqa: ASYNC220  # returns at once
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )

    def leave() -> str:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr is not None
        with process.stderr:
            return process.stderr.read()

    try:
        with trio.fail_after(WITHIN_S):
            text = await trio.to_thread.run_sync(leave, abandon_on_cancel=True)
    finally:
        process.kill()
        process.wait()
    return text


async def run(*command: str, cwd: Path | None = None) -> str:
    """Return the output of a command, which must end by itself without an error."""
    done = await trio.to_thread.run_sync(
        lambda: subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=WITHIN_S,
            cwd=cwd,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


async def test_best_prices_are_printed(tmp_path: Path) -> None:
    async with live(tmp_path) as address:
        text = await run(sys.executable, str(EXAMPLES / "best_prices.py"), address, "5")
    assert text.startswith("— no_cursor at revision ")
    assert text.count(" UTC\n") >= 2
    assert "overround" in text
    assert "home " in text


async def test_changes_are_recorded_to_parquet(tmp_path: Path) -> None:
    file = tmp_path / "odds.parquet"
    async with live(tmp_path) as address:
        await run(sys.executable, str(EXAMPLES / "record_parquet.py"), str(file), address, "20")
    table = parquet.read_table(file)
    assert len(set(table["revision"].to_pylist())) >= 10  # some of the 20 removed a market
    assert table["revision"].to_pylist() == sorted(table["revision"].to_pylist())
    assert all(price is None or price > 1 for price in table["price"].to_pylist())


async def test_a_move_is_told(tmp_path: Path) -> None:
    async with live(tmp_path) as address:
        example = str(EXAMPLES / "alert_on_move.py")
        text = await run(sys.executable, example, "0.1", address, "3")
    _opened, *lines = text.splitlines()
    assert len(lines) == 3
    for line in lines:
        before, after = line.rpartition(": ")[2].split(" → ")
        assert float(before) > 1
        assert float(after) > 1


async def test_changes_come_by_http_alone(tmp_path: Path) -> None:
    async with live(tmp_path, HTTP) as address:
        example = str(EXAMPLES / "server_sent_events.py")
        text = await run(sys.executable, example, address, "20")
    opened, *lines = text.splitlines()
    assert opened.startswith("— no_cursor at revision ")
    revisions = [int(line.split()[0]) for line in lines]
    assert len(revisions) >= 20
    assert revisions == sorted(set(revisions))
    assert any(re.search(r": prices home \d+\.\d\d, ", line) for line in lines)


async def test_an_address_that_is_no_door_ends_the_example_of_http(tmp_path: Path) -> None:
    async with live(tmp_path, HTTP) as address:
        program = (sys.executable, str(EXAMPLES / "server_sent_events.py"), f"{address}/elsewhere")
        process = started(*program)
        text = await read_until(process, lambda _: False)
        assert await trio.to_thread.run_sync(process.wait) == 1
    assert process.stdout is not None
    process.stdout.close()
    assert text.startswith("404: ")


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the example for Node, with its packages installed from the proto alone."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    root = tmp_path_factory.mktemp("node")
    for part in ("examples/node", "proto"):
        shutil.copytree(ROOT / part, root / part, ignore=shutil.ignore_patterns("node_modules"))
    folder = root / "examples" / "node"
    command = ("npm", "install", "--no-audit", "--no-fund", "--prefer-offline")
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=WITHIN_S)
    assert not (folder / "package-lock.json").exists()
    return folder


async def test_a_client_in_another_language_from_the_proto_alone(
    node: Path, tmp_path: Path
) -> None:
    async with live(tmp_path) as address:
        text = await run("node", "watch.mjs", address, "30", cwd=node)
    lines = text.splitlines()
    assert lines[0].startswith("read ")
    assert int(lines[0].split()[1]) > 0
    assert "changes, nothing missing;" in lines[-1]
    assert lines[1].startswith("— resumed at revision ")
    told = [line.split("  ") for line in lines[2:-1]]
    assert any(" – " in change[2] and change[4].startswith("h2h") for change in told)
    assert any(re.fullmatch(r"totals \d+\.5", change[4]) for change in told)
    revisions = [int(change[0]) for change in told]
    assert len(revisions) >= 30
    assert revisions == list(range(revisions[0], revisions[0] + len(revisions)))
    assert revisions[0] == int(lines[0].split()[-1]) + 1


async def test_node_outlives_its_server_and_misses_nothing(node: Path, tmp_path: Path) -> None:
    text, code = await outlive(tmp_path, "node", str(node / "watch.mjs"), lines=6)
    assert "; trying again" in text
    assert text.count("— resumed at revision") == 2  # after the reading, and after the restart
    assert code == 0
    revisions = [int(line.split()[0]) for line in text.splitlines() if line[0].isdigit()]
    assert revisions == list(range(revisions[0], revisions[0] + len(revisions)))


async def test_node_goes_on_at_another_server_and_misses_nothing(
    node: Path, tmp_path: Path
) -> None:
    async with live(tmp_path) as address, gates(*[address] * 2) as doors:
        places = ",".join(door.address for door in doors)
        process = started("node", str(node / "watch.mjs"), places)

        def follows(text: str) -> bool:
            return text.partition("— resumed at")[2].count("\n") >= 6

        try:
            text = await read_until(process, follows)
            doors[0].kill()
            text += await read_until(process, follows)
            doors[0].open()
            doors[1].kill()
            text += await read_until(process, follows)
            doors[1].silence()  # it takes the next connection, and never answers
            doors[0].kill()
            text += await read_until(process, lambda text: "Cancelled" in text)
            doors[0].open()
            text += await read_until(process, follows)
            process.send_signal(signal.SIGINT)
            text += await read_until(process, lambda _: False)
            assert await trio.to_thread.run_sync(process.wait) == 0
        finally:
            process.kill()
            process.wait()
    assert process.stdout is not None
    process.stdout.close()
    told = [line for line in text.splitlines() if "changing over to" in line]
    then = [line.rpartition(" ")[2] for line in told]
    assert then[:3] == [doors[1].address, doors[0].address, doors[1].address]
    assert "image" not in text
    revisions = [int(line.split()[0]) for line in text.splitlines() if line[0].isdigit()]
    assert revisions == list(range(revisions[0], revisions[0] + len(revisions)))


async def test_node_is_quiet_when_its_reader_leaves(node: Path, tmp_path: Path) -> None:
    async with live(tmp_path) as address:
        assert await left_alone("node", str(node / "watch.mjs"), address) == ""


async def test_the_strategy_decides_alike_live_and_on_the_past(tmp_path: Path) -> None:
    module = runpy.run_path(str(EXAMPLES / "price_drops.py"))
    decisions = module["decisions"]

    def compare(address: str) -> None:
        with open_sync_client(address) as client:
            begun = client.get_odds(module["WHERE"])
            live = []
            with client.watch(module["WHERE"], start=begun) as watch:
                for line in decisions(watch):
                    live.append(line)
                    if len(live) == 30:
                        break
                end = watch.odds.cursor
            assert end is not None
            while client.status().durable_revision < end.revision:
                time.sleep(0.02)
            with client.replay(begun.cursor, end, where=module["WHERE"]) as replay:
                past = list(decisions(replay))
            # The last change may have led to more lines than were taken.
            assert "\n".join(past[:30]).encode() == "\n".join(live[:30]).encode()
            assert len(past) >= 30

    async with live(tmp_path) as address:
        await trio.to_thread.run_sync(compare, address)


async def test_the_strategy_runs_on_the_past_and_goes_on_live(tmp_path: Path) -> None:
    program = (sys.executable, "-u", str(EXAMPLES / "price_drops.py"))
    async with live(tmp_path) as address:
        process = started(*program, address, "2020-01-01T00:00Z")
        try:
            text = await read_until(process, lambda text: text.count("\n") >= 20)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait()
        assert process.stdout is not None
        process.stdout.close()
    times = [line.split()[0] for line in text.splitlines()]
    assert times == sorted(times)
    assert "Traceback" not in text
