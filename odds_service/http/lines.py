"""Streams of pages as lines of JSON (NDJSON): one line a change, or an event with closing odds.

The last line proves that the download is complete: `{"end": …}`, or `{"error": …}` with a Status.
A download without either was cut off.
"""

from typing import Any

import msgspec
from google.protobuf.message import Message

from odds_service.serving.stretches import joined
from odds_service.wire.json_mapping import json_pieces, to_value
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb


class Lines:
    """The lines of one stream of pages; each element of a page is a line of its own."""

    def __init__(self, page: type[Message]) -> None:
        self._page = page
        self._last = pb.HistoryPage()
        self._count = 0

    async def encode(self, message: bytes) -> bytes:
        """Return a page as lines; empty for a page without elements."""
        read: Any = self._page.FromString(message)
        if isinstance(read, pb.HistoryPage):
            self._last = pb.HistoryPage(cursor=read.cursor, durable_revision=read.durable_revision)
            rows = read.changes
        else:
            rows = read.events
        self._count += len(rows)
        return await joined(
            piece for row in rows for part in (json_pieces(row), (b"\n",)) for piece in part
        )

    def failed(self, status: bytes) -> bytes:
        """Return the last line of a stream that ends with an error, a Status in JSON."""
        return b'{"error": ' + status + b"}\n"

    def ended(self) -> bytes:
        """Return the last line of a whole stream: how many lines came, and where to go on.

        The cursor is left out where the span held no revision at all.
        """
        if self._page is pb.HistoryPage:
            end = to_value(self._last) | {"changes": str(self._count)}
        else:
            end = {"events": str(self._count)}
        return msgspec.json.encode({"end": end}) + b"\n"
