"""The files of the board, as a browser runs them; see board/main.js."""

from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.staticfiles import StaticFiles

_FOLDER: Final = Path(__file__).parent / "board"
_FRESH: Final = {"cache-control": "no-cache"}  # modules of two releases do not fit together


def board_routes() -> list[Route]:
    """Return a route for each file, and `/` for the page. They need no token: they hold no odds."""
    files = StaticFiles(directory=_FOLDER)

    async def page(request: Request) -> Response:
        name = request.url.path.lstrip("/") or "index.html"
        response = await files.get_response(name, request.scope)
        response.headers.update(_FRESH)
        return response

    names = sorted(path.name for path in _FOLDER.iterdir() if path.is_file())
    return [Route("/", page), *(Route(f"/{name}", page) for name in names)]
