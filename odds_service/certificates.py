"""The TLS files of a port, read again when one of them changes on disk, and the port's guard."""

import ssl
import threading
from pathlib import Path

import structlog
from msgspec import Struct

from odds_service.access import Tokens, check_address, check_http, read_setting, tls_context
from odds_service.config import ListenSettings, Settings
from odds_service.errors import SettingsError
from odds_service.file_mark import Mark, file_mark

log = structlog.get_logger(__name__)


class Tls(Struct, frozen=True):
    """A key and its certificate, with the authority of client certificates, as read from disk."""

    key: bytes
    certificate: bytes
    authority: bytes | None
    context: ssl.SSLContext


class Certificates:
    """The TLS files of one port, for any thread.

    Each handshake looks at the files. A pair that does not match is refused with a warning, once,
    and the one before remains in use. So the two files may be replaced one after the other.

    Raises:
        SettingsError: The files cannot be used at the start.
    """

    def __init__(self, settings: ListenSettings) -> None:
        self._lock = threading.Lock()
        self._settings = settings
        self._marks = _marks(settings)
        self._tls = _read(settings)

    @property
    def wants_client_certificates(self) -> bool:
        """Return whether clients must present a certificate; fixed while the port is open."""
        return self._settings.tls_client_ca is not None

    def current(self) -> Tls:
        """Return the files, read again if one of them has changed; the same object if none has."""
        with self._lock:
            marks = _marks(self._settings)
            if marks == self._marks:
                return self._tls
            self._marks = marks
            section, path = self._settings.section, str(self._settings.tls_certificate)
            try:
                tls = _read(self._settings)
            except SettingsError as error:
                log.warning("certificate_not_read_again", port=section, reason=str(error))
                return self._tls
            if _marks(self._settings) != marks:
                self._marks = ()  # replaced while it was read: the next handshake reads it
                return self._tls
            self._tls = tls
            log.info("certificate_read_again", port=section, certificate=path)
            return tls

    def adopt(self, other: "Certificates") -> None:
        """Use the files of another value from now on."""
        with self._lock:
            self._settings, self._marks = other._settings, other._marks
            if _bytes(other._tls) != _bytes(self._tls):
                self._tls = other._tls


class Guard:
    """The access to one port: its tokens and its certificates, which can be replaced.

    Raises:
        SettingsError: The address, a token or a TLS file is wrong.
    """

    def __init__(self, settings: ListenSettings) -> None:
        check_address(settings)
        self.tokens = Tokens(settings)
        self.certificates = certificates_of(settings)

    def adopt(self, other: "Guard") -> None:
        """Use the tokens and the files of another guard; one has TLS exactly if the other has."""
        self.tokens.adopt(other.tokens)
        if self.certificates is not None and other.certificates is not None:
            self.certificates.adopt(other.certificates)


def certificates_of(settings: ListenSettings) -> Certificates | None:
    """Return the certificates of the settings, or None without TLS. Raises SettingsError."""
    return None if tls_context(settings) is None else Certificates(settings)


def _read(settings: ListenSettings) -> Tls:
    section = settings.section
    context = tls_context(settings)
    if context is None or settings.tls_key is None or settings.tls_certificate is None:
        raise SettingsError(f"{section}: tls_certificate and tls_key must both be set for TLS")
    ca = settings.tls_client_ca
    return Tls(
        key=read_setting(settings.tls_key, f"{section}.tls_key"),
        certificate=read_setting(settings.tls_certificate, f"{section}.tls_certificate"),
        authority=None if ca is None else read_setting(ca, f"{section}.tls_client_ca"),
        context=context,
    )


def _marks(settings: ListenSettings) -> tuple[Mark | None, ...]:
    files: tuple[Path | None, ...] = (
        settings.tls_certificate,
        settings.tls_key,
        settings.tls_client_ca,
    )
    return tuple(file_mark(path) for path in files)


def _bytes(tls: Tls) -> tuple[bytes, bytes, bytes | None]:
    return tls.key, tls.certificate, tls.authority


def guards_of(settings: Settings) -> dict[str, Guard]:
    """Return the guard of each port that is open, by its section. Raises SettingsError."""
    check_http(settings.http, settings.server)
    ports = {"server": settings.server, "metrics": settings.metrics}
    return {section: Guard(port) for section, port in ports.items() if port.listen}
