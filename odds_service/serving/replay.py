"""Replay: the past as WatchChanges told it, read page by page as fast as the client reads.

A stalled client costs two pages of changes, or the odds of one group of events. The database is not
held meanwhile: each page and each group is a read of its own.
"""

import asyncio
from collections.abc import Iterator, Sequence
from time import monotonic
from typing import Final, NamedTuple, Protocol

from odds_service.errors import BelowFloor
from odds_service.filters.selection import EVERYTHING, Selection
from odds_service.model.cursor import amid, is_incomplete
from odds_service.serving.context import StreamingContext
from odds_service.serving.errors import StatusCode, bad_request, refused, unavailable
from odds_service.serving.hub import WRITE_TIMEOUT_S
from odds_service.serving.parts import History, Past
from odds_service.serving.past_image import PastImage
from odds_service.serving.row_frames import Frame, FramePage, LogFrames, bodies, frames_after
from odds_service.serving.server_context import ServerContext
from odds_service.serving.span import not_kept, span
from odds_service.serving.stored import StoredLog
from odds_service.serving.watch_options import HEARTBEAT_S, RESUME_AFTER_S, duration
from odds_service.wire.encode import source_message
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from odds_service.wire.wire_fields import bytes_tag, delimited, timestamp

_IMAGE: Final = bytes_tag(pb.ReplayResponse.IMAGE_FIELD_NUMBER)
_CHANGES: Final = bytes_tag(pb.ReplayResponse.CHANGES_FIELD_NUMBER)


class _Store(History, Past, Protocol):
    """A store that keeps the log and past odds."""


class _Start(NamedTuple):
    """The beginning of a stream: with an image as of a revision, or with the changes after it."""

    image: bool
    reason: pb.IntentReason.ValueType
    revision: int


async def replay(
    server: ServerContext, request: pb.ReplayRequest, context: StreamingContext
) -> None:
    """Stream an image as of the start and the changes up to the end. Raises Refused."""
    store = server.parts.store
    if store is None:
        raise refused(StatusCode.UNIMPLEMENTED, "nothing is stored here", "NO_STORE")
    if not isinstance(store, Past):
        raise refused(StatusCode.UNIMPLEMENTED, "odds of the past are not kept", "NO_PAST")
    try:
        after, upto = await span(server, store, request)
        upto = max(after, upto)
        start = _start(server, request, after, upto)
        selection = server.selection(request.filter)
        await Replay(server, store, selection, context, start, upto).run()
    except BelowFloor as error:
        raise not_kept(error) from None
    except TimeoutError:
        text = "the client read nothing for too long"
        raise unavailable(text, "STALLED_READER") from None


def _start(server: ServerContext, request: pb.ReplayRequest, after: int, upto: int) -> _Start:
    if not request.HasField("resume"):
        return _Start(True, pb.INTENT_REASON_NO_CURSOR, after)
    cursor = request.resume
    verdict = server.resumes(cursor)
    if verdict != pb.INTENT_REASON_RESUMED:
        return _Start(True, verdict, after)
    if not after <= cursor.revision <= upto:
        raise bad_request("resume", "lies outside of the span from the start to the end")
    if is_incomplete(cursor.epoch):
        return _Start(True, pb.INTENT_REASON_IMAGE_INCOMPLETE, cursor.revision)
    return _Start(False, pb.INTENT_REASON_RESUMED, cursor.revision)


