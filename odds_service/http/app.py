"""The HTTP door's application: its routes and what stands before them."""

from pathlib import Path
from typing import Final

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from odds_service.http.openapi import show_document
from odds_service.http.reference import reference_routes
from odds_service.http.routes import call_routes
from odds_service.serving.server import Room

BOARD: Final = Path(__file__).parent / "board"


def application(room: Room, *, closed: bool, middleware: list[Middleware]) -> Starlette:
    """Return the application of one door.

    Args:
        room: The state behind every door.
        closed: Whether only the owner can reach the door if it asks for no tokens.
        middleware: Checks that come before every route.
    """

    async def alive(_: Request) -> Response:  # noqa: ASYNC124  # a route is async
        up = not room.stalled
        return PlainTextResponse("ok\n" if up else "the service stalls\n", 200 if up else 503)

    async def ready(_: Request) -> Response:  # noqa: ASYNC124
        return PlainTextResponse(
            "ok\n" if room.ready else "not serving\n", 200 if room.ready else 503
        )

    return Starlette(
        routes=[
            *call_routes(room, closed),
            Route("/healthz", alive),
            Route("/readyz", ready),
            Route("/openapi.json", show_document),
            *reference_routes(),
            Mount("/", StaticFiles(directory=BOARD, html=True)),
        ],
        middleware=middleware,
    )
