"""Who may call: bearer tokens, TLS, and no public address without either."""

import hashlib
import hmac
import ipaddress
from pathlib import Path

import grpc

from odds_service.config import ServerSettings
from odds_service.errors import SettingsError
from odds_service.rpc.errors import Context, Refused, refused

_SCHEME = "bearer "


class Tokens:
    """The bearer tokens that are let in; only their digests are kept.

    Every token is compared, each in constant time, so that the time of an answer tells nothing.
    """

    def __init__(self, tokens: list[str]) -> None:
        self._digests = [hashlib.sha256(token.encode()).digest() for token in tokens]

    def caller(self, context: Context) -> str:
        """Name the caller: its token's place in the list, or its address when none are asked for.

        Raises Refused (UNAUTHENTICATED).
        """
        if not self._digests:
            return peer_host(context.peer())
        given = ""
        for key, value in context.invocation_metadata() or ():
            if key == "authorization" and isinstance(value, str):
                given = value
        if not given.lower().startswith(_SCHEME):
            raise _unauthenticated("send `authorization: Bearer <token>` as metadata")
        digest = hashlib.sha256(given[len(_SCHEME) :].strip().encode()).digest()
        found = None
        for place, known in enumerate(self._digests):
            if hmac.compare_digest(known, digest):
                found = place
        if found is None:
            raise _unauthenticated("this token is not known here")
        return f"token {found + 1}"


def _unauthenticated(text: str) -> Refused:
    return refused(grpc.StatusCode.UNAUTHENTICATED, text, "UNAUTHENTICATED")


def peer_host(peer: str) -> str:
    """The host of gRPC's `ipv4:127.0.0.1:50123`, so that a client's connections count as one."""
    return peer.rpartition(":")[0] or peer


def read_tokens(settings: ServerSettings) -> list[str]:
    """All tokens of the settings. Raises SettingsError when their file cannot be read."""
    tokens = [token.get_secret_value().strip() for token in settings.tokens]
    if settings.tokens_file is not None:
        lines = _read(settings.tokens_file, "server.tokens_file").decode().splitlines()
        tokens += [line.strip() for line in lines if not line.startswith("#")]
        if not any(tokens):
            raise SettingsError(f"server.tokens_file: {settings.tokens_file} holds no token")
    return [token for token in tokens if token]


def credentials(settings: ServerSettings) -> grpc.ServerCredentials | None:
    """TLS as it is set; with a client CA, clients must show a certificate of it.

    Raises SettingsError naming the key and the file.
    """
    if settings.tls_certificate is None or settings.tls_key is None:
        half = settings.tls_certificate or settings.tls_key or settings.tls_client_ca
        if half is not None:
            raise SettingsError("server: tls_certificate and tls_key must both be set for TLS")
        return None
    key = _read(settings.tls_key, "server.tls_key")
    certificate = _read(settings.tls_certificate, "server.tls_certificate")
    authority = None
    if settings.tls_client_ca is not None:
        authority = _read(settings.tls_client_ca, "server.tls_client_ca")
    for name, pem in (("tls_key", key), ("tls_certificate", certificate)):
        if b"-----BEGIN" not in pem:
            raise SettingsError(f"server.{name}: {getattr(settings, name)} is not a PEM file")
    return grpc.ssl_server_credentials(
        [(key, certificate)],
        root_certificates=authority,
        require_client_auth=authority is not None,
    )


def check_address(settings: ServerSettings) -> None:
    """Refuse to serve the world unguarded. Raises SettingsError."""
    host, colon, port = settings.listen.rpartition(":")
    if not colon or not host or not port.isdigit() or int(port) > 65_535:
        raise SettingsError(f"server.listen: {settings.listen!r} is not like 127.0.0.1:50051")
    guarded = settings.tls_certificate is not None or read_tokens(settings)
    if is_loopback(host) or guarded or settings.insecure_public:
        return
    raise SettingsError(
        f"server.listen: {settings.listen} can be reached by others, without TLS or tokens: set"
        " server.tls_certificate and tls_key, or server.tokens, or insecure_public = true"
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches it; a name other than localhost may be anything."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _read(path: Path, key: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SettingsError(f"{key}: {path} cannot be read: {error.strerror}") from None
