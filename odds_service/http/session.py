"""Sessions of browsers: a cookie that no script can read, and that is not the token."""

import hashlib
import secrets
import time
from collections.abc import Callable
from typing import Final

from msgspec import Struct
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
IDLE_S: Final = 24 * 3_600.0  # a session that no request has used for so long is over
SESSIONS: Final = 100  # of one token at once; one more ends the one unused for longest
_ID_BYTES: Final = 32


class _Session(Struct):
    client: str  # the name of the token that began it
    used_at: float


class Sessions:
    """The sessions of one door, by a digest of their ids; a restart of the service ends them all.

    A session has the present access of the token that began it, and ends with that token. For use
    on the server's loop only.
    """

    def __init__(self, tokens: Tokens, clock: Callable[[], float] = time.monotonic) -> None:
        self._tokens = tokens
        self._clock = clock
        self._sessions: dict[bytes, _Session] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def begin(self, client: str) -> str:
        """Begin a session of a token, known by its name, and return the session's id."""
        self._forget()
        theirs = [key for key, session in self._sessions.items() if session.client == client]
        if len(theirs) >= SESSIONS:
            del self._sessions[min(theirs, key=lambda key: self._sessions[key].used_at)]
        session_id = secrets.token_urlsafe(_ID_BYTES)
        self._sessions[_digest(session_id)] = _Session(client, self._clock())
        return session_id

    def holder(self, session_id: str) -> Holder | None:
        """Return the holder of a session's token; None once the session is over."""
        session = self._sessions.get(_digest(session_id))
        if session is None or self._is_over(session):
            self.end(session_id)
            return None
        session.used_at = self._clock()
        return Holder(session.client)

    def end(self, session_id: str) -> None:
        """End a session, if there is one of this id."""
        self._sessions.pop(_digest(session_id), None)

    def authorization(self, request: Request) -> str | Holder:
        """Return the caller's header, or the holder of its session; empty without either."""
        given = request.headers.get("authorization")
        if given is not None:
            return given
        return self.holder(request.cookies.get(SESSION, "")) or ""

    def _forget(self) -> None:
        for key in [key for key, session in self._sessions.items() if self._is_over(session)]:
            del self._sessions[key]

    def _is_over(self, session: _Session) -> bool:
        if self._clock() >= session.used_at + IDLE_S:
            return True
        return self._tokens.present(session.client) is None


def _digest(session_id: str) -> bytes:
    return hashlib.sha256(session_id.encode()).digest()


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

    async def begin(request: Request) -> Response:  # noqa: ASYNC124  # a route is async
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

    async def end(request: Request) -> Response:  # noqa: ASYNC124
        sessions.end(request.cookies.get(SESSION, ""))
        response = Response(status_code=204, headers=_UNSTORED)
        response.delete_cookie(SESSION, httponly=True, samesite="strict")
        return response

    path: Final = "/v1/session"
    handlers: list[tuple[str, Callable[..., object]]] = [("POST", begin), ("DELETE", end)]
    return [Route(path, handler, methods=[verb]) for verb, handler in handlers]


_UNSTORED: Final = {"cache-control": "no-store"}
