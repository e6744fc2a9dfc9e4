"""One stream of changes: how it opens, reads on, falls behind and ends.

A stream holds a revision and nothing else: it reads the shared log at the pace at which its reader
takes messages, so that one that stalls costs the message in hand.
"""

import asyncio
from collections.abc import Iterable
from typing import Final, NamedTuple, NoReturn

from google.protobuf.duration_pb2 import Duration
from grpc import StatusCode
from msgspec import Struct

from odds_service.rpc.conflation import conflate
from odds_service.rpc.encode import source_message
from odds_service.rpc.errors import Context, bad_request, refused, unavailable
from odds_service.rpc.filtering import Selected
from odds_service.rpc.framing import bytes_tag, delimited, timestamp
from odds_service.rpc.hub import Subscriber
from odds_service.rpc.odds import OddsView, image_pieces
from odds_service.rpc.pb.odds.v1 import odds_pb2 as pb
from odds_service.rpc.reading import LeftRing, Piece, bodies_of, piece_of
from odds_service.rpc.replay import HistoryGap, Replay
from odds_service.rpc.selection import Selection
from odds_service.rpc.serving import Serving

HEARTBEAT_S: Final = 10.0
HEARTBEAT_BOUNDS_S: Final = (0.5, 60.0)
CONFLATE_BOUNDS_S: Final = (0.05, 60.0)
_RESUME_AFTER_S: Final = 1.0  # a restart takes about that long

_IMAGE: Final = bytes_tag(pb.WatchChangesResponse.IMAGE_FIELD_NUMBER)
_IMAGE_EVENTS: Final = bytes_tag(pb.Image.EVENTS_FIELD_NUMBER)


class Terms(Struct, frozen=True):
    """What a stream runs with; conflate_s 0: off."""

    selection: Selection
    image: pb.ImageMode.ValueType
    policy: pb.SlowReaderPolicy.ValueType
    heartbeat_s: float
    conflate_s: float


class Start(NamedTuple):
    """How a stream opens, and after which revision."""

    intent: pb.Intent.ValueType
    reason: pb.IntentReason.ValueType
    revision: int


class Lost(Exception):
    """Changes cannot be had any more; only an image helps."""

    def __init__(self, reason: pb.IntentReason.ValueType) -> None:
        super().__init__(pb.IntentReason.Name(reason))
        self.reason = reason


def terms_of(serving: Serving, request: pb.WatchChangesRequest) -> Terms:
    """Check a request and bound what it asks for. Raises Refused naming the field."""
    asked = _seconds("heartbeat", request.heartbeat)
    heartbeat_s = _bounded(asked, HEARTBEAT_BOUNDS_S) if asked else HEARTBEAT_S
    asked = _seconds("conflate", request.conflate)
    latest = pb.SLOW_READER_POLICY_LATEST
    return Terms(
        selection=serving.selection(request.filter),
        image=request.image,
        policy=latest if request.policy == latest else pb.SLOW_READER_POLICY_LOSSLESS,
        heartbeat_s=heartbeat_s,
        conflate_s=_bounded(asked, CONFLATE_BOUNDS_S) if asked else 0.0,
    )


def _seconds(field: str, duration: Duration) -> float:
    seconds = duration.seconds + duration.nanos / 1e9
    if seconds < 0:
        raise bad_request(field, "is negative")
    return seconds


def _bounded(seconds: float, bounds: tuple[float, float]) -> float:
    return min(max(seconds, bounds[0]), bounds[1])


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromMicroseconds(round(seconds * 1e6))
    return duration


