"""Pieces of the log as a filter selects them, encoded once for all that read the same."""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from odds_service.cache import OddsCache
from odds_service.feed import ChangeFeed
from odds_service.filters.filtering import Captured, Place, Selected, select
from odds_service.filters.selection import Selection
from odds_service.filters.timeline import Timeline
from odds_service.model.change import Change, SourceChange
from odds_service.model.cursor import amid, incomplete
from odds_service.wire.encode import change_wire
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from odds_service.wire.wire_fields import bytes_tag, varint

MESSAGE_BYTES: Final = 2**20  # 1 MiB: a quarter of what gRPC clients take by default
_BODY_BYTES: Final = MESSAGE_BYTES - 256  # room for what stands around the changes in a message
_BATCHES: Final = 64  # read at a stretch; a piece ends before, at its size
_REMEMBERED_BYTES: Final = 8 * 2**20  # of pieces that several streams read

_CHANGES: Final = bytes_tag(pb.WatchChangesResponse.CHANGES_FIELD_NUMBER)


class LeftRing(LookupError):
    """A revision is no longer in the feed's ring."""


class Piece:
    """A piece of the log: the selected changes in it as bytes, and the revision it reaches to.

    bodies: none where nothing is selected, usually one; several where one change of the log gives
    more than fits a message. Then only the last reaches `revision`, the others stand at `start`.
    folded: the bodies are a window, which is a state of the log only as a whole: what is folded
    away after `start` would be missing to a reader who has a part of it and goes on from there.
    """

    __slots__ = (
        "_messages",
        "_prev_revision",
        "bodies",
        "durable_revision",
        "folded",
        "revision",
        "start",
    )

    def __init__(
        self, start: int, revision: int, bodies: Sequence[bytes], *, folded: bool = False
    ) -> None:
        self.folded = folded
        self.start = start
        self.revision = revision
        self.bodies = bodies
        self._prev_revision = -1
        self.durable_revision = -1
        self._messages: list[bytes] = []

    @property
    def body_bytes(self) -> int:
        return sum(map(len, self.bodies))

    @property
    def size_bytes(self) -> int:
        return 2 * self.body_bytes + 400  # with its messages, and the objects around

    def messages(
        self, prev_revision: int, epoch: str, durable_revision: int, told_durable: int
    ) -> list[bytes]:
        """The piece as messages that follow one with the cursor `prev_revision`.

        Made once for all streams that were sent the same message before, unless one of them was
        told of a later durable revision than the messages do.
        """
        if self._prev_revision != prev_revision or self.durable_revision < told_durable:
            self._prev_revision = prev_revision
            self.durable_revision = durable_revision
            self._messages = []
            for place, body in enumerate(self.bodies, 1):
                last = place == len(self.bodies)
                reached = self.revision if last else self.start
                named = epoch
                if not last:
                    named = incomplete(epoch) if self.folded else amid(epoch)
                tail = pb.Changes(
                    prev_revision=prev_revision,
                    cursor=pb.Cursor(epoch=named, revision=reached),
                    durable_revision=durable_revision,
                ).SerializeToString()
                self._messages.append(_CHANGES + varint(len(body) + len(tail)) + body + tail)
                prev_revision = reached
        return self._messages


def piece_of(selected: Iterable[Selected], start: int, end: int) -> Piece:
    """Encode as many changes as fit one message; those that are joined stay in one.

    start, end: the revisions that the changes lie after and up to. A group of joined changes that
    alone is too large is spread over several bodies.
    """
    frames: list[bytes] = []
    bodies: list[bytes] = []
    size = 0
    group_at, group_revision = 0, start + 1
    for change, joined in selected:
        if not joined:
            if bodies:  # the group that was too large is complete
                end = change.revision - 1
                break
            group_at, group_revision = len(frames), change.revision
        frame = change_wire(change)
        if frames and size + len(frame) > _BODY_BYTES:
            if group_at:  # this group begins the next piece
                del frames[group_at:]
                end = group_revision - 1
                break
            bodies.append(b"".join(frames))
            frames, size = [], 0
        frames.append(frame)
        size += len(frame)
    if frames:
        bodies.append(b"".join(frames))
    return Piece(start, end, bodies)


