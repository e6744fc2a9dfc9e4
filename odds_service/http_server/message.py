"""Requests and responses of the HTTP server's applications."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Self
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec


class Request(msgspec.Struct, frozen=True):
    """A complete request; ``query`` has every value of a repeated parameter, in order."""

    method: str
    path: str  # decoded, without the query
    query: dict[str, list[str]]
    headers: list[tuple[str, str]]  # names in lower case
    body: bytes

    @classmethod
    def from_target(
        cls, method: str, target: str, headers: list[tuple[str, str]], body: bytes
    ) -> Self:
        """Build a request from a request target.

        Args:
            method: the HTTP method.
            target: the path and query, percent-encoded.
            headers: the headers, with names in lower case.
            body: the complete body.

        Raises:
            ValueError: The target is not a valid URL (an unclosed IPv6 address, for example).
        """
        parts = urlsplit(target)
        query = parse_qs(parts.query, keep_blank_values=True, max_num_fields=1_000)
        return cls(method, unquote(parts.path), query, headers, body)

    def header(self, name: str) -> str:
        """Return the values of a header, joined by commas as HTTP defines; empty if absent."""
        return ", ".join(value for key, value in self.headers if key == name)

    def first(self, parameter: str) -> str | None:
        """Return the first value of a query parameter, or None if it is absent."""
        values = self.query.get(parameter)
        return values[0] if values else None

    def listed(self, parameter: str) -> list[str]:
        """Return the non-blank parts of a comma-separated query parameter."""
        return [
            part.strip()
            for value in self.query.get(parameter, [])
            for part in value.split(",")
            if part.strip()
        ]


class Response(msgspec.Struct, frozen=True):
    """A response; ``body`` may consist of pieces, which are sent in order as one body.

    ``on_sent`` is called once in the server's task, after the system has accepted the last byte of
    the response to a GET. It is never called for a HEAD, nor for a response that was cut off.
    """

    status: int = 200
    body: bytes | Sequence[bytes] = b""
    headers: Sequence[tuple[str, str]] = ()
    content_type: str = "application/json; charset=utf-8"
    on_sent: Callable[[], None] | None = None

    @property
    def pieces(self) -> Sequence[bytes]:
        """Return the body as a sequence of pieces."""
        return (self.body,) if isinstance(self.body, bytes) else self.body


App = Callable[[Request], Awaitable[Response]]
