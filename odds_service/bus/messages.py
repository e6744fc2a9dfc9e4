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

A decoded change has the market before it as bytes: a reader of all changes holds that market, and
whoever does not decodes it with `DecodedBatch.batch()`.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Raw, Struct

from odds_service.errors import OddsServiceError
from odds_service.model.change import (
    ChangeKind,
    Commit,
    EventChange,
    MarketChange,
    SourceChange,
    Timing,
)
from odds_service.model.market import Market, MarketKey, MarketStatus, Outcome
from odds_service.model.snapshot import EventSource, Snapshot
from odds_service.model.source import SourceState

VERSION: Final = 1
PIECE_BYTES: Final = 512 * 1024  # half the message that a server accepts by default
# A piece with its frame: epoch, numbers and headers of msgpack.
MOST_BYTES: Final = PIECE_BYTES + 4096
# In all 128 MiB; a slice of 32 new events with 300 markets each has 2 MB, in 4 pieces.
MOST_PARTS: Final = 256

Revision = Annotated[int, Meta(ge=0)]
_HEADER: Final = bytes([VERSION])
_UNREADABLE: Final = (msgspec.MsgspecError, ValueError, OverflowError, RecursionError)


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

    confirmed: tuple[Snapshot, ...] = ()
    event_sources: tuple[tuple[str, EventSource], ...] = ()
    sources: tuple[SourceState, ...] = ()
    dropped: tuple[str, ...] = ()


class Batch(Struct, frozen=True, array_like=True, tag=1):
    """Whole commits with consecutive revisions, and the freshness after the last of them.

    Attributes:
        epoch: The epoch of all commits.
        prev_revision: The revision before the first commit.
        durable_revision: The newest revision known to be in the database.
        freshness: None if nothing but the commits moved.
        sent_at: The writer's clock when it composed the message; None from older writers. Against
            its own clock a reader sees its delay, and how far the two clocks differ.
    """

    epoch: str
    prev_revision: int
    durable_revision: int
    commits: Sequence[Commit] = ()
    freshness: Freshness | None = None
    sent_at: datetime | None = None

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


class DecodedMarket(Struct, frozen=True, gc=False, array_like=True):
    """A Market of which only the revision and the status are decoded."""

    key: Raw
    status: int
    outcomes: Raw
    revision: int
    changed_at: Raw
    source_updated_at: Raw

    def market(self) -> Market:
        """Return the market. Raises BadMessage."""
        try:
            return Market(
                _decode_key(self.key),
                MarketStatus(self.status),
                _decode_outcomes(self.outcomes),
                self.revision,
                _decode_time(self.changed_at),
                _decode_optional_time(self.source_updated_at),
            )
        except _UNREADABLE as error:
            raise BadMessage(f"unreadable market: {error}") from None


class DecodedChange(Struct, frozen=True, gc=False, array_like=True, tag=1):
    """A MarketChange whose market before is not decoded yet."""

    revision: int
    kind: ChangeKind
    reason: str
    event_id: str
    source: str
    bookmaker: str
    snapshot_id: int
    observed_at: datetime
    detected_at: datetime
    before: DecodedMarket | None
    after: Market
    other_line: str | None = None
    wall_at: datetime | None = None

    def change(self) -> MarketChange:
        """Return the change. Raises BadMessage."""
        before = None if self.before is None else self.before.market()
        return MarketChange(
            self.revision, self.kind, self.reason, self.event_id, self.source, self.bookmaker,
            self.snapshot_id, self.observed_at, self.detected_at, before, self.after,
            self.other_line, self.wall_at,
        )  # fmt: skip


