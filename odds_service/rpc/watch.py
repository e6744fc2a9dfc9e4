"""One stream of changes: how it reads on, falls behind and ends.

A stream holds a revision and nothing else: it reads the shared log at the pace at which its reader
takes messages, so that one that stalls costs the message in hand.
"""

import asyncio
from collections.abc import Iterator
from time import monotonic  # the loop's own time() is this, with two calls around it
from typing import Final, NoReturn

from grpc import StatusCode

from odds_service.cache import CacheView
from odds_service.filters.filtering import Selected
from odds_service.rpc.errors import Context, refused, unavailable
from odds_service.rpc.freshness import freshness_message
from odds_service.rpc.hub import Subscriber
from odds_service.rpc.odds import ImagePiece, OddsView, image_pieces
from odds_service.rpc.opening import Start, start_of
from odds_service.rpc.reading import LeftRing, Piece, bodies_of, piece_of
from odds_service.rpc.replay import HistoryGap, Replay
from odds_service.rpc.server_context import ServerContext
from odds_service.rpc.watch_options import WatchOptions, duration
from odds_service.stream.conflation import Window
from odds_service.wire.encode import source_message
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from odds_service.wire.wire_fields import bytes_tag, delimited, timestamp

IMAGE_STALL_S: Final = 30.0  # what an image in hand may keep alive of old odds
_RESUME_AFTER_S: Final = 1.0  # a restart takes about that long
_FRAMES_AT_A_STRETCH: Final = 500  # about 10 ms to encode
_WINDOW_SUBJECTS: Final = 20_000  # of a replay: what is folded before it is sent, about 30 MB

_IMAGE: Final = bytes_tag(pb.WatchChangesResponse.IMAGE_FIELD_NUMBER)
_IMAGE_EVENTS: Final = bytes_tag(pb.Image.EVENTS_FIELD_NUMBER)


class Lost(Exception):
    """Changes cannot be had any more; only an image helps."""

    def __init__(self, reason: pb.IntentReason.ValueType) -> None:
        super().__init__(pb.IntentReason.Name(reason))
        self.reason = reason


