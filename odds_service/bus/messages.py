"""The messages of the log on the bus, and their bytes.

A message is one byte with the version, followed by msgpack. There are three kinds:

- `Batch`: one or several whole commits, with the freshness of what no commit moved. It may hold no
  commit at all: the sequence of the log moves, its revision does not;
- `Part`: one of the pieces of a batch that exceeds PIECE_BYTES, applied with its last piece;
- `Opened`: an epoch begins.

Values are arrays without field names. A field may be added at the end, with a default: messages
without it still decode, and older readers ignore it. Any other change of the fields, here or in
the model, needs a new VERSION. The clocks of one machine (`Timing`, `boot_s`) travel unchanged, so
a reader elsewhere must replace them.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from odds_service.errors import OddsServiceError
from odds_service.model.change import Change, Commit, Timing
from odds_service.model.snapshot import EventSource, Seen, Snapshot
from odds_service.model.source import SourceState

VERSION: Final = 1
PIECE_BYTES: Final = 512 * 1024  # half the message that a server accepts by default
# A piece with its frame: epoch, numbers and headers of msgpack.
MOST_BYTES: Final = PIECE_BYTES + 4096
# In all 128 MiB; a slice of 32 new events with 300 markets each has 2 MB, in 4 pieces.
MOST_PARTS: Final = 256

Revision = Annotated[int, Meta(ge=0)]
_HEADER: Final = bytes([VERSION])


class BadMessage(OddsServiceError):
    """Bytes that are no message of this version: truncated, oversized, foreign or newer."""


class Freshness(Struct, frozen=True, array_like=True):
    """The present state of what moves without a change, coalesced between two messages.

    Attributes:
        confirmed: Snapshots that were seen again, unchanged, with the times of the last look.
        event_sources: Pairs of an event id and a source of the event as last seen.
        sources: The states of sources.
        dropped: The names of sources that have left the settings.
    """

    confirmed: Sequence[Snapshot] = ()
    event_sources: Sequence[tuple[str, EventSource]] = ()
    sources: Sequence[SourceState] = ()
    dropped: Sequence[str] = ()


class Batch(Struct, frozen=True):
    """Whole commits with consecutive revisions, and the freshness after the last of them.

    Attributes:
        epoch: The epoch of all commits.
        prev_revision: The revision before the first commit.
        durable_revision: The newest revision known to be in the database.
        freshness: None if nothing but the commits moved.
    """

    epoch: str
    prev_revision: int
    durable_revision: int
    commits: Sequence[Commit] = ()
    freshness: Freshness | None = None

    @property
    def revision(self) -> int:
        """The revision after the batch."""
        return self.commits[-1].last_revision if self.commits else self.prev_revision


class Part(Struct, frozen=True, array_like=True, tag=2):
    """A piece of the bytes of a large batch.

    Attributes:
        revision: The revision after the batch.
        number: The place of the piece, from 1 on.
        count: The number of pieces, at least 2.
    """

    epoch: str
    prev_revision: Revision
    revision: Revision
    number: Annotated[int, Meta(ge=1, le=MOST_PARTS)]
    count: Annotated[int, Meta(ge=2, le=MOST_PARTS)]
    piece: bytes


class Opened(Struct, frozen=True, array_like=True, tag=3):
    """The start of an epoch, by which a writer takes the log over.

    Attributes:
        epochs: Pairs of each known epoch and its first revision, oldest first; the last is new.
        first_revision: The first revision of the new epoch.
        prev_revision: The last revision that the log held before; a reader beyond it served changes
            that no longer exist.
    """

    epochs: tuple[tuple[str, Revision], ...]
    first_revision: Revision
    prev_revision: Revision

    @property
    def epoch(self) -> str:
        """The new epoch."""
        return self.epochs[-1][0]


Message = Batch | Part | Opened


class _Snapshot(Struct, frozen=True, array_like=True):
    """Like Snapshot, as an array."""

    snapshot_id: int
    event_id: str
    source: str
    bookmaker: str
    observed_at: datetime
    confirmed_at: datetime
    source_updated_at: datetime | None
    lagging: Mapping[str, Seen]


class _Commit(Struct, frozen=True, array_like=True):
    changes: Annotated[tuple[Change, ...], Meta(min_length=1)]
    snapshots: tuple[_Snapshot, ...]
    event_sources: tuple[tuple[str, EventSource], ...]
    replaced: Mapping[int, int]
    timing: Timing | None


class _Freshness(Struct, frozen=True, array_like=True):
    confirmed: tuple[_Snapshot, ...]
    event_sources: tuple[tuple[str, EventSource], ...]
    sources: tuple[SourceState, ...]
    dropped: tuple[str, ...]


class _Batch(Struct, frozen=True, array_like=True, tag=1):
    epoch: str
    prev_revision: Revision
    durable_revision: Revision
    commits: tuple[_Commit, ...]
    freshness: _Freshness | None


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(_Batch | Part | Opened).decode


def encode(message: Message) -> list[bytes]:
    """Return the bytes of a message, or of its parts if it exceeds PIECE_BYTES.

    Raises:
        BadMessage: The message needs more than MOST_PARTS parts.
    """
    if not isinstance(message, Batch):
        return [_HEADER + _encode(message)]
    whole = _HEADER + _encode(_as_arrays(message))
    if len(whole) <= PIECE_BYTES:
        return [whole]
    count = -(-len(whole) // PIECE_BYTES)
    if count > MOST_PARTS:
        raise BadMessage(f"a batch of {len(whole)} bytes is too large for the bus")
    return [
        _HEADER
        + _encode(
            Part(
                message.epoch,
                message.prev_revision,
                message.revision,
                number + 1,
                count,
                whole[number * PIECE_BYTES : (number + 1) * PIECE_BYTES],
            )
        )
        for number in range(count)
    ]


def decode(message: bytes) -> Message:
    """Return a message of the log.

    Raises:
        BadMessage: The bytes are no message of this version.
    """
    if len(message) > MOST_BYTES:
        raise BadMessage(f"a message of {len(message)} bytes is longer than {MOST_BYTES}")
    return _decoded(message)


class Assembler:
    """Joins the parts of batches, in the order of the log.

    Any message but the next part ends an incomplete batch, whose parts are dropped: its writer
    stopped in between, and its revisions are written again.
    """

    def __init__(self) -> None:
        self._first: Part | None = None
        self._pieces: list[bytes] = []

    @property
    def incomplete(self) -> bool:
        """True while the last part of a batch is missing."""
        return self._first is not None

    def add(self, message: Message) -> Batch | Opened | None:
        """Take the next message; return it, or the batch that it completes, else None.

        Raises:
            BadMessage: A part without its predecessor, or parts that are no batch together. The
                parts so far are dropped.
        """
        first, pieces = self._first, self._pieces
        self._first, self._pieces = None, []
        if not isinstance(message, Part):
            return message
        if message.number == 1:
            first, pieces = message, []
        if first is None or not _is_next(message, first, len(pieces)):
            raise BadMessage(f"part {message.number} of {message.count} does not follow")
        pieces.append(message.piece)
        if message.number < message.count:
            self._first, self._pieces = first, pieces
            return None
        whole = _decoded(b"".join(pieces))
        if not isinstance(whole, Batch):
            raise BadMessage("the parts are no batch")
        expected = first.epoch, first.prev_revision, first.revision
        if (whole.epoch, whole.prev_revision, whole.revision) != expected:
            raise BadMessage("the parts belong to another batch")
        return whole


def _is_next(part: Part, first: Part, held: int) -> bool:
    return (
        part.number == held + 1
        and part.count == first.count
        and part.epoch == first.epoch
        and part.prev_revision == first.prev_revision
        and part.revision == first.revision
    )


def _decoded(message: bytes) -> Message:
    if not message:
        raise BadMessage("an empty message")
    if message[0] != VERSION:
        raise BadMessage(f"a message of version {message[0]}, not {VERSION}")
    try:
        found: _Batch | Part | Opened = _decode(memoryview(message)[1:])
    except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError) as error:
        raise BadMessage(f"unreadable message: {error}") from None
    if isinstance(found, _Batch):
        return _checked(_from_arrays(found))
    if isinstance(found, Part):
        if found.number > found.count:
            raise BadMessage(f"part {found.number} of {found.count}")
    elif not found.epochs or found.epochs[-1][1] != found.first_revision:
        raise BadMessage("the last epoch is not the one that begins")
    return found


def _checked(batch: Batch) -> Batch:
    revision = batch.prev_revision
    for commit in batch.commits:
        for change in commit.changes:
            revision += 1
            if change.revision != revision:
                raise BadMessage(f"revision {change.revision} where {revision} is next")
    return batch


def _as_arrays(batch: Batch) -> _Batch:
    commits = tuple(
        _Commit(
            tuple(commit.changes),
            tuple(map(_snapshot_array, commit.snapshots)),
            tuple(commit.event_sources),
            commit.replaced,
            commit.timing,
        )
        for commit in batch.commits
    )
    fresh = batch.freshness
    return _Batch(
        batch.epoch,
        batch.prev_revision,
        batch.durable_revision,
        commits,
        None
        if fresh is None
        else _Freshness(
            tuple(map(_snapshot_array, fresh.confirmed)),
            tuple(fresh.event_sources),
            tuple(fresh.sources),
            tuple(fresh.dropped),
        ),
    )


def _from_arrays(batch: _Batch) -> Batch:
    commits = tuple(
        Commit(
            commit.changes,
            tuple(map(_snapshot, commit.snapshots)),
            commit.event_sources,
            commit.replaced,
            commit.timing,
        )
        for commit in batch.commits
    )
    fresh = batch.freshness
    return Batch(
        batch.epoch,
        batch.prev_revision,
        batch.durable_revision,
        commits,
        None
        if fresh is None
        else Freshness(
            tuple(map(_snapshot, fresh.confirmed)),
            fresh.event_sources,
            fresh.sources,
            fresh.dropped,
        ),
    )


def _snapshot_array(snapshot: Snapshot) -> _Snapshot:
    return _Snapshot(
        snapshot.snapshot_id, snapshot.event_id, snapshot.source, snapshot.bookmaker,
        snapshot.observed_at, snapshot.confirmed_at, snapshot.source_updated_at, snapshot.lagging,
    )  # fmt: skip


def _snapshot(array: _Snapshot) -> Snapshot:
    return Snapshot(
        array.snapshot_id, array.event_id, array.source, array.bookmaker,
        array.observed_at, array.confirmed_at, array.source_updated_at, array.lagging,
    )  # fmt: skip
