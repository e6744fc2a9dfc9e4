"""Backups beside a running service that goes on writing, and a service on the restored database.

A cursor that the backup holds resumes; a newer one gets an image, since its revisions will be given
to other changes. A process that is killed leaves no half backup under the final name.
"""

import os
import signal
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import trio

from odds_service.config import Settings
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.e2e.test_life import BUSY, bookmaker
from tests.support.command_line import COMMAND, ENVIRONMENT, complaint, ran
from tests.support.databases import DatabasePlace, PostgresPlace, SqlitePlace
from tests.support.places import on_databases
from tests.support.programs import WITH_PROGRAMS
from tests.support.serving import service, settings_for, wait_until
from tests.support.watching import Fold, watching
from tools.other_user import as_user


def settings_on(place: DatabasePlace, port: int, table: dict[str, object]) -> Settings:
    settings = settings_for(place.folder, port, **table)  # type: ignore[arg-type]  # a table
    database = settings.database.model_copy(
        update={"url": type(settings.database.url)(place.url), "migrate": True,
                "spill_folder": place.folder}
    )  # fmt: skip
    return settings.model_copy(update={"database": database})


async def db(place: DatabasePlace, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return await ran("db", *arguments, "--database", place.url, PATH=WITH_PROGRAMS)


@on_databases
async def test_a_service_writes_on_beside_a_backup_and_runs_on_the_restored_one(
    place: DatabasePlace,
) -> None:
    path = str(place.folder / "kept")
    async with bookmaker(BUSY) as (port, table):
        settings = settings_on(place, port, table)
        async with service(settings) as running:
            feed = running.parts.feed
            await wait_until(lambda: feed.durable_revision > 300, "some odds stored")
            began_at = feed.durable_revision
            backed_up = await db(place, "backup", path)
            assert backed_up.returncode == 0, backed_up
            assert "no fault: " in backed_up.stdout
            ended_at = feed.durable_revision
            assert ended_at > began_at  # the writer did not wait for the copy
            refused = await db(place, "restore", path, "--replace")
            assert "in use by another odds-service" in complaint(refused)
            await wait_until(lambda: feed.durable_revision > ended_at + 100, "more stored")
            assert running.parts.writer.retries == 0
            old = feed.cursor
        restored = await db(place, "restore", path, "--replace")
        assert restored.returncode == 0, restored
        upto = int(place.value("SELECT durable_revision FROM feed_state"))
        assert began_at <= upto <= ended_at < old.revision
        async with service(settings) as again:
            assert again.parts.stored.revision == upto
            feed = again.parts.feed
            await wait_until(lambda: feed.durable_revision > old.revision, "the same numbers anew")
            for revision, intent, reason in (
                (upto, pb.INTENT_CHANGES, pb.INTENT_REASON_RESUMED),
                (upto + 1, pb.INTENT_IMAGE, pb.INTENT_REASON_EPOCH_CHANGED),
                (old.revision, pb.INTENT_IMAGE, pb.INTENT_REASON_EPOCH_CHANGED),
            ):
                cursor = pb.Cursor(epoch=old.epoch, revision=revision)
                request = pb.WatchChangesRequest(resume=cursor)
                with watching(again.address, request, Fold(cursor=cursor)) as watcher:
                    opened = await watcher.begun()
                    assert (opened.intent, opened.reason) == (intent, reason), revision
        verified = await db(place, "verify")
        assert verified.returncode == 0, verified


def fill(path: Path) -> None:
    """Make a database large enough to be seen while it is copied."""
    with closing(sqlite3.connect(path)) as database:
        database.execute(
            "CREATE TABLE filler AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL "
            "SELECT i + 1 FROM n WHERE i < 60000) SELECT randomblob(1000) FROM n"
        )
        database.commit()


def start_backup(place: DatabasePlace, path: Path) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [*COMMAND, "db", "backup", str(path), "--database", place.url],
        env=ENVIRONMENT | {"PATH": WITH_PROGRAMS}, stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip


def wait_for_part(path: Path, process: "subprocess.Popen[bytes]") -> bool:
    """Wait until a copy has begun, and stop its process; return False if it had finished."""
    part = path.with_name(path.name + ".part")
    while process.poll() is None:
        if part.exists() and part.stat().st_size > 0:
            process.send_signal(signal.SIGSTOP)
            return not path.exists()
        time.sleep(0.001)
    return False


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
async def test_a_killed_backup_leaves_no_file_of_its_name_sqlite(place: SqlitePlace) -> None:
    async with place.begun():
        pass
    fill(place.path)
    for turn in range(10):
        path = place.folder / f"kept-{turn}"
        process = start_backup(place, path)
        in_time = await trio.to_thread.run_sync(wait_for_part, path, process)
        process.kill()
        await trio.to_thread.run_sync(process.wait)
        if in_time:
            break
    else:
        pytest.fail("the copies were too fast to be killed")
    assert not path.exists()
    assert path.with_name(path.name + ".part").exists()
    done = await db(place, "backup", str(path))
    assert done.returncode == 0, done
    assert [each.name for each in place.folder.glob(path.name + "*")] == [path.name]


def lock_a_table(place: PostgresPlace) -> "subprocess.Popen[bytes]":
    """Lock a table until the end of the program's input."""
    lock = ["-c", "BEGIN", "-c", "LOCK TABLE odds_current", "-f", "-"]
    return subprocess.Popen(
        ["psql", "-X", "-q", place.url, *lock],
        env=os.environ | {"PATH": WITH_PROGRAMS}, stdin=subprocess.PIPE,
    )  # fmt: skip


@pytest.mark.parametrize("place", ["postgresql"], indirect=True)
async def test_a_killed_backup_leaves_no_file_of_its_name_postgresql(place: PostgresPlace) -> None:
    async with place.begun():
        pass
    path = place.folder / "kept"
    holder = lock_a_table(place)
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    process = start_backup(place, path)
    await wait_until(lambda: place.value(waiting) == "1", "pg_dump, which waits for the lock")
    process.kill()
    await trio.to_thread.run_sync(process.wait)
    # pg_dump is still there, and still has the file.
    assert "being written by another process" in complaint(await db(place, "backup", str(path)))
    await trio.to_thread.run_sync(holder.communicate)  # ends its input, and so its session
    query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pg_dump'"
    await wait_until(lambda: place.value(query) == "0", "the end of pg_dump")
    assert not path.exists()
    done = await db(place, "backup", str(path))
    assert done.returncode == 0, done
    assert [each.name for each in place.folder.glob("kept*")] == ["kept"]


@pytest.fixture
def public() -> Iterator[Path]:
    """Give a folder that other users can enter."""
    with tempfile.TemporaryDirectory(prefix="odds-copies-") as name:
        Path(name).chmod(0o755)
        yield Path(name)
        Path(name).chmod(0o755)


def forbid_writing(path: Path) -> None:
    """Take the right to write from a file and its folder."""
    path.chmod(0o444)
    path.parent.chmod(0o555)


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
@pytest.mark.parametrize("by_hand", [False, True])
async def test_verify_reads_a_copy_that_may_not_be_written(
    place: SqlitePlace, public: Path, by_hand: bool
) -> None:
    async with place.begun():
        pass
    copy = public / "kept.db"
    if by_hand:  # of a stopped service: in WAL mode
        copy.write_bytes(place.path.read_bytes())
        assert copy.read_bytes()[18] == 2
    else:
        assert (await db(place, "backup", str(copy))).returncode == 0
    forbid_writing(copy)

    def run(*command: str) -> "subprocess.CompletedProcess[str]":
        # Root may write everywhere.
        other = ["setpriv", *as_user("65534"), "--"]
        return subprocess.run(
            [*(other if os.geteuid() == 0 else []), *COMMAND, "db", *command,
             "--database", f"sqlite:///{copy}"],
            capture_output=True, text=True, check=False, env=ENVIRONMENT, cwd="/",
        )  # fmt: skip

    done = await trio.to_thread.run_sync(run, "verify")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("no fault: ")
    listed = await trio.to_thread.run_sync(run, "dead-letters", "list")
    assert (listed.stdout, listed.stderr) == ("", "0 dead letters\n")
    dropped = await trio.to_thread.run_sync(run, "dead-letters", "drop", "1")
    assert "no right to write to it" in complaint(dropped)
    assert os.listdir(public) == ["kept.db"]


@on_databases
async def test_a_full_disk_ends_a_backup_in_one_line_and_leaves_nothing(
    place: DatabasePlace,
) -> None:
    async with place.begun():
        pass
    command = [*COMMAND, "db", "backup", str(place.folder / "kept"), "--database", place.url]

    def run() -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["prlimit", "--fsize=4096", *command], capture_output=True, text=True, check=False,
            env=ENVIRONMENT | {"PATH": WITH_PROGRAMS},
        )  # fmt: skip

    assert str(place.folder / "kept.part") in complaint(await trio.to_thread.run_sync(run))
    assert not [each for each in os.listdir(place.folder) if each.startswith("kept")]


@pytest.mark.parametrize("place", ["postgresql"], indirect=True)
async def test_an_interrupted_backup_leaves_nothing(place: PostgresPlace) -> None:
    async with place.begun():
        pass
    holder = lock_a_table(place)
    process = start_backup(place, place.folder / "kept")
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    await wait_until(lambda: place.value(waiting) == "1", "pg_dump, which waits for the lock")
    process.send_signal(signal.SIGINT)
    assert await trio.to_thread.run_sync(process.wait) == 130
    await trio.to_thread.run_sync(holder.communicate)
    assert not [each for each in os.listdir(place.folder) if each.startswith("kept")]


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
async def test_an_interrupted_copy_leaves_nothing(place: SqlitePlace) -> None:
    async with place.begun():
        pass
    fill(place.path)
    for turn in range(10):
        path = place.folder / f"kept-{turn}"
        process = start_backup(place, path)
        in_time = await trio.to_thread.run_sync(wait_for_part, path, process)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGCONT)
        code = await trio.to_thread.run_sync(process.wait)
        if in_time:
            break
    else:
        pytest.fail("the copies were too fast to be interrupted")
    assert code == 130
    assert not [each for each in os.listdir(place.folder) if each.startswith(path.name)]