class DecodedCommit(Struct, frozen=True, array_like=True):
    """A Commit with changes of markets as decoded."""

    changes: Annotated[tuple[DecodedChange | EventChange | SourceChange, ...], Meta(min_length=1)]
    snapshots: tuple[Snapshot, ...]
    event_sources: tuple[tuple[str, EventSource], ...]
    replaced: Mapping[int, int]
    timing: Timing | None

    @property
    def first_revision(self) -> int:
        return self.changes[0].revision

    @property
    def last_revision(self) -> int:
        return self.changes[-1].revision

    def commit(self) -> Commit:
        """Return the commit. Raises BadMessage."""
        changes = tuple(
            change.change() if isinstance(change, DecodedChange) else change
            for change in self.changes
        )
        return Commit(changes, self.snapshots, self.event_sources, self.replaced, self.timing)


class DecodedBatch(Struct, frozen=True, array_like=True, tag=1):
    """A Batch with its commits as decoded."""

    epoch: str
    prev_revision: Revision
    durable_revision: Revision
    commits: tuple[DecodedCommit, ...]
    freshness: Freshness | None
    sent_at: Annotated[datetime, Meta(tz=True)] | None = None

    @property
    def revision(self) -> int:
        """The revision after the batch."""
        return self.commits[-1].last_revision if self.commits else self.prev_revision

    def batch(self) -> Batch:
        """Return the batch. Raises BadMessage."""
        commits = tuple(commit.commit() for commit in self.commits)
        return Batch(
            self.epoch, self.prev_revision, self.durable_revision, commits, self.freshness,
            self.sent_at,
        )  # fmt: skip


Message = Batch | Part | Opened
Decoded = DecodedBatch | Part | Opened


def end_revision(message: Decoded) -> int:
    """Return the revision of the log after a message; an incomplete batch does not count."""
    match message:
        case Opened():
            return message.first_revision - 1
        case Part() if message.number < message.count:
            return message.prev_revision
        case Part() | DecodedBatch():
            return message.revision


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(DecodedBatch | Part | Opened).decode
_decode_key: Final = msgspec.msgpack.Decoder(MarketKey).decode
_decode_outcomes: Final = msgspec.msgpack.Decoder(tuple[Outcome, ...]).decode
_decode_time: Final = msgspec.msgpack.Decoder(datetime).decode
_decode_optional_time: Final = msgspec.msgpack.Decoder(datetime | None).decode
_revision: Final = attrgetter("revision")


def encode(message: Message) -> list[bytes]:
    """Return the bytes of a message, or of its parts if it exceeds PIECE_BYTES.

    Raises:
        BadMessage: The message needs more than MOST_PARTS parts.
    """
    if not isinstance(message, Batch):
        return [_HEADER + _encode(message)]
    whole = _HEADER + _encode(message)
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


def decode(message: bytes) -> Decoded:
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

    def add(self, message: Decoded) -> DecodedBatch | Opened | None:
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
        if not isinstance(whole, DecodedBatch):
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


def _decoded(message: bytes) -> Decoded:
    if not message:
        raise BadMessage("an empty message")
    if message[0] != VERSION:
        raise BadMessage(f"a message of version {message[0]}, not {VERSION}")
    try:
        found: Decoded = _decode(message[1:])
    except _UNREADABLE as error:
        raise BadMessage(f"unreadable message: {error}") from None
    if isinstance(found, DecodedBatch):
        _check(found)
    elif isinstance(found, Part):
        if found.number > found.count:
            raise BadMessage(f"part {found.number} of {found.count}")
    elif not found.epochs or found.epochs[-1][1] != found.first_revision:
        raise BadMessage("the last epoch is not the one that begins")
    return found


def _check(batch: DecodedBatch) -> None:
    """Raise BadMessage unless the revisions are consecutive."""
    last = batch.prev_revision
    for commit in batch.commits:
        first, last = last + 1, last + len(commit.changes)
        expected = range(first, last + 1)
        if list(map(_revision, commit.changes)) == list(expected):
            continue
        for change, revision in zip(commit.changes, expected, strict=True):
            if change.revision != revision:
                raise BadMessage(f"revision {change.revision} where {revision} is next")