class Watch:
    """A stream from its opening to its end."""

    def __init__(
        self,
        serving: ServerContext,
        terms: WatchOptions,
        request: pb.WatchChangesRequest,
        context: Context,
        subscriber: Subscriber,
    ) -> None:
        self._serving = serving
        self._feed = serving.parts.feed
        self._terms = terms
        self._resume = request.resume if request.HasField("resume") else None
        self._context = context
        self._subscriber = subscriber
        self._whole = True  # False from the announcement of an image to its end
        self._sent = 0  # the cursor of the last message
        self._durable = 0  # the latest durable revision that the reader was told
        self._last_at = monotonic()
        self._window = Window()  # of a conflated stream: what is folded, but not sent yet
        self._folded = 0  # how far the log is in it
        self._flush_at = 0.0
        self._fresh = serving.freshness.reader(terms.selection) if terms.freshness else None

    @property
    def _revision(self) -> int:
        """How far the log was read."""
        return self._subscriber.revision

    @_revision.setter
    def _revision(self, revision: int) -> None:
        self._subscriber.revision = revision

    async def run(self) -> None:
        """Send until the client leaves or the service stops.

        Raises Refused: UNAVAILABLE at the service's stop, after the closing message; OUT_OF_RANGE
        where only an image could help and none is wanted.
        """
        start = await start_of(self._serving, self._terms, self._resume)
        never = self._terms.image == pb.IMAGE_MODE_NEVER
        if start.intent == pb.INTENT_IMAGE and never:
            raise _not_kept(start.reason)
        self._revision = self._sent = self._folded = start.revision
        self._whole = start.intent != pb.INTENT_IMAGE
        await self._open(start)
        if start.intent == pb.INTENT_IMAGE:
            if self._fresh is not None:
                await self._fresh.begin()
            await self._image(self._cut())
            if self._terms.image == pb.IMAGE_MODE_ONLY:
                return
        while True:
            try:
                await self._step()
            except Lost as lost:
                if never:
                    raise _not_kept(lost.reason) from None
                await self._image(await self._lag(lost.reason))

    async def _step(self) -> None:
        """Send what comes next in the log, or wait for it."""
        fresh = self._fresh
        if fresh is not None and monotonic() >= fresh.due_at and not self._serving.hub.closed:
            for body in await fresh.bodies(self._revision):
                await self._freshness(body)
        if self._terms.conflate_s:
            await self._conflated_step()
            return
        if not self._serving.hub.has_news(self._revision):
            await self._wait(self._idle_until())
            return
        try:
            piece = self._serving.reader.read(self._terms.selection, self._revision)
        except LeftRing:
            await self._replay()
            return
        await self._send_piece(piece)

    async def _conflated_step(self) -> None:
        """Fold what came since the last window, not before the interval is over."""
        if monotonic() < self._flush_at:
            await self._wait(min(self._flush_at, self._idle_until()), woken=False)
            return
        head = self._feed.head_revision
        if self._revision == head:
            await self._wait(self._idle_until())
            return
        while self._folded < head:
            try:
                selected, upto = self._serving.reader.changes(self._terms.selection, self._folded)
            except LeftRing:
                await self._replay()
                return
            self._fold(selected, upto)
            await asyncio.sleep(0)
        await self._flush()

    def _fold(self, selected: list[Selected], upto: int) -> None:
        self._window.add(each.change for each in selected)
        self._folded = upto

    async def _flush(self) -> None:
        """Send what the window comes to, and begin another."""
        window, self._window = self._window, Window()
        frames: list[bytes] = []
        for frame in window.frames():
            frames.append(frame)
            if len(frames) % _FRAMES_AT_A_STRETCH == 0:
                await asyncio.sleep(0)
        bodies = bodies_of(frames)
        await self._send_piece(Piece(self._revision, self._folded, bodies, folded=True))
        # From when it was handed over: a write that was held up brings the next one no nearer.
        self._flush_at = monotonic() + self._terms.conflate_s

    def _idle_until(self) -> float:
        """When there is something to tell, also if nothing is published."""
        heartbeat_at = self._last_at + self._terms.heartbeat_s
        return heartbeat_at if self._fresh is None else min(heartbeat_at, self._fresh.due_at)

    async def _wait(self, until: float, *, woken: bool = True) -> None:
        """Wait for news (unless not `woken`) or a time; end the stream at the service's stop."""
        if self._serving.hub.closed:
            if self._revision == self._feed.head_revision:
                await self._close()
            until = 0.0  # what is left is sent at once
            self._flush_at = 0.0
        now = monotonic()
        if now < until:
            await self._serving.hub.wait(self._subscriber, self._revision, until, woken=woken)
        elif now >= self._last_at + self._terms.heartbeat_s:
            await self._heartbeat()

    async def _replay(self) -> None:
        """Read on from the database until the ring has what comes next."""
        store = self._serving.parts.store
        if store is None or self._terms.policy == pb.SLOW_READER_POLICY_LATEST:
            raise Lost(pb.INTENT_REASON_TOO_OLD)
        self._subscriber.replaying = True
        after = self._folded if self._terms.conflate_s else self._revision
        replay = Replay(self._serving, store, self._terms.selection, after)
        try:
            if self._terms.conflate_s:
                await self._replay_conflated(replay)
            else:
                await self._replay_all(replay)
        except HistoryGap as gap:
            raise Lost(gap.reason) from None
        finally:
            self._subscriber.replaying = False

    async def _replay_all(self, replay: Replay) -> None:
        while self._revision < self._feed.oldest_revision - 1:
            selected, reached = await self._page(replay)
            while self._revision < reached:
                await self._send_piece(piece_of(selected, self._revision, reached))
                selected = [each for each in selected if each.change.revision > self._revision]
            if self._serving.hub.closed:
                await self._close()

    async def _replay_conflated(self, replay: Replay) -> None:
        """As many pages as an interval has time for are one window.

        What is left at the end is folded with what memory has after it.
        """
        while self._folded < self._feed.oldest_revision - 1:
            self._fold(*await self._page(replay))
            full = len(self._window) >= _WINDOW_SUBJECTS
            while full and monotonic() < self._flush_at and not self._serving.hub.closed:
                heartbeat_at = self._last_at + self._terms.heartbeat_s
                await self._wait(min(self._flush_at, heartbeat_at), woken=False)
            stopping = self._serving.hub.closed
            if full or stopping or monotonic() >= self._flush_at:
                await self._flush()
            if stopping:
                await self._close()

    async def _page(self, replay: Replay) -> tuple[list[Selected], int]:
        """The next page of a replay, and heartbeats while it is waited for."""
        page = asyncio.ensure_future(replay.next_page())
        try:
            while not page.done():
                due = self._last_at + self._terms.heartbeat_s - monotonic()
                await asyncio.wait({page}, timeout=max(0.0, due))
                if not page.done():
                    await self._heartbeat()
            return page.result()
        finally:
            page.cancel()

    async def _send_piece(self, piece: Piece) -> None:
        feed = self._feed
        durable = feed.durable_revision
        for message in piece.messages(self._sent, feed.epoch, durable, self._durable):
            await self._write(message)
        self._revision = piece.revision
        if piece.bodies:
            self._sent = piece.revision
            self._durable = max(self._durable, piece.durable_revision)
            return
        due = self._last_at + self._terms.heartbeat_s
        # A quiet reader is told before the log is trimmed under it.
        if self._revision - self._sent > feed.capacity // 2 or monotonic() >= due:
            await self._heartbeat()
        else:
            await asyncio.sleep(0)  # a filter that selects nothing must not hold up the others

    async def _open(self, start: Start) -> None:
        await self._send(
            pb.WatchChangesResponse(
                opened=pb.Opened(
                    cursor=self._cursor(start.revision),
                    intent=start.intent,
                    reason=start.reason,
                    durable_revision=self._told(),
                    conflate=duration(self._terms.conflate_s),
                    heartbeat=duration(self._terms.heartbeat_s),
                    policy=self._terms.policy,
                    sources=self._sources(),
                )
            )
        )

    def _sources(self) -> list[pb.SourceState]:
        states = self._serving.parts.cache.cut(()).sources.values()
        takes = self._terms.selection.takes_source
        return [source_message(state) for state in states if takes(state.source)]

    async def _heartbeat(self) -> None:
        """Tell the reader how far it is: also past changes that its filter leaves out."""
        revision = self._revision
        heartbeat = pb.Heartbeat(
            cursor=self._serving.cursor(revision),
            durable_revision=self._told(),
            prev_revision=self._sent,
            sent_at=timestamp(self._serving.parts.now()),
        )
        await self._send(pb.WatchChangesResponse(heartbeat=heartbeat))
        self._sent = revision

    async def _freshness(self, body: bytes) -> None:
        """Like a heartbeat it tells how far the reader is."""
        revision = self._revision
        cursor = self._serving.cursor(revision)
        await self._write(freshness_message(body, cursor, self._sent, self._told()))
        self._sent = revision

    def _told(self) -> int:
        """The durable revision, which the reader is about to be told: it never goes back."""
        self._durable = self._feed.durable_revision
        return self._durable

    def _cursor(self, revision: int) -> pb.Cursor:
        return self._serving.cursor(revision, whole=self._whole)

    def _cut(self) -> CacheView:
        return self._serving.parts.cache.cut(self._terms.selection.event_ids)

    async def _lag(self, reason: pb.IntentReason.ValueType) -> CacheView:
        """Tell exactly what is lost, and give the cut that the image is to be made of."""
        lost_from = self._revision + 1
        self._whole = False
        if self._fresh is not None:
            await self._fresh.begin()
        self._window = Window()  # the image has what is folded in it
        while True:
            lost_to = self._feed.head_revision
            lagged = pb.Lagged(
                lost_from=lost_from,
                lost_to=lost_to,
                cursor=self._cursor(self._revision),
                prev_revision=self._sent,
                reason=reason,
            )
            await self._send(pb.WatchChangesResponse(lagged=lagged))
            self._sent = self._revision
            cut = self._cut()
            if cut.cursor.revision == lost_to:
                return cut
            lost_from = lost_to + 1  # published while this was written, which may take long

    async def _image(self, cut: CacheView) -> None:
        """All odds that the filter selects, at one place in the log; changes go on from there.

        A cut keeps alive what has been replaced since. So when the reader stops in the middle for
        IMAGE_STALL_S, the cut is let go, and the image begins anew once the reader is back.
        """
        image = _ImageInHand(self._serving, self._terms, cut)
        del cut
        while not await self._whole_image(image):
            image = _ImageInHand(self._serving, self._terms, self._cut())

    async def _whole_image(self, image: "_ImageInHand") -> bool:
        cursor = self._cursor(image.revision)
        begin = pb.ImageBegin(
            cursor=cursor,
            prev_revision=self._sent,
            durable_revision=self._told(),
            sources=image.sources,
        )
        self._sent = image.revision
        await self._send_held(image, pb.WatchChangesResponse(image_begin=begin).SerializeToString())
        number = events = markets = 0
        for number, piece in enumerate(image, 1):
            if self._serving.hub.closed:  # there may be no time for the rest
                await self._close()
            tail = pb.Image(cursor=cursor, prev_revision=cursor.revision, piece=number)
            message = _IMAGE + delimited(piece.body + tail.SerializeToString())
            await self._send_held(image, message)
            events += piece.events
            markets += piece.markets
            await asyncio.sleep(0)  # calls of others go in between
        if image.dropped:
            return False
        self._whole = True
        end = pb.ImageEnd(
            cursor=self._cursor(image.revision),
            prev_revision=cursor.revision,
            pieces=number,
            events=events,
            markets=markets,
        )
        await self._send(pb.WatchChangesResponse(image_end=end))
        self._revision = self._folded = image.revision
        return True

    async def _send_held(self, image: "_ImageInHand", message: bytes) -> None:
        timer = self._serving.loop.call_later(IMAGE_STALL_S, image.drop)
        try:
            await self._write(message)
        finally:
            timer.cancel()

    async def _close(self) -> NoReturn:
        """The last message. Raises Refused (UNAVAILABLE), always."""
        # Inside an image the reader was told a later revision than it has read up to.
        revision = self._revision if self._whole else self._sent
        closing = pb.Closing(
            cursor=self._cursor(revision),
            prev_revision=self._sent,
            reason="server_stopping",
            retry_after=duration(_RESUME_AFTER_S),
            durable_revision=self._told(),
        )
        await self._send(pb.WatchChangesResponse(closing=closing))
        raise unavailable("the server is stopping; resume at the last cursor", "SERVER_STOPPING")

    async def _send(self, message: pb.WatchChangesResponse) -> None:
        await self._write(message.SerializeToString())

    async def _write(self, message: bytes) -> None:
        """Hand a message over; waits while the reader's windows are shut."""
        self._subscriber.blocked_since = monotonic()
        await self._context.write(message)
        self._subscriber.blocked_since = None
        self._last_at = monotonic()


class _ImageInHand:
    """The pieces of an image that are still to be sent."""

    def __init__(self, serving: ServerContext, terms: WatchOptions, cut: CacheView) -> None:
        takes = terms.selection.takes_source
        self.revision = cut.cursor.revision
        self.sources = [source_message(s) for s in cut.sources.values() if takes(s.source)]
        self.dropped = False
        view = OddsView(cut, terms.selection, serving.parts.reading(), serving.wires)
        self._pieces = image_pieces(view, _IMAGE_EVENTS)

    def __iter__(self) -> Iterator[ImagePiece]:
        return self._pieces

    def drop(self) -> None:
        """Let go of the cut; the pieces end here."""
        self.dropped = True
        self._pieces.close()


def _not_kept(reason: pb.IntentReason.ValueType) -> Exception:
    text = "the changes after this cursor are not to be had, and no image is wanted"
    return refused(StatusCode.OUT_OF_RANGE, text, pb.IntentReason.Name(reason))