def bodies_of(frames: Iterable[bytes]) -> list[bytes]:
    """Join frames into as few bodies as fit a message each."""
    bodies: list[bytes] = []
    held: list[bytes] = []
    size = 0
    for frame in frames:
        if held and size + len(frame) > _BODY_BYTES:
            bodies.append(b"".join(held))
            held, size = [], 0
        held.append(frame)
        size += len(frame)
    if held:
        bodies.append(b"".join(held))
    return bodies


class LogReader:
    """Reads the feed's ring for all streams; on the server's loop alone.

    pieces_made: how many were encoded, however many streams they were sent to.
    """

    def __init__(self, cache: OddsCache, feed: ChangeFeed) -> None:
        self._cache = cache
        self._feed = feed
        self._timeline = Timeline(cache, feed)
        self._pieces: OrderedDict[tuple[Selection, int], Piece] = OrderedDict()
        self._remembered_bytes = 0
        self.pieces_made = 0

    def read(self, selection: Selection, revision: int) -> Piece:
        """The next piece after `revision`; one that goes nowhere at the head. Raises LeftRing.

        A piece that is remembered is joined with those that follow it, up to the head or the size
        of a message: a stream that is late gets the newest at once, not one by one what the
        others were sent. At most one piece is made anew, which bounds the time that it takes.
        """
        first = self._pieces.get((selection, revision))
        if first is None:
            return self._made(selection, revision)
        if first.revision >= self._feed.head_revision or len(first.bodies) > 1:
            return first
        last, bodies, size = first, list(first.bodies), first.body_bytes
        made = False
        while last.revision < self._feed.head_revision and not made:
            following = self._pieces.get((selection, last.revision))
            made = following is None
            if following is None:
                try:
                    following = self._made(selection, last.revision)
                except LeftRing:  # trimmed just now: what is remembered stands
                    break
            size += following.body_bytes
            if size > _BODY_BYTES or len(following.bodies) > 1:
                break
            bodies += following.bodies
            last = following
        if last is first:
            return first
        piece = Piece(revision, last.revision, [b"".join(bodies)] if bodies else ())
        self._remember(selection, revision, piece)
        return piece

    def _made(self, selection: Selection, revision: int) -> Piece:
        """Encode what comes after `revision`, and remember it."""
        changes = self._after(revision)
        if not changes:
            return Piece(revision, revision, ())
        selected = self._select(selection, changes, revision)
        piece = piece_of(selected, revision, changes[-1].revision)
        self.pieces_made += 1
        self._remember(selection, revision, piece)
        return piece

    def changes(self, selection: Selection, revision: int) -> tuple[list[Selected], int]:
        """What is selected of some changes after `revision`, as values, and how far they reach.

        Raises LeftRing.
        """
        changes = self._after(revision)
        reached = changes[-1].revision if changes else revision
        return list(self._select(selection, changes, revision)), reached

    def _after(self, revision: int) -> list[Change]:
        batches = self._feed.read_after(revision, _BATCHES)
        if batches is None:
            raise LeftRing(revision)
        return [
            change for batch in batches for change in batch.changes if change.revision > revision
        ]

    def _remember(self, selection: Selection, revision: int, piece: Piece) -> None:
        replaced = self._pieces.pop((selection, revision), None)
        if replaced is not None:
            self._remembered_bytes -= replaced.size_bytes + selection.size_bytes
        self._pieces[selection, revision] = piece
        self._remembered_bytes += piece.size_bytes + selection.size_bytes
        while self._remembered_bytes > _REMEMBERED_BYTES:
            (whose, _), dropped = self._pieces.popitem(last=False)
            self._remembered_bytes -= dropped.size_bytes + whose.size_bytes

    def _select(
        self, selection: Selection, changes: Sequence[Change], revision: int
    ) -> Iterator[Selected]:
        if not selection.by_event:
            return select(selection, changes, {}, self._markets_at)
        event_ids = {change.event_id for change in changes if not isinstance(change, SourceChange)}
        events = self._timeline.events_at(revision, event_ids)
        return select(selection, changes, events, self._markets_at)

    def _markets_at(self, event_id: str, revision: int) -> dict[Place, Captured]:
        markets = self._timeline.markets_at(revision, event_id)
        if markets is None:
            raise LeftRing(revision)
        return markets
