"""Encoded pieces of the filtered log, shared by all streams that read the same."""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, TypeAlias
from weakref import WeakValueDictionary

from odds_service.cache import OddsCache
from odds_service.delays import Delays, Parcel, joined_parcel
from odds_service.feed import ChangeFeed
from odds_service.filters.filtering import ENTERED_FILTER, Selected
from odds_service.filters.selection import EVERYTHING, Selection
from odds_service.model.change import Change, Commit, Reason
from odds_service.model.cursor import amid, incomplete
from odds_service.stream.conflation import Window
from odds_service.stream.memory_log import LeftMemory, MemoryLog
from odds_service.wire.encode import change_wire, conflated_wire
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from odds_service.wire.wire_fields import bytes_tag, varint

MESSAGE_BYTES: Final = 2**20  # 1 MiB: a quarter of what gRPC clients take by default
_BODY_BYTES: Final = MESSAGE_BYTES - 256  # leaves room for the other fields of a message
_REMEMBERED_BYTES: Final = 8 * 2**20  # 8 MiB of pieces kept for several streams
_FRAMES_AT_A_STRETCH: Final = 500  # changes of a window encoded without a pause: about 10 ms

# A piece is known by the revision before it; a window also by its last revision.
_PieceKey: TypeAlias = tuple[Selection, int] | tuple[Selection, int, int]

# Of changes that only tell a filter's reader about an event: their odds may be old.
_DERIVED: Final = frozenset({ENTERED_FILTER, Reason.LEFT_FILTER})

_CHANGES: Final = bytes_tag(pb.WatchChangesResponse.CHANGES_FIELD_NUMBER)


