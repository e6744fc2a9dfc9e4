"""The session of a browser: a cookie that holds the token where no script can read it."""

from collections.abc import Callable
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from odds_service.config import Right
from odds_service.http.context import peer_of
from odds_service.http.errors import error_response
from odds_service.serving.auth import caller, peer_host
from odds_service.serving.errors import Refused
from odds_service.serving.server import Room

SESSION: Final = "odds_session"  # the cookie
_BEARER: Final = "Bearer "


def authorization(request: Request) -> str:
    """Return the caller's token as `Bearer …`, from the header or the cookie; empty without."""
    given = request.headers.get("authorization")
    if given is not None:
        return given
    token = request.cookies.get(SESSION, "")
    return _BEARER + token if token else ""


def check_reader(room: Room, request: Request, given: str, *, closed: bool) -> None:
    """Check that a caller may read; for what is no call of the contract. Raises Refused.

    Args:
        room: The state behind every door.
        request: The caller's request.
        given: Its token as `Bearer …`; empty without one.
        closed: See Entrance.answer.
    """
    caller(room.guard.tokens, given, peer_of(request.scope), Right.READ, closed=closed)


def session_routes(room: Room, *, closed: bool) -> list[Route]:
    """Return the routes that begin and end a session. `closed`: see Entrance.answer."""

    async def begin(request: Request) -> Response:  # noqa: ASYNC124  # a route is async
        given = request.headers.get("authorization", "")
        try:
            room.context.limits.request(peer_host(peer_of(request.scope)))
            check_reader(room, request, given, closed=closed)
        except Refused as refusal:
            return error_response(refusal)
        response = Response(status_code=204)
        if room.guard.tokens.asked:
            token = given.partition(" ")[2].strip()
            secure = request.url.scheme == "https"
            response.set_cookie(SESSION, token, httponly=True, samesite="strict", secure=secure)
        return response

    async def end(_: Request) -> Response:  # noqa: ASYNC124
        response = Response(status_code=204)
        response.delete_cookie(SESSION, httponly=True, samesite="strict")
        return response

    path: Final = "/v1/session"
    handlers: list[tuple[str, Callable[..., object]]] = [("POST", begin), ("DELETE", end)]
    return [Route(path, handler, methods=[verb]) for verb, handler in handlers]
