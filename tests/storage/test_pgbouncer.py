"""PgBouncer before PostgreSQL: session pooling works, other pooling is refused at the start."""

from pathlib import Path

import pytest

from odds_service.bridge import open_bridge
from odds_service.errors import StorageError
from odds_service.storage import open_store
from odds_service.storage.probing import probe_store
from odds_service.store import WriteGroup
from tests.support.databases import PostgresPlace
from tests.support.pgbouncer import PROGRAM, pgbouncer
from tests.support.postgres import PostgresServer
from tests.support.stories import SERIES, Story

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="PgBouncer is not installed")

ALL = 10**9


def _through(place: PostgresPlace, port: int) -> str:
    return f"postgresql://postgres@127.0.0.1:{port}/{place.name}"


async def test_session_pooling_works_and_holds_the_owners_lock(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    place = PostgresPlace(tmp_path, postgres)
    story = Story(SERIES)
    with pgbouncer(postgres, "session") as port:
        place.url = _through(place, port)
        async with place.begun() as (store, _):
            await store.write(WriteGroup(story.batches))
            assert await store.history(0, ALL, ALL) == story.log
            with pytest.raises(StorageError, match="in use by another odds-service"):
                async with open_store(place.url, spill_folder=tmp_path):
                    pytest.fail("a second owner opened it")
        async with place.begun() as (store, stored):  # the lock went with its session
            assert stored.revision == len(story.log)


@pytest.mark.parametrize("more", ["", "server_round_robin = 1", "default_pool_size = 2"])
@pytest.mark.parametrize("mode", ["transaction", "statement"])
async def test_pooling_by_transaction_is_refused_with_the_reason(
    postgres: PostgresServer, tmp_path: Path, mode: str, more: str
) -> None:
    place = PostgresPlace(tmp_path, postgres)
    with pgbouncer(postgres, mode, more=more) as port:
        url = _through(place, port)
        async with open_bridge():
            with pytest.raises(StorageError, match="pool_mode = session") as caught:
                async with open_store(url, migrate=True, spill_folder=tmp_path):
                    pytest.fail("it opened")
            with pytest.raises(StorageError, match="pool_mode = session"):
                await probe_store(url, migrate=True)
    assert len(str(caught.value).splitlines()) == 1
    assert place.value("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == "0"


async def test_session_pooling_with_few_sessions_is_not_taken_for_another(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    place = PostgresPlace(tmp_path, postgres)
    with pgbouncer(postgres, "session", more="default_pool_size = 3") as port:
        place.url = _through(place, port)
        async with place.begun() as (store, _):
            await store.write(WriteGroup(Story(SERIES).batches))
