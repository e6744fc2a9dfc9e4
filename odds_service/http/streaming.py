"""Streams of a call as HTTP bodies: Server-Sent Events and lines of JSON."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, Final

from google.protobuf.message import Message
from starlette.types import Receive, Scope, Send

from odds_service.http.connections import PIECES
from odds_service.http.context import peer_of
from odds_service.http.errors import error_response, status_json
from odds_service.http.queries import cursor_text
from odds_service.serving.errors import Refused
from odds_service.serving.stretches import joined
from odds_service.wire.json_mapping import json_pieces, to_json
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb

_REMEMBERED_BYTES: Final = 8 * 2**20  # 8 MiB of events kept for several streams
# The field of a kind that holds its odds: equal for many streams, whose cursors differ.
_SHARED: Final = {"changes": "changes", "image": "events", "freshness": "odds"}

# Runs a call with a context; raises Refused.
Runs = Callable[["StreamContext"], Awaitable[None]]
# Returns a message as a piece of the body.
Encodes = Callable[[bytes], Awaitable[bytes]]


class StreamContext:
    """The context of a call that streams: each message becomes a piece of the body."""

    def __init__(self, scope: Scope, send: Send, kind: str, encode: Encodes) -> None:
        self._peer = peer_of(scope)
        self._send = send
        self._send_piece: Callable[[bytes], Awaitable[None]] = scope.get("extensions", {}).get(
            PIECES, self._send_body
        )
        self._kind = kind
        self._encode = encode
        self.begun = False

    def peer(self) -> str:
        return self._peer

    def time_remaining(self) -> float | None:
        return None

    async def write(self, message: bytes) -> None:
        """Send a message, waiting while the reader is slow."""
        await self.send_text(await self._encode(message))

    async def send_text(self, text: bytes) -> None:
        """Send a piece of the body; the first one begins the response."""
        if not self.begun:
            self.begun = True
            await self._send({
                "type": "http.response.start",
                "status": 200,
                "headers": [
                    (b"content-type", self._kind.encode("ascii")),
                    (b"cache-control", b"no-store"),
                    (b"x-accel-buffering", b"no"),  # nginx would hold a stream back
                ],
            })  # fmt: skip
        await self._send_piece(text)

    async def _send_body(self, text: bytes) -> None:
        await self._send({"type": "http.response.body", "body": text, "more_body": True})


class StreamResponse:
    """An ASGI response that runs a call until it ends or its reader leaves.

    Args:
        runs: The call.
        kind: The content type.
        encode: Returns a message as a piece of the body.
        failed: Returns the last piece after an error, from a Status in JSON.
        ended: Returns the last piece without an error.
    """

    def __init__(
        self,
        runs: Runs,
        kind: str,
        encode: Encodes,
        failed: Callable[[bytes], bytes],
        ended: Callable[[], bytes] = bytes,
    ) -> None:
        self._runs = runs
        self._kind = kind
        self._encode = encode
        self._failed = failed
        self._ended = ended

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        context = StreamContext(scope, send, self._kind, self._encode)
        call = asyncio.ensure_future(self._runs(context))
        leaving = asyncio.create_task(_left(receive))
        try:
            await asyncio.wait({call, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
            call.cancel()
        await asyncio.wait({call})
        if call.cancelled():
            return  # the reader has left, or the server cancels its last calls
        try:
            call.result()
        except Refused as refusal:
            if not context.begun:
                await error_response(refusal)(scope, receive, send)
                return
            await context.send_text(self._failed(status_json(refusal)))
        else:
            await context.send_text(self._ended())
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class Events:
    """Messages of WatchChanges as Server-Sent Events, encoded once for all streams.

    Streams that share a message's bytes share its event too. For use on the server's loop only.

    Attributes:
        made: The number of encodings.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[bytes, bytes] = OrderedDict()
        self._under_way: dict[bytes, asyncio.Event] = {}
        self._bytes = 0
        self.made = 0

    async def event(self, message: bytes) -> bytes:
        """Return a message as an event: its cursor as id, its kind, and the message in JSON.

        A cancellation loses nothing: the next stream with the message encodes it.
        """
        while True:
            if (known := self._kept.get(message)) is not None:
                return known
            if (other := self._under_way.get(message)) is None:
                break
            await other.wait()
        response = pb.WatchChangesResponse.FromString(message)
        kind = response.WhichOneof("message") or "opened"  # the server sets one always
        if kind != "changes":  # the other kinds are one stream's own
            return await self._encoded(response, kind)
        done = self._under_way[message] = asyncio.Event()
        try:
            made = await self._encoded(response, kind)
        finally:
            del self._under_way[message]
            done.set()
        self._keep(message, made)
        return made

    async def _encoded(self, response: pb.WatchChangesResponse, kind: str) -> bytes:
        inner = getattr(response, kind)
        if kind in _SHARED:
            return _written(inner.cursor, kind, await self._shared(inner, _SHARED[kind]))
        self.made += 1
        return _written(inner.cursor, kind, await joined(json_pieces(inner)))

    async def _shared(self, inner: Any, field: str) -> bytes:
        """Return a message as JSON. Streams with other cursors share the text of the field."""
        odds = type(inner)(**{field: getattr(inner, field)})
        key = odds.DESCRIPTOR.name.encode() + odds.SerializeToString()
        text = self._kept.get(key)
        if text is None:
            self.made += 1
            text = await joined(json_pieces(odds))
            self._keep(key, text)
        else:
            self._kept.move_to_end(key)
        inner.ClearField(field)
        tail = to_json(inner)
        between = b"," if len(text) > 2 and len(tail) > 2 else b""
        return text[:-1] + between + tail[1:]

    def _keep(self, message: bytes, made: bytes) -> None:
        if message in self._kept:  # two streams have encoded the same piece at once
            return
        self._kept[message] = made
        self._bytes += len(message) + len(made)
        while self._bytes > _REMEMBERED_BYTES and len(self._kept) > 1:
            old, dropped = self._kept.popitem(last=False)
            self._bytes -= len(old) + len(dropped)


async def event_of(answers: type[Message], message: bytes) -> bytes:
    """Return a message of one stream alone as an event."""
    response = answers.FromString(message)
    kind = response.WhichOneof("message") or "opened"  # the server sets one always
    return await _event(response, kind)


async def _event(response: Message, kind: str) -> bytes:
    inner = getattr(response, kind)
    return _written(inner.cursor, kind, await joined(json_pieces(inner)))


def _written(cursor: pb.Cursor, kind: str, text: bytes) -> bytes:
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (cursor_text(cursor).encode(), kind.encode(), text)


def failed_event(status: bytes) -> bytes:
    """Return the event that ends a stream with an error; it has no id."""
    return b"event: error\ndata: %b\n\n" % status