class Piece:
    """The selected changes of one stretch of the log, encoded.

    Attributes:
        start: The revision before the stretch.
        revision: The last revision of the stretch.
        bodies: The changes as bytes, one body per message. There is none if nothing is selected.
            There are several if one change of the log yields more than fits in a message; then
            only the last body reaches `revision`, and the cursors of the others stay at `start`.
        changes: The number of changes.
        folded: Whether the bodies are a window. A window is consistent only as a whole: a reader
            that resumed at `start` with a part of it would miss the changes folded away.
        durable_revision: The durable revision in the messages made last.
        parcel: The delays that end when the piece is sent; None for changes that no pull made.
    """

    __slots__ = (
        "_messages",
        "_prev_revision",
        "bodies",
        "changes",
        "durable_revision",
        "folded",
        "parcel",
        "revision",
        "start",
    )

    def __init__(
        self,
        start: int,
        revision: int,
        bodies: Sequence[bytes],
        *,
        changes: int = 0,
        folded: bool = False,
    ) -> None:
        self.changes = changes
        self.folded = folded
        self.start = start
        self.revision = revision
        self.bodies = bodies
        self._prev_revision = -1
        self.durable_revision = -1
        self._messages: list[bytes] = []
        self.parcel: Parcel | None = None

    @property
    def body_bytes(self) -> int:
        return sum(map(len, self.bodies))

    @property
    def size_bytes(self) -> int:
        return 2 * self.body_bytes + 400  # includes its messages and the objects themselves

    def messages(
        self, prev_revision: int, epoch: str, durable_revision: int, told_durable: int
    ) -> list[bytes]:
        """Return the piece as messages.

        The messages are shared by streams with the same previous cursor, unless a stream has
        already been sent a later durable revision than they carry.

        Args:
            prev_revision: The cursor revision of the previous message.
            epoch: The present epoch.
            durable_revision: The present durable revision.
            told_durable: The latest durable revision sent to this reader.
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


def piece_of(
    selected: Iterable[Selected], start: int, end: int, sent: list[Change] | None = None
) -> Piece:
    """Encode as many changes as fit in one message, keeping joined changes together.

    A group of joined changes that is too large by itself is spread over several bodies.

    Args:
        selected: The changes, in the order of their revisions.
        start: The revision before the stretch that they come from.
        end: The last revision of that stretch.
        sent: Receives the changes, and perhaps some beyond the end of the piece.

    Returns:
        A piece that begins after `start` and reaches `end` or an earlier revision.
    """
    frames: list[bytes] = []
    bodies: list[bytes] = []
    size = count = 0
    group_at, group_revision = 0, start + 1
    for change, joined in selected:
        if not joined:
            if bodies:  # the oversized group is complete
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
            count += len(frames)
            frames, size = [], 0
        frames.append(frame)
        size += len(frame)
        if sent is not None:
            sent.append(change)
    if frames:
        bodies.append(b"".join(frames))
    return Piece(start, end, bodies, changes=count + len(frames))


def bodies_of(frames: Iterable[bytes]) -> list[bytes]:
    """Join frames in order into bodies that each fit in one message."""
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


def window_frames(window: Window, sent: list[Change] | None = None) -> Iterator[bytes]:
    """Yield the changes of a window as fields of Changes; the halves of a move are one frame.

    Args:
        window: The complete window.
        sent: Receives the changes.
    """
    held = b""
    for change, count, suspended_meanwhile, joined in window.changes():
        if sent is not None:
            sent.append(change)
        frame = conflated_wire(change, count, suspended_meanwhile)
        if joined:
            held += frame
            continue
        if held:
            yield held
        held = frame
    if held:
        yield held


def _news(selection: Selection, sent: list[Change]) -> list[Change]:
    """Return the changes of the log itself, without those that a filter derived."""
    if selection is EVERYTHING:
        return sent
    return [change for change in sent if change.reason not in _DERIVED]


class LogReader:
    """An encoder of the log in memory for all streams; for use on the server's loop only.

    Attributes:
        pieces_made: The number of pieces and windows encoded; shared ones count once.
    """

    def __init__(self, cache: OddsCache, feed: ChangeFeed, delays: Delays | None = None) -> None:
        self._cache = cache
        self._feed = feed
        self._delays = Delays() if delays is None else delays
        self._log = MemoryLog(cache, feed)
        self._pieces: OrderedDict[_PieceKey, Piece] = OrderedDict()
        self._folding: WeakValueDictionary[_PieceKey, asyncio.Lock] = WeakValueDictionary()
        self._remembered_bytes = 0
        self.pieces_made = 0

    def forget(self) -> None:
        """Drop all that was read, as when another log has replaced this one."""
        self._log = MemoryLog(self._cache, self._feed)
        self._pieces.clear()
        self._folding.clear()
        self._remembered_bytes = 0

    def read(self, selection: Selection, revision: int) -> Piece:
        """Return the next piece after a revision; at the head, an empty piece.

        A remembered piece is joined with the pieces that follow it, up to the head or the size of
        a message, so that a late stream gets the newest changes at once. A call encodes at most
        one new piece, which bounds its duration.

        Raises:
            LeftMemory: The changes are no longer in memory.
        """
        first = self._pieces.get((selection, revision))
        if first is None:
            return self._made(selection, revision)
        if first.revision >= self._feed.head_revision or len(first.bodies) > 1:
            return first
        last, bodies, size = first, list(first.bodies), first.body_bytes
        parcels = [first.parcel]
        changes = first.changes
        made = False
        while last.revision < self._feed.head_revision and not made:
            following = self._pieces.get((selection, last.revision))
            made = following is None
            if following is None:
                try:
                    following = self._made(selection, last.revision)
                except LeftMemory:  # just trimmed; the remembered pieces are still good
                    break
            size += following.body_bytes
            if size > _BODY_BYTES or len(following.bodies) > 1:
                break
            bodies += following.bodies
            parcels.append(following.parcel)
            changes += following.changes
            last = following
        if last is first:
            return first
        joined = [b"".join(bodies)] if bodies else ()
        piece = Piece(revision, last.revision, joined, changes=changes)
        piece.parcel = joined_parcel(parcels)
        self._remember((selection, revision), piece)
        return piece

    async def window(self, selection: Selection, after: int, upto: int) -> Piece:
        """Return the changes between two boundaries of the log as one window.

        The first stream that asks folds and encodes it for all.

        Args:
            selection: The changes to choose.
            after: The revision before the window.
            upto: The last revision of the window, which must end a commit.

        Raises:
            LeftMemory: The changes are no longer in memory.

        Cancellation: A window begun is lost; the next stream that asks folds it anew.
        """
        key = selection, after, upto
        piece = self._pieces.get(key)
        if piece is not None:
            return piece
        lock = self._folding.get(key)
        if lock is None:
            lock = self._folding[key] = asyncio.Lock()
        async with lock:
            piece = self._pieces.get(key)
            if piece is None:
                piece = await self.complete(selection, Window(after), after, upto)
                self._remember(key, piece)
            return piece

    async def complete(self, selection: Selection, window: Window, after: int, upto: int) -> Piece:
        """Fold the rest of a window from memory, and encode it.

        Args:
            selection: The changes to choose.
            window: The window begun, with all changes up to its `upto`.
            after: The revision before the window.
            upto: The last revision of the complete window, which must end a commit.

        Raises:
            LeftMemory: The rest is no longer in memory; the window keeps the changes folded so far.
        """
        commits: list[Commit] = []
        while window.upto < upto:
            selected, reached, read = self._log.after(selection, window.upto, upto)
            commits += read
            changes = [each.change for each in selected]
            window.add(changes, reached)
            if reached < upto:
                await asyncio.sleep(0)
        frames: list[bytes] = []
        sent: list[Change] = []
        for frame in window_frames(window, sent):
            frames.append(frame)
            if len(frames) % _FRAMES_AT_A_STRETCH == 0:
                await asyncio.sleep(0)
        self.pieces_made += 1
        piece = Piece(after, upto, bodies_of(frames), changes=len(frames), folded=True)
        piece.parcel = self._delays.parcel(_news(selection, sent), commits, conflated=True)
        return piece

    def _made(self, selection: Selection, revision: int) -> Piece:
        """Encode the piece after a revision, and remember it."""
        selected, reached, commits = self._log.after(selection, revision)
        if reached == revision:
            return Piece(revision, revision, ())
        sent: list[Change] = []
        piece = piece_of(selected, revision, reached, sent)
        if piece.revision < reached:
            sent = [change for change in sent if change.revision <= piece.revision]
        piece.parcel = self._delays.parcel(_news(selection, sent), commits)
        self.pieces_made += 1
        self._remember((selection, revision), piece)
        return piece

    def _remember(self, key: _PieceKey, piece: Piece) -> None:
        replaced = self._pieces.pop(key, None)
        if replaced is not None:
            self._remembered_bytes -= replaced.size_bytes + key[0].size_bytes
        self._pieces[key] = piece
        self._remembered_bytes += piece.size_bytes + key[0].size_bytes
        # The newest stays whatever its size, since a large window serves all streams in its series.
        while self._remembered_bytes > _REMEMBERED_BYTES and len(self._pieces) > 1:
            (whose, *_), dropped = self._pieces.popitem(last=False)
            self._remembered_bytes -= dropped.size_bytes + whose.size_bytes
