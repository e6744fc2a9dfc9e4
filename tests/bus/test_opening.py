"""The bus of the settings: what is refused, by the name of its key, before anything connects."""

import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from odds_service.bus.opening import check_bus, open_bus, tls_of
from odds_service.config import BusSettings
from odds_service.errors import SettingsError
from tests.support.certificates import make_certificates

LOCAL = "nats://127.0.0.1:4222"
FAR = "nats://bus.example.com:4222"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    make_certificates(folder)
    (folder / "text.pem").write_text("no certificate")
    (folder / "hollow.pem").write_text("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n")
    with_name = "# Autorité de confiance\n" + (folder / "ca.pem").read_text("ascii")
    (folder / "named.pem").write_text(with_name, "utf-8")
    return folder


def settings(**given: Any) -> BusSettings:
    return BusSettings(**{"servers": [LOCAL], **given})


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"tls_ca": "absent.pem"}, r"bus\.tls_ca: .*absent\.pem cannot be read: No such file"),
        ({"tls_ca": "text.pem"}, r"bus\.tls_ca: .*text\.pem is not a PEM file"),
        ({"tls_ca": "hollow.pem"}, r"bus\.tls_ca: .*hollow\.pem holds no certificate"),
        ({"tls_ca": "client.key"}, r"bus\.tls_ca: .*client\.key holds no certificate"),
        ({"tls_certificate": "client.pem"}, r"bus\.tls_key: .* must both be set"),
        ({"tls_key": "client.key"}, r"bus\.tls_key: .* must both be set"),
        (
            {"tls_certificate": "client.pem", "tls_key": "absent.key"},
            r"bus\.tls_key: .*absent\.key cannot be read",
        ),
        (
            {"tls_certificate": "text.pem", "tls_key": "client.key"},
            r"bus\.tls_certificate: .*text\.pem is not a PEM file",
        ),
        (
            {"tls_certificate": "client.pem", "tls_key": "server.key"},
            r"bus\.tls_key: .*server\.key is not the key of .*client\.pem",
        ),
    ],
)
def test_a_wrong_file_is_named_with_its_key(folder: Path, files: dict[str, str], said: str) -> None:
    wrong = settings(**{key: folder / name for key, name in files.items()})
    for check in (tls_of, open_bus):
        with pytest.raises(SettingsError, match=said):
            check(wrong)


def test_tls_trusts_the_given_authority_alone(folder: Path) -> None:
    assert tls_of(settings()) is None
    for name in ("ca.pem", "named.pem"):
        context = tls_of(settings(tls_ca=folder / name))
        assert context is not None
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname
        assert len(context.get_ca_certs()) == 1
    of_system = tls_of(settings(servers=["tls://127.0.0.1:4222"]))
    assert of_system is not None
    assert of_system.verify_mode is ssl.CERT_REQUIRED


@pytest.mark.parametrize("far", [FAR, "nats://10.0.0.7:4222", "nats://odds:secret-word@bus"])
def test_a_server_that_others_reach_needs_tls(folder: Path, far: str) -> None:
    with pytest.raises(SettingsError) as refused:
        check_bus(settings(servers=[LOCAL, far]))
    assert str(refused.value).startswith("bus.servers: ")
    assert "insecure_public" in str(refused.value)
    assert "secret-word" not in str(refused.value)
    with pytest.raises(SettingsError, match="without TLS"):
        open_bus(settings(servers=[far]))
    check_bus(settings(servers=[LOCAL, far], insecure_public=True))
    check_bus(settings(servers=[LOCAL, far], tls_ca=folder / "ca.pem"))
    check_bus(settings(servers=[far.replace("nats://", "tls://")]))


def test_servers_on_loopback_need_no_tls() -> None:
    check_bus(settings(servers=[LOCAL, "nats://localhost", "nats://[::1]:4222"]))
    with pytest.raises(SettingsError, match=r"bus\.servers: name at least one"):
        check_bus(settings(servers=[]))


@pytest.mark.parametrize("given", [{"user": "read"}, {"password": SecretStr("x")}])
def test_a_user_has_a_password(given: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=r"bus\.user: .* both"):
        check_bus(settings(**given))


WITHOUT_NATS = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "nats":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
from odds_service.bus.opening import open_bus
from odds_service.config import BusSettings
open_bus(BusSettings(servers=["nats://127.0.0.1:4222"]))
"""


def test_the_missing_extra_is_named() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_NATS],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert "SettingsError" in done.stderr
    assert "pip install 'odds-service[bus]'" in done.stderr
