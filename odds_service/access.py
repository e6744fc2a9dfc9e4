"""Access to a port of the service: loopback, bearer tokens, client certificates.

The rules are the same for every port. No public address is served without a guard.
"""

import hashlib
import hmac
import ipaddress
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

from odds_service.config import ListenSettings
from odds_service.errors import SettingsError
from odds_service.file_mark import file_mark
from odds_service.secrets import hide

REREAD_S: Final = 5.0  # the shortest time between two looks at tokens_file
_SCHEME: Final = "bearer "

log = structlog.get_logger(__name__)


class Tokens:
    """The accepted bearer tokens; only their digests are kept.

    Every token is compared, each in constant time, so the time of an answer reveals nothing. A
    changed tokens_file is read again by the first call REREAD_S or more after the last look. If it
    is unreadable or empty, the tokens remain unchanged and a warning is logged.

    Raises:
        SettingsError: The tokens cannot be read at the start.
    """

    def __init__(
        self, settings: ListenSettings, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._looked_at = clock()
        self._mark = file_mark(settings.tokens_file)
        self._digests = _digests(settings)

    @property
    def asked(self) -> bool:
        """Return whether callers need a token."""
        return bool(self._digests)

    def holder(self, authorization: str) -> str | None:
        """Return a name for the token in an Authorization header; None for an unknown token.

        The name is made from the token's digest, so other tokens do not affect it.
        """
        self._reread()
        if not has_token(authorization):
            return None
        digest = hashlib.sha256(authorization[len(_SCHEME) :].strip().encode()).digest()
        found = False
        for known in self._digests:
            found |= hmac.compare_digest(known, digest)
        return f"token {digest.hex()[:12]}" if found else None

    def adopt(self, other: "Tokens") -> None:
        """Accept the tokens of another value from now on, and no others."""
        self._settings, self._mark, self._digests = other._settings, other._mark, other._digests

    def _reread(self) -> None:
        now = self._clock()
        if self._settings.tokens_file is None or now < self._looked_at + REREAD_S:
            return
        self._looked_at = now
        mark = file_mark(self._settings.tokens_file)
        if mark == self._mark:
            return
        try:
            self._digests = _digests(self._settings)
        except SettingsError as error:
            log.warning("tokens_not_read_again", reason=str(error))
        else:
            self._mark = mark
            log.info("tokens_read_again", tokens=len(self._digests))


def has_token(authorization: str) -> bool:
    """Return whether an Authorization header holds a bearer token, known or unknown."""
    return authorization.lower().startswith(_SCHEME)


def _digests(settings: ListenSettings) -> list[bytes]:
    return [hashlib.sha256(token.encode()).digest() for token in read_tokens(settings)]


def read_tokens(settings: ListenSettings) -> list[str]:
    """Return all tokens of the settings.

    Raises:
        SettingsError: The file is missing or holds no token, or a token is empty.
    """
    section = settings.section
    tokens = [token.get_secret_value().strip() for token in settings.tokens]
    if not all(tokens):
        raise SettingsError(f"{section}.tokens: one of them is empty")
    if settings.tokens_file is not None:
        path = settings.tokens_file
        try:
            lines = read_setting(path, f"{section}.tokens_file").decode().splitlines()
        except UnicodeDecodeError:
            raise SettingsError(f"{section}.tokens_file: {path} is not text") from None
        listed = [line.strip() for line in lines if not line.startswith("#")]
        if not any(listed):
            raise SettingsError(f"{section}.tokens_file: {path} holds no token")
        tokens += [token for token in listed if token]
    for token in tokens:
        hide(token)
    return tokens


def check_address(settings: ListenSettings) -> None:
    """Raise SettingsError for a malformed address, or a public one without TLS or tokens."""
    section = settings.section
    host, colon, port = settings.listen.rpartition(":")
    digits = port.isascii() and port.isdigit() and len(port) <= 5
    if not colon or not host or not digits or int(port) > 65_535:
        raise SettingsError(f"{section}.listen: {settings.listen!r} is not like 127.0.0.1:50051")
    guarded = settings.tls_certificate is not None or read_tokens(settings)
    if is_loopback(host) or guarded or settings.insecure_public:
        return
    raise SettingsError(
        f"{section}.listen: {settings.listen} can be reached by others, without TLS or tokens: set"
        f" {section}.tls_certificate and tls_key, or {section}.tokens, or insecure_public = true"
    )


def is_loopback(host: str) -> bool:
    """Return whether a host is loopback; the only name that counts is `localhost`."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def tls_context(settings: ListenSettings) -> ssl.SSLContext | None:
    """Return the TLS context of the settings, or None without TLS.

    With a client CA, clients must present a certificate that it signed.

    Raises:
        SettingsError: A file is unreadable, or key and certificate do not match. The text names
            the setting and the file.
    """
    section, certificate, key = settings.section, settings.tls_certificate, settings.tls_key
    if certificate is None or key is None:
        if certificate or key or settings.tls_client_ca:
            raise SettingsError(f"{section}: tls_certificate and tls_key must both be set for TLS")
        return None
    paths = {"tls_key": key, "tls_certificate": certificate}
    pems = {name: read_setting(path, f"{section}.{name}") for name, path in paths.items()}
    for name, path in paths.items():
        if b"-----BEGIN" not in pems[name]:
            raise SettingsError(f"{section}.{name}: {path} is not a PEM file")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(certificate, key, password=lambda: b"")  # never asks a terminal
    except ssl.SSLError as error:
        reason = error.reason or "unreadable"
        text = f"{section}.tls_key: {key} is not the key of {certificate} ({reason})"
        raise SettingsError(text) from None
    if settings.tls_client_ca is not None:
        read_setting(settings.tls_client_ca, f"{section}.tls_client_ca")
        try:
            context.load_verify_locations(settings.tls_client_ca)
        except ssl.SSLError:
            text = f"{section}.tls_client_ca: {settings.tls_client_ca} holds no certificate"
            raise SettingsError(text) from None
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def read_setting(path: Path, key: str) -> bytes:
    """Return the content of a file that a setting names. Raises SettingsError naming both."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise SettingsError(f"{key}: {path} cannot be read: {error.strerror}") from None
