"""WatchChanges: the driver of a subscription.

The state machine in `stream/` decides which message comes next. The driver encodes and writes it,
waits, and reads the database. It reads the shared log only as fast as the client reads messages,
so a stalled stream costs no more than the message in hand.
"""

import asyncio
from time import monotonic  # the same clock as loop.time(), without its two extra calls
from typing import Final

from odds_service.filters.filtering import Selected
from odds_service.model.cursor import Cursor
from odds_service.serving.context import StreamingContext
from odds_service.serving.errors import Refused, StatusCode, refused, unavailable
from odds_service.serving.freshness import FreshReader, freshness_message
from odds_service.serving.hub import Subscriber
from odds_service.serving.parts import History
from odds_service.serving.pending_image import PendingImage
from odds_service.serving.reading import Piece, piece_of
from odds_service.serving.server_context import ServerContext
from odds_service.serving.stored_stretch import HistoryGap, StoredStretch, gap_after
from odds_service.serving.watch_options import RESUME_AFTER_S, duration
from odds_service.stream import actions
from odds_service.stream.actions import Finish, SendChanges, Wait
from odds_service.stream.delivery import delivery_of
from odds_service.stream.memory_log import LeftMemory
from odds_service.stream.opening import IntentReason, Resume, Start
from odds_service.stream.options import WatchOptions
from odds_service.stream.subscription import Subscription
from odds_service.wire.encode import source_message
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from odds_service.wire.wire_fields import timestamp

IMAGE_STALL_S: Final = 30.0  # the longest that an image keeps old odds alive for a stalled reader