class Replay:
    """One stream of the past, from its opening to its end."""

    def __init__(
        self,
        server: ServerContext,
        store: _Store,
        selection: Selection,
        context: StreamingContext,
        start: _Start,
        upto: int,
    ) -> None:
        self._server = server
        self._store = store
        self._selection = selection
        self._context = context
        self._start = start
        self._upto = upto
        self._reached = start.revision  # the reader has all changes up to here
        self._told = start.revision  # the cursor revision of the last message
        self._whole = not start.image
        self._written_at = monotonic()
        self._page: asyncio.Task[FramePage] | None = None

    async def run(self) -> None:
        """Send all messages.

        Raises:
            Refused: UNAVAILABLE at the service's stop, after the closing message.
            BelowFloor: What is still to be sent is no longer kept.
            TimeoutError: The client took nothing for WRITE_TIMEOUT_S.

        Cancellation: The message in hand may be lost; the client resumes at the one before it.
        """
        try:
            log = await self._open()
            while self._reached < self._upto:
                page = await self._next_page(log)
                gaps = _gaps(page, self._reached, complete=self._selection is EVERYTHING)
                if not gaps:
                    self._read_ahead(log, page.reached)
                    await self._send_changes(page.frames, page.reached)
                    continue
                first, last = gaps
                known = [frame for frame in page.frames if frame.revision < first]
                await self._send_changes(known, first - 1)
                await self._send_lagged(first, last)
                log = await self._send_image(last)
            end = pb.ReplayEnd(cursor=self._cursor(self._upto), prev_revision=self._told)
            await self._write(pb.ReplayResponse(end=end).SerializeToString())
        finally:
            if self._page is not None:
                self._page.cancel()

    # Opening and images

    async def _open(self) -> LogFrames:
        start = self._start
        image = PastImage(self._server, self._store, self._selection, start.revision)
        await image.begin()
        opened = pb.Opened(
            cursor=self._cursor(start.revision),
            intent=pb.INTENT_IMAGE if start.image else pb.INTENT_CHANGES,
            reason=start.reason,
            durable_revision=self._durable,
            heartbeat=duration(HEARTBEAT_S),
            policy=pb.SLOW_READER_POLICY_LOSSLESS,
            sources=[source_message(state) for state in image.sources],
        )
        await self._write(pb.ReplayResponse(opened=opened).SerializeToString())
        if start.image:
            return await self._send_image(start.revision, image)
        return frames_after(self._server, self._store, self._selection, start.revision)

    async def _send_image(self, revision: int, image: PastImage | None = None) -> LogFrames:
        """Send an image as of a revision; return the log after it."""
        self._whole = False
        if image is None:
            image = PastImage(self._server, self._store, self._selection, revision)
            await image.begin()
        log = StoredLog(self._server, self._store, self._selection, revision)
        events = await log.events()
        begin = pb.ImageBegin(
            cursor=self._cursor(revision),
            prev_revision=self._told,
            durable_revision=self._durable,
            sources=[source_message(state) for state in image.sources],
        )
        await self._write(pb.ReplayResponse(image_begin=begin).SerializeToString())
        self._told = revision
        number = 0
        async for piece in image.pieces(events.values()):
            number += 1
            tail = pb.Image(cursor=self._cursor(revision), prev_revision=revision, piece=number)
            await self._write(_IMAGE + delimited(piece.body + tail.SerializeToString()))
        self._whole = True
        end = pb.ImageEnd(
            cursor=self._cursor(revision),
            prev_revision=revision,
            pieces=number,
            events=image.events,
            markets=image.markets,
            unknown=image.unknown,
        )
        await self._write(pb.ReplayResponse(image_end=end).SerializeToString())
        self._reached = revision
        return frames_after(self._server, self._store, self._selection, revision, log)

    # Changes

    def _read_ahead(self, log: LogFrames, reached: int) -> None:
        """Begin to read the next page while this one is sent."""
        if reached < self._upto:
            self._page = asyncio.create_task(log.next_page(self._upto))

    async def _next_page(self, log: LogFrames) -> FramePage:
        """Return the next page, with heartbeats while it is being read."""
        if self._page is None:
            self._page = asyncio.create_task(log.next_page(self._upto))
        while not self._page.done():
            left_s = max(0.0, self._written_at + HEARTBEAT_S - monotonic())
            await asyncio.wait({self._page}, timeout=left_s)
            if monotonic() >= self._written_at + HEARTBEAT_S:
                await self._send_heartbeat()
        page, self._page = self._page, None
        return page.result()

    async def _send_changes(self, frames: Sequence[Frame], reached: int) -> None:
        """Send the changes of a page, which reaches up to a revision."""
        for message in self._messages(frames, reached):
            await self._write(message)
        self._reached = reached
        if monotonic() >= self._written_at + HEARTBEAT_S:  # the filter selects little
            await self._send_heartbeat()

    def _messages(self, frames: Sequence[Frame], reached: int) -> Iterator[bytes]:
        """Yield the messages with changes; each counts as sent when the next is asked for."""
        for body in bodies(frames, reached) if frames else ():
            cursor = self._cursor(body.revision)
            if body.amid:
                cursor.epoch = amid(cursor.epoch)
            tail = pb.Changes(
                prev_revision=self._told, cursor=cursor, durable_revision=self._durable
            )
            yield _CHANGES + delimited(body.wire + tail.SerializeToString())
            self._server.usage.changes += body.changes
            self._told = self._reached = body.revision

    # Messages

    async def _send_heartbeat(self) -> None:
        heartbeat = pb.Heartbeat(
            cursor=self._cursor(self._reached),
            durable_revision=self._durable,
            prev_revision=self._told,
            sent_at=timestamp(self._server.parts.now()),
        )
        await self._write(pb.ReplayResponse(heartbeat=heartbeat).SerializeToString())
        self._told = self._reached

    async def _send_lagged(self, first: int, last: int) -> None:
        self._whole = False
        lagged = pb.Lagged(
            lost_from=first,
            lost_to=last,
            cursor=self._cursor(self._reached),
            prev_revision=self._told,
            reason=pb.INTENT_REASON_HISTORY_GAP,
        )
        await self._write(pb.ReplayResponse(lagged=lagged).SerializeToString())
        self._told = self._reached

    async def _write(self, message: bytes) -> None:
        """Hand over a message, waiting while the client is slow. Raises Refused at a stop."""
        stopping = self._server.hub.closed
        async with asyncio.timeout(WRITE_TIMEOUT_S):
            await self._context.write(self._closing() if stopping else message)
        self._written_at = monotonic()
        if stopping:
            text = "the server is stopping; resume at the last cursor"
            raise unavailable(text, "SERVER_STOPPING")

    def _closing(self) -> bytes:
        closing = pb.Closing(
            cursor=self._cursor(self._told),
            prev_revision=self._told,
            reason="server_stopping",
            retry_after=duration(RESUME_AFTER_S),
            durable_revision=self._durable,
        )
        return pb.ReplayResponse(closing=closing).SerializeToString()

    @property
    def _durable(self) -> int:
        return self._server.parts.feed.durable_revision

    def _cursor(self, revision: int) -> pb.Cursor:
        return self._server.cursor(revision, whole=self._whole)


def _gaps(page: FramePage, after: int, *, complete: bool) -> tuple[int, int] | None:
    """Return the first and the last revision of the first gap in a page, or None without one.

    Args:
        page: The page.
        after: The revision before it.
        complete: Whether every change of the log is selected, so that a missing one is a gap.
    """
    lost = sorted(page.unstored)
    if complete and len(page.frames) != page.reached - after:
        present = {frame.revision for frame in page.frames}.difference(lost)
        lost = [r for r in range(after + 1, page.reached + 1) if r not in present]
    if not lost:
        return None
    last = lost[0]
    for revision in lost[1:]:
        if revision != last + 1:
            break
        last = revision
    return lost[0], last
