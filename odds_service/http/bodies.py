"""Bodies of requests, read to their end before an application answers.

hypercorn breaks an HTTP/2 connection whose application answers while parts of the request's body
are on their way, and blocks one that leaves many of them unread.
"""

import asyncio
from http import HTTPStatus
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from odds_service.asgi import after_body
from odds_service.http.errors import error_response
from odds_service.serving.admission import MAX_REQUEST_BYTES
from odds_service.serving.errors import Refused, StatusCode, exhausted, refused

BODY_S: Final = 10.0  # from a request's head to the end of its body


class WholeBodies:
    """An ASGI application that hands over each request with its whole body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the body; answer 413 to one that is too large, 408 to one that takes too long."""
        try:
            async with asyncio.timeout(BODY_S):
                body = await _body(receive)
        except TimeoutError:
            text = f"the body was not there within {BODY_S:g} s"
            slow = refused(StatusCode.DEADLINE_EXCEEDED, text, "SLOW_BODY")
            await error_response(slow, HTTPStatus.REQUEST_TIMEOUT)(scope, receive, send)
            return
        except Refused as large:
            status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
            await error_response(large, status)(scope, receive, send)
            return
        await self._app(scope, after_body(body, receive), send)


async def _body(receive: Receive) -> bytes:
    """Return the body, read to its end. Raises Refused if it is too large."""
    body, read_bytes = bytearray(), 0
    while True:
        message = await receive()
        piece = message.get("body", b"")
        read_bytes += len(piece)
        if read_bytes <= MAX_REQUEST_BYTES:
            body += piece
        if not message.get("more_body", False):
            break
    if read_bytes > MAX_REQUEST_BYTES:
        most = f"{MAX_REQUEST_BYTES:,}"
        text = f"the body has {read_bytes:,} bytes; at most {most} are allowed"
        raise exhausted("request size", text)
    return bytes(body)
