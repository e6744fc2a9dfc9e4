"""The page at /docs, which shows /openapi.json to people; files that a browser runs as they are."""

from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

_FOLDER: Final = Path(__file__).parent / "page"


def reference_routes() -> list[BaseRoute]:
    """Return the routes of the page and its files."""

    async def page(_: Request) -> Response:
        return FileResponse(_FOLDER / "index.html", headers={"cache-control": "no-cache"})

    return [Route("/docs", page), Mount("/docs", StaticFiles(directory=_FOLDER))]
