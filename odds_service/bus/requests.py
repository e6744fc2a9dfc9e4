"""The bytes that nodes exchange beside the log: a refresh with its reply, and the owner's state.

Like the messages of the log they are one byte with the version and msgpack arrays, in which a field
may be added at the end, with a default.
"""

from datetime import datetime
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta, Struct

from odds_service.bus.bus import MOST_BODY_BYTES
from odds_service.bus.messages import BadMessage, Revision
from odds_service.errors import NotDurableYet, NotFetchedYet, UnknownEvent
from odds_service.model.change import Change
from odds_service.model.refresh import FetchOutcome, RefreshOutcome

VERSION: Final = 1
REFRESH: Final = "refresh"  # the last word of the subject of refreshes, beside that of the log
STATUS: Final = "status"  # that of the owner's state
_HEADER: Final = bytes([VERSION])

T = TypeVar("T")


class RefreshAsk(Struct, frozen=True, array_like=True):
    """A request to fetch one event now.

    Attributes:
        event_id: Our id of the event.
        deadline_s: The time limit for fetch and commit, in seconds.
    """

    event_id: str
    deadline_s: Annotated[float, Meta(ge=0, le=3_600)]


class OwnerState(Struct, frozen=True, array_like=True):
    """The state of the owner of the log, told once a second.

    Attributes:
        node: The owner's name, for people.
        epoch: The epoch that it writes.
        head_revision: Its newest revision.
        durable_revision: The newest one in the database.
        at: Its wall clock.
        reason: The owner's trouble with the bus or the database; empty without one.
    """

    node: str
    epoch: str
    head_revision: Revision
    durable_revision: Revision
    at: datetime
    reason: str = ""


class _Fetched(Struct, frozen=True, array_like=True):
    source: str
    error_kind: str
    error: str
    latency_s: float


class _Done(Struct, frozen=True, array_like=True, tag=1):
    revision: Revision
    changes: tuple[Change, ...]
    snapshot_ids: tuple[tuple[str, str, int], ...]
    sources: tuple[_Fetched, ...]


class _Unknown(Struct, frozen=True, array_like=True, tag=2):
    event_id: str


class _NotDurable(Struct, frozen=True, array_like=True, tag=3):
    epoch: str
    revision: Revision


class _NotFetched(Struct, frozen=True, array_like=True, tag=4):
    epoch: str
    revision: Revision
    sources: tuple[str, ...]


RefreshError = UnknownEvent | NotDurableYet | NotFetchedYet

_encode: Final = msgspec.msgpack.Encoder().encode
_reply: Final[msgspec.msgpack.Decoder[Any]] = msgspec.msgpack.Decoder(
    _Done | _Unknown | _NotDurable | _NotFetched
)
_ask: Final = msgspec.msgpack.Decoder(RefreshAsk)
_state: Final = msgspec.msgpack.Decoder(OwnerState)


def encode_ask(ask: RefreshAsk) -> bytes:
    """Return the bytes of a request for a refresh."""
    return _HEADER + _encode(ask)


def decode_ask(body: bytes) -> RefreshAsk:
    """Return a request for a refresh. Raises BadMessage."""
    return _decoded(_ask, body)


def encode_state(state: OwnerState) -> bytes:
    """Return the bytes of the owner's state."""
    return _HEADER + _encode(state)


def decode_state(body: bytes) -> OwnerState:
    """Return the owner's state. Raises BadMessage."""
    return _decoded(_state, body)


def encode_outcome(event_id: str, outcome: RefreshOutcome | RefreshError) -> bytes:
    """Return the reply to a request for a refresh.

    A reply that is too large for the bus goes without its changes, which are in the log.

    Args:
        event_id: The event that was asked for.
        outcome: The outcome, or the error that the caller shall see.
    """
    match outcome:
        case UnknownEvent():
            return _HEADER + _encode(_Unknown(event_id))
        case NotDurableYet():
            return _HEADER + _encode(_NotDurable(outcome.epoch, outcome.revision))
        case NotFetchedYet():
            sources = tuple(outcome.sources)
            return _HEADER + _encode(_NotFetched(outcome.epoch, outcome.revision, sources))
    done = _Done(
        outcome.revision,
        tuple(outcome.changes),
        tuple((*key, snapshot_id) for key, snapshot_id in outcome.snapshot_ids.items()),
        tuple(
            _Fetched(each.source, each.error_kind, each.error, each.latency_s)
            for each in outcome.sources
        ),
    )
    whole = _HEADER + _encode(done)
    if len(whole) <= MOST_BODY_BYTES:
        return whole
    return _HEADER + _encode(msgspec.structs.replace(done, changes=()))


def decode_outcome(body: bytes) -> RefreshOutcome:
    """Return the outcome of a refresh from its reply.

    Raises:
        UnknownEvent, NotDurableYet, NotFetchedYet: What the refresh ended with.
        BadMessage: The bytes are no reply.
    """
    match _decoded(_reply, body):
        case _Unknown(event_id):
            raise UnknownEvent(f"event {event_id!r} is not known")
        case _NotDurable(epoch, revision):
            raise NotDurableYet(epoch, revision)
        case _NotFetched(epoch, revision, sources):
            raise NotFetchedYet(epoch, revision, sources)
        case _Done(revision, changes, snapshot_ids, sources):
            return RefreshOutcome(
                revision,
                changes,
                {(source, bookmaker): number for source, bookmaker, number in snapshot_ids},
                [FetchOutcome(*msgspec.structs.astuple(each)) for each in sources],
            )
    raise AssertionError("a reply of no kind")


def _decoded(decoder: "msgspec.msgpack.Decoder[T]", body: bytes) -> T:
    if not body or body[0] != VERSION:
        raise BadMessage("a request or reply of another version")
    try:
        return decoder.decode(memoryview(body)[1:])
    except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError) as error:
        raise BadMessage(f"an unreadable request or reply: {error}") from None
