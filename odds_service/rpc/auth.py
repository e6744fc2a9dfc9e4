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
    read_setting,
    tls_context,
)
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
        host = peer_host(context.peer())
        grant = OWNER if closed or _is_local(host) else EVERYONE
        return Caller(host, _entitled(grant, right))
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


def _is_local(host: str) -> bool:
    kind, _, address = unquote(host).partition(":")
    return kind == "unix" or is_loopback(address)


def is_closed(settings: ServerSettings) -> bool:
    """Return whether only this machine, or holders of client certificates, can reach the port."""
    return settings.tls_client_ca is not None or is_loopback(settings.listen.rpartition(":")[0])


def _unauthenticated(text: str) -> Refused:
    return refused(grpc.StatusCode.UNAUTHENTICATED, text, "UNAUTHENTICATED")


def peer_host(peer: str) -> str:
    """Return gRPC's name of a peer without its port: `ipv4:127.0.0.1` of `ipv4:127.0.0.1:50123`."""
    return peer.rpartition(":")[0] or peer


def credentials(settings: ServerSettings) -> grpc.ServerCredentials | None:
    """Return the TLS credentials of the settings, or None without TLS. Raises SettingsError."""
    certificate, key = settings.tls_certificate, settings.tls_key
    if tls_context(settings) is None or certificate is None or key is None:
        return None
    pair = read_setting(key, "server.tls_key"), read_setting(certificate, "server.tls_certificate")
    authority = None
    if settings.tls_client_ca is not None:
        authority = read_setting(settings.tls_client_ca, "server.tls_client_ca")
    return grpc.ssl_server_credentials(
        [pair], root_certificates=authority, require_client_auth=authority is not None
    )
