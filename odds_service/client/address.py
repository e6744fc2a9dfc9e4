"""The address of a service: its servers, with the TLS settings and the token for them."""

import ipaddress
import ssl
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Final

import grpc
import grpc.experimental
from msgspec import Struct

from odds_service.client.errors import AddressError
from odds_service.client.rotation import Rotation

MAX_MESSAGE_BYTES: Final = 16 * 2**20  # 16 MiB; the server's own limit is lower
KEEPALIVE_MS: Final = 30_000  # interval of pings while a stream is silent
KEEPALIVE_TIMEOUT_MS: Final = 20_000  # a ping unanswered for this long ends the connection
RECONNECT_MAX_MS: Final = 5_000  # the cap of gRPC's own back-off, below RETRY_MAX_S

# The same where another server can take over: a peer that died in silence is found within 20 s. The
# service permits a ping every 10 s.
KEEPALIVE_OF_SEVERAL_MS: Final = 12_000
KEEPALIVE_TIMEOUT_OF_SEVERAL_MS: Final = 8_000
CONNECT_OF_SEVERAL_MS: Final = 5_000  # gRPC's own time limit for an attempt is 20 s
# Without a call for this long, a channel is disconnected. Until then it tries to connect again to a
# server that was left.
IDLE_OF_SEVERAL_MS: Final = 60_000


class Address(Struct, frozen=True, dict=True):  # dict: for the cached property
    """The address of a service, with the TLS settings and the token to use there.

    Args:
        server: `host:port`, or several with commas between them: servers of one log, such as the
            read nodes of a cluster. One is used at a time; another takes over when it fails.
        tls: Use TLS, and trust the system's certificate authorities.
        ca: Use TLS, and trust only the authorities in this PEM file.
        certificate: The PEM file of the client certificate, for mutual TLS.
        key: The PEM file of the certificate's private key.
        token: A bearer token for every call. Without TLS, only a server on this machine gets it.
    """

    server: str
    tls: bool = False
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    token: str | None = None

    def __repr__(self) -> str:
        return f"Address({self.server!r}, tls={self.secure})"  # never the token

    @property
    def servers(self) -> tuple[str, ...]:
        """Return the servers, each once."""
        return tuple(dict.fromkeys(each.strip() for each in self.server.split(",")))

    @cached_property
    def rotation(self) -> Rotation:
        """Return the server in use, which all clients of this very object share."""
        return Rotation(self.servers)

    @property
    def secure(self) -> bool:
        """Return whether the connection is encrypted."""
        return self.tls or self.ca is not None or self.certificate is not None

    def _check_files(self) -> None:
        """Check the TLS files, since gRPC itself would only report a failed connection.

        Raises:
            AddressError: A file does not hold a valid certificate or key.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if self.ca is not None:
            try:
                context.load_verify_locations(self.ca)
            except ssl.SSLError:
                raise AddressError(f"TLS: {self.ca} holds no certificate (PEM)") from None
        if self.certificate is not None and self.key is not None:
            try:
                context.load_cert_chain(self.certificate, self.key, _no_passphrase)
            except ssl.SSLError:
                raise AddressError(
                    f"TLS: {self.certificate} and {self.key} are no certificate and its key (PEM,"
                    " without a passphrase)"
                ) from None

    def credentials(self) -> grpc.ChannelCredentials | None:
        """Return the credentials for a channel to any of the servers, or None for plaintext.

        Raises:
            AddressError: The address, a file or the token is invalid, or the token would be sent
                in the clear.
        """
        for server in self.servers:
            host, _, port = server.rpartition(":")
            if not host or not port.isdigit():
                raise AddressError(f"{server!r} is not host:port")
        if (self.certificate is None) != (self.key is None):
            raise AddressError("a certificate and its key belong together: give both")
        if self.token is not None and not (self.token.isascii() and self.token.isprintable()):
            raise AddressError("the token holds characters that no token has")
        if self.secure:
            files = _read(self.ca), _read(self.key), _read(self.certificate)
            self._check_files()
            channel = grpc.ssl_channel_credentials(*files)
        elif self.token is None:
            return None
        else:
            for server in self.servers:
                if not _is_here(server.rpartition(":")[0]):
                    raise AddressError(f"a token is not sent to {server} in the clear: use TLS")
            channel = grpc.local_channel_credentials()  # plain, and refused for any other machine
        if self.token is None:
            return channel
        bearer = grpc.access_token_call_credentials(self.token)
        return grpc.composite_channel_credentials(channel, bearer)


def _no_passphrase() -> str:
    return ""  # otherwise OpenSSL prompts for one on the terminal


def channel_options(address: Address) -> list[tuple[str, int]]:
    """Return the gRPC channel options that all transports share."""
    several = len(address.servers) > 1
    timeout_ms = KEEPALIVE_TIMEOUT_OF_SEVERAL_MS if several else KEEPALIVE_TIMEOUT_MS
    options = [
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.keepalive_time_ms", KEEPALIVE_OF_SEVERAL_MS if several else KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", timeout_ms),
        # Pings of other kinds have their own time-out of 60 s, and delay those of keepalive.
        ("grpc.http2.ping_timeout_ms", timeout_ms),
        ("grpc.max_reconnect_backoff_ms", RECONNECT_MAX_MS),
    ]
    if several:
        options += [
            ("grpc.min_reconnect_backoff_ms", CONNECT_OF_SEVERAL_MS),  # limits an attempt, too
            ("grpc.client_idle_timeout_ms", IDLE_OF_SEVERAL_MS),
        ]
    return options


def channel_to(address: Address, server: str) -> grpc.Channel:
    """Return a channel for threads, whose streams are read by nobody but the thread that asks.

    By default a thread of gRPC's reads every stream of a channel. It is a daemon, and may hold a
    lock of the stream while the interpreter ends: the process then hangs in the stream's __del__.

    Args:
        address: The address.
        server: One of its servers.
    """
    alone = grpc.experimental.ChannelOptions.SingleThreadedUnaryStream
    options = [*channel_options(address), (alone, 1)]
    credentials = address.credentials()
    if credentials is None:
        return grpc.insecure_channel(server, options)
    return grpc.secure_channel(server, credentials, options)


def address_of(server: "Address | str | Sequence[str]") -> Address:
    """Return an Address unchanged, or build one from `host:port`, once or several times."""
    if isinstance(server, Address):
        return server
    return Address(server=server if isinstance(server, str) else ",".join(server))


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _read(path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        return path.read_bytes()
    except OSError as error:
        raise AddressError(f"{path} cannot be read: {error.strerror}") from None
