"""TLS to PostgreSQL, with certificates that the test makes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from odds_service.bridge import open_bridge
from odds_service.errors import StorageError, StorageUnavailable
from odds_service.storage import open_store
from odds_service.store import WriteGroup
from tests.support.certificates import make_certificates
from tests.support.databases import PostgresPlace
from tests.support.pgbouncer import PROGRAM, pgbouncer
from tests.support.postgres import PostgresServer
from tests.support.stories import SERIES, Story

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="PgBouncer is not installed")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    make_certificates(folder)
    return folder


@pytest.fixture(scope="module")
def secure(postgres: PostgresServer, certificates: Path) -> Iterator[int]:
    """Give the port of a server that accepts TLS alone, certified for localhost and 127.0.0.1.

    The wheel's PostgreSQL is built without TLS, so it is PgBouncer's, which speaks the same
    protocol to its clients.
    """
    with pgbouncer(postgres, "session", more=_tls("require"), files=certificates) as port:
        yield port


def _tls(mode: str) -> str:
    return (
        f"client_tls_sslmode = {mode}\nclient_tls_cert_file = server.pem\n"
        "client_tls_key_file = server.key\nclient_tls_ca_file = ca.pem\n"
        "listen_addr = 127.0.0.1,127.0.0.2"
    )


@pytest.mark.parametrize(
    "query",
    [
        "sslmode=require",
        "sslmode=verify-ca&sslrootcert={folder}/ca.pem",
        "sslmode=verify-full&sslrootcert={folder}/ca.pem",
        "",  # prefer is libpq's default
    ],
)
async def test_the_session_is_encrypted(
    postgres: PostgresServer, secure: int, certificates: Path, tmp_path: Path, query: str
) -> None:
    place = PostgresPlace(tmp_path, postgres)
    query = query.format(folder=certificates)
    place.url = f"postgresql://postgres@localhost:{secure}/{place.name}?{query}"
    async with place.begun() as (store, _):  # the server takes no plain session, see below
        await store.write(WriteGroup(Story(SERIES).batches))


async def test_a_client_shows_its_certificate(
    postgres: PostgresServer, certificates: Path, tmp_path: Path
) -> None:
    place = PostgresPlace(tmp_path, postgres)
    with pgbouncer(postgres, "session", more=_tls("verify-ca"), files=certificates) as port:
        plain = (
            f"postgresql://postgres@localhost:{port}/{place.name}?sslmode=verify-full"
            f"&sslrootcert={certificates}/ca.pem"
        )
        place.url = f"{plain}&sslcert={certificates}/client.pem&sslkey={certificates}/client.key"
        async with place.begun():
            pass
        await _refused(plain, tmp_path, "certificate|closed|reset|unexpected")


async def test_a_wrong_name_is_refused_at_the_start(
    secure: int, certificates: Path, tmp_path: Path
) -> None:
    url = f"postgresql://postgres@127.0.0.2:{secure}/postgres?sslmode=verify-full&sslrootcert="
    await _refused(
        f"{url}{certificates}/ca.pem",
        tmp_path,
        f"PostgreSQL at 127.0.0.2:{secure}: .*certificate is not valid for '127.0.0.2'",
    )
    await _refused(f"{url}{certificates}/client.pem", tmp_path, "verify failed")


async def test_a_file_that_is_no_certificate_is_named(secure: int, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    url = f"postgresql://postgres@localhost:{secure}/postgres?sslmode=verify-full"
    await _refused(f"{url}&sslrootcert={tmp_path}/ca.pem", tmp_path, "sslrootcert .*/ca.pem")


async def test_a_server_without_tls_is_refused_when_tls_is_required(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    await _refused(f"{postgres.url()}?sslmode=require", tmp_path, "rejected SSL upgrade")


async def test_a_server_that_wants_tls_refuses_a_plain_session(secure: int, tmp_path: Path) -> None:
    url = f"postgresql://postgres@localhost:{secure}/postgres?sslmode=disable"
    await _refused(url, tmp_path, "SSL required")


async def _refused(url: str, tmp_path: Path, says: str) -> None:
    async with open_bridge():
        with pytest.raises((StorageError, StorageUnavailable), match=says) as caught:
            async with open_store(url, migrate=True, spill_folder=tmp_path):
                pytest.fail("it opened")
    assert len(str(caught.value).splitlines()) == 1
