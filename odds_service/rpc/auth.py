"""Caller names and TLS credentials for gRPC; see odds_service.access."""

import grpc

from odds_service.access import Tokens, has_token, read_setting, tls_context
from odds_service.config import ServerSettings
from odds_service.rpc.errors import Context, Refused, refused


def caller(tokens: Tokens, context: Context) -> str:
    """Return the name of a caller: its token's, or its host if no token is needed.

    Raises:
        Refused: The token is missing or unknown (UNAUTHENTICATED).
    """
    if not tokens.asked:
        return peer_host(context.peer())
    given = ""
    for key, value in context.invocation_metadata() or ():
        if key == "authorization" and isinstance(value, str):
            given = value
    if not has_token(given):
        raise _unauthenticated("send `authorization: Bearer <token>` as metadata")
    holder = tokens.holder(given)
    if holder is None:
        raise _unauthenticated("this server does not know the token")
    return holder


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
