"""Streams of pages as lines of JSON (NDJSON): one line a change, or an event with closing odds."""

from collections.abc import Callable
from typing import Any

from google.protobuf.message import Message

from odds_service.wire.json_mapping import to_json


def page_encoder(
    page: type[Message],
) -> tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]:
    """Return the encoder of a stream's pages, and of the error that ends it.

    Each element of a page is a line of its own.
    """

    def encode(message: bytes) -> bytes:
        read: Any = page.FromString(message)
        rows = read.changes if hasattr(read, "changes") else read.events
        return b"".join(to_json(row) + b"\n" for row in rows)

    def failed(status: bytes) -> bytes:
        return b'{"error": ' + status + b"}\n"

    return encode, failed