class Watch:
    """A stream from its opening to its end."""

    def __init__(
        self,
        serving: Serving,
        terms: Terms,
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
        self._sent = 0  # the cursor of the last message
        self._last_at = serving.loop.time()
        self._flush_at = 0.0

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
        start = await self._start()
        never = self._terms.image == pb.IMAGE_MODE_NEVER
        if start.intent == pb.INTENT_IMAGE and never:
            raise _not_kept(start.reason)
        self._revision = self._sent = start.revision
        await self._open(start)
        if start.intent == pb.INTENT_IMAGE:
            await self._image()
            if self._terms.image == pb.IMAGE_MODE_ONLY:
                return
        while True:
            try:
                await self._step()
            except Lost as lost:
                if never:
                    raise _not_kept(lost.reason) from None
                await self._lag(lost.reason)
                await self._image()

    async def _start(self) -> Start:
        head = self._feed.head_revision
        if self._terms.image == pb.IMAGE_MODE_ONLY or (
            self._resume is None and self._terms.image != pb.IMAGE_MODE_NEVER
        ):
            return Start(pb.INTENT_IMAGE, pb.INTENT_REASON_NO_CURSOR, head)
        if self._resume is None:
            return Start(pb.INTENT_UP_TO_DATE, pb.INTENT_REASON_NO_CURSOR, head)
        revision = self._resume.revision
        reason = self._serving.verdict(self._resume)
        if reason == pb.INTENT_REASON_RESUMED:
            if revision == head:
                return Start(pb.INTENT_UP_TO_DATE, reason, revision)
            reason = await self._reaches_back(revision)
            if reason == pb.INTENT_REASON_RESUMED:
                return Start(pb.INTENT_CHANGES, reason, revision)
        return Start(pb.INTENT_IMAGE, reason, head)

    async def _reaches_back(self, revision: int) -> pb.IntentReason.ValueType:
        """Whether all changes after a revision can be had, RESUMED, or why not."""
        if revision >= self._feed.oldest_revision - 1:
            return pb.INTENT_REASON_RESUMED
        store = self._serving.parts.store
        if store is None or self._terms.policy == pb.SLOW_READER_POLICY_LATEST:
            return pb.INTENT_REASON_TOO_OLD
        oldest = await self._serving.ask(store.oldest_revision)
        if oldest is None or oldest > revision + 1:
            return pb.INTENT_REASON_TOO_OLD
        return pb.INTENT_REASON_RESUMED

    async def _step(self) -> None:
        """Send what comes next in the log, or wait for it."""
        if self._terms.conflate_s:
            await self._conflated_step()
            return
        try:
            piece = self._serving.reader.read(self._terms.selection, self._revision)
        except LeftRing:
            await self._replay()
            return
        if piece.revision == self._revision:
            await self._wait(self._last_at + self._terms.heartbeat_s)
        else:
            await self._send_piece(piece)

    async def _conflated_step(self) -> None:
        """Fold what came since the last message, not before the interval is over."""
        now = self._serving.loop.time()
        heartbeat_at = self._last_at + self._terms.heartbeat_s
        if now < self._flush_at:
            await self._wait(min(self._flush_at, heartbeat_at), woken=False)
            return
        try:
            selected, reached = self._serving.reader.changes(self._terms.selection, self._revision)
            if reached == self._revision:
                await self._wait(heartbeat_at)
                return
            piece = self._conflated(selected, reached)
        except LeftRing:
            await self._replay()
            return
        self._flush_at = now + self._terms.conflate_s
        await self._send_piece(piece)

    def _conflated(self, selected: Iterable[Selected], reached: int) -> Piece:
        frames = conflate(change for change, _ in selected)
        return Piece(self._revision, reached, bodies_of(frames))

    async def _wait(self, until: float, *, woken: bool = True) -> None:
        """Wait for news (unless not `woken`) or a time; end the stream at the service's stop."""
        if self._serving.hub.closed:
            if self._revision == self._feed.head_revision:
                await self._close()
            until = 0.0  # what is left is sent at once
            self._flush_at = 0.0
        now = self._serving.loop.time()
        if now < until:
            await self._serving.hub.wait(self._revision, until, woken=woken)
        elif now >= self._last_at + self._terms.heartbeat_s:
            await self._heartbeat()

    async def _replay(self) -> None:
        """Read on from the database until the ring has what comes next."""
        store = self._serving.parts.store
        if store is None or self._terms.policy == pb.SLOW_READER_POLICY_LATEST:
            raise Lost(pb.INTENT_REASON_TOO_OLD)
        self._subscriber.replaying = True
        try:
            replay = Replay(self._serving, store, self._terms.selection, self._revision)
            while self._revision < self._feed.oldest_revision - 1:
                page = asyncio.ensure_future(replay.next_page())
                try:
                    while not page.done():
                        due = self._last_at + self._terms.heartbeat_s - self._serving.loop.time()
                        await asyncio.wait({page}, timeout=max(0.0, due))
                        if not page.done():
                            await self._heartbeat()
                    selected, reached = page.result()
                finally:
                    page.cancel()
                await self._send_page(selected, reached)
                if self._serving.hub.closed:
                    await self._close()
        except HistoryGap as gap:
            raise Lost(gap.reason) from None
        finally:
            self._subscriber.replaying = False

    async def _send_page(self, selected: list[Selected], reached: int) -> None:
        if self._terms.conflate_s:
            await self._send_piece(self._conflated(selected, reached))
            return
        while self._revision < reached:
            await self._send_piece(piece_of(selected, self._revision, reached))
            selected = [each for each in selected if each.change.revision > self._revision]

    async def _send_piece(self, piece: Piece) -> None:
        feed = self._feed
        for message in piece.messages(self._sent, feed.epoch, feed.durable_revision):
            await self._write(message)
        self._revision = piece.revision
        if piece.bodies:
            self._sent = piece.revision
        elif self._revision - self._sent > feed.capacity // 2:
            await self._heartbeat()  # before the log is trimmed under a quiet subscriber
        else:
            await asyncio.sleep(0)  # a filter that selects nothing must not hold up the others

    async def _open(self, start: Start) -> None:
        await self._send(
            pb.WatchChangesResponse(
                opened=pb.Opened(
                    cursor=self._serving.cursor(start.revision),
                    intent=start.intent,
                    reason=start.reason,
                    durable_revision=self._feed.durable_revision,
                    conflate=_duration(self._terms.conflate_s),
                    heartbeat=_duration(self._terms.heartbeat_s),
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
            durable_revision=self._feed.durable_revision,
            prev_revision=self._sent,
            sent_at=timestamp(self._serving.parts.now()),
        )
        await self._send(pb.WatchChangesResponse(heartbeat=heartbeat))
        self._sent = revision

    async def _image(self) -> None:
        """All odds that the filter selects, at one place in the log; changes go on from there."""
        parts, selection = self._serving.parts, self._terms.selection
        cut = parts.cache.cut(selection.event_ids)
        view = OddsView(cut, selection, parts.now(), self._serving.wires)
        cursor = self._serving.cursor(cut.cursor.revision)
        sources = [
            source_message(state)
            for state in cut.sources.values()
            if selection.takes_source(state.source)
        ]
        begin = pb.ImageBegin(
            cursor=cursor,
            prev_revision=self._sent,
            durable_revision=cut.durable_revision,
            sources=sources,
        )
        await self._send(pb.WatchChangesResponse(image_begin=begin))
        number = events = markets = 0
        for number, piece in enumerate(image_pieces(view, _IMAGE_EVENTS), 1):
            tail = pb.Image(cursor=cursor, prev_revision=cursor.revision, piece=number)
            await self._write(_IMAGE + delimited(piece.body + tail.SerializeToString()))
            events += piece.events
            markets += piece.markets
            await asyncio.sleep(0)  # calls of others go in between
        end = pb.ImageEnd(
            cursor=cursor,
            prev_revision=cursor.revision,
            pieces=number,
            events=events,
            markets=markets,
        )
        await self._send(pb.WatchChangesResponse(image_end=end))
        self._revision = self._sent = cursor.revision

    async def _lag(self, reason: pb.IntentReason.ValueType) -> None:
        lagged = pb.Lagged(
            lost_from=self._revision + 1,
            lost_to=self._feed.head_revision,
            cursor=self._serving.cursor(self._revision),
            prev_revision=self._sent,
            reason=reason,
        )
        await self._send(pb.WatchChangesResponse(lagged=lagged))
        self._sent = self._revision

    async def _close(self) -> NoReturn:
        """The last message. Raises Refused (UNAVAILABLE), always."""
        closing = pb.Closing(
            cursor=self._serving.cursor(self._revision),
            prev_revision=self._sent,
            reason="server_stopping",
            retry_after=_duration(_RESUME_AFTER_S),
            durable_revision=self._feed.durable_revision,
        )
        await self._send(pb.WatchChangesResponse(closing=closing))
        raise unavailable("the server is stopping; resume at the last cursor", "SERVER_STOPPING")

    async def _send(self, message: pb.WatchChangesResponse) -> None:
        await self._write(message.SerializeToString())

    async def _write(self, message: bytes) -> None:
        """Hand a message over; waits while the reader's windows are shut."""
        self._subscriber.blocked_since = self._serving.loop.time()
        await self._context.write(message)
        self._subscriber.blocked_since = None
        self._last_at = self._serving.loop.time()


def _not_kept(reason: pb.IntentReason.ValueType) -> Exception:
    text = "the changes after this cursor are not to be had, and no image is wanted"
    return refused(StatusCode.OUT_OF_RANGE, text, pb.IntentReason.Name(reason))
