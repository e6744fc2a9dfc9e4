"""Checks before every route (host, origin), and the header that says who may embed an answer."""

from collections.abc import Collection
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from odds_service.access import is_loopback
from odds_service.config import HttpSettings
from odds_service.http.errors import error_response
from odds_service.serving.errors import StatusCode, refused

_PROBES: Final = frozenset({"/healthz", "/readyz"})  # kubelets call them by the pod's address
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class Bounding:
    """An ASGI application whose answers only pages of its own or of a named origin may embed.

    The other headers that bound a page stand in every answer, hypercorn's own too; see
    connections.PAGE_HEADERS. This one depends on the request.
    """

    def __init__(self, app: ASGIApp, settings: HttpSettings) -> None:
        self._app = app
        self._origins = frozenset(settings.origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and add the header to its response."""
        named = Headers(scope=scope).get("origin", "") in self._origins

        async def bounded(message: Message) -> None:
            if message["type"] == "http.response.start":
                policy = "cross-origin" if named else "same-origin"
                MutableHeaders(scope=message)["cross-origin-resource-policy"] = policy
            await send(message)

        await self._app(scope, receive, bounded)


class Guarding:
    """An ASGI application that lets through what may come from where it says it does.

    A page of any site can send requests to a listener on loopback, under a name of its own that it
    lets point there. So such a listener answers to its own names alone, and so does any other that
    has names in the settings: its port may be published on loopback. Requests that change something
    must come from a page of this door, of a named origin, or from no page.
    """

    def __init__(self, app: ASGIApp, settings: HttpSettings) -> None:
        self._app = app
        self._on_loopback = is_loopback(settings.listen.rpartition(":")[0])
        self._hosts = {name.lower() for name in settings.hosts}
        self._checks_hosts = self._on_loopback or bool(self._hosts)
        self._origins: Collection[str] = frozenset(settings.origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check a request, and refuse it or pass it on."""
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin", "")
        named = origin in self._origins
        probed = not self._on_loopback and scope["path"] in _PROBES
        if self._checks_hosts and not probed and not self._is_ours(host):
            text = f"this door does not answer to the name {host!r}; http.hosts can name it"
            refusal = refused(StatusCode.PERMISSION_DENIED, text, "FOREIGN_HOST")
            response = error_response(refusal, HTTPStatus.MISDIRECTED_REQUEST)
        elif scope["method"] not in _SAFE and origin and not (named or _is_own(origin, host)):
            text = f"pages of {origin!r} may not change anything here; http.origins can name them"
            refusal = refused(StatusCode.PERMISSION_DENIED, text, "FOREIGN_ORIGIN")
            response = error_response(refusal)
        else:
            await self._app(scope, receive, send)
            return
        await response(scope, receive, send)

    def _is_ours(self, host: str) -> bool:
        name = urlsplit(f"//{host}").hostname or ""
        return is_loopback(name) or name in self._hosts


def _is_own(origin: str, host: str) -> bool:
    """Return whether a page came from the door that it now calls."""
    return urlsplit(origin).netloc.lower() == host.lower()
