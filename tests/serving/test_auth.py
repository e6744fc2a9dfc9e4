"""Callers of the gRPC server over the wire: TLS, client certificates and tokens."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from odds_service.certificates import certificates_of
from odds_service.client import Address, open_client
from odds_service.config import ServerSettings, load_settings
from odds_service.errors import OddsServiceError, SettingsError
from odds_service.serving.auth import peer_host
from tests.support.certificates import make_certificates
from tests.support.odds_builders import serving
from tests.support.refusals import odds_of, refusal_of, small_book


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    make_certificates(folder)
    return folder


def tls(folder: Path, *, mutual: bool = False, **more: Any) -> ServerSettings:
    return ServerSettings(
        listen="127.0.0.1:0",
        tls_certificate=folder / "server.pem",
        tls_key=folder / "server.key",
        tls_client_ca=folder / "ca.pem" if mutual else None,
        **more,
    )


async def test_tls_is_spoken_to_clients_that_trust_the_authority(certificates: Path) -> None:
    async with serving(small_book(), settings=tls(certificates)) as server:
        assert await odds_of(Address(server.address, ca=certificates / "ca.pem")) == 1
        async with open_client(Address(server.address, ca=certificates / "ca.pem")) as client:
            assert len((await client.get_odds()).events) == 1
            async with client.watch() as watch:
                async for step in watch.steps():
                    if type(step).__name__ == "ImageLoaded":
                        break
            assert len(watch.odds.events) == 1
        for stranger in (Address(server.address), Address(server.address, tls=True)):
            assert (await refusal_of(stranger)).code == "UNAVAILABLE"


async def test_mutual_tls_lets_in_only_certificates_of_the_authority(
    certificates: Path, tmp_path: Path
) -> None:
    make_certificates(tmp_path)  # another authority
    ca = certificates / "ca.pem"
    async with serving(small_book(), settings=tls(certificates, mutual=True)) as server:

        def known_by(folder: Path) -> Address:
            certificate, key = folder / "client.pem", folder / "client.key"
            return Address(server.address, ca=ca, certificate=certificate, key=key)

        assert await odds_of(known_by(certificates)) == 1
        for stranger in (Address(server.address, ca=ca), known_by(tmp_path)):
            assert (await refusal_of(stranger)).code == "UNAVAILABLE"


async def test_tls_and_tokens_together(certificates: Path) -> None:
    settings = tls(certificates, tokens=[SecretStr("one"), SecretStr("two")])
    ca = certificates / "ca.pem"
    async with serving(small_book(), settings=settings) as server:
        assert await odds_of(Address(server.address, ca=ca, token="two")) == 1
        assert (await refusal_of(Address(server.address, ca=ca))).code == "UNAUTHENTICATED"
        wrong = await refusal_of(Address(server.address, ca=ca, token="three"))
    assert (wrong.code, wrong.reason) == ("UNAUTHENTICATED", "UNAUTHENTICATED")
    assert "three" not in str(wrong)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"tls_key": None}, "must both be set"),
        ({"tls_key": "client.key"}, r"server\.tls_key: .* is not the key of"),
        ({"tls_certificate": "absent.pem"}, "absent.pem cannot be read"),
        ({"tls_client_ca": "ca.key"}, r"server\.tls_client_ca: .* holds no certificate"),
        ({"tls_client_ca": "absent.pem"}, "absent.pem cannot be read"),
    ],
)
async def test_tls_files_that_do_not_fit_are_named_at_the_start(
    certificates: Path, change: dict[str, str | None], says: str
) -> None:
    update = {key: None if name is None else certificates / name for key, name in change.items()}
    settings = tls(certificates).model_copy(update=update)
    with pytest.RaisesGroup(pytest.RaisesExc(SettingsError, match=says), flatten_subgroups=True):
        async with serving(small_book(), settings=settings):
            raise AssertionError("the server started")


def test_tls_files_that_are_wrong_are_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("# none\n")
    with pytest.raises(OddsServiceError, match="must both be set"):
        certificates_of(ServerSettings(tls_certificate=file))
    with pytest.raises(OddsServiceError, match="not a PEM"):
        certificates_of(ServerSettings(tls_certificate=file, tls_key=file))
    with pytest.raises(OddsServiceError, match="cannot be read"):
        certificates_of(ServerSettings(tls_certificate=tmp_path / "no", tls_key=file))


async def test_tokens_come_from_a_file_or_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "tokens"
    file.write_text("# who: what for\nfrom-file\n")
    monkeypatch.setenv("ODDS_SERVER__TOKENS", '["from-environment"]')
    monkeypatch.setenv("ODDS_SERVER__TOKENS_FILE", str(file))
    monkeypatch.setenv("ODDS_SERVER__LISTEN", "127.0.0.1:0")
    settings = load_settings().server
    async with serving(small_book(), settings=settings) as server:
        for token in ("from-file", "from-environment"):
            assert await odds_of(Address(server.address, token=token)) == 1
        assert (await refusal_of(Address(server.address, token="# who"))).code == "UNAUTHENTICATED"
    assert "from-environment" not in repr(settings)


def test_a_client_is_its_host_whatever_the_port() -> None:
    assert peer_host("ipv4:127.0.0.1:50123") == peer_host("ipv4:127.0.0.1:50124")
    assert peer_host("ipv6:%5B::1%5D:50051") != peer_host("ipv6:%5B::2%5D:50051")
