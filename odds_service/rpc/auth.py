"""Caller names, their rights and TLS credentials for gRPC; see odds_service.access."""

from urllib.parse import unquote

import grpc

from odds_service.access import Tokens, has_token, is_loopback
from odds_service.certificates import Certificates, Guard, Tls
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


def may_reload(guard: Guard, context: Context) -> None:
    """Check that a caller, whose token is known already, may reload the settings.

    Without tokens and client certificates only callers of this machine may.

    Raises:
        Refused: It may not (PERMISSION_DENIED).
    """
    certificates = guard.certificates
    if guard.tokens.asked or (certificates and certificates.wants_client_certificates):
        return
    if is_this_machine(context.peer()):
        return
    text = "only this machine may reload a server without tokens and client certificates"
    raise refused(grpc.StatusCode.PERMISSION_DENIED, text, "PERMISSION_DENIED")


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
