"""Callers, their rights and TLS credentials for gRPC; see odds_service.access."""

from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import unquote

import grpc

from odds_service.access import (
    EVERYONE,
    OWNER,
    Grant,
    Tokens,
    has_token,
    is_loopback,
)
from odds_service.certificates import Certificates, Tls
from odds_service.config import Right, ServerSettings
from odds_service.rpc.errors import Context, Refused, refused

# The right that each call needs; the only place that decides on it.
RIGHTS: Final[Mapping[str, Right]] = {
    "GetOdds": Right.READ,
    "WatchChanges": Right.READ,
    "ListEvents": Right.READ,
    "GetHistory": Right.READ,
    "GetClosingOdds": Right.READ,
    "RefreshEvent": Right.REFRESH,
    "GetStatus": Right.READ,
    "Reload": Right.ADMIN,
}


class Caller(NamedTuple):
    """A caller: the name by which limits know it, and its access."""

    client: str
    grant: Grant


def caller(tokens: Tokens, context: Context, right: Right, *, closed: bool = True) -> Caller:
    """Return the caller of a call.

    Args:
        tokens: The accepted tokens.
        context: The call.
        right: The right that the call needs.
        closed: Whether only the owner can reach a port that asks for no tokens. If not, callers
            from other machines lack the right `admin`.

    Raises:
        Refused: The token is missing or unknown (UNAUTHENTICATED), or lacks the right
            (PERMISSION_DENIED).
    """
    if not tokens.asked:
        grant = OWNER if closed or is_this_machine(context.peer()) else EVERYONE
        return Caller(peer_host(context.peer()), _entitled(grant, right))
    given = ""
    for key, value in context.invocation_metadata() or ():
        if key == "authorization" and isinstance(value, str):
            given = value
    if not has_token(given):
        raise _unauthenticated("send `authorization: Bearer <token>` as metadata")
    found = tokens.grant(given)
    if found is None:
        raise _unauthenticated("this server does not know the token")
    return Caller(found.client, _entitled(found, right))


def _entitled(grant: Grant, right: Right) -> Grant:
    if right in grant.rights:
        return grant
    text = f"the call needs the right {right}, which {grant.name} does not have"
    raise refused(grpc.StatusCode.PERMISSION_DENIED, text, "PERMISSION_DENIED", right=right.value)


def revoked() -> Refused:
    """Return the refusal that ends the streams of a token that is gone."""
    return _unauthenticated("the token is no longer accepted")


def is_closed(settings: ServerSettings) -> bool:
    """Return whether only this machine, or holders of client certificates, can reach the port."""
    return settings.tls_client_ca is not None or is_loopback(settings.listen.rpartition(":")[0])


def _unauthenticated(text: str) -> Refused:
    return refused(grpc.StatusCode.UNAUTHENTICATED, text, "UNAUTHENTICATED")


def peer_host(peer: str) -> str:
    """Return gRPC's name of a peer without its port: `ipv4:127.0.0.1` of `ipv4:127.0.0.1:50123`."""
    return peer.rpartition(":")[0] or peer


def is_this_machine(peer: str) -> bool:
    """Return whether gRPC's name of a peer is of this machine: loopback or a Unix socket."""
    kind, _, address = unquote(peer).partition(":")
    return kind == "unix" or is_loopback(address.rpartition(":")[0])


def credentials(certificates: Certificates) -> grpc.ServerCredentials:
    """Return TLS credentials that follow the files: each handshake uses the files of its time."""
    used = certificates.current()

    def changed() -> grpc.ServerCertificateConfiguration | None:
        nonlocal used
        latest = certificates.current()
        if latest is used:
            return None
        used = latest
        return _configuration(latest)

    return grpc.dynamic_ssl_server_credentials(
        _configuration(used),
        changed,  # type: ignore[arg-type]  # the stubs forget None, for unchanged
        require_client_authentication=certificates.wants_client_certificates,
    )


def _configuration(tls: Tls) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration(
        [(tls.key, tls.certificate)], root_certificates=tls.authority
    )
