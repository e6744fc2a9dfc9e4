"""Callers and their rights at every door; see odds_service.access."""

from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import unquote

from odds_service.access import (
    EVERYONE,
    OWNER,
    Grant,
    Tokens,
    has_token,
    is_loopback,
)
from odds_service.config import Right, ServerSettings
from odds_service.serving.errors import Refused, StatusCode, refused

# The right that each call needs; the only place that decides on it.
RIGHTS: Final[Mapping[str, Right]] = {
    "GetOdds": Right.READ,
    "WatchChanges": Right.READ,
    "ListEvents": Right.READ,
    "GetHistory": Right.READ,
    "Replay": Right.READ,
    "GetClosingOdds": Right.READ,
    "RefreshEvent": Right.REFRESH,
    "GetSeries": Right.READ,
    "GetStatus": Right.READ,
    "ListMarkets": Right.READ,
    "GetCoverage": Right.READ,
    "ListUnmapped": Right.READ,
    "ListRuns": Right.READ,
    "Reload": Right.ADMIN,
}


class Holder(NamedTuple):
    """A caller that has shown its token to the door before; `client` is the token's name."""

    client: str


class Caller(NamedTuple):
    """A caller: the name by which limits know it, and its access."""

    client: str
    grant: Grant


def caller(
    tokens: Tokens, given: str | Holder, peer: str, right: Right, *, closed: bool = True
) -> Caller:
    """Return the caller of a call.

    Args:
        tokens: The accepted tokens.
        given: The `authorization` that came with the call; empty without one. Or the holder of a
            token that the door has seen.
        peer: The caller's address, in gRPC's form.
        right: The right that the call needs.
        closed: Whether only the owner can reach a port that asks for no tokens. If not, callers
            from other machines lack the right `admin`.

    Raises:
        Refused: The token is missing or unknown (UNAUTHENTICATED), or lacks the right
            (PERMISSION_DENIED).
    """
    if not tokens.asked:
        grant = OWNER if closed or is_this_machine(peer) else EVERYONE
        return Caller(peer_host(peer), _entitled(grant, right))
    if isinstance(given, Holder):
        tokens.look()
        found = tokens.present(given.client)
    elif has_token(given):
        found = tokens.grant(given)
    else:
        raise _unauthenticated("send `authorization: Bearer <token>` as metadata")
    if found is None:
        raise _unauthenticated("this server does not know the token")
    return Caller(found.client, _entitled(found, right))


def _entitled(grant: Grant, right: Right) -> Grant:
    if right in grant.rights:
        return grant
    text = f"the call needs the right {right}, which {grant.name} does not have"
    raise refused(StatusCode.PERMISSION_DENIED, text, "PERMISSION_DENIED", right=right.value)


def revoked() -> Refused:
    """Return the refusal that ends the streams of a token that is gone."""
    return _unauthenticated("the token is no longer accepted")


def is_closed(settings: ServerSettings, listen: str) -> bool:
    """Return whether only this machine, or holders of client certificates, can reach an address."""
    return settings.tls_client_ca is not None or is_loopback(listen.rpartition(":")[0])


def _unauthenticated(text: str) -> Refused:
    return refused(StatusCode.UNAUTHENTICATED, text, "UNAUTHENTICATED")


def peer_host(peer: str) -> str:
    """Return gRPC's name of a peer without its port: `ipv4:127.0.0.1` of `ipv4:127.0.0.1:50123`."""
    return peer.rpartition(":")[0] or peer


def is_this_machine(peer: str) -> bool:
    """Return whether gRPC's name of a peer is of this machine: loopback or a Unix socket."""
    kind, _, address = unquote(peer).partition(":")
    return kind == "unix" or is_loopback(address.rpartition(":")[0])
