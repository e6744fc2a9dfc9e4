"""PostgreSQL's own cases: unreachable servers, wrong names, locks, partitions."""

from pathlib import Path

import pytest
import trio

from odds_service.bridge import open_bridge
from odds_service.errors import OddsServiceError, StorageError, StorageUnavailable
from odds_service.storage import open_store
from odds_service.store import WriteGroup
from tests.support.databases import PostgresPlace
from tests.support.postgres import PostgresServer
from tests.support.serving import wait_until
from tests.support.stories import SERIES, Story

ALL = 10**9


@pytest.mark.parametrize(
    ("url", "error", "says"),
    [
        (
            "postgresql://u:hunter2@127.0.0.1:1/x",
            StorageUnavailable,
            "at 127.0.0.1:1: .*Connect call failed",
        ),
        (
            "postgresql://u:hunter2@no-such-host.invalid/x",
            StorageUnavailable,
            "PostgreSQL at no-such-host.invalid:5432: ",
        ),
        ("postgres://nobody:hunter2@{server}/postgres", StorageError, 'role "nobody"'),
        ("postgresql://postgres:hunter2@{server}/nosuch", StorageError, 'database "nosuch"'),
        ("postgresql://postgres:hunter2@{server}/postgres", StorageError, "db upgrade"),
        ("postgresql://u:hunter2@h:port/x", StorageError, "not a URL"),
        ("postgresql+psycopg2://u:hunter2@127.0.0.1:1/x", StorageUnavailable, "Connect call"),
    ],
)
async def test_a_server_that_cannot_be_used_is_one_clear_line(
    postgres: PostgresServer, tmp_path: Path, url: str, error: type[OddsServiceError], says: str
) -> None:
    url = url.format(server=f"127.0.0.1:{postgres.port}")
    async with open_bridge():
        with pytest.raises(error, match=says) as caught:
            async with open_store(url, spill_folder=tmp_path):
                pytest.fail("it opened")
    assert "hunter2" not in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


async def test_a_wrong_password_is_told_without_it(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    """The test server trusts everyone, so a refusal is recognised by its message alone."""
    hba = Path(postgres.psql("SHOW hba_file"))
    postgres.psql("CREATE ROLE careful LOGIN PASSWORD 'right'")
    rules = hba.read_text("utf-8")  # noqa: ASYNC240  # a small local file
    hba.write_text(f"host all careful all scram-sha-256\n{rules}")  # noqa: ASYNC240  # as above
    try:
        postgres.psql("SELECT pg_reload_conf()")
        url = postgres.url(user="careful:hunter2")
        async with open_bridge():
            with pytest.raises(StorageError, match="password authentication failed") as caught:
                async with open_store(url, spill_folder=tmp_path):
                    pytest.fail("it opened")
    finally:
        hba.write_text(rules)  # noqa: ASYNC240  # as above
        postgres.psql("SELECT pg_reload_conf()")
    assert "hunter2" not in str(caught.value)


async def test_a_folder_that_cannot_be_spilled_to_is_found_at_the_start(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    async with open_bridge():
        with pytest.raises(StorageError, match="spill_folder"):
            async with open_store(postgres.url(), spill_folder=tmp_path / "nowhere"):
                pytest.fail("it opened")


async def test_a_locked_table_is_told_and_waited_for(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    place = PostgresPlace(tmp_path, postgres)
    story = Story(SERIES)
    async with place.begun() as (store, _):
        async with trio.open_nursery() as nursery:
            statement = "BEGIN; LOCK TABLE odds_current; SELECT pg_sleep(6.5); COMMIT"
            nursery.start_soon(trio.to_thread.run_sync, place.sql, statement)
            locked = "SELECT count(*) FROM pg_locks WHERE relation = 'odds_current'::regclass"
            held = f"{locked} AND mode = 'AccessExclusiveLock' AND granted"
            await wait_until(lambda: place.value(held) == "1", "the lock")
            with pytest.raises(StorageUnavailable, match="lock timeout"):
                await store.write(WriteGroup(story.batches))
        await store.write(WriteGroup(story.batches))
        assert await store.history(0, ALL, ALL) == story.log


async def test_a_days_partition_is_made_when_it_is_first_needed_and_others_are_left_out(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    place = PostgresPlace(tmp_path, postgres)
    story = Story(SERIES * 2, every_s=12 * 3600)  # a week
    async with place.begun() as (store, _):
        await store.write(WriteGroup(story.batches))
        assert await store.history(0, ALL, ALL) == story.log
    days = {change.detected_at.date() for change in story.log}
    sizes = place.sql("SELECT tableoid::regclass, count(*) FROM odds_history GROUP BY 1")
    assert {name for name, _ in sizes} == {f"odds_history_p{day:%Y%m%d}" for day in days}
