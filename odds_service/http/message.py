"""What an application of the HTTP server takes and gives."""

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
        """Take a request target apart.

        Raises:
            ValueError: the target is no URL (such as an unclosed IPv6 address).
        """
        parts = urlsplit(target)
        query = parse_qs(parts.query, keep_blank_values=True, max_num_fields=1_000)
        return cls(method, unquote(parts.path), query, headers, body)

    def header(self, name: str) -> str:
        """All values of a header joined by a comma, as HTTP defines it; empty if there is none."""
        return ", ".join(value for key, value in self.headers if key == name)

    def first(self, parameter: str) -> str | None:
        """The first value of a query parameter, None if it is not there."""
        values = self.query.get(parameter)
        return values[0] if values else None

    def listed(self, parameter: str) -> list[str]:
        """A comma separated parameter as its parts, blank ones left out."""
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
        """The body as a sequence of pieces."""
        return (self.body,) if isinstance(self.body, bytes) else self.body


App = Callable[[Request], Awaitable[Response]]
