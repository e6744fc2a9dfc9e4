"""libpq's parameters in a URL: they work, or are refused in one line that names the alternative."""

from pathlib import Path

import pytest

from odds_service.bridge import open_bridge
from odds_service.errors import StorageError
from odds_service.storage import open_store
from odds_service.storage.opening import parse_url
from odds_service.storage.postgres_url import read_target
from odds_service.storage.probing import probe_store
from tests.support.databases import PostgresPlace
from tests.support.ports import free_port
from tests.support.postgres import PostgresServer


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("sslmode=yes", "sslmode must be one of disable, .*verify-full"),
        ("sslrootcert=/nowhere/ca.pem", "sslrootcert /nowhere/ca.pem is not there"),
        ("sslkey=/nowhere/key.pem", "sslkey /nowhere/key.pem is not there"),
        ("sslrootcert=system", "sslrootcert must be a file"),
        ("ssl=true", "ssl is not supported; write sslmode=require"),
        ("channel_binding=require", "channel_binding .*use sslmode=verify-full"),
        ("tcp_user_timeout=5000", "tcp_user_timeout .*leave it out"),
        ("keepalives=0", "keepalives .*leave it out"),
        ("service=odds", "service .*write host, port"),
        ("hostaddr=127.0.0.1", "hostaddr .*write the address as the host"),
        ("connect_timeout=0", "connect_timeout must be 1 to 60 s"),
        ("connect_timeout=soon", "connect_timeout must be 1 to 60 s"),
        ("target_session_attrs=standby", "target_session_attrs must be read-write"),
        ("options=-d5", "options must be settings such as -c search_path=odds"),
        ("options=-c%20statement_timeout%3Dsoon", "statement_timeout must be a number"),
        ("sslmodus=require", "sslmodus is not supported; known are application_name, .*sslmode"),
        ("host=a,b&port=1,2,3", "port names 3 ports for 2 hosts"),
    ],
)
async def test_what_cannot_work_is_refused_in_one_line(
    tmp_path: Path, query: str, says: str
) -> None:
    host = "" if "host=a" in query else "127.0.0.1:1"
    async with open_bridge():
        with pytest.raises(StorageError, match=says) as caught:
            async with open_store(
                f"postgresql://u:hunter2@{host}/x?{query}", spill_folder=tmp_path
            ):
                pytest.fail("it opened")
    assert "hunter2" not in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("postgresql://u@a:1,b:2/x", (("a", 1), ("b", 2))),
        ("postgresql://u:p@a,b:2/x?sslmode=require", (("a", 5432), ("b", 2))),
        ("postgresql://u@[::1]:1,b/x", (("::1", 1), ("b", 5432))),
        ("postgresql://a:1,b:2", (("a", 1), ("b", 2))),
        ("postgresql:///x?host=a,b&port=1,2", (("a", 1), ("b", 2))),
        ("postgresql:///x?host=a,b&port=7", (("a", 7), ("b", 7))),
        ("postgresql:///x?host=/run/postgresql", (("/run/postgresql", 5432),)),
        ("postgresql://a/x", (("a", None),)),
        ("postgresql:///x", ((None, None),)),
    ],
)
def test_several_hosts_are_read_as_libpq_reads_them(
    text: str, hosts: tuple[tuple[str | None, int | None], ...]
) -> None:
    assert read_target(parse_url(text)).hosts == hosts


async def test_the_host_that_is_primary_is_found(postgres: PostgresServer, tmp_path: Path) -> None:
    place = PostgresPlace(tmp_path, postgres)
    nobody = free_port()
    hosts = f"127.0.0.1:{nobody},127.0.0.1:{postgres.port}"
    place.url = (
        f"postgresql://postgres@{hosts}/{place.name}"
        "?target_session_attrs=read-write&connect_timeout=5&sslmode=disable"
    )
    async with place.begun() as (store, _):
        assert await store.oldest_revision() == 1


async def test_a_server_that_cannot_be_written_to_is_refused(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    place = PostgresPlace(tmp_path, postgres)
    postgres.psql(f"ALTER DATABASE {place.name} SET default_transaction_read_only = on")
    async with open_bridge():
        with pytest.raises(StorageError, match="no server is what target_session_attrs wants"):
            async with open_store(f"{place.url}?target_session_attrs=read-write",
                                  migrate=True, spill_folder=tmp_path):  # fmt: skip
                pytest.fail("it opened")


async def test_a_look_at_the_database_shows_no_password_of_the_query(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    place = PostgresPlace(tmp_path, postgres)
    url = f"{place.url}?password=hunter2&sslpassword=hunter3&application_name=odds"
    async with open_bridge():
        found = await probe_store(url, migrate=True)
    assert "hunter" not in found
    assert "application_name=odds" in found
