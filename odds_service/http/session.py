"""Sessions of browsers: a cookie that no script can read, and that is not the token."""

import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from odds_service.access import Tokens
from odds_service.config import Right
from odds_service.http.context import peer_of
from odds_service.http.errors import error_response
from odds_service.serving.auth import Holder, caller, peer_host
from odds_service.serving.errors import Refused
from odds_service.serving.server import Room

SESSION: Final = "odds_session"  # the cookie
LIFE_S: Final = 30 * 86_400
ENDED: Final = 10_000  # ended sessions that are remembered; one more forgets the oldest
_SALT_BYTES: Final = 16
_MAX_ID: Final = 200
_UNSTORED: Final = {"cache-control": "no-store"}


class Sessions:
    """The sessions of one door. An id is sealed by the token that began it, and holds no token.

    Nothing is kept of a session while it lasts, so sessions outlive a restart of the service. A
    session has the present access of its token and ends with it, after LIFE_S, or when it is ended
    here; that alone is forgotten by a restart. For use on the server's loop only.
    """

    def __init__(
        self, tokens: Tokens, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._tokens = tokens
        self._now = now
        self._ended: dict[str, None] = {}

    def begin(self, client: str) -> str:
        """Begin a session of a token, known by its name, and return the session's id."""
        until = int(self._now().timestamp()) + LIFE_S
        told = f"{secrets.token_urlsafe(_SALT_BYTES)}.{until}"
        return f"{told}.{self._tokens.seal(client, told)}"

    def holder(self, session_id: str) -> Holder | None:
        """Return the holder of a session's token; None for a session that is over or unknown."""
        told, _, seal = session_id.rpartition(".")
        client = self._tokens.sealed_by(told, seal) if len(session_id) <= _MAX_ID else None
        if client is None or session_id in self._ended:
            return None
        until = int(told.rpartition(".")[2])
        return Holder(client) if self._now().timestamp() < until else None

    def end(self, session_id: str) -> None:
        """End a session, if there is one of this id."""
        if self.holder(session_id) is None:
            return
        if len(self._ended) >= ENDED:
            del self._ended[next(iter(self._ended))]
        self._ended[session_id] = None

    def authorization(self, request: Request) -> str | Holder:
        """Return the caller's header, or the holder of its session; empty without either."""
        given = request.headers.get("authorization")
        if given is not None:
            return given
        return self.holder(request.cookies.get(SESSION, "")) or ""


def check_reader(room: Room, request: Request, given: str | Holder, *, closed: bool) -> str:
    """Check that a caller may read, for what is no call of the contract; return its client name.

    Args:
        room: The state behind every door.
        request: The caller's request.
        given: Its token as `Bearer …`, or the token's holder; empty without one.
        closed: See Entrance.answer.

    Raises:
        Refused: It may not.
    """
    tokens, peer = room.guard.tokens, peer_of(request.scope)
    return caller(tokens, given, peer, Right.READ, closed=closed).client


def session_routes(room: Room, sessions: Sessions, *, closed: bool) -> list[Route]:
    """Return the routes that begin and end a session. `closed`: see Entrance.answer."""

    async def begin(request: Request) -> Response:
        given = request.headers.get("authorization", "")
        try:
            room.context.limits.request(peer_host(peer_of(request.scope)))
            client = check_reader(room, request, given, closed=closed)
        except Refused as refusal:
            return error_response(refusal)
        response = Response(status_code=204, headers=_UNSTORED)
        if room.guard.tokens.asked:
            sessions.end(request.cookies.get(SESSION, ""))  # this cookie replaces it
            response.set_cookie(
                SESSION,
                sessions.begin(client),
                httponly=True,
                samesite="strict",
                secure=request.url.scheme == "https",
            )
        return response

    async def end(request: Request) -> Response:
        sessions.end(request.cookies.get(SESSION, ""))
        response = Response(status_code=204, headers=_UNSTORED)
        response.delete_cookie(SESSION, httponly=True, samesite="strict")
        return response

    path: Final = "/v1/session"
    handlers: list[tuple[str, Callable[..., object]]] = [("POST", begin), ("DELETE", end)]
    return [Route(path, handler, methods=[verb]) for verb, handler in handlers]
