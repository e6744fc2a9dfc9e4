"""The caller's side of a call that came by HTTP."""

from starlette.requests import Request
from starlette.types import Scope


def peer_of(scope: Scope) -> str:
    """Return the caller's address as gRPC writes it: `ipv4:127.0.0.1:50123`."""
    host, port = scope.get("client") or ("", 0)
    if ":" in host:
        return f"ipv6:%5B{host}%5D:{port}"
    return f"ipv4:{host}:{port}"


class Caller:
    """The context of a call with one reply."""

    def __init__(self, request: Request) -> None:
        self._peer = peer_of(request.scope)

    def peer(self) -> str:
        return self._peer

    def time_remaining(self) -> float | None:
        return None
