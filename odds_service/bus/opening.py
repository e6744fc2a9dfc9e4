"""The bus of a node's settings."""

import ssl
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from odds_service.access import is_loopback, read_setting
from odds_service.config import BusSettings
from odds_service.errors import SettingsError, missing_extra

if TYPE_CHECKING:
    from odds_service.bus.connection import NatsOptions
    from odds_service.bus.nats_bus import NatsBus


def open_bus(settings: BusSettings) -> "NatsBus":
    """Return the bus of the settings, which connects at its first use.

    Raises:
        SettingsError: A setting or a TLS file is wrong, or the extra for the bus is not installed.
            The text names the key.
    """
    options = nats_options(settings)
    from odds_service.bus.nats_bus import NatsBus

    return NatsBus(options)


def nats_options(settings: BusSettings) -> "NatsOptions":
    """Return the options of a connection to the bus of the settings.

    Raises:
        SettingsError: See open_bus().
    """
    tls = tls_of(settings)
    check_bus(settings)
    try:
        # One process without a bus needs no such library.
        from odds_service.bus.connection import NatsOptions
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "nats":
            raise
        raise missing_extra("a role of several nodes", "bus") from None
    password = settings.password
    return NatsOptions(
        servers=tuple(settings.servers),
        stream=settings.stream,
        subject=settings.subject,
        user=settings.user,
        password=None if password is None else password.get_secret_value(),
        tls=tls,
        replicas=settings.replicas,
    )


def check_bus(settings: BusSettings) -> None:
    """Check the servers and the user.

    Raises:
        SettingsError: A server that others can reach has no TLS, or the user is incomplete.
    """
    if not settings.servers:
        raise SettingsError("bus.servers: name at least one server")
    if (settings.user is None) is not (settings.password is None):
        raise SettingsError("bus.user: user and password must both be set, or neither")
    if _wants_tls(settings) or settings.insecure_public:
        return
    for server in settings.servers:
        host = urlsplit(server).hostname or ""
        if not is_loopback(host):
            raise SettingsError(
                f"bus.servers: {host} can be reached by others, without TLS: use tls:// or set"
                " bus.tls_ca, or bus.insecure_public = true"
            )


def tls_of(settings: BusSettings) -> ssl.SSLContext | None:
    """Return the TLS context of the settings, or None without TLS.

    Raises:
        SettingsError: A file is unreadable or of another kind, or key and certificate do not match.
    """
    certificate, key = settings.tls_certificate, settings.tls_key
    if (certificate is None) is not (key is None):
        raise SettingsError("bus.tls_key: tls_certificate and tls_key must both be set, or neither")
    if not _wants_tls(settings):
        return None
    authorities = settings.tls_ca
    if authorities is not None:
        _check_pem(authorities, "bus.tls_ca")
    try:
        context = ssl.create_default_context(cafile=authorities)
    except ssl.SSLError:
        raise SettingsError(f"bus.tls_ca: {authorities} holds no certificate") from None
    if certificate is not None and key is not None:
        for name, path in (("tls_certificate", certificate), ("tls_key", key)):
            _check_pem(path, f"bus.{name}")
        try:
            context.load_cert_chain(certificate, key, password=_no_passphrase)
        except ssl.SSLError as error:
            reason = error.reason or "unreadable"
            text = f"bus.tls_key: {key} is not the key of {certificate} ({reason})"
            raise SettingsError(text) from None
    return context


def _wants_tls(settings: BusSettings) -> bool:
    files = settings.tls_ca, settings.tls_certificate
    return any(files) or any(server.startswith("tls://") for server in settings.servers)


def _check_pem(path: Path, key: str) -> None:
    if b"-----BEGIN" not in read_setting(path, key):
        raise SettingsError(f"{key}: {path} is not a PEM file")


def _no_passphrase() -> str:
    return ""  # otherwise OpenSSL prompts for one on the terminal
