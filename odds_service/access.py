"""Access to a port of the service: loopback, bearer tokens, client certificates.

The rules are the same for every port. No public address is served without a guard.
"""

import hashlib
import hmac
import ipaddress
import ssl
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import structlog
from msgspec import Struct

from odds_service.config import (
    AccessSettings,
    HttpSettings,
    ListenSettings,
    Right,
    ServerSettings,
)
from odds_service.errors import SettingsError
from odds_service.file_mark import Mark, file_mark
from odds_service.model.restriction import Restriction
from odds_service.secrets import hide

REREAD_S: Final = 5.0  # the shortest time between two looks at tokens_file
_SCHEME: Final = "bearer "
_BOM: Final = "\ufeff"
PLAIN: Final = "plain"  # the usage of all tokens without a name is counted under this one
ANONYMOUS: Final = "anonymous"  # of callers that need no token

log = structlog.get_logger(__name__)


class Grant(Struct, frozen=True):
    """The access of a caller.

    Attributes:
        name: The configured name, under which usage is counted; never the token.
        client: The name by which limits tell clients apart; empty for the caller's host.
        rights: The kinds of calls that it may make.
        restriction: The sources and bookmakers that it may see.
    """

    name: str
    client: str
    rights: frozenset[Right]
    restriction: Restriction = Restriction()

    @property
    def admin(self) -> bool:
        return Right.ADMIN in self.rights


_READ_AND_REFRESH: Final = frozenset({Right.READ, Right.REFRESH})
EVERYONE: Final = Grant(ANONYMOUS, "", _READ_AND_REFRESH)  # callers of a port without tokens
OWNER: Final = Grant(ANONYMOUS, "", frozenset(Right))  # such callers, if nobody else can call


