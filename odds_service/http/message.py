"""Requests and responses, as an application of the HTTP server sees them."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Self
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec


class Request(msgspec.Struct, frozen=True):
    """One complete request; ``query`` keeps every value of a repeated parameter, in order."""

    method: str
    path: str  # decoded, without the query
    query: dict[str, list[str]]
    headers: list[tuple[str, str]]  # names in lower case
    body: bytes

    @classmethod
    def from_target(
        cls, method: str, target: str, headers: list[tuple[str, str]], body: bytes
    ) -> Self:
        """Parse a request target into path and query.

        Raises:
            ValueError: the target is no URL (such as an unclosed IPv6 address).
        """
        parts = urlsplit(target)
        query = parse_qs(parts.query, keep_blank_values=True, max_num_fields=1_000)
        return cls(method, unquote(parts.path), query, headers, body)

    def header(self, name: str) -> str:
        """Return all values of a header joined by commas, as HTTP defines; empty if absent."""
        return ", ".join(value for key, value in self.headers if key == name)

    def first(self, parameter: str) -> str | None:
        """Return the first value of a query parameter, None if absent."""
        values = self.query.get(parameter)
        return values[0] if values else None

    def listed(self, parameter: str) -> list[str]:
        """Return the parts of a comma-separated query parameter, without blank ones."""
        return [
            part.strip()
            for value in self.query.get(parameter, [])
            for part in value.split(",")
            if part.strip()
        ]


class Response(msgspec.Struct, frozen=True):
    """An answer; ``body`` may be in pieces, which are sent in order as one body.

    ``on_sent`` is called once, in the server's task, after the last byte of a GET's answer was
    handed to the system without an error; never for a HEAD, nor for an answer that was cut.
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
