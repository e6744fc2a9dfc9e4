"""Sites of bookmakers in tests: endpoints of Starlette that answer every path, served in Trio."""

from collections.abc import Awaitable, Callable
from urllib.parse import unquote

import trio
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import request_response
from starlette.types import Message

from odds_service.asgi import Limits, serve_app

Site = Callable[[Request], Awaitable[Response]]


async def serve_site(
    site: Site,
    *,
    gzip: bool = False,
    limits: Limits | None = None,
    task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve a site at a free port until cancelled; started() passes the port."""
    await serve_app(request_response(site), gzip=gzip, limits=limits, task_status=task_status)


def request_of(
    method: str, target: str, headers: list[tuple[str, str]], body: bytes = b""
) -> Request:
    """Return a request as a server would build it; names of headers are in lower case."""
    path, _, query = target.partition("?")
    scope = {
        "type": "http",
        "method": method,
        "scheme": "http",
        "server": ("127.0.0.1", 80),
        "path": unquote(path),
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers],
    }

    async def receive() -> Message:
        await trio.lowlevel.checkpoint()
        return {"type": "http.request", "body": body, "more_body": False}

    return Request(scope, receive)
