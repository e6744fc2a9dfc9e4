"""The HTTP door's application: its routes and what stands before them."""

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from odds_service.access import is_loopback
from odds_service.config import HttpSettings
from odds_service.http.board_files import board_routes
from odds_service.http.bodies import WholeBodies
from odds_service.http.errors import error_response
from odds_service.http.guarding import Bounding, Guarding
from odds_service.http.openapi import show_document
from odds_service.http.reference import reference_routes
from odds_service.http.routes import call_routes
from odds_service.http.scraping import Scrape
from odds_service.http.session import Sessions, check_reader, session_routes
from odds_service.serving.errors import Refused, StatusCode, refused
from odds_service.serving.server import Room


def application(
    room: Room, settings: HttpSettings, *, closed: bool, scrape: Scrape | None
) -> Starlette:
    """Return the application of one door.

    Args:
        room: The state behind every door.
        settings: The door's own settings.
        closed: Whether only the owner can reach the door if it asks for no tokens.
        scrape: Reads the metrics; None for a door without.
    """
    sessions = Sessions(room.guard.tokens)
    routes = [
        *call_routes(room, sessions, closed),
        *session_routes(room, sessions, closed=closed),
        *_probes(room),
        Route("/openapi.json", show_document),
        *reference_routes(),
        *board_routes(),
    ]
    if scrape is not None:
        routes.append(_metrics(room, settings, sessions, scrape, closed=closed))
    middleware = [
        Middleware(Bounding, settings),
        Middleware(WholeBodies),
        Middleware(Guarding, settings),
    ]
    if settings.origins:
        middleware.append(
            Middleware(
                CORSMiddleware,
                allow_origins=settings.origins,
                allow_methods=["GET", "POST"],
                allow_headers=["authorization", "content-type", "if-none-match", "last-event-id"],
                expose_headers=["etag", "retry-after"],
            )
        )
    return Starlette(
        routes=routes,
        middleware=middleware,
        exception_handlers={HTTPException: _failed},
    )


def _probes(room: Room) -> list[Route]:
    """Return the probes, which need no token: they tell one bit each."""

    async def alive(_: Request) -> Response:
        return _told("the service stalls" if room.stalled else "")

    async def ready(_: Request) -> Response:
        return _told("" if room.ready else "not serving")

    return [Route("/healthz", alive), Route("/readyz", ready)]


def _told(fault: str) -> Response:
    headers = {"cache-control": "no-store"}
    return PlainTextResponse(f"{fault or 'ok'}\n", 503 if fault else 200, headers)


def _metrics(
    room: Room, settings: HttpSettings, sessions: Sessions, scrape: Scrape, *, closed: bool
) -> Route:
    needs_token = not is_loopback(settings.listen.rpartition(":")[0])

    async def metrics(request: Request) -> Response:
        try:
            if needs_token:
                check_reader(room, request, sessions.authorization(request), closed=closed)
        except Refused as refusal:
            return error_response(refusal)
        return await scrape(request.headers.get("accept", ""))

    return Route("/metrics", metrics)


async def _failed(request: Request, error: Exception) -> Response:
    """Answer a path or a verb that nothing serves."""
    assert isinstance(error, HTTPException)  # noqa: S101  # as registered
    if error.status_code == 405:
        text = f"{request.url.path} does not take {request.method}"
        refusal = refused(StatusCode.UNIMPLEMENTED, text, "WRONG_METHOD")
    else:
        text = f"there is nothing at {request.url.path}; /openapi.json lists what there is"
        refusal = refused(StatusCode.NOT_FOUND, text, "UNKNOWN_PATH")
    response = error_response(refusal, error.status_code)
    response.headers.update(error.headers or {})
    return response
