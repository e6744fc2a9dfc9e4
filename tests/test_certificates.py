"""TLS files that are replaced on disk while a port is open."""

import shutil
import ssl
from functools import partial
from pathlib import Path

import pytest
import structlog
import trio

from odds_service.certificates import Certificates, Guard
from odds_service.client import Address, AsyncClient, open_client
from odds_service.config import MetricsSettings, ServerSettings
from odds_service.metrics.serve import serve_metrics
from tests.support.certificates import make_certificates
from tests.support.odds_builders import serving
from tests.support.refusals import odds_of, small_book


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folders = [tmp_path_factory.mktemp(name) for name in ("first", "second")]
    for folder in folders:
        make_certificates(folder)
    return folders


def install(made: Path, folder: Path, *names: str) -> None:
    """Replace files as renewals do: written beside, then moved."""
    for name in names or ("server.pem", "server.key", "ca.pem"):
        shutil.copyfile(made / name, folder / "new")
        (folder / "new").rename(folder / name)


def files_in(folder: Path, *, mutual: bool = False) -> dict[str, Path]:
    files = {"tls_certificate": folder / "server.pem", "tls_key": folder / "server.key"}
    return files | ({"tls_client_ca": folder / "ca.pem"} if mutual else {})


async def shown(address: str) -> str:
    """Return the certificate that a new handshake shows."""
    host, _, port = address.rpartition(":")
    pem = await trio.to_thread.run_sync(
        partial(ssl.get_server_certificate, (host, int(port)), timeout=30)
    )
    return pem.strip()


def pem_of(made: Path) -> str:
    return (made / "server.pem").read_text().strip()


async def test_the_next_handshake_of_grpc_shows_the_new_certificate(
    made: list[Path], tmp_path: Path
) -> None:
    first, second = made
    install(first, tmp_path)
    settings = ServerSettings(listen="127.0.0.1:0", **files_in(tmp_path))  # type: ignore[arg-type]  # paths
    async with serving(small_book(), settings=settings) as server:
        assert await shown(server.address) == pem_of(first)
        async with open_client(Address(server.address, ca=first / "ca.pem")) as old:
            assert await count_of(old) == 1
            with structlog.testing.capture_logs() as logs:
                install(second, tmp_path, "server.pem")  # its key comes later
                for _ in range(3):
                    assert await shown(server.address) == pem_of(first)
                install(second, tmp_path, "server.key")
                assert await shown(server.address) == pem_of(second)
            assert await count_of(old) == 1  # its connection goes on
        assert await odds_of(Address(server.address, ca=second / "ca.pem")) == 1
    told = [entry["event"] for entry in logs if entry["event"].startswith("certificate")]
    assert told == ["certificate_not_read_again", "certificate_read_again"]
    (refusal,) = [entry for entry in logs if entry["event"] == "certificate_not_read_again"]
    assert "is not the key of" in refusal["reason"]


async def count_of(client: AsyncClient) -> int:
    return len((await client.get_odds()).events)


async def test_the_next_handshake_of_the_metrics_shows_the_new_certificate(
    made: list[Path], tmp_path: Path
) -> None:
    first, second = made
    install(first, tmp_path)
    settings = MetricsSettings(listen="127.0.0.1:0", **files_in(tmp_path))  # type: ignore[arg-type]  # paths
    async with trio.open_nursery() as nursery:
        address = await nursery.start(serve_metrics, settings, no_readings)
        assert await shown(address) == pem_of(first)
        install(second, tmp_path)
        assert await shown(address) == pem_of(second)
        (tmp_path / "server.pem").write_text("not a certificate")
        assert await shown(address) == pem_of(second)
        (tmp_path / "server.pem").unlink()
        assert await shown(address) == pem_of(second)
        nursery.cancel_scope.cancel()


def no_readings() -> object:
    raise AssertionError("nothing scrapes here")


async def test_another_authority_lets_in_its_own_clients(made: list[Path], tmp_path: Path) -> None:
    first, second = made
    install(first, tmp_path)
    files = files_in(tmp_path, mutual=True)
    settings = ServerSettings(listen="127.0.0.1:0", **files)  # type: ignore[arg-type]  # paths

    def known_by(folder: Path, address: str) -> Address:
        return Address(
            address, ca=tmp_path / "ca.pem",
            certificate=folder / "client.pem", key=folder / "client.key",
        )  # fmt: skip

    async with serving(small_book(), settings=settings) as server:
        assert await odds_of(known_by(first, server.address)) == 1
        install(second, tmp_path)
        assert await odds_of(known_by(second, server.address)) == 1


def test_a_guard_takes_over_the_files_and_tokens_of_another(
    made: list[Path], tmp_path: Path
) -> None:
    first, second = made
    settings = [
        ServerSettings(listen="127.0.0.1:0", tokens=[word], **files_in(folder))  # type: ignore[list-item, arg-type]  # pydantic's
        for word, folder in (("one", first), ("two", second))
    ]
    guard, other = (Guard(each) for each in settings)
    guard.adopt(other)
    assert guard.certificates is not None
    assert guard.certificates.current().certificate == (second / "server.pem").read_bytes()
    assert guard.tokens.holder("Bearer one") is None
    assert guard.tokens.holder("Bearer two") is not None


def test_unchanged_files_are_read_once(made: list[Path]) -> None:
    certificates = Certificates(ServerSettings(**files_in(made[0])))  # type: ignore[arg-type]  # paths
    assert certificates.current() is certificates.current()