class Watch:
    """One stream of changes, from its opening to its end."""

    # Each is set only if the machine can ask for an action that needs it.
    _store: History
    _fresh: FreshReader
    _image: PendingImage

    def __init__(
        self,
        server: ServerContext,
        options: WatchOptions,
        request: pb.WatchChangesRequest,
        context: StreamingContext,
        subscriber: Subscriber,
    ) -> None:
        self._server = server
        self._feed = server.parts.feed
        self._deliveries = server.deliveries
        self._options = options
        self._context = context
        self._subscriber = subscriber
        self._subscription = Subscription(
            options,
            self._feed,
            delivery_of(options, server.windows, self._feed),
            resume=_resume(server, request),
            stored=server.parts.store is not None,
            now=monotonic(),
        )
        self._durable = 0  # the latest durable revision sent to the reader
        self._stretch: StoredStretch | None = None
        self._page: asyncio.Task[tuple[list[Selected], int]] | None = None
        if server.parts.store is not None:
            self._store = server.parts.store
        if options.freshness:
            self._fresh = server.freshness.reader(options.selection)

    async def run(self) -> None:
        """Send until the client leaves or the service stops.

        Raises:
            Refused: UNAVAILABLE at the service's stop, after the closing message; OUT_OF_RANGE
                if only an image could help and the client wants none.

        Cancellation: The message in hand may be lost; the client resumes at the one before it.
        """
        hub, feed, reader = self._server.hub, self._feed, self._server.reader
        subscription, subscriber = self._subscription, self._subscriber
        selection, next_action = self._options.selection, self._subscription.next
        try:
            while True:
                stopping = hub.closed
                news = feed.head_revision if stopping else hub.woken_head
                action = next_action(monotonic(), news, stopping)
                # A busy stream alternates between the first two, so they skip the match in _take.
                if isinstance(action, SendChanges):
                    try:
                        piece = reader.read(selection, action.after)
                    except LeftMemory:
                        subscription.left_memory()
                        continue
                    await self._send_piece(piece)
                elif isinstance(action, Wait):
                    if self._page is not None:
                        await self._wait_for_page(self._page, action.until)
                    else:
                        revision, until = subscription.revision, action.until
                        woken = action.woken
                        skipped = await hub.wait(subscriber, revision, until, woken=woken)
                        if skipped > revision:
                            subscription.skipped(skipped)
                            subscriber.revision = subscription.revision
                elif isinstance(action, Finish):
                    return
                else:
                    await self._take(action)
        finally:
            if self._page is not None:
                self._page.cancel()

    async def _take(self, action: actions.Action) -> None:
        match action:
            case actions.SendWindow():
                await self._send_window(action)
            case actions.SendStored(selected, after, upto):
                await self._send_piece(piece_of(selected, after, upto))
            case actions.SendHeartbeat():
                await self._send(self._heartbeat(action))
            case actions.Pause():
                await asyncio.sleep(0)
            case actions.ReadStored(after):
                self._read_stored(after)
            case actions.SendFreshness():
                await self._send_freshness()
            case actions.MakePiece():
                self._make_piece()
            case actions.SendPiece() | actions.SendImageBegin():
                await self._send_image(action)
            case actions.SendImageEnd():
                await self._end_image(action)
            case actions.TakeView():
                self._take_view()
            case actions.LookAtFreshness():
                await self._look_at_freshness()
            case actions.SendLagged():
                await self._send(self._lagged(action))
            case actions.SendOpened(start):
                self._subscriber.revision = start.revision
                await self._send(self._opened(start))
            case actions.CheckStored(after, upto):
                await self._check_stored(after, upto)
            case actions.Refuse(reason):
                raise _not_kept(reason)
            case actions.SendClosing():
                await self._send(self._closing(action))
                text = "the server is stopping; resume at the last cursor"
                raise unavailable(text, "SERVER_STOPPING")

    # Changes

    async def _send_window(self, action: actions.SendWindow) -> None:
        reader, selection = self._server.reader, self._options.selection
        after, upto, begun = action.after, action.upto, action.begun
        try:
            if begun is None:
                piece = await reader.window(selection, after, upto)
            else:
                piece = await reader.complete(selection, begun, after, upto)
        except LeftMemory:
            self._subscription.left_memory()
            return
        await self._send_piece(piece)

    async def _send_piece(self, piece: Piece) -> None:
        feed, subscriber, write = self._feed, self._subscriber, self._context.write
        told = self._subscription.told
        durable = feed.durable_revision
        for message in piece.messages(told, self._server.epoch, durable, self._durable):
            subscriber.blocked_since = monotonic()
            await write(message)
        subscriber.blocked_since = None
        now = monotonic()
        if piece.bodies:
            self._server.usage.changes += piece.changes
            self._durable = max(self._durable, piece.durable_revision)
            parcel = piece.parcel
            # A client that was away is late by itself; its first changes show no delay of ours.
            if parcel is not None and parcel.begun_s >= subscriber.opened_s:
                self._deliveries.delivered(parcel, now)
        subscriber.revision = piece.revision
        self._subscription.reached(piece.revision, now, not piece.bodies)
        if self._stretch is not None:
            self._leave_database()

    # The database

    async def _check_stored(self, after: int, upto: int) -> None:
        gap = await gap_after(self._server, self._store, after, upto)
        self._subscription.checked(gap)

    def _read_stored(self, after: int) -> None:
        """Begin to read a page; `_wait_for_page` hands it to the machine."""
        self._subscriber.replaying = True
        if self._stretch is None or self._stretch.revision != after:
            self._stretch = StoredStretch(self._server, self._store, self._options.selection, after)
        self._page = asyncio.create_task(self._stretch.next_page())

    async def _wait_for_page(
        self, page: "asyncio.Task[tuple[list[Selected], int]]", until: float
    ) -> None:
        await asyncio.wait({page}, timeout=max(0.0, until - monotonic()))
        if page.done():
            self._take_page(page)

    def _take_page(self, page: "asyncio.Task[tuple[list[Selected], int]]") -> None:
        self._page = None
        try:
            selected, upto = page.result()
        except HistoryGap as gap:
            self._subscription.lost(gap.reason)
        else:
            self._subscription.page_read(selected, upto)

    def _leave_database(self) -> None:
        """Drop the state of reading the database once memory serves the stream again."""
        if not self._subscription.replaying:
            self._subscriber.replaying = False
            self._stretch = None

    # Freshness

    async def _look_at_freshness(self) -> None:
        await self._fresh.begin()
        self._subscription.freshness_due(self._fresh.due_at)

    async def _send_freshness(self) -> None:
        subscription = self._subscription
        bodies = await self._fresh.bodies(subscription.revision)
        cursor = self._server.cursor(subscription.revision)
        prev_revision = subscription.told
        for body in bodies:
            await self._write(freshness_message(body, cursor, prev_revision, self._told()))
            prev_revision = subscription.revision
        subscription.freshness_told(self._fresh.due_at, sent=bool(bodies))

    # The image

    def _take_view(self) -> None:
        self._image = PendingImage(self._server, self._options.selection)
        self._subscription.viewed(self._image.revision)

    def _make_piece(self) -> None:
        found = self._image.make_piece()
        self._subscription.piece_made(found=found, dropped=self._image.dropped)

    async def _send_image(self, action: actions.SendImageBegin | actions.SendPiece) -> None:
        """Send a message of the image in hand.

        A view keeps replaced odds alive. So if the reader stalls for IMAGE_STALL_S, the view is
        dropped, and the image begins anew once the reader is back.
        """
        image = self._image
        cursor = self._cursor(action.revision)
        if isinstance(action, actions.SendPiece):
            message = image.piece(cursor, action.number)
        else:
            message = image.begin(cursor, action.prev, self._told())
        timer = self._server.loop.call_later(IMAGE_STALL_S, image.drop)
        try:
            await self._write(message)
        finally:
            timer.cancel()

    async def _end_image(self, action: actions.SendImageEnd) -> None:
        message = self._image.end(self._cursor(action.revision), action.pieces)
        del self._image  # it keeps odds alive
        await self._write(message)
        self._subscriber.revision = action.revision

    # Messages

    def _opened(self, start: Start) -> pb.WatchChangesResponse:
        options = self._options
        states = self._server.parts.cache.view(()).sources.values()
        takes = options.selection.takes_source
        return pb.WatchChangesResponse(
            opened=pb.Opened(
                cursor=self._cursor(start.revision),
                intent=pb.Intent.ValueType(start.intent),
                reason=pb.IntentReason.ValueType(start.reason),
                durable_revision=self._told(),
                conflate=duration(options.conflate_s),
                heartbeat=duration(options.heartbeat_s),
                policy=pb.SlowReaderPolicy.ValueType(options.policy),
                sources=[source_message(state) for state in states if takes(state.source)],
            )
        )

    def _heartbeat(self, action: actions.SendHeartbeat) -> pb.WatchChangesResponse:
        return pb.WatchChangesResponse(
            heartbeat=pb.Heartbeat(
                cursor=self._server.cursor(action.revision),
                durable_revision=self._told(),
                prev_revision=action.prev,
                sent_at=timestamp(self._server.parts.now()),
            )
        )

    def _lagged(self, action: actions.SendLagged) -> pb.WatchChangesResponse:
        return pb.WatchChangesResponse(
            lagged=pb.Lagged(
                lost_from=action.lost_from,
                lost_to=action.lost_to,
                cursor=self._cursor(action.revision),
                prev_revision=action.prev,
                reason=pb.IntentReason.ValueType(action.reason),
            )
        )

    def _closing(self, action: actions.SendClosing) -> pb.WatchChangesResponse:
        return pb.WatchChangesResponse(
            closing=pb.Closing(
                cursor=self._cursor(action.revision),
                prev_revision=action.prev,
                reason="server_stopping",
                retry_after=duration(RESUME_AFTER_S),
                durable_revision=self._told(),
            )
        )

    def _cursor(self, revision: int) -> pb.Cursor:
        return self._server.cursor(revision, whole=self._subscription.whole)

    def _told(self) -> int:
        """Return the durable revision for the next message, and remember it."""
        self._durable = self._feed.durable_revision
        return self._durable

    async def _send(self, message: pb.WatchChangesResponse) -> None:
        await self._write(message.SerializeToString())

    async def _write(self, message: bytes) -> None:
        """Hand over a message, waiting while the reader's flow-control windows are full."""
        self._subscriber.blocked_since = monotonic()
        await self._context.write(message)
        self._subscriber.blocked_since = None
        self._subscription.wrote(monotonic())


def _resume(server: ServerContext, request: pb.WatchChangesRequest) -> Resume | None:
    if not request.HasField("resume"):
        return None
    cursor = request.resume
    verdict = IntentReason(server.resumes(cursor))
    return Resume(Cursor(cursor.epoch, cursor.revision), verdict)


def _not_kept(reason: IntentReason) -> Refused:
    text = "the changes after this cursor are not available, and the request excludes an image"
    return refused(StatusCode.OUT_OF_RANGE, text, f"INTENT_REASON_{reason.name}")