class Tokens:
    """The accepted bearer tokens and their access; only digests of tokens are kept.

    Every token is compared, each in constant time, so the time of an answer reveals nothing. A
    changed tokens_file or token_file is read again by the first call REREAD_S or more after the
    last look. If one is unreadable or empty, the tokens remain unchanged and a warning is logged.

    Attributes:
        version: A number that grows whenever the tokens or their access change.

    Raises:
        SettingsError: The tokens cannot be read at the start.
    """

    def __init__(
        self, settings: ListenSettings, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._looked_at = clock()
        self._marks = _marks(settings)
        self._grants = _grants(settings)
        self.version = 0

    @property
    def count(self) -> int:
        """The number of tokens."""
        return len(self._grants)

    @property
    def asked(self) -> bool:
        """Return whether callers need a token."""
        return bool(self._grants)

    def holder(self, authorization: str) -> str | None:
        """Return a name for the token in an Authorization header; None for an unknown token.

        The name is made from the token's digest, so other tokens do not affect it.
        """
        grant = self.grant(authorization)
        return None if grant is None else grant.client

    def grant(self, authorization: str) -> Grant | None:
        """Return the access of the token in an Authorization header; None for an unknown token."""
        self.look()
        if not has_token(authorization):
            return None
        digest = hashlib.sha256(authorization[len(_SCHEME) :].strip().encode()).digest()
        found = None
        for known, grant in self._grants:
            if hmac.compare_digest(known, digest):
                found = grant
        return found

    def present(self, client: str) -> Grant | None:
        """Return the present access of a client known by its token; None once the token is gone."""
        for _, grant in self._grants:
            if grant.client == client:
                return grant
        return None

    def seal(self, client: str, text: str) -> str:
        """Return a seal that only the holder of a present client's token could have given a text.

        Raises:
            LookupError: No token has this client.
        """
        for digest, grant in self._grants:
            if grant.client == client:
                return _seal(digest, text)
        raise LookupError(client)

    def sealed_by(self, text: str, seal: str) -> str | None:
        """Return the client whose token sealed a text; None for another seal or a token gone."""
        found = None
        for digest, grant in self._grants:
            if hmac.compare_digest(_seal(digest, text).encode(), seal.encode()):
                found = grant.client
        return found

    def adopt(self, other: "Tokens") -> None:
        """Accept the tokens of another value from now on, and no others."""
        self._settings, self._marks = other._settings, other._marks
        self._replace(other._grants)

    def look(self) -> None:
        """Read changed files again, if the last look was REREAD_S or more ago."""
        now = self._clock()
        if not self._marks or now < self._looked_at + REREAD_S:
            return
        self._looked_at = now
        marks = _marks(self._settings)
        if marks == self._marks:
            return
        try:
            grants = _grants(self._settings)
        except SettingsError as error:
            log.warning("tokens_not_read_again", reason=str(error))
        else:
            self._marks = marks
            self._replace(grants)
            log.info("tokens_read_again", tokens=len(grants))

    def _replace(self, grants: "list[tuple[bytes, Grant]]") -> None:
        if grants != self._grants:
            self.version += 1
        self._grants = grants


def _seal(digest: bytes, text: str) -> str:
    return hmac.new(digest, text.encode(), hashlib.sha256).hexdigest()


def has_token(authorization: str) -> bool:
    """Return whether an Authorization header holds a bearer token, known or unknown."""
    return authorization.lower().startswith(_SCHEME)


def _grants(settings: ListenSettings) -> list[tuple[bytes, Grant]]:
    """Return the digest of each token with its access. Raises SettingsError."""
    grants = []
    for token, entry in _tokens(settings).items():
        digest = hashlib.sha256(token.encode()).digest()
        if entry is None:
            grant = Grant(PLAIN, _client_of(digest), _READ_AND_REFRESH)
        else:
            restriction = Restriction(
                None if entry.sources is None else frozenset(entry.sources),
                None if entry.bookmakers is None else frozenset(entry.bookmakers),
            )
            rights = frozenset(entry.rights)
            grant = Grant(entry.name, _client_of(digest), rights, restriction)
        grants.append((digest, grant))
    return grants


def _client_of(digest: bytes) -> str:
    return f"token {digest.hex()[:12]}"


def _named(settings: ListenSettings) -> Sequence[AccessSettings]:
    return settings.access if isinstance(settings, ServerSettings) else ()


def _marks(settings: ListenSettings) -> dict[Path, Mark | None]:
    paths = [settings.tokens_file, *(entry.token_file for entry in _named(settings))]
    return {path: file_mark(path) for path in paths if path is not None}


def read_tokens(settings: ListenSettings) -> list[str]:
    """Return all tokens of the settings, those with a name last.

    Raises:
        SettingsError: A file is missing, holds no token or a line that is none, or a token is
            empty or given twice.
    """
    return list(_tokens(settings))


def _tokens(settings: ListenSettings) -> dict[str, AccessSettings | None]:
    """Return all tokens with their tables of access; each file is read once. See read_tokens."""
    tokens: dict[str, AccessSettings | None] = dict.fromkeys(_plain_tokens(settings))
    for entry in _named(settings):
        token = _named_token(settings, entry)
        if token in tokens:
            other = tokens[token]
            name = PLAIN if other is None else other.name
            text = f"{settings.section}.access ({entry.name}): {name} has this token"
            raise SettingsError(text)
        tokens[token] = entry
    return tokens


def _plain_tokens(settings: ListenSettings) -> list[str]:
    section = settings.section
    tokens = [token.get_secret_value().strip() for token in settings.tokens]
    if not all(tokens):
        raise SettingsError(f"{section}.tokens: one of them is empty")
    if settings.tokens_file is not None:
        tokens += _listed(settings.tokens_file, f"{section}.tokens_file")
    for token in tokens:
        hide(token)
    return tokens


def _named_token(settings: ListenSettings, entry: AccessSettings) -> str:
    """Return the one token of a table of access. Raises SettingsError."""
    where = f"{settings.section}.access ({entry.name})"
    if entry.token_file is not None:
        token, *more = _listed(entry.token_file, f"{where}.token_file")
        if more:
            raise SettingsError(f"{where}.token_file: {entry.token_file} holds several tokens")
    else:
        token = "" if entry.token is None else entry.token.get_secret_value().strip()
        if not token:
            raise SettingsError(f"{where}: token is empty")
    hide(token)
    return token


def _listed(path: Path, key: str) -> list[str]:
    """Return the tokens of a file, one per line, without comment lines and a byte-order mark.

    Raises:
        SettingsError: The file is unreadable or holds no token, or a line holds more than a token.
            The text names the line by its number alone.
    """
    try:
        text = read_setting(path, key).decode()
    except UnicodeDecodeError:
        raise SettingsError(f"{key}: {path} is not text") from None
    tokens = []
    for number, line in enumerate(text.removeprefix(_BOM).splitlines(), 1):
        token = line.strip()
        if not token or token.startswith("#"):
            continue
        if token.split() != [token] or not token.isprintable():
            reason = "holds more than a token; a comment needs a line of its own"
            raise SettingsError(f"{key}: {path}, line {number} {reason}")
        tokens.append(token)
    if not tokens:
        raise SettingsError(f"{key}: {path} holds no token")
    return tokens


def check_http(http: HttpSettings, server: ServerSettings) -> None:
    """Raise SettingsError for an address of the HTTP door that cannot be served with [server]."""
    if http.listen:
        check_address(server.model_copy(update={"listen": http.listen}), "http.listen")


def check_address(settings: ListenSettings, key: str = "") -> None:
    """Raise SettingsError for a malformed address, or a public one without TLS or tokens.

    Args:
        settings: The address and what guards it.
        key: The setting that holds the address; empty for `listen` of the settings' own section.
    """
    section = settings.section
    key = key or f"{section}.listen"
    host, colon, port = settings.listen.rpartition(":")
    digits = port.isascii() and port.isdigit() and len(port) <= 5
    if not colon or not host or not digits or int(port) > 65_535:
        raise SettingsError(f"{key}: {settings.listen!r} is not like 127.0.0.1:50051")
    guarded = settings.tls_certificate is not None or read_tokens(settings)
    if is_loopback(host) or guarded or settings.insecure_public:
        return
    raise SettingsError(
        f"{key}: {settings.listen} can be reached by others, without TLS or tokens: set"
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
