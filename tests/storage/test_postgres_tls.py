"""TLS to PostgreSQL, with certificates that the test makes."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from odds_service.bridge import open_bridge
from odds_service.errors import StorageError, StorageUnavailable
from odds_service.storage import open_store
from odds_service.store import WriteGroup
from tests.support.certificates import make_certificates
from tests.support.databases import PostgresPlace
from tests.support.pgbouncer import PROGRAM, pgbouncer
from tests.support.postgres import PostgresServer, postgres_server
from tests.support.stories import SERIES, Story

_DEBIAN: Final = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    make_certificates(folder)
    return folder


class Secure(NamedTuple):
    """A server that takes the role `tls` with TLS alone.

    It has a certificate for localhost and 127.0.0.1.
    """

    behind: PostgresServer
    port: int


@pytest.fixture(scope="module", params=["postgresql", "pgbouncer"])
def secure(request: pytest.FixtureRequest, certificates: Path) -> Iterator[Secure]:
    """Give PostgreSQL of the system, for the wheel's is built without TLS; or PgBouncer's TLS."""
    if request.param == "postgresql":
        if not _DEBIAN:
            pytest.skip("no PostgreSQL with TLS is installed")
        with postgres_server(programs=_DEBIAN[-1]) as server:
            _make_secure(server, certificates)
            yield Secure(server, server.port)
        return
    if PROGRAM is None:
        pytest.skip("PgBouncer is not installed")
    server = request.getfixturevalue("postgres")
    if server.psql("SELECT count(*) FROM pg_roles WHERE rolname = 'tls'") == "0":
        server.psql("CREATE ROLE tls LOGIN SUPERUSER")
    with pgbouncer(server, "session", more=_tls("require"), files=certificates) as port:
        yield Secure(server, port)


def _make_secure(server: PostgresServer, certificates: Path) -> None:
    data = Path(server.psql("SHOW data_directory"))
    for name in ("ca.pem", "server.pem", "server.key"):
        copied = Path(shutil.copy(certificates / name, data / name))
        shutil.chown(copied, data.owner())
        copied.chmod(0o600)
    server.psql("CREATE ROLE tls LOGIN SUPERUSER")
    for name, value in {
        "ssl_cert_file": "server.pem", "ssl_key_file": "server.key", "ssl": "on",
    }.items():  # fmt: skip
        server.psql(f"ALTER SYSTEM SET {name} = '{value}'")
    hba = Path(server.psql("SHOW hba_file"))
    hba.write_text(f"hostnossl all tls all reject\n{hba.read_text('utf-8')}")
    server.psql("SELECT pg_reload_conf()")


def _tls(mode: str) -> str:
    return (
        f"client_tls_sslmode = {mode}\nclient_tls_cert_file = server.pem\n"
        "client_tls_key_file = server.key\nclient_tls_ca_file = ca.pem"
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
    secure: Secure, certificates: Path, tmp_path: Path, query: str
) -> None:
    place = PostgresPlace(tmp_path, secure.behind)
    query = query.format(folder=certificates)
    place.url = f"postgresql://tls@localhost:{secure.port}/{place.name}?{query}"
    async with place.begun() as (store, _):  # the server takes no plain session, see below
        await store.write(WriteGroup(Story(SERIES).batches))


@pytest.mark.skipif(PROGRAM is None, reason="PgBouncer is not installed")
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
    secure: Secure, certificates: Path, tmp_path: Path
) -> None:
    other = "127.1"  # the same address by a name that the certificate lacks
    url = f"postgresql://tls@{other}:{secure.port}/postgres?sslmode=verify-full&sslrootcert="
    await _refused(
        f"{url}{certificates}/ca.pem",
        tmp_path,
        f"PostgreSQL at {other}:{secure.port}: .*certificate is not valid for '{other}'",
    )
    await _refused(f"{url}{certificates}/client.pem", tmp_path, "verify failed")


async def test_a_file_that_is_no_certificate_is_named(secure: Secure, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    url = f"postgresql://tls@localhost:{secure.port}/postgres?sslmode=verify-full"
    await _refused(f"{url}&sslrootcert={tmp_path}/ca.pem", tmp_path, "sslrootcert .*/ca.pem")


async def test_a_server_without_tls_is_refused_when_tls_is_required(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    await _refused(f"{postgres.url()}?sslmode=require", tmp_path, "rejected SSL upgrade")


async def test_a_server_that_wants_tls_refuses_a_plain_session(
    secure: Secure, tmp_path: Path
) -> None:
    url = f"postgresql://tls@localhost:{secure.port}/postgres?sslmode=disable"
    await _refused(url, tmp_path, "SSL required|no encryption")


async def _refused(url: str, tmp_path: Path, says: str) -> None:
    async with open_bridge():
        with pytest.raises((StorageError, StorageUnavailable), match=says) as caught:
            async with open_store(url, migrate=True, spill_folder=tmp_path):
                pytest.fail("it opened")
    assert len(str(caught.value).splitlines()) == 1
